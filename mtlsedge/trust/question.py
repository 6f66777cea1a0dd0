"""What becomes of one question that is not answered at once, and of everybody who waits for it?

Whatever comes first ends it: the answer, its time, or that nobody waits any more.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mtlsedge.identity import PeerChain, Verdict
from mtlsedge.trust.answers import Trouble, checked
from mtlsedge.trust.overdue import Watch, noting
from mtlsedge.trust.terms import Terms

_log = Logger()

Key = tuple[str, ...]
"""What makes two questions to one verifier the same."""


class Desk(Protocol):
    """Where it was asked."""

    name: str
    clock: IReactorTime
    terms: Terms
    watch: Watch

    def failed(self, failure: Failure) -> Trouble:
        """What a failure is to those who wait."""

    def close(self, question: Question, result: Verdict | Trouble | None) -> Verdict | None:
        """The question is over, with a result unless nobody wants one; the verdict that it is."""

    def go_on(self) -> None:
        """There may be room for others."""


class Question:
    """One question, and everybody who waits for the answer."""

    __slots__ = (
        "_answer",
        "_desk",
        "_ended",
        "_timer",
        "_verdict",
        "_waiting",
        "host",
        "key",
        "peer",
    )

    def __init__(self, desk: Desk, key: Key, peer: PeerChain, host: str, timeout: float) -> None:
        self.key = key
        self.peer = peer
        self.host = host
        self._desk = desk
        self._answer: Deferred[object] | None = None
        self._ended = False
        self._verdict: Verdict | None = None
        self._waiting: list[Deferred[Verdict]] = []
        self._timer: IDelayedCall | None = None
        seconds = timeout if desk.terms.timeout is None else desk.terms.timeout
        if seconds > 0.0:
            self._timer = desk.clock.callLater(seconds, self._too_late, seconds)

    def hear(self, answer: Verdict | Trouble | Deferred[object]) -> None:
        """The verifier was asked, and this is what it gave."""
        if not isinstance(answer, Deferred):
            self._end(answer)
            return
        self._answer = answer
        answer.addCallbacks(self._answered, self._failed)

    def wait(self) -> Verdict | Deferred[Verdict]:
        """The verdict, once it is there; whoever cancels the Deferred does not want to know."""
        if self._verdict is not None:
            return self._verdict
        waiting: Deferred[Verdict] = Deferred(self._given_up)
        self._waiting.append(waiting)
        return waiting

    def drop(self, trouble: Trouble) -> None:
        """Its answer is not waited for any more."""
        self._end(trouble, unwanted=True)

    def _answered(self, value: object) -> None:
        self._end(checked(self._desk.name, value))

    def _failed(self, failure: Failure) -> None:
        if not self._ended:
            self._end(self._desk.failed(failure))

    def _too_late(self, seconds: float) -> None:
        trouble = Trouble(f"did not answer within {seconds:g} seconds")
        self._end(trouble, unwanted=True, late=True)

    def _given_up(self, waiting: Deferred[Verdict]) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)
        if not self._waiting:
            self._end(None, unwanted=True)

    @noting
    def _end(
        self, result: Verdict | Trouble | None, *, unwanted: bool = False, late: bool = False
    ) -> None:
        if self._ended:
            return
        self._ended = True
        # It may be a call to the verifier that ends it; what follows is no part of that.
        watch = self._desk.watch
        before, watch.running = watch.running, 0
        try:
            self._tell(result, unwanted=unwanted, late=late)
        finally:
            watch.running = before

    def _tell(self, result: Verdict | Trouble | None, *, unwanted: bool, late: bool) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._verdict = self._desk.close(self, result)
        waiting, self._waiting = self._waiting, []
        if self._verdict is not None:
            for each in waiting:
                each.callback(self._verdict)
        if unwanted:
            self._cancel()
        if late:  # those that waited as long are late as well, and need not be put
            self._desk.clock.callLater(0, self._desk.go_on)
        else:
            self._desk.go_on()

    def _cancel(self) -> None:
        if self._answer is None:
            return  # it was never put
        try:
            self._answer.cancel()
        except Exception:
            _log.failure("verifier {name} could not be cancelled", name=self._desk.name)

"""What does a verifier say? Asked with care: whatever it does, a ``Verdict`` comes back.

A verifier is other people's code. It may answer at once, later or never, raise, or answer
nonsense; everything but a verdict is what its terms say of an error, and that is a rejection
unless the operator wrote otherwise. This is the one place that calls verifiers: it bounds how
many questions one has before it, asks once where several want to know the same, and remembers
an answer for as long as the answer itself says.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from mtlsedge.errors import EdgeError
from mtlsedge.identity import NO_ATTRIBUTES, PeerChain, Verdict
from mtlsedge.interfaces import IVerifier
from mtlsedge.trust.answers import Trouble, as_deferred, checked, comes_later, raised, refusal
from mtlsedge.trust.caches import BoundedCache
from mtlsedge.trust.terms import Terms

_log = Logger()

LONGEST_KEPT = 86400.0
"""Seconds for which any verdict is remembered at most."""

LET_THROUGH = Verdict(True)
"""The verdict where there is none, and the operator wrote that this is no reason to refuse."""

_REMEMBERED = 4096  # verdicts of one verifier
_QUIET = 1.0  # seconds between two log lines about the same verifier's troubles

_Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Kept:
    verdict: Verdict
    until: float


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One question to one verifier, made ready.

    ``ask`` is as `VerifierDesk.ask`; ``recall`` asks nobody, and is None where what was said
    holds no more.
    """

    ask: Callable[[], Verdict | Deferred[Verdict]]
    recall: Callable[[], Verdict | None]


def _key(peer: PeerChain, host: str) -> _Key:
    return (host, *[each.fingerprint_sha256 for each in peer.verified or (peer.leaf,)])


def _is_fixed(verdict: Verdict) -> bool:
    """Whether nobody can change it any more, so that it need not be checked again."""
    return verdict.attributes is NO_ATTRIBUTES


class VerifierDesk:
    """Where one verifier is asked.

    Args:
        name: what logs call it; its arguments may hold what a log should not.
        verifier: whom to ask.
        clock: for the time that it takes.
        now: the wall clock, by which certificates and remembered verdicts end.
        terms: how to ask.
    """

    def __init__(
        self,
        name: str,
        verifier: IVerifier,
        clock: IReactorTime,
        now: Callable[[], float],
        terms: Terms = Terms(),  # noqa: B008  # a frozen value
    ) -> None:
        self.name = name
        self.verifier = verifier
        self.terms = terms
        self.clock = clock
        self._now = now
        self._memory: BoundedCache[_Key, _Kept] = BoundedCache(_REMEMBERED)
        self._remembers = False  # anything at all, so far
        self._plain = Verdict(False)  # the last that was sound as it stood; at first nobody's
        self._open: dict[_Key, _Question] = {}
        self._queue: OrderedDict[_Question, None] = OrderedDict()
        self._thinking = 0
        self._taking = False
        self._told = float("-inf")
        self._idle: Deferred[None] | None = None

    def ask(self, peer: PeerChain, host: str, timeout: float) -> Verdict | Deferred[Verdict]:
        """The verdict on a chain; a Deferred only where it is not there at once.

        It never raises, and the Deferred fails only if it is cancelled. The ``cache_for`` of a
        verdict is what is left of its time. ``timeout`` is in seconds, 0 for ever, and holds
        where the terms name none.
        """
        return self._put(_key(peer, host), peer, host, timeout)

    def inquiry(self, peer: PeerChain, host: str, timeout: float) -> Inquiry:
        """`ask` for those who will ask the same for each of many requests."""
        key = _key(peer, host)
        return Inquiry(partial(self._put, key, peer, host, timeout), partial(self._recall, key))

    def _put(
        self, key: _Key, peer: PeerChain, host: str, timeout: float
    ) -> Verdict | Deferred[Verdict]:
        if self._remembers:
            kept = self._recall(key)
            if kept is not None:
                return kept
        if self._open:
            question = self._open.get(key)
            if question is not None:
                return question.wait()
        if self._thinking < self.terms.concurrency:
            answer = self._call(peer, host)
            if type(answer) is Verdict and answer.cache_for <= 0.0:
                return answer
            if not isinstance(answer, Deferred):
                return self._concluded(key, peer, answer)
            self._thinking += 1
            question = self._open[key] = _Question(self, key, peer, host, timeout)
            question.hear(answer)
        elif len(self._queue) < self.terms.queue:
            question = self._open[key] = _Question(self, key, peer, host, timeout)
            self._queue[question] = None
        else:
            return self._judged(Trouble(f"is overloaded: {len(self._queue)} wait for it"))
        return question.wait()

    def when_idle(self) -> Deferred[None]:
        """Fires as soon as nobody waits for an answer."""
        if self._idle is None:
            self._idle = Deferred()
            self._told_if_idle()
        return self._idle

    # -- for questions ---------------------------------------------------------------------

    def close(self, question: _Question, result: Verdict | Trouble | None) -> Verdict | None:
        """A question is over, with a result unless nobody wants one; the verdict that it is."""
        self._open.pop(question.key, None)
        if question in self._queue:
            del self._queue[question]
        else:
            self._thinking -= 1
        return None if result is None else self._concluded(question.key, question.peer, result)

    def go_on(self) -> None:
        """Put the questions that wait, as far as there is room."""
        if self._taking:
            return
        self._taking = True
        try:
            while self._queue and self._thinking < self.terms.concurrency:
                question, _ = self._queue.popitem(last=False)
                self._thinking += 1
                answer = self._call(question.peer, question.host)
                question.hear(answer)
        finally:
            self._taking = False
        self._told_if_idle()

    # -- parts -----------------------------------------------------------------------------

    def _call(self, peer: PeerChain, host: str) -> Verdict | Trouble | Deferred[object]:
        try:
            answer: object = self.verifier.verify(peer, host)
            if answer is self._plain:
                return self._plain
            if type(answer) is not Verdict and comes_later(answer):
                return as_deferred(answer)
            verdict = checked(self.name, answer)
            if isinstance(verdict, Verdict) and verdict is answer and _is_fixed(verdict):
                self._plain = verdict
            return verdict
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also the SystemExit of one that gives up on the process
            return self.failed(Failure(error))

    def failed(self, failure: Failure) -> Trouble:
        """The trouble that a failure is, with its traceback in the log."""
        assert failure.value is not None
        trouble = raised(failure.value)
        if self._may_tell():
            if failure.check(EdgeError):
                _log.warn("verifier {name} {what}", name=self.name, what=trouble.what)
            else:
                _log.failure("verifier {name} failed", failure, LogLevel.warn, name=self.name)
        return trouble

    def _concluded(self, key: _Key, peer: PeerChain, result: Verdict | Trouble) -> Verdict:
        verdict = self._judged(result)
        if verdict.cache_for > 0.0:
            now = self._now()
            until = min(now + min(verdict.cache_for, LONGEST_KEPT), peer.leaf.not_after)
            if until > now:
                self._memory.put(key, _Kept(verdict, until))
                self._remembers = True
        return verdict

    def _judged(self, result: Verdict | Trouble) -> Verdict:
        if isinstance(result, Verdict):
            return result
        if self.terms.on_error == "deny":
            return refusal(self.name, result.what)
        if self._may_tell():
            _log.warn(
                "the verifier {name} {what}; let through, as its on_error is allow",
                name=self.name,
                what=result.what,
            )
        return LET_THROUGH

    def _recall(self, key: _Key) -> Verdict | None:
        kept = self._memory.get(key)
        if kept is None:
            return None
        left = kept.until - self._now()
        # More than it ever had: the wall clock went back, and nobody knows by how much.
        if not 0.0 < left <= LONGEST_KEPT:
            self._memory.discard(key)
            return None
        return replace(kept.verdict, cache_for=left)

    def _may_tell(self) -> bool:
        """Whether another line in the log says something new: a crowd fails all at once."""
        seconds = self.clock.seconds()
        if seconds - self._told < _QUIET:
            return False
        self._told = seconds
        return True

    def _told_if_idle(self) -> None:
        if self._idle is not None and not self._open and not self._idle.called:
            self._idle.callback(None)


class _Question:
    """One question that is not answered at once, and everybody who waits for the answer.

    Whatever comes first ends it: the answer, its time, or that nobody waits any more.
    """

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

    def __init__(
        self, desk: VerifierDesk, key: _Key, peer: PeerChain, host: str, timeout: float
    ) -> None:
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

    def _answered(self, value: object) -> None:
        self._end(checked(self._desk.name, value))

    def _failed(self, failure: Failure) -> None:
        if not self._ended:
            self._end(self._desk.failed(failure))

    def _too_late(self, seconds: float) -> None:
        self._end(Trouble(f"did not answer within {seconds:g} seconds"), late=True)
        self._cancel()

    def _given_up(self, waiting: Deferred[Verdict]) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)
        if not self._waiting:
            self._end(None)
            self._cancel()

    def _end(self, result: Verdict | Trouble | None, *, late: bool = False) -> None:
        if self._ended:
            return
        self._ended = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._verdict = self._desk.close(self, result)
        waiting, self._waiting = self._waiting, []
        if self._verdict is not None:
            for each in waiting:
                each.callback(self._verdict)
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

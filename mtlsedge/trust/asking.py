"""What does a verifier say? Asked with care: whatever it does, a ``Verdict`` comes back.

A verifier is other people's code. It may answer at once, later or never, raise, or answer
nonsense; everything but a verdict is what its terms say of an error, and that is a rejection
unless the operator wrote otherwise. One that blocks is asked aside, or not for a while (see
``overdue``). This is the one place that calls verifiers: it bounds how
many questions one has before it, asks once where several want to know the same, and remembers
an answer for as long as the answer itself says.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from mtlsedge.errors import EdgeError
from mtlsedge.identity import NO_ATTRIBUTES, PeerChain, Verdict
from mtlsedge.interfaces import IVerifier
from mtlsedge.trust.answers import Trouble, as_deferred, checked, comes_later, raised, refusal
from mtlsedge.trust.aside import Aside, Returned
from mtlsedge.trust.caches import BoundedCache
from mtlsedge.trust.overdue import Overdue, Watch, noting
from mtlsedge.trust.question import Key, Question
from mtlsedge.trust.terms import Terms

_log = Logger()

LONGEST_KEPT = 86400.0
"""Seconds for which any verdict is remembered at most."""

LET_THROUGH = Verdict(True)
"""The verdict where there is none, and the operator wrote that this is no reason to refuse."""

_REMEMBERED = 4096  # verdicts of one verifier
_QUIET = 1.0  # seconds between two log lines about the same verifier's troubles
_REST = 10.0  # seconds, of one that blocks and cannot be asked in threads
_REMEDY = (
    "What takes time has to be awaited, as a coroutine or a Deferred, or be done in a thread of "
    "the verifier's own"
)

_Call = Callable[[PeerChain, str], Verdict | Trouble | Deferred[object]]


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


def _key(peer: PeerChain, host: str) -> Key:
    return (host, *[each.fingerprint_sha256 for each in peer.verified or (peer.leaf,)])


def _is_plain(verdict: Verdict) -> bool:
    """Whether it has no lifetime, and nobody can change it: it need not be checked again."""
    return verdict.attributes is NO_ATTRIBUTES and verdict.cache_for <= 0.0


class VerifierDesk:
    """Where one verifier is asked.

    Args:
        name: what logs call it; its arguments may hold what a log should not.
        verifier: whom to ask.
        clock: for the time that it takes.
        now: the wall clock, by which certificates and remembered verdicts end.
        terms: how to ask.
        watch: interrupts a verifier that blocks.
    """

    def __init__(
        self,
        name: str,
        verifier: IVerifier,
        clock: IReactorTime,
        now: Callable[[], float],
        terms: Terms = Terms(),  # noqa: B008  # a frozen value
        watch: Watch | None = None,
    ) -> None:
        self.name = name
        self.verifier = verifier
        self.terms = terms
        self.clock = clock
        self.watch = watch or Watch()
        self._now = now
        self._otherwise: _Call | None = None  # how it is asked since it blocked
        self._waits = False  # it has given something to wait for
        self._rests = 0.0  # until then, by the clock, it is not asked
        self._limit = terms.concurrency
        self._most = terms.concurrency  # without the threads that nobody needs, and that live
        self._memory: BoundedCache[Key, _Kept] = BoundedCache(_REMEMBERED)
        self._remembers = False  # anything at all, so far
        self._plain = Verdict(False)  # the last that is sound as it stands, at first nobody's
        self._open: dict[Key, Question] = {}
        self._queue: OrderedDict[Question, None] = OrderedDict()
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
        self, key: Key, peer: PeerChain, host: str, timeout: float
    ) -> Verdict | Deferred[Verdict]:
        if self._remembers:
            kept = self._recall(key)
            if kept is not None:
                return kept
        if self._open:
            question = self._open.get(key)
            if question is not None:
                return question.wait()
        if self._thinking < self._most:
            answer = self._call(peer, host)
            if answer is self._plain:
                return self._plain
            if not isinstance(answer, Deferred):
                return self._concluded(key, peer, answer)
            self._thinking += 1
            question = self._open[key] = Question(self, key, peer, host, timeout)
            question.hear(answer)
        elif len(self._queue) < self.terms.queue:
            question = self._open[key] = Question(self, key, peer, host, timeout)
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

    def close(self, question: Question, result: Verdict | Trouble | None) -> Verdict | None:
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
            while self._queue and self._thinking < self._most:
                question, _ = self._queue.popitem(last=False)
                self._thinking += 1
                answer = self._call(question.peer, question.host)
                question.hear(answer)
        finally:
            self._taking = False
        self._told_if_idle()

    # -- parts -----------------------------------------------------------------------------

    @noting
    def _call(self, peer: PeerChain, host: str) -> Verdict | Trouble | Deferred[object]:
        if self._otherwise is not None:
            return self._otherwise(peer, host)
        watch = self.watch
        before = watch.running
        try:
            watch.calls = watch.running = watch.calls + 1
            try:
                answer: object = self.verifier.verify(peer, host)
            finally:
                watch.running = before
            if answer is self._plain:
                return self._plain
            if type(answer) is not Verdict and comes_later(answer):
                return self._awaited(answer)
            verdict = checked(self.name, answer)
            if isinstance(verdict, Verdict) and verdict is answer and _is_plain(verdict):
                self._plain = verdict
            return verdict
        except KeyboardInterrupt:
            raise
        except Overdue as overdue:
            return self._blocked(overdue, peer, host)
        except BaseException as error:  # also the SystemExit of one that gives up on the process
            return self.failed(Failure(error))

    def _awaited(self, answer: Any) -> Deferred[object]:
        self._waits = True
        return as_deferred(answer if isinstance(answer, Deferred) else self.watch.steps(answer))

    def failed(self, failure: Failure) -> Trouble:
        """The trouble that a failure is, with its traceback in the log."""
        assert failure.value is not None
        if failure.check(Overdue):
            return self._rest()
        trouble = raised(failure.value)
        if self._may_tell():
            if failure.check(EdgeError):
                _log.warn("verifier {name} {what}", name=self.name, what=trouble.what)
            else:
                _log.failure("verifier {name} failed", failure, LogLevel.warn, name=self.name)
        return trouble

    # -- one that blocks -------------------------------------------------------------------

    def _blocked(self, overdue: Overdue, peer: PeerChain, host: str) -> Trouble | Deferred[object]:
        """It was interrupted: it is asked the same in a thread, and from now on everything.

        Not one that has to do with the reactor, whose place is its thread; nor one that keeps
        all other threads from running, since in one it could not even be interrupted.
        """
        if self._waits or overdue.alone:
            return self._rest()
        _log.warn(
            "verifier {name} did not return at once, and everybody waited for it: from now on it "
            "is asked in threads. {remedy}",
            name=self.name,
            remedy=_REMEDY,
        )
        self._limit_to(1 if overdue.busy else self.terms.concurrency)
        self._otherwise = self._call_aside
        return self._call_aside(peer, host)

    def _call_aside(self, peer: PeerChain, host: str) -> Trouble | Deferred[object]:
        reactor = IReactorFromThreads(self.clock)
        try:
            aside = Aside(reactor, lambda: self.verifier.verify(peer, host), self._lingers)
        except RuntimeError as error:
            return Trouble(f"cannot be asked: {error}")
        return aside.answer.addCallback(self._said_aside)

    def _said_aside(self, returned: Returned) -> object:
        answer = returned.value
        if not comes_later(answer):
            return answer
        self._limit_to(self.terms.concurrency)
        self._otherwise = None
        return self._awaited(answer)

    def _limit_to(self, limit: int) -> None:
        self._most += limit - self._limit
        self._limit = limit

    def _lingers(self, begins: bool) -> None:
        """A thread goes on for nobody, or has ended after all."""
        self._most += -1 if begins else 1
        if not begins:
            self.go_on()

    def _rest(self) -> Trouble:
        trouble = Trouble(f"kept everybody waiting, and is not asked for {_REST:g} seconds")
        if self.clock.seconds() >= self._rests:
            _log.warn(
                "verifier {name} {what}. {remedy}",
                name=self.name,
                what=trouble.what,
                remedy=_REMEDY,
            )
        self._rests = self.clock.seconds() + _REST
        self._otherwise = self._call_rested
        for question in list(self._open.values()):  # each of them could block once more
            question.drop(trouble)
        return trouble

    def _call_rested(self, peer: PeerChain, host: str) -> Verdict | Trouble | Deferred[object]:
        if self.clock.seconds() < self._rests:
            return Trouble("kept everybody waiting, and is not asked for a while")
        self._otherwise = None
        return self._call(peer, host)

    # -- what it comes to ------------------------------------------------------------------

    def _concluded(self, key: Key, peer: PeerChain, result: Verdict | Trouble) -> Verdict:
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

    def _recall(self, key: Key) -> Verdict | None:
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

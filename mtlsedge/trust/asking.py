"""What does a verifier say? Asked with care: whatever it does, a ``Verdict`` comes back.

A verifier is other people's code. It may answer at once, later or never, raise, or answer
nonsense; everything but an accepting ``Verdict`` is a rejection that names it. This is the one
place that calls verifiers, so a bound on how many think at once, and a memory of their answers,
belong here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import replace
from inspect import isawaitable, iscoroutine
from types import MappingProxyType
from typing import Any

import txaio
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from twisted.python.reflect import safe_str

from mtlsedge.identity import PeerChain, Verdict
from mtlsedge.interfaces import IVerifier

_txaio: Any = txaio  # what it offers depends on the framework, and is not typed
_txaio.use_twisted()

_log = Logger()


class VerifierCaller:
    """Asks verifiers, each for at most ``timeout`` seconds (0 is for ever)."""

    def __init__(self, clock: IReactorTime, timeout: float) -> None:
        self._clock = clock
        self._timeout = timeout

    def ask(
        self, name: str, verifier: IVerifier, peer: PeerChain, host: str
    ) -> Verdict | Deferred[Verdict]:
        """A verifier's verdict; a Deferred only where it did not answer at once.

        It never raises, and the Deferred fails only if it is cancelled.
        """
        try:
            answer = verifier.verify(peer, host)
            later = isinstance(answer, Deferred) or isawaitable(answer)
        except Exception as error:
            return _raised(name, error)
        if later:
            return _Question(name, _as_deferred(answer)).wait(self._clock, self._timeout)
        return _checked(name, answer)


class _Question:
    """One verifier that answers later. Whatever comes first counts: answer, time or cancel."""

    def __init__(self, name: str, answer: Deferred[object]) -> None:
        self._name = name
        self._answer = answer
        self._verdict: Verdict | None = None
        self._waiting: Deferred[Verdict] | None = None
        self._timer: IDelayedCall | None = None
        answer.addCallbacks(
            lambda value: self._finish(_checked(name, value)),
            lambda failure: self._finish_raised(failure),
        )

    def wait(self, clock: IReactorTime, timeout: float) -> Verdict | Deferred[Verdict]:
        if self._verdict is not None:
            return self._verdict
        if timeout > 0:
            self._timer = clock.callLater(timeout, self._too_late, timeout)
        self._waiting = Deferred(lambda _: self._cancelled())
        return self._waiting

    def _finish(self, verdict: Verdict) -> None:
        if self._verdict is not None:
            return
        self._verdict = verdict
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._waiting is not None:
            self._waiting.callback(verdict)

    def _finish_raised(self, failure: Failure) -> None:
        if self._verdict is None:
            assert failure.value is not None
            self._finish(_raised(self._name, failure.value, failure))

    def _too_late(self, timeout: float) -> None:
        self._finish(_rejected(self._name, f"did not answer within {timeout:g} seconds"))
        self._cancel()

    def _cancelled(self) -> None:
        self._verdict = _rejected(self._name, "was not waited for")
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._cancel()

    def _cancel(self) -> None:
        try:
            self._answer.cancel()
        except Exception:
            _log.failure("verifier {name} could not be cancelled", name=self._name)


def _as_deferred(answer: Any) -> Deferred[object]:
    """One kind of answer in the place of three."""
    if not isinstance(answer, Deferred) and not iscoroutine(answer):
        answer = _awaited(answer)
    deferred: Deferred[object] = _txaio.as_future(lambda: answer)
    return deferred


async def _awaited(answer: Awaitable[object]) -> object:
    return await answer


def _checked(name: str, answer: object) -> Verdict:
    if not isinstance(answer, Verdict) or not isinstance(answer.accepted, bool):
        return _rejected(name, f"answered {type(answer).__name__}, which is no verdict")
    if not answer.accepted:
        return _rejected(name, f"says no: {answer.reason}" if answer.reason else "says no")
    if not answer.attributes:
        return answer
    try:
        return replace(answer, attributes=_texts(answer.attributes))
    except Exception:  # a mapping may run a verifier's code, too
        return _rejected(name, "attached attributes that are not text")


def _texts(attributes: Mapping[str, str]) -> Mapping[str, str]:
    """A copy that can neither change nor run anybody's code."""
    copy = dict(attributes)
    for text in (*copy, *copy.values()):
        if not isinstance(text, str):
            raise TypeError(text)
    return MappingProxyType(copy)


def _raised(name: str, error: BaseException, failure: Failure | None = None) -> Verdict:
    _log.failure("verifier {name} failed", failure, LogLevel.warn, name=name)
    return _rejected(name, f"failed: {type(error).__name__}: {safe_str(error)}")


def _rejected(name: str, what: str) -> Verdict:
    return Verdict(False, f"the verifier {name!r} {what}")

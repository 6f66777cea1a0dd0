"""Who are the verifiers of one configuration? Each made once, and asked at one desk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from mtlsedge.interfaces import IVerifierService
from mtlsedge.trust.answers import comes_later
from mtlsedge.trust.asking import VerifierDesk
from mtlsedge.trust.overdue import Watch
from mtlsedge.trust.verifiers import MadeVerifier, make_verifier

_log = Logger()

_STOPPING = 5.0  # seconds that a verifier may take to end

_watch = Watch()  # one in each process, as there is one main thread


class VerifierPanel:
    """Every verifier that a configuration names, in one process.

    Args:
        clock: for the time that verifiers take.
        now: the wall clock, in seconds since the epoch.
        make: makes a verifier of its string; raises ``BadVerifier``.
    """

    desk_type: type[VerifierDesk] = VerifierDesk

    def __init__(
        self,
        clock: IReactorTime,
        now: Callable[[], float],
        make: Callable[[str], MadeVerifier] = make_verifier,
    ) -> None:
        self._clock = clock
        self._now = now
        self._make = make
        self._desks: dict[str, VerifierDesk] = {}
        self._services: list[_Service] = []
        self._watched = False

    def desk(self, spec: str) -> VerifierDesk:
        """Where the verifier of a string is asked.

        Raises:
            BadVerifier: the string names none.
        """
        desk = self._desks.get(spec)
        if desk is None:
            made = self._make(spec)
            desk = self._desks[spec] = self.desk_type(
                made.name, made.verifier, self._clock, self._now, made.terms, _watch
            )
        return desk

    def start(self, edge: Any) -> None:
        """Start the verifiers that are services; ``edge`` provides ``IEdge``.

        From now on none of them may block, where the reactor runs in the main thread.
        """
        if self._services:
            return
        if self._desks and not self._watched and IReactorFromThreads.providedBy(self._clock):
            self._watched = _watch.start()
        for desk in self._desks.values():
            if IVerifierService.providedBy(desk.verifier):
                service = _Service(desk, desk.verifier, self._clock)
                self._services.append(service)
                service.start(edge)

    def retire(self) -> None:
        """Stop each verifier as soon as nobody waits for it."""
        services, self._services = self._services, []
        for service in services:
            service.desk.when_idle().addCallback(service.stop)
        idle = [desk.when_idle() for desk in self._desks.values()]
        gatherResults(idle).addCallback(self._not_watched)

    def stop(self) -> Deferred[Any]:
        """Stop all verifiers now; fires when they have ended, or have taken too long."""
        services, self._services = self._services, []
        self._not_watched()
        return gatherResults([service.stop() for service in services])

    def _not_watched(self, _: object = None) -> None:
        if self._watched:
            self._watched = False
            _watch.stop()


class _Service:
    def __init__(self, desk: VerifierDesk, service: Any, clock: IReactorTime) -> None:
        self.desk = desk
        self._service = service
        self._clock = clock

    def start(self, edge: Any) -> None:
        _carefully(self._service.startService, edge).addErrback(self._failed, "started")

    def stop(self, _: object = None) -> Deferred[Any]:
        stopping = _carefully(self._service.stopService)
        return stopping.addTimeout(_STOPPING, self._clock).addErrback(self._failed, "stopped")

    def _failed(self, failure: Failure, what: str) -> None:
        _log.failure(
            "verifier {name} could not be {what}",
            failure,
            LogLevel.error,
            name=self.desk.name,
            what=what,
        )


def _carefully(call: Callable[..., Any], *args: Any) -> Deferred[Any]:
    """What comes of a call, a coroutine too."""
    return Deferred.fromCoroutine(_called(call, *args))


async def _called(call: Callable[..., Any], *args: Any) -> None:
    answer = call(*args)
    if comes_later(answer):
        await answer

"""Which origin gets a request? Pools of connections, turns, and passing over what failed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from mtlsedge.http.origin_connection import OriginConnection
from mtlsedge.ops.deadlines import Deadlines

_log = Logger()


@dataclass(frozen=True, slots=True)
class OriginSettings:
    """Limits and seconds of one host's origins (see ``model.Limits`` and ``model.Timeouts``)."""

    head_limit: int
    connections: int
    idle: int
    queue: int
    response: float
    keep_alive: float
    retry: float
    queue_wait: float


class Waiter(Protocol):
    """Whoever wants a connection to an origin."""

    @property
    def still_waiting(self) -> bool:
        """False once the client has gone."""

    def origin_ready(self, connection: OriginConnection) -> None:
        """Here it is."""

    def origin_unavailable(self, status: int, reason: str, detail: str) -> None:
        """There is none: 502 or 503."""


class Origin:
    """One origin server and the connections to it.

    ``authority`` is its own name for the Host field, where the client's is not kept.
    """

    def __init__(
        self,
        name: str,
        authority: bytes,
        endpoint: IStreamClientEndpoint,
        settings: OriginSettings,
        deadlines: Deadlines,
    ) -> None:
        self.name = name
        self.authority = authority
        self.settings = settings
        self.deadlines = deadlines
        self.failed_until = 0.0
        self._endpoint = endpoint
        self._idle: list[OriginConnection] = []
        self._open = 0
        self._queue: deque[_Queued] = deque()
        self._closing = False

    @property
    def healthy(self) -> bool:
        """Whether it did not fail lately."""
        return self.failed_until <= self.deadlines.seconds()

    def failed(self, detail: str) -> None:
        """Pass it over for a while, where there is another."""
        if self.healthy:
            _log.warn("origin {name} failed: {detail}", name=self.name, detail=detail)
        self.failed_until = self.deadlines.seconds() + self.settings.retry

    def take(self, waiter: Waiter, refused: Callable[[str], None], *, fresh: bool) -> None:
        """Give the waiter a connection now or later; ``refused`` if none can be made.

        ``fresh`` asks for a new one, after an idle one turned out to be dead.
        """
        if self._idle and not fresh:
            waiter.origin_ready(self._idle.pop())
        elif self._open < self.settings.connections:
            self._connect(waiter, refused)
        elif len(self._queue) < self.settings.queue:
            self._queue.append(_Queued(self, waiter))
        else:
            waiter.origin_unavailable(503, "overloaded", f"{self.name}: the queue is full")

    def released(self, connection: OriginConnection) -> None:
        """A connection is free again: for whoever waits longest, or for the idle pool."""
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.origin_ready(connection)
        elif self._closing or len(self._idle) >= self.settings.idle:
            connection.close()
        else:
            self._idle.append(connection)

    def forget(self, connection: OriginConnection) -> None:
        """An idle connection is not to be used again."""
        if connection in self._idle:
            self._idle.remove(connection)

    def gone(self, connection: OriginConnection) -> None:
        """A connection was lost; its place may go to a waiter."""
        self.forget(connection)
        self._open -= 1
        self._serve_queue()

    def close(self) -> None:
        """Close what is idle now, and the rest when it is released."""
        self._closing = True
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def drop(self, queued: _Queued) -> None:
        """A queued waiter gave up."""
        if queued in self._queue:
            self._queue.remove(queued)

    def _next_waiter(self) -> Waiter | None:
        while self._queue:
            waiter = self._queue.popleft().claim()
            if waiter is not None:
                return waiter
        return None

    def _serve_queue(self) -> None:
        waiter = self._next_waiter()
        if waiter is not None:
            self._connect(waiter, lambda detail: _refuse(waiter, detail))

    def _connect(self, waiter: Waiter, refused: Callable[[str], None]) -> None:
        self._open += 1
        attempt = self._endpoint.connect(Factory.forProtocol(lambda: OriginConnection(self)))

        def connected(connection: OriginConnection) -> None:
            self.failed_until = 0.0
            if waiter.still_waiting:
                waiter.origin_ready(connection)
            else:
                connection.release()

        def failed(failure: Failure) -> None:
            self._open -= 1
            detail = f"{self.name}: {failure.getErrorMessage()}"
            self.failed(detail)
            refused(detail)
            self._serve_queue()

        attempt.addCallbacks(connected, failed)
        attempt.addErrback(lambda failure: _log.failure("an exchange failed", failure))


class _Queued:
    """One waiter in an origin's queue, until its time is up."""

    def __init__(self, origin: Origin, waiter: Waiter) -> None:
        self._origin = origin
        self._waiter: Waiter | None = waiter
        self._deadline = origin.deadlines.deadline(self._too_late)
        self._deadline.set(origin.settings.queue_wait)

    def claim(self) -> Waiter | None:
        """The waiter, if it still waits."""
        waiter, self._waiter = self._waiter, None
        self._deadline.forget()
        return waiter if waiter is not None and waiter.still_waiting else None

    def _too_late(self) -> None:
        self._origin.drop(self)
        waiter = self.claim()
        if waiter is not None:
            waiter.origin_unavailable(
                503, "overloaded", f"{self._origin.name}: no connection came free in time"
            )


class OriginGroup:
    """The origins that share one host's load, in turn, healthy ones first."""

    def __init__(self, origins: Sequence[Origin]) -> None:
        self._origins = list(origins)
        self._turn = 0

    def acquire(self, waiter: Waiter, *, fresh: bool = False) -> None:
        """Find the waiter a connection; each origin is tried once."""
        self._try(waiter, self._in_turn(), fresh)

    def close(self) -> None:
        """Close every idle connection."""
        for origin in self._origins:
            origin.close()

    def _in_turn(self) -> list[Origin]:
        if len(self._origins) == 1:
            return self._origins[:]
        self._turn = (self._turn + 1) % len(self._origins)
        ordered = self._origins[self._turn :] + self._origins[: self._turn]
        # Failed ones stay at the end: when all have failed, one of them has to be tried.
        return sorted(ordered, key=lambda origin: not origin.healthy)

    def _try(self, waiter: Waiter, candidates: list[Origin], fresh: bool) -> None:
        origin = candidates.pop(0)

        def refused(detail: str) -> None:
            if candidates and waiter.still_waiting:
                self._try(waiter, candidates, fresh)
            else:
                _refuse(waiter, detail)

        origin.take(waiter, refused, fresh=fresh)


def _refuse(waiter: Waiter, detail: str) -> None:
    if waiter.still_waiting:
        waiter.origin_unavailable(502, "origin_unreachable", detail)

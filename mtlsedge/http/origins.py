"""Which origin gets a request? Pools of connections, turns, and passing over what failed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from errno import EADDRNOTAVAIL, EMFILE, ENFILE, ENOBUFS, ENOMEM
from typing import Any, Protocol

from OpenSSL import SSL
from service_identity import VerificationError
from service_identity.hazmat import DNS_ID
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from mtlsedge.http.origin_connection import OriginConnection
from mtlsedge.ops.deadlines import Deadlines

_log = Logger()

_SHORTAGES = frozenset({EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL})
"""Errors of connecting for which no origin is to blame: the edge is out of descriptors or ports."""


@dataclass(frozen=True, slots=True)
class OriginSettings:
    """Limits and seconds of one host's origins (see ``model.Limits`` and ``model.Timeouts``)."""

    head_limit: int
    connections: int
    idle: int
    queue: int
    connect: float
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

    ``authority`` is its own name for the Host field, where the client's is not kept; ``idle``
    are the connections that wait for a request, the latest last.
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
        self._factory = Factory.forProtocol(lambda: OriginConnection(self))
        self._factory.noisy = False
        self.idle: list[OriginConnection] = []
        self._open: set[OriginConnection] = set()
        self._attempts = 0  # connections that are being made
        self._queue: OrderedDict[Waiter, _Queued] = OrderedDict()
        self._serving = False
        self._closing = False

    @property
    def healthy(self) -> bool:
        """Whether it did not fail lately."""
        return self.failed_until <= self.deadlines.seconds()

    @property
    def backlog(self) -> int:
        """The place in the queue that a request would get now; 0 if it need not wait."""
        return 0 if self.idle or self._has_room() else len(self._queue) + 1

    def failed(self, detail: str) -> None:
        """Pass it over for a while, where there is another."""
        if self.healthy:
            _log.warn("origin {name} failed: {detail}", name=self.name, detail=detail)
        self.failed_until = self.deadlines.seconds() + self.settings.retry

    def take(self, waiter: Waiter, refused: Callable[[str], None], *, fresh: bool) -> None:
        """Give the waiter a connection now or later; ``refused`` if none can be made.

        ``fresh`` asks for a new one, after an idle one turned out to be dead.
        """
        if self.idle and not (fresh and self._has_room()):
            waiter.origin_ready(self.idle.pop())
        elif self._has_room():
            self._connect(waiter, refused)
        elif len(self._queue) < self.settings.queue:
            self._queue[waiter] = _Queued(self, waiter, refused)
        else:
            waiter.origin_unavailable(503, "overloaded", f"{self.name}: the queue is full")

    def leave(self, waiter: Waiter) -> None:
        """A waiter wants no connection any more; its place in the queue goes to another."""
        queued = self._queue.pop(waiter, None)
        if queued is not None:
            queued.settled()

    def opened(self, connection: OriginConnection) -> None:
        """A connection was made."""
        self._open.add(connection)

    def released(self, connection: OriginConnection) -> None:
        """A connection is free again: for whoever waits longest, or for the idle pool."""
        queued = self._next_queued() if self._queue else None
        if queued is not None:
            queued.waiter.origin_ready(connection)
        elif self._closing or len(self.idle) >= self.settings.idle:
            connection.close()
        else:
            self.idle.append(connection)

    def forget(self, connection: OriginConnection) -> None:
        """An idle connection is not to be used again."""
        if connection in self.idle:
            self.idle.remove(connection)

    def gone(self, connection: OriginConnection) -> None:
        """A connection was lost; its place may go to a waiter."""
        self.forget(connection)
        self._open.discard(connection)
        self._serve_queue()

    def close(self) -> None:
        """Close what is idle now, and the rest when it is released."""
        self._closing = True
        idle, self.idle = self.idle, []
        for connection in idle:
            connection.close()

    def _has_room(self) -> bool:
        return len(self._open) + self._attempts < self.settings.connections

    def _next_queued(self) -> _Queued | None:
        while self._queue:
            _, queued = self._queue.popitem(last=False)
            queued.settled()
            if queued.waiter.still_waiting:
                return queued
        return None

    def _serve_queue(self) -> None:
        """Connect for whoever waits. Attempts may fail at once, so this is never a recursion."""
        if self._serving:
            return
        self._serving = True
        try:
            while self._has_room() and (queued := self._next_queued()) is not None:
                self._connect(queued.waiter, queued.refused)
        finally:
            self._serving = False

    def _connect(self, waiter: Waiter, refused: Callable[[str], None]) -> None:
        def made(result: Any) -> Any:
            self._attempts -= 1
            return result

        def connected(connection: OriginConnection) -> None:
            self.failed_until = 0.0
            if waiter.still_waiting:
                waiter.origin_ready(connection)
            else:
                connection.release()

        def failed(failure: Failure) -> None:
            why = _why(failure)
            if _went_short(failure.value):
                self._go_short(waiter, refused, why)
                return
            self.failed(why)
            refused(f"{self.name}: {why}")
            self._serve_queue()

        self._attempts += 1
        attempt: Deferred[Any] = self._endpoint.connect(self._factory)
        attempt.addBoth(made)
        attempt.addCallback(OriginConnection.when_secure)
        attempt.addCallbacks(connected, failed)
        attempt.addErrback(lambda failure: _log.failure("an exchange failed", failure))

    def _go_short(self, waiter: Waiter, refused: Callable[[str], None], why: str) -> None:
        """The edge itself has nothing to connect with: make do with the connections there are."""
        if not waiter.still_waiting:
            return
        if self._open and len(self._queue) < self.settings.queue:
            self._queue[waiter] = _Queued(self, waiter, refused)
        else:
            waiter.origin_unavailable(503, "overloaded", f"{self.name}: {why}")


class _Queued:
    """One waiter in an origin's queue, until its time is up."""

    __slots__ = ("_deadline", "_origin", "refused", "waiter")

    def __init__(self, origin: Origin, waiter: Waiter, refused: Callable[[str], None]) -> None:
        self.waiter = waiter
        self.refused = refused
        self._origin = origin
        self._deadline = origin.deadlines.deadline(self._too_late)
        self._deadline.set(origin.settings.queue_wait)

    def settled(self) -> None:
        """It waits no longer."""
        self._deadline.forget()

    def _too_late(self) -> None:
        self._origin.leave(self.waiter)
        self.waiter.origin_unavailable(
            503, "overloaded", f"{self._origin.name}: no connection came free in time"
        )


class OriginGroup:
    """The origins that share one host's load, in turn: healthy and idle ones first."""

    def __init__(self, origins: Sequence[Origin]) -> None:
        self._origins = list(origins)
        self._only = self._origins[0] if len(self._origins) == 1 else None
        self._turn = 0

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The origins, as the operator listed them."""
        return tuple(self._origins)

    def take_idle(self) -> OriginConnection | None:
        """An idle connection, where there is one and the choice is easy."""
        only = self._only
        return only.idle.pop() if only is not None and only.idle else None

    def acquire(self, waiter: Waiter, *, fresh: bool = False) -> None:
        """Find the waiter a connection; each origin is tried once."""
        self._try(waiter, self._in_turn(), fresh)

    def leave(self, waiter: Waiter) -> None:
        """A waiter wants no connection any more."""
        for origin in self._origins:
            origin.leave(waiter)

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
        return sorted(ordered, key=lambda origin: (not origin.healthy, origin.backlog))

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


def _went_short(error: BaseException | None) -> bool:
    # Twisted wraps what TCP says, and not what unix sockets do.
    code = error.errno if isinstance(error, OSError) else getattr(error, "osError", None)
    return code in _SHORTAGES


def _why(failure: Failure) -> str:
    """What went wrong while connecting, in words for the log."""
    if isinstance(failure.value, VerificationError):
        wanted = ", ".join(str(_wanted(error)) for error in failure.value.errors)
        return f"its certificate is not for {wanted}; see upstream_server_name"
    if isinstance(failure.value, SSL.Error):
        reasons = [str(entry[-1]) for entry in (failure.value.args or ([],))[0]]
        remedy = ""
        if "certificate verify failed" in reasons:
            remedy = "; does upstream_ca hold its CA, and is its certificate within its dates?"
        return f"TLS failed: {'; '.join(reasons) or 'no reason was given'}{remedy}"
    return failure.getErrorMessage()


def _wanted(mismatch: Any) -> object:
    """The name or the address that a certificate should have carried."""
    wanted = mismatch.mismatched_id
    if isinstance(wanted, DNS_ID):
        return wanted.hostname.decode("ascii", "replace")
    return getattr(wanted, "ip", wanted)

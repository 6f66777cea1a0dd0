"""How does one process keep many connections busy and spend next to nothing itself?

Each loop is an epoll over TLS connections with prebuilt bytes to send. An operation counts
only when its answer was ``HTTP/1.1 200`` with the expected body; anything else is an error.
"""

from __future__ import annotations

import select
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Protocol

from OpenSSL import SSL

from perf.client import (
    FOUND,
    STALL_SECONDS,
    Failed,
    check_begun,
    check_whole,
    connect,
    read_to_end,
    was_resumed,
)
from perf.turns import contexts_in_turn, requests_in_turn, targets_in_turn
from perf.values import Load

_CHUNK = 4096
FAILURES = (OSError, SSL.Error, Failed)


@dataclass(slots=True)
class Tally:
    """What a loop has counted: one latency in nanoseconds for every success."""

    latencies: list[int] = field(default_factory=list)
    errors: int = 0
    first_error: str = ""

    def fail(self, error: Exception) -> None:
        """Count an operation that failed."""
        self.errors += 1
        if not self.first_error:
            self.first_error = f"{type(error).__name__}: {error}"


class Loop(Protocol):
    """What drives one workload: made with its connections, run several times, closed."""

    def run(self, seconds: float) -> Tally:
        """Begin operations for so long, and wait for the last of them."""

    def close(self) -> None:
        """Let go of every connection."""


class _Operation:
    __slots__ = ("answer", "request", "shaken", "started", "tls")

    def __init__(self, tls: SSL.Connection, request: bytes, started: int) -> None:
        self.tls = tls
        self.request = request
        self.started = started
        self.shaken = False
        self.answer = b""


class HandshakeLoop:
    """Each operation: connect, full handshake, one request, its answer up to the end, close."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._targets = targets_in_turn(load)
        self._contexts = contexts_in_turn(load)
        self._epoll = select.epoll()
        self._live: dict[int, _Operation] = {}

    def run(self, seconds: float) -> Tally:
        """Begin operations for so long, and wait for the last of them."""
        tally = Tally()
        until = None if self._load.once else perf_counter_ns() + int(seconds * 1e9)
        for _ in range(self._load.connections):
            self._begin(tally)
        while self._live:
            ready = self._epoll.poll(STALL_SECONDS)
            if not ready:
                self._give_up(tally)
            for descriptor, _ in ready:
                if self._step(descriptor, tally) and (until is None or perf_counter_ns() < until):
                    self._begin(tally)
        return tally

    def close(self) -> None:
        """Let go of the descriptors."""
        self._epoll.close()

    def _begin(self, tally: Tally) -> None:
        started = perf_counter_ns()
        target, request = next(self._targets, (None, b""))
        if target is None:
            return  # each of `names` had its turn
        try:
            tls = connect(target, next(self._contexts))
            self._begun(tls)
        except FAILURES as error:
            tally.fail(error)
            return
        descriptor = tls.fileno()
        self._live[descriptor] = _Operation(tls, request, started)
        self._epoll.register(descriptor, select.EPOLLIN)
        self._step(descriptor, tally)

    def _step(self, descriptor: int, tally: Tally) -> bool:
        """Do what can be done now; True when the operation is over, well or badly."""
        operation = self._live[descriptor]
        tls = operation.tls
        try:
            if not operation.shaken:
                tls.do_handshake()
                operation.shaken = True
                tls.send(operation.request)
                return False
            piece, ended = read_to_end(tls, _CHUNK)
            operation.answer += piece
            if not ended:
                return False
            check_whole(operation.answer, self._load.body)
            self._ended(tls)
        except SSL.WantReadError:
            return False
        except FAILURES as error:
            tally.fail(error)
        else:
            tally.latencies.append(perf_counter_ns() - operation.started)
        del self._live[descriptor]
        tls.close()
        return True

    def _give_up(self, tally: Tally) -> None:
        for operation in self._live.values():
            tally.fail(TimeoutError(f"no progress for {STALL_SECONDS:.0f} s"))
            operation.tls.close()
        self._live.clear()

    def _begun(self, tls: SSL.Connection) -> None:
        """A connection is about to shake hands."""

    def _ended(self, tls: SSL.Connection) -> None:
        """The answer was right; a ``Failed`` from here makes the operation fail all the same."""


class ResumingLoop(HandshakeLoop):
    """Each operation: as ``HandshakeLoop``'s, resuming the session that an earlier one left.

    A session is used for one connection at a time, and the newest one is used next, as browsers
    do it. An operation in which the server preferred a full handshake has failed.
    """

    def __init__(self, load: Load) -> None:
        super().__init__(load)
        self._sessions = [self._first_session() for _ in range(load.connections)]

    def _first_session(self) -> SSL.Session:
        tls = connect(self._load, next(self._contexts))
        try:
            shake(tls)
            tls.send(self._load.request())
            answer, ended = read_to_end(tls, _CHUNK)
            while not ended:
                wait_readable(tls)
                piece, ended = read_to_end(tls, _CHUNK)
                answer += piece
            check_whole(answer, self._load.body)
            return _session_of(tls)
        finally:
            tls.close()

    def _begun(self, tls: SSL.Connection) -> None:
        if not self._sessions:
            raise Failed("no session left to resume")
        tls.set_session(self._sessions.pop(0))

    def _ended(self, tls: SSL.Connection) -> None:
        resumed = was_resumed(tls)
        self._sessions.append(_session_of(tls))
        if not resumed:
            raise Failed("a full handshake where a session was offered")


def _session_of(tls: SSL.Connection) -> SSL.Session:
    # A connection that goes without a goodbye takes its session with it (ssl_clear_bad_session).
    tls.set_shutdown(SSL.SENT_SHUTDOWN)
    session = tls.get_session()
    if session is None:
        raise Failed("no session to resume")
    return session


class RequestLoop:
    """Each operation: a request on a connection that was open and warm before, its answer."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._tail = b"\r\n\r\n" + load.body
        self._epoll = select.epoll()
        self._connections: dict[int, SSL.Connection] = {}
        self._partial: dict[int, bytes] = {}
        self._requests = requests_in_turn(load)
        contexts = contexts_in_turn(load)
        for _ in range(load.connections):
            tls = connect(load, next(contexts))
            shake(tls)
            self._connections[tls.fileno()] = tls
            self._epoll.register(tls.fileno(), select.EPOLLIN)

    def run(self, seconds: float) -> Tally:
        """Send for so long, one request per connection at a time, and await the last answers."""
        tally = Tally()
        requests, connections = self._requests, self._connections
        sent: dict[int, int] = {}
        until = perf_counter_ns() + int(seconds * 1e9)
        for descriptor, tls in connections.items():
            sent[descriptor] = perf_counter_ns()
            tls.send(next(requests))
        while sent:
            ready = self._epoll.poll(STALL_SECONDS)
            if not ready:
                tally.fail(TimeoutError(f"no answer for {STALL_SECONDS:.0f} s"))
                break
            for descriptor, _ in ready:
                try:
                    if not self._answered(descriptor):
                        continue
                    now = perf_counter_ns()
                    tally.latencies.append(now - sent.pop(descriptor))
                    if now < until:
                        sent[descriptor] = now
                        connections[descriptor].send(next(requests))
                except FAILURES as error:
                    tally.fail(error)
                    sent.pop(descriptor, None)
                    self._drop(descriptor)
        return tally

    def close(self) -> None:
        """Close every connection."""
        for descriptor in tuple(self._connections):
            self._drop(descriptor)
        self._epoll.close()

    def _answered(self, descriptor: int) -> bool:
        """Read once; True when a whole answer of the kind that counts has arrived."""
        try:
            answer = self._connections[descriptor].recv(_CHUNK)
        except SSL.WantReadError:
            return False
        if self._partial:
            answer = self._partial.pop(descriptor, b"") + answer
        if answer.startswith(FOUND) and answer.endswith(self._tail):
            return True
        check_begun(answer, self._load.body)
        self._partial[descriptor] = answer
        return False

    def _drop(self, descriptor: int) -> None:
        self._connections.pop(descriptor).close()
        self._partial.pop(descriptor, None)


def shake(tls: SSL.Connection) -> None:
    """The handshake to its end, waiting.

    Raises:
        TimeoutError: the server says nothing.
        OpenSSL.SSL.Error: it refuses.
    """
    while True:
        try:
            tls.do_handshake()
        except SSL.WantReadError:
            wait_readable(tls)
        else:
            return


def wait_readable(tls: SSL.Connection) -> None:
    """Wait until something has arrived.

    Raises:
        TimeoutError: nothing does.
    """
    poll = select.poll()
    poll.register(tls.fileno(), select.POLLIN)
    if not poll.poll(STALL_SECONDS * 1000):
        raise TimeoutError(f"nothing arrives for {STALL_SECONDS:.0f} s")

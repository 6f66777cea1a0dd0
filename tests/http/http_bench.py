"""A bench for the edge's HTTP: clients and origins are played by hand, and time by a `Clock`.

What lies between plaintext and plaintext is the edge's own. Nothing happens by itself: a test
says when an origin accepts, answers, stalls or goes, and when a socket is full.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from mtlsedge import model
from mtlsedge.http.access import AccessTokens
from mtlsedge.http.origins import Origin, OriginGroup, OriginSettings
from mtlsedge.http.server import HTTPConnection
from mtlsedge.http.site import Front, Site
from mtlsedge.identity import ANONYMOUS, Identity
from mtlsedge.ops.deadlines import Deadlines
from mtlsedge.policy.service_tokens import ServiceTokens
from mtlsedge.policy.tree import PolicyTree
from mtlsedge.session.tokens import TokenIssuer
from mtlsedge.tls.facts import HandshakeFacts

NAME = "bench.example.com"
NOW = 1_800_000_000.0
FULL = 64 * 1024

LIMITS, TIMEOUTS = model.Limits(), model.Timeouts()
SETTINGS = OriginSettings(
    head_limit=4096,
    connections=10,
    idle=4,
    queue=5,
    connect=2.0,
    response=10.0,
    keep_alive=30.0,
    retry=20.0,
    queue_wait=5.0,
)


class Wire:
    """One connection's transport, with a socket that is as full as the test says."""

    def __init__(self, clock: Clock, protocol: Any) -> None:
        self.protocol = protocol
        self._sent = bytearray()
        self.choked = False  # the peer takes nothing
        self.reading = True
        self.pauses = 0  # how often reading was switched off or on
        self.producer: Any = None
        self.closing = ""  # "abort", "lose" or "linger", once it was asked for
        self.gone = False
        self.host = SimpleNamespace(name=NAME)
        self.server_name = NAME
        self.identity: Identity = ANONYMOUS
        self.facts = HandshakeFacts()
        self.dataBuffer, self.offset, self._tempDataLen = b"", 0, 0
        self._clock = clock

    # -- what the test does ----------------------------------------------------------------

    def say(self, data: bytes) -> None:
        """The peer sends something, which is read at once if anybody reads."""
        assert self.reading, "nobody reads"
        self.protocol.dataReceived(data)

    def take(self, count: int | None = None) -> None:
        """The peer takes so many of the bytes that wait, or all of them."""
        self._tempDataLen -= self._tempDataLen if count is None else count
        if not self._tempDataLen:
            self.choked = False
            if self.producer is not None:
                self.producer.resumeProducing()
            elif self.closing in ("lose", "linger"):
                self.lost()

    def lost(self, reason: Exception | None = None) -> None:
        """The connection is gone; cleanly, unless there is a reason."""
        if not self.gone:
            self.gone = True
            self.protocol.connectionLost(Failure(reason or ConnectionDone()))

    def taken(self) -> bytes:
        """What was written since this was last asked."""
        sent = self.sent
        self._sent.clear()
        return sent

    @property
    def sent(self) -> bytes:
        """What was written and not taken yet."""
        return bytes(self._sent)

    # -- what the edge does ----------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if self.closing == "abort" or self.gone:
            return
        self._sent += data
        if self.choked:
            self._tempDataLen += len(data)
            if self._tempDataLen > FULL and self.producer is not None:
                self.producer.pauseProducing()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert self.producer is None
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def pauseProducing(self) -> None:
        self.reading = False
        self.pauses += 1

    def resumeProducing(self) -> None:
        self.reading = True
        self.pauses += 1

    def loseConnection(self) -> None:
        self._close("lose")

    def lingerConnection(self, last: bytes = b"") -> None:
        if last:
            self.write(last)
        self._close("linger")

    def abortConnection(self) -> None:
        if self.closing != "abort":
            self.closing = "abort"
            self._clock.callLater(0, self.lost, ConnectionAborted())

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    client = ("192.0.2.7", 40_000)
    local_port = 443

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "192.0.2.7", 40_000)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "192.0.2.1", 443)

    def _close(self, how: str) -> None:
        if not self.closing:
            self.closing = how
            if not self._tempDataLen:
                self._clock.callLater(0, self.lost)


class Endpoint:
    """Where an origin would be. ``mode``: ``accept`` or ``refuse`` at once, or ``wait``."""

    def __init__(self, clock: Clock) -> None:
        self.mode = "accept"
        self.why: Exception = ConnectionRefusedError()  # whoever is refused
        self.wires: list[Wire] = []
        self.attempts: list[tuple[Deferred[Any], Any]] = []
        self.asked = 0
        self._clock = clock

    def connect(self, factory: Any) -> Deferred[Any]:
        """As ``IStreamClientEndpoint`` has it."""
        self.asked += 1
        if self.mode == "refuse":
            return fail(self.why)
        if self.mode == "accept":
            return succeed(self._made(factory))
        attempt: Deferred[Any] = Deferred()
        self.attempts.append((attempt, factory))
        return attempt

    def accept(self) -> Wire:
        """The oldest attempt that waits succeeds."""
        attempt, factory = self.attempts.pop(0)
        attempt.callback(self._made(factory))
        return self.wires[-1]

    def refuse(self) -> None:
        """The oldest attempt that waits fails."""
        self.attempts.pop(0)[0].errback(ConnectionRefusedError())

    def _made(self, factory: Any) -> Any:
        wire = Wire(self._clock, factory.buildProtocol(None))
        self.wires.append(wire)
        wire.protocol.makeConnection(wire)
        return wire.protocol


class _Log:
    enabled = True

    def __init__(self) -> None:
        self.written: list[str] = []

    def write(self, line: str) -> None:
        self.written.append(line)


class Bench:
    """One host with its origins. Everything passes unless there are applications."""

    def __init__(
        self,
        *,
        origins: int = 1,
        settings: OriginSettings = SETTINGS,
        limits: model.Limits = LIMITS,
        timeouts: model.Timeouts = TIMEOUTS,
        applications: Sequence[model.Application] = (),
        unprotected: Any = "pass",
        tokens: AccessTokens | None = None,
        judge: Any = None,
    ) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.deadlines = Deadlines(self.clock)
        self.log = _Log()
        self.endpoints = [Endpoint(self.clock) for _ in range(origins)]
        self.origins = [
            Origin(f"origin-{number}", b"origin.test", endpoint, settings, self.deadlines)  # type: ignore[arg-type]
            for number, endpoint in enumerate(self.endpoints)
        ]
        host = model.Host(
            (NAME,),
            model.KeyPair(b"", b""),
            (model.Upstream("http", "origin.test", 80),),
            unprotected=unprotected,
            limits=limits,
            timeouts=timeouts,
        )
        no_tokens: Any = None
        site = Site(
            host=host,
            names=(NAME,),
            policy=PolicyTree(tuple(applications)),
            origins=OriginGroup(self.origins),
            service_tokens=ServiceTokens(()),
            tokens=tokens or no_tokens,
            judge=judge,
        )
        log: Any = self.log
        self.front = Front({NAME: site}, self.deadlines, log, lambda: NOW)
        self.front.names.add(NAME, site)

    @property
    def endpoint(self) -> Endpoint:
        """The only origin's."""
        return self.endpoints[0]

    @property
    def wire(self) -> Wire:
        """The latest connection to the only origin."""
        return self.endpoint.wires[-1]

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The access log, parsed."""
        return [json.loads(line) for line in self.log.written]

    def client(self, identity: Identity = ANONYMOUS) -> Wire:
        """A client whose handshake is done."""
        protocol = HTTPConnection(self.front)
        wire = Wire(self.clock, protocol)
        wire.identity = identity
        protocol.makeConnection(wire)  # type: ignore[arg-type]
        protocol.handshakeCompleted()
        return wire

    def wait(self, seconds: float) -> None:
        """Let time pass, and all that it brings."""
        for _ in range(int(seconds * 10) + 1):
            self.clock.advance(0.1)

    def settle(self) -> None:
        """Let happen what is due now."""
        self.clock.advance(0)


def counts(origin: Origin) -> tuple[int, int, int, int]:
    """An origin's open, idle and attempted connections, and its queue."""
    return len(origin._open), len(origin.idle), origin._attempts, len(origin._queue)


def get(path: str = "/", more: str = "", method: str = "GET", version: str = "1.1") -> bytes:
    """A request head."""
    return f"{method} {path} HTTP/{version}\r\nHost: {NAME}\r\n{more}\r\n".encode()


POST = get("/", "Content-Length: 4\r\n", "POST")
"""With four bytes to come."""


def statuses(data: bytes) -> list[int]:
    """The status of each answer in what a client got."""
    return [int(part[:3]) for part in data.split(b"HTTP/1.1 ")[1:]]


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def tokens(ring: Any) -> AccessTokens:
    """Tokens signed with the session's key ring."""
    return AccessTokens(ring, TokenIssuer(ring, lambda: NOW), lambda: NOW)

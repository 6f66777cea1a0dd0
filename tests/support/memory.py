"""The edge's HTTP in one process, without sockets: clients, connections and an origin in memory.

Everything between plaintext and plaintext is the edge's own code; what TLS settles is given. An
origin in memory reads what it gets with `support.strict`, so that one byte which some origin
might read otherwise is a failure at once. Nothing happens but in `MemoryEdge.turn`.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.logger import LogLevel, globalLogPublisher
from twisted.python.failure import Failure

from mtlsedge import model
from mtlsedge.http.access import AccessTokens
from mtlsedge.http.origins import Origin, OriginGroup, OriginSettings
from mtlsedge.http.server import HTTPConnection
from mtlsedge.http.site import Caller, Front, Site
from mtlsedge.identity import ANONYMOUS, Identity, PeerChain, Reason
from mtlsedge.policy.service_tokens import ServiceTokens
from mtlsedge.policy.tree import PolicyTree
from mtlsedge.session.keys import KeyRing
from mtlsedge.session.tokens import TokenIssuer
from mtlsedge.tls.facts import HandshakeFacts
from mtlsedge.trust.certificates import read_certificate
from support import certs
from support.strict import NotStrict, StrictRequest, read_requests

Answer = Callable[[StrictRequest], bytes]
NAME = "iot.example.com"
DAY = 86400.0


def ok(request: StrictRequest) -> bytes:
    """What an origin says that has nothing against it."""
    if request.method == "HEAD":
        return b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"
    return b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\norigin\n"


@cache
def holder(common_name: str = "device-1") -> Identity:
    """The identity of a client whose certificate verified."""
    leaf = read_certificate(certs.client(common_name).der)
    root = read_certificate(certs.authority().certificate.public_bytes(Encoding.DER))
    return Identity(True, True, Reason.NONE, chain=PeerChain(leaf, (), (leaf, root)))


def application(path: str, decision: model.DecisionWord, name: str = "") -> model.Application:
    """An application whose one policy includes everyone, or any certificate for service_auth."""
    rule = model.Rule("certificate" if decision == "service_auth" else "everyone")
    policy = model.Policy("one", decision, model.RuleSet((rule,)))
    return model.Application(name or path, (model.Domain(NAME, path),), (policy,), f"aud-{path}")


@dataclass
class MemoryTransport:
    """One end of a connection, as a protocol sees it."""

    edge: MemoryEdge
    written: Callable[[bytes], None]
    ended: Callable[[], None]
    protocol: Any = None
    producer: Any = None
    paused: bool = False
    closed: bool = False
    host: Any = None
    server_name: str = ""
    identity: Identity = ANONYMOUS
    facts: HandshakeFacts = field(default_factory=HandshakeFacts)
    dataBuffer: bytes = b""
    offset: int = 0
    _tempDataLen: int = 0
    _waiting: list[bytes] = field(default_factory=list)

    def write(self, data: bytes) -> None:
        if not self.closed:
            self.written(data)

    def writeSequence(self, pieces: list[bytes]) -> None:
        self.write(b"".join(pieces))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False
        if self._waiting:
            self.edge.soon(self._deliver)

    def loseConnection(self) -> None:
        self._close(ConnectionDone())

    def lingerConnection(self, last: bytes = b"") -> None:
        if last:
            self.write(last)
        self.loseConnection()

    def abortConnection(self) -> None:
        self._close(ConnectionAborted())

    client: tuple[str, int] = ("192.0.2.7", 40_000)
    local_port: int = 443

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "192.0.2.7", 40_000)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "192.0.2.1", 443)

    def deliver(self, data: bytes) -> None:
        """Bytes for the protocol, when it wants them."""
        self._waiting.append(data)
        self.edge.soon(self._deliver)

    def peer_closed(self) -> None:
        """The other end is gone."""
        self._close(ConnectionDone())

    def _deliver(self) -> None:
        while self._waiting and not self.paused and not self.closed:
            self.protocol.dataReceived(self._waiting.pop(0))

    def _close(self, reason: Exception) -> None:
        if not self.closed:
            self.closed = True
            self.ended()
            self.edge.soon(lambda: self.protocol.connectionLost(Failure(reason)))


class MemoryClient:
    """One client's connection."""

    def __init__(self, edge: MemoryEdge, identity: Identity, server_name: str) -> None:
        self._received = bytearray()
        self._edge = edge
        self.transport = transport = MemoryTransport(edge, self._take, lambda: None)
        transport.identity, transport.server_name = identity, server_name
        transport.host = SimpleNamespace(name=NAME)
        transport.protocol = HTTPConnection(edge.front)
        transport.protocol.makeConnection(transport)
        transport.protocol.handshakeCompleted()

    def _take(self, data: bytes) -> None:
        self._received += data

    def taken(self) -> bytes:
        """What was answered since this was last asked."""
        taken = bytes(self._received)
        self._received.clear()
        return taken

    @property
    def caller(self) -> Caller:
        """What the edge knows of this connection."""
        caller: Caller = self.transport.protocol._caller
        return caller

    @property
    def closed(self) -> bool:
        """Whether the edge has closed it."""
        return self.transport.closed

    def send(self, *reads: bytes) -> bytes:
        """Send these, each as a read of its own; gives what was answered since."""
        for data in reads:
            if not self.closed:
                self.transport.deliver(data)
        self._edge.turn()
        return self.taken()

    def hang_up(self) -> None:
        """Close without a word."""
        self.transport.peer_closed()
        self._edge.turn()


class MemoryOrigin:
    """The origin: every request that arrived, and on how many connections."""

    def __init__(self, edge: MemoryEdge, answer: Answer) -> None:
        self.requests: list[StrictRequest] = []
        self.connections = 0
        self.answer = answer
        self._edge = edge

    def connect(self, factory: Any) -> Deferred[Any]:
        """As an endpoint does."""
        self.connections += 1
        buffer = bytearray()
        tunnelled = False

        def written(data: bytes) -> None:
            nonlocal tunnelled
            if tunnelled:
                return
            buffer.extend(data)
            found, rest = read_requests(bytes(buffer))
            buffer[:] = rest
            if found and found[-1].all("Upgrade") and buffer:
                raise NotStrict("bytes of another protocol before the 101")
            for request in found:
                self.requests.append(request)
                answer = self.answer(request)
                tunnelled = bool(request.all("Upgrade")) and b"HTTP/1.1 101 " in answer
                transport.deliver(answer)

        transport = MemoryTransport(self._edge, written, lambda: None)
        transport.protocol = factory.buildProtocol(None)
        transport.protocol.makeConnection(transport)
        return succeed(transport.protocol)


class _NoDeadlines:
    """Time stands still."""

    @staticmethod
    def seconds() -> float:
        return 1.0

    @staticmethod
    def deadline(expired: Callable[[], None]) -> Any:
        return _NO_DEADLINE

    @staticmethod
    def call_later(delay: float, call: Callable[[], None]) -> None:
        pass


_NO_DEADLINE = SimpleNamespace(
    set=lambda delay: None, clear=lambda: None, forget=lambda: None
)  # what moves with it is tested elsewhere


class _Log:
    enabled = True

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, line: str) -> None:
        self.lines.append(line)


class MemoryEdge:
    """One host, its origin, and as many clients as are wanted. Close it at the end.

    ``host`` overrides fields of ``model.Host``. Whatever is logged as an error is in ``errors``.
    """

    def __init__(
        self,
        ring: KeyRing,
        applications: tuple[model.Application, ...] = (),
        *,
        answer: Answer = ok,
        service_tokens: tuple[model.ServiceToken, ...] = (),
        host: Mapping[str, Any] | None = None,
    ) -> None:
        self.errors: list[Any] = []
        self.log = _Log()
        self.origin = MemoryOrigin(self, answer)
        self._soon: deque[Callable[[], None]] = deque()
        deadlines: Any = _NoDeadlines()
        upstream = (model.Upstream("http", "origin.test", 80),)
        settings: dict[str, Any] = {"upstream": upstream, **(host or {})}
        described = model.Host((NAME,), model.KeyPair(b"", b""), **settings)
        limits = OriginSettings(64 * 1024, 100, 10, 100, 5.0, 60.0, 30.0, 10.0, 10.0)
        endpoint: Any = self.origin
        group = OriginGroup([Origin("origin", b"origin.test", endpoint, limits, deadlines)])

        def now() -> float:
            return 1_800_000_000.0

        site = Site(
            described,
            (NAME,),
            PolicyTree(applications),
            group,
            ServiceTokens(service_tokens),
            AccessTokens(ring, TokenIssuer(ring, now), now),
            None,
        )
        log: Any = self.log
        self.front = Front({NAME: site}, deadlines, log, now)
        self.front.names.add(NAME, site)
        publisher: Any = globalLogPublisher
        publisher.addObserver(self._observe)

    def _observe(self, event: Any) -> None:
        if event.get("log_level", LogLevel.info) >= LogLevel.error or event.get("isError"):
            self.errors.append(event)

    def connect(self, identity: Identity = ANONYMOUS, server_name: str = NAME) -> MemoryClient:
        """A client whose handshake is done."""
        return MemoryClient(self, identity, server_name)

    def soon(self, call: Callable[[], None]) -> None:
        """Let this happen in the next turn."""
        self._soon.append(call)

    def turn(self) -> None:
        """Let everything happen that can."""
        while self._soon:
            self._soon.popleft()()

    def lines(self) -> list[dict[str, Any]]:
        """The access log, parsed."""
        return [json.loads(line) for line in self.log.lines]

    def close(self) -> None:
        """Stop listening to the log."""
        publisher: Any = globalLogPublisher
        publisher.removeObserver(self._observe)

"""A TLS port in this process: real sockets, and protocols that write down what they are told."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from zope.interface import implementer

from mtlsedge import model
from mtlsedge.names import NameTable, canonical_pattern
from mtlsedge.ops.deadlines import Deadlines
from mtlsedge.tls.contexts import build_host
from mtlsedge.tls.facts import HandshakeFailure
from mtlsedge.tls.hosts import HostTable, TLSHost
from mtlsedge.tls.lobby import Lobby
from mtlsedge.tls.port import TLSPort, open_port
from mtlsedge.tls.terminator import Terminator
from mtlsedge.trust.judge import ClientTrust
from support import certs

NAME = "a.example.com"


@implementer(IHandshakeListener)
class Scribe(Protocol):
    """Writes down what its transport tells it, in order; ``received`` are the bytes."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.received = bytearray()
        self.reasons: list[type[BaseException] | None] = []

    def connectionMade(self) -> None:
        self.events.append("made")

    def handshakeCompleted(self) -> None:
        self.events.append("handshake")

    def dataReceived(self, data: bytes) -> None:
        self.events.append("data")
        self.received += data

    def connectionLost(self, reason: Failure = None) -> None:  # type: ignore[assignment]
        self.events.append("lost")
        self.reasons.append(reason.type)

    @property
    def story(self) -> list[str]:
        """The events, pieces of data told once."""
        told: list[str] = []
        for event in self.events:
            if told[-1:] != [event]:
                told.append(event)
        return told


@dataclass
class Serving:
    """A port, every protocol it made, and every handshake that failed."""

    port: TLSPort
    protocols: list[Any] = field(default_factory=list)
    failures: list[HandshakeFailure] = field(default_factory=list)

    @property
    def number(self) -> int:
        return int(self.port.getHost().port)

    async def protocol(self, place: int = 0) -> Any:
        """The protocol of the nth connection, once there is one."""
        await until(lambda: len(self.protocols) > place, "a connection")
        return self.protocols[place]


Serve = Callable[..., Serving]
"""The fixture ``serve``: opens a port, see `open_serving`."""


def model_host(*names: str, pair: certs.Pair | None = None, **more: Any) -> model.Host:
    """A host of the model with a certificate of the test server CA."""
    pair = pair or certs.server(*names)
    key_pair = model.KeyPair(pair.certificate.read_bytes(), pair.key.read_bytes())
    return model.Host(tuple(map(canonical_pattern, names)), key_pair, (), **more)


def trusting(
    ca: str = certs.CLIENT_CA,
    verifier: Any = None,
    now: Callable[[], float] = time.time,
    **more: Any,
) -> ClientTrust:
    """A judge that believes one test CA, and hears one verifier where there is one."""
    verifiers = ("told",) if verifier else ()
    value = model.ClientCA(ca, certs.ca_file(ca).read_bytes(), (NAME,), verifiers=verifiers, **more)
    return ClientTrust([value], lambda _: verifier, Clock(), now, 0)


def tls_host(*names: str, trust: ClientTrust | None = None, **more: Any) -> TLSHost:
    """A host as the handshake knows it."""
    return build_host(names[0], model_host(*names, **more), trust)


def terminator(
    hosts: Mapping[str, TLSHost],
    failed: Callable[[HandshakeFailure], None],
    clock: Any,
    default: str = "",
    **more: Any,
) -> Terminator:
    """What answers for these hosts, by pattern."""
    names: NameTable[TLSHost] = NameTable()
    for pattern, host in hosts.items():
        names.add(pattern, host)
    table = HostTable(names, names.find(default) if default else None)
    lobby = more.pop("lobby", None) or Lobby()
    patience = more.pop("handshake_timeout", 10.0)
    return Terminator(table, lobby, Deadlines(clock), patience, failed, **more)


def open_serving(
    protocol: Callable[[], Protocol] = Scribe,
    hosts: Mapping[str, TLSHost] | None = None,
    *,
    clock: Any = None,
    default: str = "",
    limit: int = 0,
    listen: model.Listen | None = None,
    **more: Any,
) -> Serving:
    """Listen on a free loopback port. ``clock`` drives the deadlines (else the reactor does)."""
    from twisted.internet import reactor

    def build() -> Protocol:
        made = protocol()
        serving.protocols.append(made)
        return made

    factory = Factory.forProtocol(build)  # type: ignore[arg-type]
    factory.noisy = False
    port = open_port(reactor, listen or model.Listen("127.0.0.1", 0), factory, limit)
    serving = Serving(port)
    port.terminator = terminator(
        hosts or {NAME: tls_host(NAME)}, serving.failures.append, clock or reactor, default, **more
    )
    return serving


async def until(condition: Callable[[], object], what: str, timeout: float = 60) -> None:
    """Let the reactor turn until the condition is true."""
    from twisted.internet import reactor

    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout} s for {what}"
        await deferLater(reactor, 0.005)  # type: ignore[arg-type]


async def turns(count: int = 20) -> None:
    """Let the reactor turn a few times, for what must not happen."""
    from twisted.internet import reactor

    for _ in range(count):
        await deferLater(reactor, 0.002)  # type: ignore[arg-type]


def aside(call: Callable[..., Any], *args: Any) -> Deferred[Any]:
    """Run a client, which blocks, in a thread of its own."""
    return deferToThread(call, *args)


def knock(port: int, *, small: bool = False) -> socket.socket:
    """A TCP connection to loopback; ``small`` takes as little at a time as the kernel allows."""
    sock = socket.socket()
    sock.settimeout(60)
    if small:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    sock.connect(("127.0.0.1", port))
    return sock


def client_context(certificate: certs.Pair | None = None) -> ssl.SSLContext:
    """A client that believes the test server CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certs.ca_file(certs.SERVER_CA))
    if certificate is not None:
        context.load_cert_chain(*certificate.files)
    return context


def greet(
    port: int,
    name: str | None = NAME,
    certificate: certs.Pair | None = None,
    *,
    small: bool = False,
) -> ssl.SSLSocket:
    """A TLS connection, handshake done on the client's side. An end without a word is an error."""
    context = client_context(certificate)
    context.check_hostname = name is not None
    return context.wrap_socket(
        knock(port, small=small), server_hostname=name, suppress_ragged_eofs=False
    )


def read_all(sock: ssl.SSLSocket) -> bytes:
    """Everything until the server says goodbye."""
    return b"".join(iter(lambda: sock.recv(65536), b""))


class Intercepted:
    """A transport's ``SSL.Connection``, say, of which some methods do as a test says."""

    def __init__(self, real: Any, **methods: Callable[..., Any]) -> None:
        self._real = real
        self.__dict__.update(methods)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def shake_in_memory(
    client: ssl.SSLObject,
    incoming: ssl.MemoryBIO,
    outgoing: ssl.MemoryBIO,
    server: SSL.Connection,
    turns: int,
) -> None:
    """Let both go on with a handshake in memory, for so many turns; an error is raised."""
    for _ in range(turns):
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
        if sent := outgoing.read():
            server.bio_write(sent)
        with suppress(SSL.WantReadError):
            server.do_handshake()
        with suppress(SSL.WantReadError):
            incoming.write(server.bio_read(65536))

"""Values: what a request meets behind TLS. The host as HTTP sees it, and the caller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Protocol, TypeVar

from mtlsedge import model
from mtlsedge.http.access import AccessSession, AccessTokens
from mtlsedge.http.origins import OriginGroup
from mtlsedge.identity import Identity, PeerChain, Verdict
from mtlsedge.names import NameTable
from mtlsedge.ops.accesslog import AccessLog
from mtlsedge.ops.deadlines import Deadlines
from mtlsedge.policy.application import CompiledApplication
from mtlsedge.policy.question import Decision
from mtlsedge.policy.service_tokens import ServiceTokens
from mtlsedge.policy.tree import HostPolicy, PolicyTree
from mtlsedge.target import Target


class Judge(Protocol):
    """Judges clients and runs single verifiers; ``trust.judge.ClientTrust`` is one."""

    def settle(self, leaf: bytes | None, sent: Sequence[bytes], server_name: str) -> Any:
        """An ``Identity``, or a Deferred of one."""

    def judge(self, spec: str, peer: PeerChain, server_name: str) -> Any:
        """A ``Verdict``, or a Deferred of one that never fails."""


@dataclass(frozen=True, slots=True)
class Site:
    """Everything that requests to one host have in common; those of its names with one trust."""

    host: model.Host
    names: tuple[str, ...]  # canonical patterns
    policy: PolicyTree
    origins: OriginGroup
    service_tokens: ServiceTokens
    tokens: AccessTokens
    judge: Judge | None
    server_uri: str = ""  # of the host's own certificate, for XFCC's ``By``


class Live(Protocol):
    """A connection that can be asked to end when it may."""

    def drain(self) -> None:
        """Close as soon as nothing is under way."""

    def stop(self) -> None:
        """Close now, and log what was under way."""


@dataclass(slots=True)
class Crowd:
    """The connections that are open, whichever configuration they meet.

    Once ``draining``, each closes after its present exchange.
    """

    connections: set[Live] = field(default_factory=set)
    draining: bool = False

    def drain(self) -> None:
        """Let every connection finish what it is doing, and close."""
        self.draining = True
        for connection in list(self.connections):
            connection.drain()

    def stop(self) -> None:
        """Cut every connection that is still there."""
        for connection in list(self.connections):
            connection.stop()


@dataclass(slots=True)
class Front:
    """What every connection of one configuration shares.

    ``now`` is the wall clock, in seconds since the epoch, for tokens and logs. The crowd is that
    of the whole process: a reload hands it on.
    """

    sites: dict[str, Site]  # by the first of its names
    deadlines: Deadlines
    log: AccessLog
    now: Callable[[], float]
    crowd: Crowd = field(default_factory=Crowd)
    names: NameTable[Site] = field(default_factory=NameTable)
    default: Site | None = None  # of clients that send no server name
    successor: Front | None = None

    def retire(self, successor: Front) -> None:
        """Another configuration is in force: each connection goes over with its next request."""
        self.successor = successor
        for site in self.sites.values():
            site.origins.close()

    def latest(self) -> Front:
        """The front of the configuration in force: this one, or what replaced it."""
        front = self
        while front.successor is not None:
            front = front.successor
        return front

    def site_of(self, server_name: str) -> Site | None:
        """The site of a canonical server name, "" where the client sent none."""
        return self.names.find(server_name) if server_name else self.default


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes: its target, and the application that governs it, if one does."""

    target: Target
    application: CompiledApplication | None


_REMEMBERED = 32  # of each kind, per connection
_Asked = tuple[CompiledApplication, str, str, str]
K = TypeVar("K")
V = TypeVar("V")


def remember(memory: dict[K, V], key: K, value: V) -> V:
    """Keep something for a connection, which never keeps much: a client may ask for anything."""
    if len(memory) >= _REMEMBERED:
        memory.clear()
    memory[key] = value
    return value


@dataclass(slots=True)
class Caller:
    """One client connection, as far as its requests are concerned.

    Attributes:
        server_name: what the client asked for in the handshake, canonical; "" if nothing.
        headers: what the origin is told about the certificate, rendered once.
        client_log, certificate_log, tls_log: this connection's part of each log line.
        policy: of the server name; of the last Host where there was none.
        verdicts: of verifiers that rules name, by server name and their string.
        sessions: by application name, server name and service token.
        routes: by method, target and Host, of the latest requests.
        decisions: by application, server name, method and service token's name.
    """

    site: Site
    front: Front
    server_name: str
    address: str
    ip: IPv4Address | IPv6Address
    port: int
    identity: Identity
    headers: bytes
    client_log: str
    certificate_log: str
    tls_log: str
    policy: HostPolicy | None = None
    verdicts: dict[str, dict[str, Verdict]] = field(default_factory=dict)
    sessions: dict[tuple[str, str, str], AccessSession] = field(default_factory=dict)
    routes: dict[tuple[str, bytes, bytes | None], Route] = field(default_factory=dict)
    decisions: dict[_Asked, Decision] = field(default_factory=dict)
    _policy_of: str = ""
    _forwarded: bytes = b""
    _forwarded_for: str = ""

    def policy_for(self, name: str) -> HostPolicy:
        """The policy of a canonical server name."""
        if self.policy is None or self._policy_of != name:
            self.policy, self._policy_of = self.site.policy.for_host(name), name
        return self.policy

    def forwarded(self, name: str) -> bytes:
        """The header lines that tell the origin whose connection this is (RFC 7239 §4)."""
        if self._forwarded_for != name:
            self._forwarded, self._forwarded_for = self._render_forwarded(name), name
        return self._forwarded

    def _render_forwarded(self, name: str) -> bytes:
        node = f'"[{self.address}]"' if ":" in self.address else self.address
        host = f'"[{name}]"' if ":" in name else name
        lines = (
            f"X-Forwarded-For: {self.address}\r\n"
            f"X-Forwarded-Proto: https\r\n"
            f"X-Forwarded-Host: {host.strip(chr(34))}\r\n"
            f"X-Forwarded-Port: {self.port}\r\n"
            f"Forwarded: for={node};host={host};proto=https\r\n"
        )
        return lines.encode("ascii") + self.headers

"""Values: what a request meets behind TLS. The host as HTTP sees it, and the caller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from ipaddress import IPv4Address, IPv6Address
from math import inf
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from mtlsedge import model
from mtlsedge.http.access import AccessTokens
from mtlsedge.http.acquaintances import Acquaintances, Asked, Passages, Sessions, passages, sessions
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

if TYPE_CHECKING:
    from mtlsedge.http.messages import RequestHead
    from mtlsedge.http.passage import Passage


class Judge(Protocol):
    """Judges clients and runs single verifiers; ``trust.judge.ClientTrust`` is one."""

    def settle(self, leaf: bytes | None, sent: Sequence[bytes], server_name: str) -> Any:
        """An ``Identity``, or a Deferred of one."""

    def judge(self, spec: str, peer: PeerChain, server_name: str) -> Any:
        """A ``Verdict``, or a Deferred of one that never fails."""

    def inquiry(self, spec: str, peer: PeerChain, server_name: str) -> Any:
        """The same for a chain that verified, made ready: an ``asking.Inquiry``."""

    def still_good(self, identity: Identity, now: float) -> Identity | None:
        """What a verified identity is by now; None if it is the same."""

    def next_change(self, identity: Identity, now: float) -> float:
        """When time alone may change that answer."""


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
    """A connection that can be asked to end when it may.

    Attributes:
        holds_until: when time alone may end what its caller was judged by, in seconds since the
            epoch; 0 where nobody has looked yet.
    """

    holds_until: float

    @property
    def caller(self) -> Caller | None:
        """Who is at the other end, as long as something is left to be sent there."""

    def reconsider(self) -> None:
        """Something changed: look whether this connection, and what it does, may go on."""

    def drain(self) -> None:
        """Close as soon as nothing is under way."""

    def stop(self) -> None:
        """Close now, and log what was under way."""

    def idle(self) -> float:
        """For how many seconds nothing was asked since an answer; 0 where something is."""

    def part(self) -> None:
        """Close at once, as nothing is under way."""


_LEAST_IDLE = 1.0  # seconds: before, the next request is likely to be on its way
_PARTINGS = 32  # at once, at least


@dataclass(slots=True)
class Crowd:
    """The connections that are open, whichever configuration they meet.

    Once ``draining``, each closes after its present exchange. ``latest`` is the front in force,
    where a reload has put another in the place of the first.
    """

    connections: set[Live] = field(default_factory=set)
    draining: bool = False
    latest: Front | None = None  # since a reload

    def drain(self) -> None:
        """Let every connection finish what it is doing, and close."""
        self.draining = True
        for connection in list(self.connections):
            connection.drain()

    def make_room(self) -> None:
        """Part with a few that have done nothing for longest, as others wait to come in."""
        waits = [(connection.idle(), connection) for connection in self.connections]
        idle = [wait for wait in waits if wait[0] >= _LEAST_IDLE]
        most = max(_PARTINGS, len(idle) // 32)
        for _, connection in nlargest(most, idle, key=itemgetter(0)):
            connection.part()

    def stop(self) -> None:
        """Cut every connection that is still there."""
        for connection in list(self.connections):
            connection.stop()


_MOST_HOSTS = 64  # of which it is remembered what their clients say


def _unseen(identity: Identity, server_name: str) -> None:
    """Nobody wants to know who comes."""


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
    retired: bool = False
    acquaintances: Acquaintances = field(default_factory=Acquaintances)
    seen: Callable[[Identity, str], None] = _unseen  # told who comes, and to which name
    _common: dict[str, dict[bytes, RequestHead]] = field(default_factory=dict)

    def common_fields(self, site: Site) -> dict[bytes, RequestHead]:
        """What clients of one host say above all, in every request; of the hosts asked lately."""
        common = self._common.get(site.host.name)
        if common is None:
            if len(self._common) >= _MOST_HOSTS:
                self._common.clear()
            common = self._common[site.host.name] = {}
        return common

    def retire(self, successor: Front) -> None:
        """Another configuration is in force: each connection goes over with its next request."""
        self.retired = True
        # Not from front to front: an idle connection would keep every one since its own alive.
        self.crowd.latest = successor
        for site in self.sites.values():
            site.origins.close()

    def latest(self) -> Front:
        """The front of the configuration in force: this one, or what replaced it."""
        return self.crowd.latest or self

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


class Verdicts(dict[str, Verdict]):
    """What verifiers that rules name said of one connection, by their strings.

    They are good from ``since`` to ``until``, by the wall clock; then all are asked again. Those
    that have a time of their own are good until ``lasting``. ``late``: one that has none was not
    there at once.
    """

    __slots__ = ("lasting", "late", "since", "until")

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.since, self.until = -inf, inf
        self.lasting, self.late = inf, False

    def keep(self, spec: str, verdict: Verdict, now: float, *, late: bool = False) -> None:
        """Keep a verdict that was given now."""
        self[spec] = verdict
        until = now + verdict.cache_for
        self.since = max(self.since, now)
        self.until = min(self.until, until)
        if verdict.cache_for > 0.0:
            self.lasting = min(self.lasting, until)
        elif late:
            self.late = True

    def clear(self) -> None:
        """Ask all of them again."""
        super().clear()
        self._begin()


@dataclass(slots=True)
class Caller:
    """One client connection, as far as its requests are concerned.

    Attributes:
        server_name: what the client asked for in the handshake, canonical; "" if nothing.
        headers: what the origin is told about the certificate, rendered once.
        client_log, certificate_log, tls_log: this connection's part of each log line.
        policy: of the server name; of the last Host where there was none.
        verdicts: of verifiers that rules name, by server name and their string.
        sessions: the latest, shared with all connections of its.
        routes: by method, target and Host, of the latest requests.
        decisions: by application, server name, method and service token's name.
        passages: of its latest requests that were let through, shared like these.
        confirmed: passages that rest on what this connection was told, and until when.
        fickle: a verifier whose word is for one request said something else for the next: its
            rulings are made anew each time.
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
    verdicts: dict[str, Verdicts] = field(default_factory=dict)
    sessions: Sessions = field(default_factory=sessions)
    routes: dict[tuple[str, bytes, bytes | None], Route] = field(default_factory=dict)
    decisions: dict[_Asked, Decision] = field(default_factory=dict)
    passages: Passages = field(default_factory=passages)
    confirmed: dict[Passage, float] = field(default_factory=dict)
    fickle: bool = False
    _policy_of: str = ""
    _forwarded: bytes = b""
    _forwarded_for: str = ""

    def let_through(self, asked: Asked, passage: Passage, weight: int) -> None:
        """Remember what a request led to, which takes so many bytes."""
        growth = self.passages.keep(asked, passage, weight)
        if growth:
            self.front.acquaintances.charge(growth)

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

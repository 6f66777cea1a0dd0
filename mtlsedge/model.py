"""The configuration as values: one frozen object, whatever source it was read from.

Files that the operator named are already read (their bytes are here), so that a configuration
is whole by itself and nothing outside ``config/`` knows where it came from. Durations are
seconds, sizes are bytes; host names are canonical (``mtlsedge.names``).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal

Network = IPv4Network | IPv6Network
DecisionWord = Literal["allow", "block", "bypass", "service_auth"]
CertificateDialect = Literal["cf", "rfc9440", "xfcc"]
Advertising = Literal["auto", "always", "never"]

ADVERTISED_UNASKED = 8 * 1024
"""Bytes of CA names that ``advertise_cas = "auto"`` sends in a handshake.

They cost it 3 %, and fit, with the certificate chain, into what TCP sends before it hears from
the client (RFC 6928). A thousand names cost a third.
"""

ADVERTISED_AT_MOST = 64_000
"""Bytes of CA names in any handshake: a TLS extension holds 64 KiB (RFC 8446 §4.2)."""


@dataclass(frozen=True, slots=True)
class Listen:
    """One listening socket: an address and port, or an inherited descriptor (``fd:3``)."""

    host: str = ""
    port: int = 0
    descriptor: int | None = None

    def __str__(self) -> str:
        if self.descriptor is not None:
            return f"fd:{self.descriptor}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes that no client and no origin may exceed."""

    request_line: int = 8 * 1024  # longer: 414
    request_head: int = 32 * 1024  # all header fields together; more: 431
    request_headers: int = 100  # fields; more: 431
    request_body: int = 0  # 0 is no limit; more: 413
    response_head: int = 64 * 1024  # more: 502
    min_request_rate: int = 100  # bytes a second of a body, over ``request_body`` seconds; 0: any
    min_response_rate: int = 100  # that a client takes, over ``write`` seconds; 0: any
    connections: int = 50_000  # of clients, at each listening address; more wait in the backlog
    origin_connections: int = 1_000  # to one origin; requests beyond wait in a queue
    origin_idle: int = 64  # kept-alive connections to one origin
    origin_queue: int = 1_000  # waiting requests for one origin; more: 503


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds that the edge waits; 0 is for ever."""

    handshake: float = 10.0
    request_head: float = 20.0  # from its first byte; later: 408
    request_body: float = 60.0  # between two pieces of a body; later: 408
    keep_alive: float = 75.0  # between two requests
    write: float = 60.0  # a client that takes nothing for so long is cut off
    verifier: float = 5.0
    origin_connect: float = 5.0  # 502 after
    origin_response: float = 60.0  # until the head, and between two pieces of the body; 504
    origin_keep_alive: float = 30.0
    origin_retry: float = 10.0  # how long a failed origin is passed over
    queue: float = 10.0  # how long a request waits for a connection to its origin; 503
    tunnel: float = 3600.0  # both ways silent
    drain: float = 30.0


@dataclass(frozen=True, slots=True)
class Edge:
    """The ``[edge]`` table."""

    listen: tuple[Listen, ...]
    state: Path
    workers: int = 1
    admin: str = ""
    access_log: str = ""  # a path; "-" is standard output; "" is none
    default_host: str = ""  # served when the client sends no server name
    key_rotation: float = 42 * 86400.0  # a new token-signing key after so long
    limits: Limits = Limits()  # what holds before a host is known, and the hosts' defaults
    timeouts: Timeouts = Timeouts()


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate chain (PEM, leaf first) and its private key (PEM), with where they were."""

    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)
    place: str = ""


@dataclass(frozen=True, slots=True)
class Upstream:
    """One origin server of a host.

    ``host`` and ``port`` for ``http`` and ``https``, ``path`` for ``unix``.
    """

    scheme: Literal["http", "https", "unix"]
    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UpstreamTLS:
    """How ``https`` origins are verified, and what the edge shows them.

    Attributes:
        ca: PEM of the CAs that may have signed the origin's certificate; b"" means the
            operator wrote ``"system"``.
        server_name: the name the certificate must carry, where it is not the URL's host.
        client: the edge's own client certificate towards the origin.
    """

    ca: bytes = field(default=b"", repr=False)
    server_name: str = ""
    client: KeyPair | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """A ``[[host]]`` table."""

    names: tuple[str, ...]  # canonical patterns
    key_pair: KeyPair
    upstream: tuple[Upstream, ...]
    upstream_tls: UpstreamTLS = UpstreamTLS()
    handshake: Literal["record", "require"] = "record"
    unprotected: Literal["deny", "pass"] = "deny"
    resumption: Literal["off", "recheck"] = "off"
    advertise_cas: Advertising = "auto"  # whether clients are told the names of its client CAs
    forward_certificate: frozenset[CertificateDialect] = frozenset()
    forward_attributes: tuple[str, ...] = ()  # of those that verifiers attached
    preserve_host: bool = True  # the origin gets the client's Host, not the upstream's name
    upgrades: tuple[str, ...] = ("*",)  # protocols an upgrade may switch to; h2c never
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()

    @property
    def name(self) -> str:
        """The first name, by which logs and messages call this host."""
        return self.names[0]


@dataclass(frozen=True, slots=True)
class CrlSource:
    """One CRL file as it was when the configuration was read (PEM, several too, or DER).

    Or a URL, where ``remote``: then ``data`` is what it held when it last answered, if it did.
    """

    place: str
    data: bytes = field(repr=False)
    remote: bool = False


@dataclass(frozen=True, slots=True)
class Ocsp:
    """Who is asked for the status of a client CA's certificates, and how (RFC 6960).

    Attributes:
        responders: URLs that are asked, in this order, whatever a certificate says.
        allowed: URLs that are asked after them, of certificates that name them.
        policy: whether a certificate of which no status is known is refused.
        check: which certificates of a chain are asked about.
        nonce: whether an answer must carry the request's nonce; it is always sent.
        max_age: seconds for which an answer counts at most.
        timeout: seconds that one responder may take.
        ca: PEM of the CAs for https responders; b"" is the system's.
    """

    responders: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    policy: Literal["require", "warn"] = "require"
    check: Literal["chain", "leaf"] = "chain"
    nonce: Literal["ask", "require"] = "ask"
    max_age: float = 3600.0
    timeout: float = 4.0
    ca: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class ClientCA:
    """A ``[[client_ca]]`` table. Its verifiers must accept each chain that ends here."""

    name: str
    certificates: bytes = field(repr=False)  # PEM bundle
    hosts: tuple[str, ...]  # canonical patterns, each the name of a configured host
    place: str = ""
    crls: tuple[CrlSource, ...] = ()
    crl_policy: Literal["require", "warn"] = "require"
    crl_check: Literal["chain", "leaf"] = "chain"  # which certificates need a CRL
    crl_grace: float = 0.0  # seconds for which a CRL is good beyond its nextUpdate
    crl_refresh: float = 300.0  # seconds between two requests for the same URL
    crl_ca: bytes = field(default=b"", repr=False)  # PEM, for https URLs; b"" is the system's CAs
    crl_issuers: bytes = field(default=b"", repr=False)  # PEM of who signs CRLs and issues nothing
    required_policies: tuple[str, ...] = ()  # object identifiers, one of which a chain must have
    ocsp: Ocsp | None = None
    verifiers: tuple[str, ...] = ()
    verifiers_match: Literal["all", "any"] = "all"  # how many of them must accept


@dataclass(frozen=True, slots=True)
class Rule:
    """One selector with the values that satisfy it (any of them).

    ``values`` is normalised by the loader: booleans for ``certificate``, ``everyone`` and
    ``any_valid_service_token`` become ``()``; addresses stand in ``networks``; the rest are
    strings, host names canonical, hexadecimal lower case without colons (serials as
    ``Certificate.serial`` has them).
    """

    selector: str
    values: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleSet:
    """``include`` (any of), ``require`` (all of), ``exclude`` (none of)."""

    include: tuple[Rule, ...]
    require: tuple[Rule, ...] = ()
    exclude: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """An ``[[application.policy]]`` table."""

    name: str
    decision: DecisionWord
    rules: RuleSet
    shadow: bool = False  # evaluated and logged, never enforced


@dataclass(frozen=True, slots=True)
class Domain:
    """A host pattern and a path pattern (``/``, ``/alpha``, ``/alpha/*``, ``/v*/x``).

    ``path`` is canonical, begins with ``/`` and ends without one unless it is ``/``.
    """

    host: str
    path: str = "/"

    def __str__(self) -> str:
        return self.host + ("" if self.path == "/" else self.path)


@dataclass(frozen=True, slots=True)
class Application:
    """An ``[[application]]`` table. ``aud`` is given, or made from the name and domains."""

    name: str
    domains: tuple[Domain, ...]
    policies: tuple[Policy, ...]
    aud: str
    session_duration: float = 86400.0


@dataclass(frozen=True, slots=True)
class Group:
    """A ``[[group]]`` table: rules that policies name as one selector."""

    name: str
    rules: RuleSet


@dataclass(frozen=True, slots=True)
class ServiceToken:
    """A ``[[service_token]]`` table: ``CF-Access-Client-Id`` and the hash of its secret.

    ``secret_sha256`` is lower-case hexadecimal. Secrets are made by the edge with 256 random
    bits, so a plain hash gives nothing to guess.
    """

    name: str
    client_id: str
    secret_sha256: str
    expires: float | None = None  # seconds since the epoch


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything the operator said, valid as a whole; ``generation`` counts accepted ones."""

    edge: Edge
    hosts: tuple[Host, ...]
    client_cas: tuple[ClientCA, ...] = ()
    applications: tuple[Application, ...] = ()
    groups: tuple[Group, ...] = ()
    service_tokens: tuple[ServiceToken, ...] = ()
    generation: int = 1
    warnings: tuple[str, ...] = ()


def names_size(names: Collection[bytes]) -> int:
    """Bytes that CA names (DER) take in a CertificateRequest (RFC 8446 §4.2.4)."""
    return sum(map(len, names)) + 2 * len(names)

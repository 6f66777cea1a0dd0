"""How do the rooms fit together? A configuration becomes everything that serves it.

Wiring only: what is built here is complete before anybody uses it, so that a reload can build
the new beside the old and swap, and a configuration that cannot be built changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from mtlsedge import model
from mtlsedge.errors import BadCertificate, ConfigurationError, Problem
from mtlsedge.http.access import AccessTokens
from mtlsedge.http.acquaintances import GENERATION, Acquaintances
from mtlsedge.http.origins import OriginGroup
from mtlsedge.http.site import Crowd, Front, Site
from mtlsedge.http.upstreams import origin_group
from mtlsedge.identity import Identity
from mtlsedge.names import NameTable
from mtlsedge.ops.accesslog import AccessLog
from mtlsedge.ops.deadlines import Deadlines
from mtlsedge.ops.fetching import FetchFailed, make_agent, post
from mtlsedge.policy.service_tokens import ServiceTokens
from mtlsedge.policy.tree import PolicyTree
from mtlsedge.tls.contexts import build_host
from mtlsedge.tls.facts import HandshakeFailure
from mtlsedge.tls.hosts import HostTable, TLSHost
from mtlsedge.tls.lobby import Lobby
from mtlsedge.tls.terminator import Terminator
from mtlsedge.trust.certificates import read_certificate
from mtlsedge.trust.judge import ClientTrust
from mtlsedge.trust.ocsp import MOST_ANSWERED, OCSP_TYPES
from mtlsedge.trust.ocsp_chains import NO_DESKS
from mtlsedge.trust.ocsp_status import StatusDesk
from mtlsedge.trust.panel import VerifierPanel
from mtlsedge.trust.responders import Post

Now = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an assembled edge needs of the process that it runs in."""

    reactor: Any
    now: Now
    lobby: Lobby
    deadlines: Deadlines
    tokens: AccessTokens
    log: AccessLog
    crowd: Crowd
    handshake_failed: Callable[[HandshakeFailure], None]
    reach: Callable[[model.Host, Deadlines, Any], OriginGroup] = origin_group
    seat: Callable[[Any, Now], VerifierPanel] = VerifierPanel
    revoked: Callable[[], None] = lambda: None  # told when OCSP finds somebody revoked
    seen: Callable[[Identity, str], None] = lambda identity, server_name: None


@dataclass(frozen=True, slots=True)
class Guarded:
    """Names of one host that have the same client CAs, and their judge.

    A client CA is associated with names; a host may have names with it and names without.
    """

    host: model.Host
    names: tuple[str, ...]
    trust: ClientTrust | None


@dataclass(frozen=True, slots=True)
class Assembled:
    """One configuration, ready to serve."""

    terminator: Terminator
    front: Front
    trusts: tuple[ClientTrust, ...]
    verifiers: VerifierPanel
    ocsp: Mapping[str, StatusDesk]


def assemble(configuration: model.Configuration, around: Surroundings) -> Assembled:
    """Build everything that a configuration asks for.

    Raises:
        ConfigurationError: something in it cannot be used after all, by key path.
    """
    verifiers = around.seat(around.reactor, around.now)
    ocsp = _status_desks(configuration, around)
    guarded = guard(configuration, around.reactor, around.now, verifiers, ocsp)
    sites = _sites(configuration, guarded, around)
    for policy in {site.policy for site in sites.values()}:
        for application in policy.applications:
            for spec in application.verifiers:
                verifiers.desk(spec)  # made before anybody waits for it
    terminator = Terminator(
        _host_table(configuration, guarded),
        around.lobby,
        around.deadlines,
        configuration.edge.timeouts.handshake,
        around.handshake_failed,
        configuration.edge.timeouts.write,
        around.crowd.make_room,
    )
    around.lobby.welcome(_resuming(configuration))
    names: NameTable[Site] = NameTable()
    for one in guarded:
        for name in one.names:
            names.add(name, sites[one.names[0]])
    default = configuration.edge.default_host
    front = Front(
        sites,
        around.deadlines,
        around.log,
        around.now,
        around.crowd,
        names,
        names.find(default) if default else None,
        acquaintances=Acquaintances(max(GENERATION, len(sites))),  # one for each host, at least
        seen=around.seen,
    )
    trusts = dict.fromkeys(one.trust for one in guarded if one.trust is not None)
    return Assembled(terminator, front, tuple(trusts), verifiers, ocsp)


def guard(
    configuration: model.Configuration,
    reactor: Any,
    now: Now,
    verifiers: VerifierPanel | None = None,
    ocsp: Mapping[str, StatusDesk] = NO_DESKS,
) -> tuple[Guarded, ...]:
    """The hosts of a configuration, each with the judge of its clients.

    Names with the same client CAs share one, and with it what it remembers of certificates.
    All of them ask the same verifiers.
    """
    desks = (verifiers or VerifierPanel(reactor, now)).desk
    cas_of: dict[str, list[model.ClientCA]] = {}
    for ca in configuration.client_cas:
        for name in ca.hosts:
            cas_of.setdefault(name, []).append(ca)
    judges: dict[tuple[float, tuple[str, ...]], ClientTrust] = {}
    found = []
    for host in configuration.hosts:
        groups: dict[tuple[str, ...], list[str]] = {}
        for name in host.names:
            key = tuple(ca.name for ca in cas_of.get(name, ()))
            groups.setdefault(key, []).append(name)
        patience = host.timeouts.verifier
        for key, names in groups.items():
            trust = judges.get((patience, key))
            if key and trust is None:
                cas = cas_of[names[0]]
                trust = judges[patience, key] = ClientTrust(
                    cas, desks, reactor, now, patience, ocsp
                )
            found.append(Guarded(host, tuple(names), trust))
    return tuple(found)


def _status_desks(
    configuration: model.Configuration, around: Surroundings
) -> dict[str, StatusDesk]:
    """Where the client CAs that have OCSP responders ask them, by the CAs' names."""
    desks = {}
    for index, ca in enumerate(configuration.client_cas):
        if ca.ocsp is None:
            continue
        try:
            post = _poster(ca.ocsp, around.reactor)
        except FetchFailed as error:
            where = f"client_ca[{index}].ocsp_ca"
            raise ConfigurationError((Problem(where, str(error)),)) from error
        desks[ca.name] = StatusDesk(
            ca.name, ca.ocsp, post, around.reactor, around.now, around.revoked
        )
    return desks


def _poster(ocsp: model.Ocsp, reactor: Any) -> Post:
    secure = any(url.lower().startswith("https:") for url in (*ocsp.responders, *ocsp.allowed))
    agent = make_agent(reactor, ocsp.ca, system=secure and not ocsp.ca, most=MOST_ANSWERED)

    def ask(url: str, request: bytes) -> Awaitable[bytes]:
        return post(agent, reactor, url, request, OCSP_TYPES, MOST_ANSWERED, ocsp.timeout)

    return ask


def _host_table(configuration: model.Configuration, guarded: tuple[Guarded, ...]) -> HostTable:
    names: NameTable[TLSHost] = NameTable()
    problems = []
    for one in guarded:
        try:
            tls_host = build_host(one.names[0], one.host, one.trust)
        except (SSL.Error, ValueError, TypeError) as error:
            where = f"host[{configuration.hosts.index(one.host)}].certificate"
            problems.append(Problem(where, f"OpenSSL does not take this key pair: {error}"))
            continue
        for name in one.names:
            names.add(name, tls_host)
    if problems:
        raise ConfigurationError(tuple(problems))
    default = configuration.edge.default_host
    return HostTable(names, names.find(default) if default else None)


def _resuming(configuration: model.Configuration) -> frozenset[str]:
    """The names of hosts at which sessions resume."""
    return frozenset(
        name for host in configuration.hosts if host.resumption == "recheck" for name in host.names
    )


def _sites(
    configuration: model.Configuration, guarded: tuple[Guarded, ...], around: Surroundings
) -> dict[str, Site]:
    tree = PolicyTree(configuration.applications, configuration.groups)
    service_tokens = ServiceTokens(configuration.service_tokens)
    origins = _origins(configuration, around)
    return {
        one.names[0]: Site(
            one.host,
            one.names,
            tree,
            origins[one.host.name],
            service_tokens,
            around.tokens,
            one.trust,
            _server_uri(one.host) if "xfcc" in one.host.forward_certificate else "",
        )
        for one in guarded
    }


def _origins(configuration: model.Configuration, around: Surroundings) -> dict[str, OriginGroup]:
    """The origins of each host by its name; hosts that say the same of them share them.

    ``limits.origin_connections`` is then what it says, a limit for one origin.
    """
    shared: dict[object, OriginGroup] = {}
    found = {}
    for host in configuration.hosts:
        said = (host.upstream, host.upstream_tls, host.limits, host.timeouts)
        group = shared.get(said)
        if group is None:
            group = shared[said] = around.reach(host, around.deadlines, around.reactor)
        found[host.name] = group
    return found


def _server_uri(host: model.Host) -> str:
    leaf = x509.load_pem_x509_certificate(host.key_pair.certificate)
    try:
        uris = read_certificate(leaf.public_bytes(Encoding.DER)).san_uri
    except BadCertificate:
        return ""  # an odd certificate of the operator's own is no reason not to serve
    return uris[0] if uris else ""

"""How do the rooms fit together? A configuration becomes everything that serves it.

Wiring only: what is built here is complete before anybody uses it, so that a reload can build
the new beside the old and swap, and a configuration that cannot be built changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from mtlsedge import model
from mtlsedge.errors import BadCertificate, ConfigurationError, Problem
from mtlsedge.http.access import AccessTokens
from mtlsedge.http.site import Crowd, Front, Site
from mtlsedge.http.upstreams import origin_group
from mtlsedge.names import NameTable
from mtlsedge.ops.accesslog import AccessLog
from mtlsedge.ops.deadlines import Deadlines
from mtlsedge.policy.service_tokens import ServiceTokens
from mtlsedge.policy.tree import PolicyTree
from mtlsedge.tls.contexts import build_host
from mtlsedge.tls.facts import HandshakeFailure
from mtlsedge.tls.hosts import HostTable, TLSHost
from mtlsedge.tls.terminator import Terminator
from mtlsedge.trust.certificates import read_certificate
from mtlsedge.trust.judge import ClientTrust
from mtlsedge.trust.verifiers import find_verifier

Now = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an assembled edge needs of the process that it runs in."""

    reactor: Any
    now: Now
    deadlines: Deadlines
    tokens: AccessTokens
    log: AccessLog
    crowd: Crowd
    handshake_failed: Callable[[HandshakeFailure], None]


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


def assemble(configuration: model.Configuration, around: Surroundings) -> Assembled:
    """Build everything that a configuration asks for.

    Raises:
        ConfigurationError: something in it cannot be used after all, by key path.
    """
    guarded = guard(configuration, around.reactor, around.now)
    sites = _sites(configuration, guarded, around)
    terminator = Terminator(
        _host_table(configuration, guarded),
        around.deadlines,
        configuration.edge.timeouts.handshake,
        around.handshake_failed,
        configuration.edge.timeouts.write,
    )
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
    )
    trusts = tuple(one.trust for one in guarded if one.trust is not None)
    return Assembled(terminator, front, trusts)


def guard(configuration: model.Configuration, reactor: Any, now: Now) -> tuple[Guarded, ...]:
    """The hosts of a configuration, each with the judge of its clients."""
    return tuple(
        Guarded(host, names, _trust(cas, host, reactor, now))
        for host in configuration.hosts
        for cas, names in _by_client_cas(configuration, host)
    )


def _by_client_cas(
    configuration: model.Configuration, host: model.Host
) -> Iterator[tuple[tuple[model.ClientCA, ...], tuple[str, ...]]]:
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in host.names:
        cas = tuple(ca.name for ca in configuration.client_cas if name in ca.hosts)
        groups.setdefault(cas, []).append(name)
    for cas, names in groups.items():
        yield tuple(ca for ca in configuration.client_cas if ca.name in cas), tuple(names)


def _trust(
    cas: tuple[model.ClientCA, ...], host: model.Host, reactor: Any, now: Now
) -> ClientTrust | None:
    if not cas:
        return None
    return ClientTrust(cas, find_verifier, reactor, now, host.timeouts.verifier)


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


def _sites(
    configuration: model.Configuration, guarded: tuple[Guarded, ...], around: Surroundings
) -> dict[str, Site]:
    tree = PolicyTree(configuration.applications, configuration.groups)
    service_tokens = ServiceTokens(configuration.service_tokens)
    origins = {
        host.name: origin_group(host, around.deadlines, around.reactor)
        for host in configuration.hosts
    }
    return {
        one.names[0]: Site(
            one.host,
            one.names,
            tree,
            origins[one.host.name],
            service_tokens,
            around.tokens,
            one.trust,
            _server_uri(one.host),
        )
        for one in guarded
    }


def _server_uri(host: model.Host) -> str:
    leaf = x509.load_pem_x509_certificate(host.key_pair.certificate)
    try:
        uris = read_certificate(leaf.public_bytes(Encoding.DER)).san_uri
    except BadCertificate:
        return ""  # an odd certificate of the operator's own is no reason not to serve
    return uris[0] if uris else ""

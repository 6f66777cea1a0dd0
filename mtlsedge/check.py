"""What would this configuration do? The text of ``mtlsedge check``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from twisted.internet.task import Clock

from mtlsedge.assembly import Guarded, guard
from mtlsedge.model import Configuration, Domain, Ocsp, names_size
from mtlsedge.names import covers, wildcard_of
from mtlsedge.policy.application import CompiledApplication
from mtlsedge.policy.check import policy_warnings
from mtlsedge.policy.summary import Summary, of_client_ca, summarise
from mtlsedge.policy.tree import PolicyTree
from mtlsedge.serving.endings import endings
from mtlsedge.serving.sources import store_of, with_kept
from mtlsedge.serving.words import crl_table, span
from mtlsedge.tls.contexts import advertised
from mtlsedge.trust.outcomes import moment

_CLIENTS = (
    ("no certificate", "without"),
    ("a certificate that verifies", "verified"),
    ("a certificate of another CA", "other"),
)


@dataclass(frozen=True, slots=True)
class _Taken:
    """What is somebody's by its very name, and so no wildcard's.

    Attributes:
        names: those that a host has.
        whole: those of which an application has every path.
    """

    names: frozenset[str]
    whole: frozenset[str]

    @classmethod
    def of(cls, configuration: Configuration, hosts: Sequence[Guarded]) -> _Taken:
        domains = [domain for app in configuration.applications for domain in app.domains]
        return cls(
            frozenset(name for host in hosts for name in host.names),
            frozenset(domain.host for domain in domains if domain.path == "/"),
        )


@dataclass(frozen=True, slots=True)
class _Closed:
    """Whose certificates verify and are refused, for want of a CRL.

    Attributes:
        issuers: their issuers' names.
        all: there is nobody else.
    """

    issuers: tuple[str, ...] = ()
    all: bool = False

    @classmethod
    def of(cls, guarded: Guarded, now: float) -> _Closed:
        if guarded.trust is None:
            return cls()
        found = guarded.trust.closed(now).values()
        known = {authority.subject.rfc4514_string() for authority in guarded.trust.authorities}
        issuers = tuple(dict.fromkeys(issuer for closed in found for issuer in closed))
        return cls(issuers, known <= set(issuers))


def report(configuration: Configuration, now: float) -> list[str]:
    """What each host gives each kind of client, and warnings; lines for a person to read.

    Nothing is bound, connected to or written. ``now`` is in seconds since the epoch.

    Raises:
        ConfigurationError: it cannot be served after all.
    """
    configuration = with_kept(configuration, store_of(configuration))
    hosts = guard(configuration, Clock(), lambda: now)
    tree = PolicyTree(configuration.applications, configuration.groups)
    warnings = [*configuration.warnings, *map(str, policy_warnings(configuration))]
    for host in hosts:
        warnings += host.trust.troubles() if host.trust is not None else ()
    taken = _Taken.of(configuration, hosts)
    lines = [line for host in hosts for line in _host(host, tree, configuration, taken, now)]
    lines += [*_lists(hosts, now), *_soon(configuration, now)]
    lines += _warnings(list(dict.fromkeys(warnings)))
    return lines


def _lists(hosts: Sequence[Guarded], now: float) -> Iterator[str]:
    trusts = (host.trust for host in hosts if host.trust is not None)
    healths = dict.fromkeys(health for trust in trusts for health in trust.health(now))
    if healths:
        yield "revocation lists"
        yield from crl_table(healths)
        yield ""


def _soon(configuration: Configuration, now: float) -> Iterator[str]:
    near = [ending for ending in endings(configuration) if ending.is_near(now)]
    if not near:
        return
    yield "ends soon"
    for ending in sorted(near, key=lambda each: each.not_after):
        left = ending.not_after - now
        when = f"in {span(left)}" if left > 0 else "expired"
        yield f"  {moment(ending.not_after)}  {when:<9}  {ending.what}"
    yield ""


def _host(
    guarded: Guarded, tree: PolicyTree, configuration: Configuration, taken: _Taken, now: float
) -> Iterator[str]:
    host = guarded.host
    served = []
    for application in tree.applications:
        domains = _served(guarded.names, application.domains, taken)
        if domains:
            served.append((application, domains))
    cas = [ca.name for ca in configuration.client_cas if set(ca.hosts) & set(guarded.names)]
    yield f"host {', '.join(guarded.names)}"
    yield f"  origin: {', '.join(map(str, host.upstream))}"
    yield f"  {_asks(cas, required=host.handshake == 'require')}"
    yield from _unnamed(guarded)
    for ca in configuration.client_cas:
        if ca.name in cas and ca.ocsp is not None:
            yield f"  {_asks_responders(ca.name, ca.ocsp)}"
    closed = _Closed.of(guarded, now)
    for application, domains in served:
        summary = summarise(application, cas)
        yield f"  {', '.join(map(str, domains))}  (application {application.name!r})"
        each = _each_ca(application, cas)
        yield from _clients(summary, closed, each, required=host.handshake == "require")
        yield from _shadows(application)
    if not any(_covers_everything(guarded.names, domains) for _, domains in served):
        fate = {"deny": "refused (403)", "pass": "passed to the origin, whoever asks"}
        yield f"  every other path: {fate[host.unprotected]}"
    yield ""


def _asks(cas: list[str], *, required: bool) -> str:
    if not cas:
        return "asks for no client certificate"
    names = ", ".join(repr(name) for name in cas)
    if required:
        return f"demands a client certificate of {names} in the handshake"
    return f"asks for a client certificate of {names}; only a policy demands one"


def _asks_responders(name: str, ocsp: Ocsp) -> str:
    responders = ", then ".join(ocsp.responders)
    if ocsp.allowed:
        named = f"the one that a certificate names, if it is {' or '.join(ocsp.allowed)},"
        responders = f"{responders}, then {named}" if responders else named
    fate = "is refused" if ocsp.policy == "require" else "passes all the same"
    about = "each certificate" if ocsp.check == "chain" else "the client's own certificate"
    return (
        f"asks {responders} by OCSP about {about} of {name!r}; whoever it cannot tell about {fate}"
    )


def _unnamed(guarded: Guarded) -> Iterator[str]:
    """Whoever chooses a certificate by the CA names in the handshake is told if none are."""
    if guarded.trust is None or advertised(guarded.host, guarded.trust):
        return
    size = names_size([ca.subject.public_bytes() for ca in guarded.trust.authorities])
    why = f"they take {size} bytes; advertise_cas = 'always' sends them"
    if guarded.host.advertise_cas == "never":
        why = "advertise_cas = 'never'"
    yield f"  does not name its CAs to clients, which choose a certificate unaided ({why})"


def _clients(
    summary: Summary, closed: _Closed, each_ca: Iterable[str], *, required: bool
) -> Iterator[str]:
    refused = "refused in the handshake, with an alert"
    unknown = refused if required else str(summary.other)
    for kind, attribute in _CLIENTS:
        outcome = getattr(summary, attribute)
        if outcome is None:
            continue
        if attribute == "verified":
            answer = f"{unknown}; no CRL can be used" if closed.all else str(outcome)
        else:
            answer = refused if required else str(outcome)
        yield f"    {kind + ':':<29} {answer}"
        if attribute == "verified" and not closed.all:
            yield from each_ca
            for issuer in closed.issuers:
                yield f"      issued by {issuer}: {unknown}; no CRL of it can be used"


def _each_ca(application: CompiledApplication, cas: list[str]) -> Iterator[str]:
    """What a certificate of each client CA gets, where that differs."""
    outcomes = {name: str(of_client_ca(application, name)) for name in cas}
    if len(set(outcomes.values())) > 1:
        for name, outcome in outcomes.items():
            yield f"      of {name!r}: {outcome}"


def _shadows(application: CompiledApplication) -> Iterator[str]:
    for shadow in application.shadows:
        policy = shadow.policy
        yield f"    shadow policy {policy.name!r} ({policy.decision.word}): logged, not enforced"


def _served(names: tuple[str, ...], domains: tuple[Domain, ...], taken: _Taken) -> list[Domain]:
    """The domains that requests to one of the host's names can fall under."""
    return [
        domain
        for domain in domains
        if domain.host in names
        or any(wildcard_of(name) == domain.host for name in names if name not in taken.whole)
        or (domain.host not in taken.names and any(covers(name, domain.host) for name in names))
    ]


def _covers_everything(names: tuple[str, ...], domains: Sequence[Domain]) -> bool:
    """Whether an application leaves no path of any of these names to ``unprotected``."""
    whole = [domain.host for domain in domains if domain.path == "/"]
    return all(any(covers(pattern, name) for pattern in whole) for name in names)


def _warnings(warnings: list[str]) -> Iterator[str]:
    if not warnings:
        yield "no warnings"
        return
    yield f"{len(warnings)} warning{'s' * (len(warnings) != 1)}:"
    for warning in warnings:
        yield f"  - {warning}"

"""What would this configuration do? The text of ``mtlsedge check``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from twisted.internet.task import Clock

from mtlsedge.assembly import Guarded, guard
from mtlsedge.model import Configuration, Domain
from mtlsedge.names import covers, wildcard_of
from mtlsedge.policy.check import policy_warnings
from mtlsedge.policy.summary import Summary, summarise
from mtlsedge.policy.tree import PolicyTree

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


def report(configuration: Configuration, now: float) -> list[str]:
    """What each host gives each kind of client, and warnings; lines for a person to read.

    Nothing is bound, connected to or written. ``now`` is in seconds since the epoch.

    Raises:
        ConfigurationError: it cannot be served after all.
    """
    hosts = guard(configuration, Clock(), lambda: now)
    tree = PolicyTree(configuration.applications, configuration.groups)
    warnings = [*configuration.warnings, *map(str, policy_warnings(configuration))]
    for host in hosts:
        warnings += host.trust.troubles() if host.trust is not None else ()
    taken = _Taken.of(configuration, hosts)
    lines = [line for host in hosts for line in _host(host, tree, configuration, taken)]
    lines += _warnings(list(dict.fromkeys(warnings)))
    return lines


def _host(
    guarded: Guarded, tree: PolicyTree, configuration: Configuration, taken: _Taken
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
    for application, domains in served:
        summary = summarise(application, cas)
        yield f"  {', '.join(map(str, domains))}  (application {application.name!r})"
        yield from _clients(summary, required=host.handshake == "require")
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


def _clients(summary: Summary, *, required: bool) -> Iterator[str]:
    for kind, attribute in _CLIENTS:
        outcome = getattr(summary, attribute)
        if outcome is None:
            continue
        if required and attribute != "verified":
            answer = "refused in the handshake, with an alert"
        else:
            answer = str(outcome)
        yield f"    {kind + ':':<29} {answer}"


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

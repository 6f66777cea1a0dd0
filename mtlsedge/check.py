"""What would this configuration do? The text of ``mtlsedge check``."""

from __future__ import annotations

from collections.abc import Iterator

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
    lines = [line for host in hosts for line in _host(host, tree, configuration)]
    lines += _warnings(list(dict.fromkeys(warnings)))
    return lines


def _host(guarded: Guarded, tree: PolicyTree, configuration: Configuration) -> Iterator[str]:
    host = guarded.host
    cas = [ca.name for ca in configuration.client_cas if set(ca.hosts) & set(guarded.names)]
    yield f"host {', '.join(guarded.names)}"
    yield f"  origin: {', '.join(map(str, host.upstream))}"
    yield f"  {_asks(cas, required=host.handshake == 'require')}"
    served = [
        application
        for application in tree.applications
        if any(_serves(guarded.names, domain) for domain in application.domains)
    ]
    for application in served:
        summary = summarise(application, cas)
        paths = [domain for domain in application.domains if _serves(guarded.names, domain)]
        yield f"  {', '.join(map(str, paths))}  (application {application.name!r})"
        yield from _clients(summary, required=host.handshake == "require")
    if not any(_covers_everything(guarded.names, application.domains) for application in served):
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


def _serves(names: tuple[str, ...], domain: Domain) -> bool:
    """Whether requests to one of the host's names can fall under a domain."""
    return any(
        covers(name, domain.host) or name == domain.host or wildcard_of(name) == domain.host
        for name in names
    )


def _covers_everything(names: tuple[str, ...], domains: tuple[Domain, ...]) -> bool:
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

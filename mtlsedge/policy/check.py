"""What in these policies would surprise their operator? Warnings for ``mtlsedge check``.

Nothing here is wrong enough to refuse a configuration; each warning says what will happen and
how to say what was probably meant. ``summary.py`` answers who gets what.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from mtlsedge.errors import Problem
from mtlsedge.model import Application, Configuration, Domain, Policy
from mtlsedge.names import wildcard_of
from mtlsedge.policy.application import in_order
from mtlsedge.policy.never import Surroundings, always, leaves, mentions_certificate, why_never
from mtlsedge.policy.selectors import VERIFIER_SELECTORS


def policy_warnings(configuration: Configuration) -> tuple[Problem, ...]:
    """Everything about applications, policies and groups that an operator should look at."""
    served = ServedNames(configuration)
    return tuple(
        warning
        for application in configuration.applications
        for warning in _application(application, configuration, served)
    ) + tuple(_unclaimed(configuration, served))


class ServedNames:
    """Which of the hosts' names answer for a domain, and which client CAs they have."""

    def __init__(self, configuration: Configuration) -> None:
        self._names = {name for host in configuration.hosts for name in host.names}
        self._below: dict[str, set[str]] = {}
        for name in self._names:
            self._below.setdefault(wildcard_of(name), set()).add(name)
        self._client_cas: dict[str, set[str]] = {}
        for authority in configuration.client_cas:
            for name in authority.hosts:
                self._client_cas.setdefault(name, set()).add(authority.name)

    def serving(self, pattern: str) -> set[str]:
        """The host names that answer for a canonical host pattern of a domain."""
        if pattern.startswith("*."):
            return self._below.get(pattern, set())
        name = pattern if pattern in self._names else wildcard_of(pattern)
        return {name} & self._names

    def client_cas(self, name: str) -> frozenset[str]:
        """The names of the client CAs associated with one name of a host."""
        return frozenset(self._client_cas.get(name, ()))

    def client_cas_of(self, domains: Iterable[Domain]) -> frozenset[str]:
        """The names of the client CAs of every host that answers for any of the domains."""
        names = {name for domain in domains for name in self.serving(domain.host)}
        return frozenset(ca for name in names for ca in self.client_cas(name))


def _application(
    application: Application, configuration: Configuration, served: ServedNames
) -> Iterator[Problem]:
    around = Surroundings(
        groups={group.name: group.rules for group in configuration.groups},
        client_cas=served.client_cas_of(application.domains),
        service_tokens=frozenset(token.name for token in configuration.service_tokens),
    )
    where = f"application {application.name!r}"
    enforced = [policy for policy in application.policies if not policy.shadow]
    mentions = any(mentions_certificate(p.rules, around) for p in enforced)
    if around.client_cas and enforced and not mentions:
        yield Problem(
            where,
            "its host asks for client certificates and no policy demands one; "
            "if one is needed, add require = [{ certificate = true }]",
        )
    yield from _policies(in_order(application.policies), where, around)
    yield from _let_through(application, configuration, around)
    yield from _not_itself(application, where)


def _policies(policies: tuple[Policy, ...], where: str, around: Surroundings) -> Iterator[Problem]:
    for index, policy in enumerate(policies):
        earlier = tuple(other for other in policies[:index] if not other.shadow)
        reason = why_never(policy.rules, around) or _why_shadowed(policy, earlier, around)
        if reason:
            yield Problem(f"{where}, policy {policy.name!r}", f"it can never match: {reason}")


def _why_shadowed(policy: Policy, earlier: tuple[Policy, ...], around: Surroundings) -> str:
    for other in earlier:
        asked = f"policy {other.name!r} ({other.decision}) is asked before it"
        if always(other.rules, around):
            return f"{asked} and matches everyone"
        if other.rules == policy.rules:
            return f"{asked} and has the same rules"
    return ""


def _let_through(
    application: Application, configuration: Configuration, around: Surroundings
) -> Iterator[Problem]:
    """Attributes that keep out, which a verifier that fails and is let through does not attach."""
    cas = [ca for ca in configuration.client_cas if ca.name in around.client_cas]
    rules = [
        (policy, rule, keeps_out)
        for policy in application.policies
        for rule, keeps_out in leaves(policy.rules, around, turned=policy.decision == "block")
    ]
    named = [rule.values for _, rule, _ in rules if rule.selector in VERIFIER_SELECTORS]
    specs = [spec for some in (*(ca.verifiers for ca in cas), *named) for spec in some]
    if not any("on_error=allow" in spec for spec in specs):
        return
    for policy, rule, keeps_out in rules:
        if rule.selector == "attribute" and keeps_out:
            yield Problem(
                f"application {application.name!r}, policy {policy.name!r}",
                f"the attribute {rule.values[0]!r} keeps out, and a verifier with on_error=allow "
                "that fails has attached none: nobody is kept out then; write on_error=deny",
            )


def _not_itself(application: Application, where: str) -> Iterator[Problem]:
    """``/alpha/*`` does not cover ``/alpha``, and most origins serve the same for both."""
    for domain in application.domains:
        parent = domain.path.removesuffix("/*")
        if parent in (domain.path, "") or Domain(domain.host, parent) in application.domains:
            continue
        yield Problem(
            where,
            f"{domain} covers what is below {parent} and not {parent} itself; "
            f"if the origin answers there too, add the domain {domain.host}{parent}",
        )


def _unclaimed(configuration: Configuration, served: ServedNames) -> Iterator[Problem]:
    """Hosts that ask for certificates on behalf of no application."""
    claimed = {
        name
        for application in configuration.applications
        for domain in application.domains
        for name in served.serving(domain.host)
    }
    fate: Mapping[str, str] = {"deny": "every request is refused", "pass": "everybody passes"}
    for host in configuration.hosts:
        if not claimed.isdisjoint(host.names):
            continue
        if any(served.client_cas(name) for name in host.names):
            yield Problem(
                f"host {host.name!r}",
                "it asks for client certificates and has no application: "
                f"{fate[host.unprotected]} (unprotected = {host.unprotected!r}); add an "
                "application with a policy",
            )

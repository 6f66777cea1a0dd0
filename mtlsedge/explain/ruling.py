"""What was found about the request? Its path, who governs that, and every policy and rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from mtlsedge.errors import BadTarget
from mtlsedge.explain.account import Covering, Path, PolicyFound, Reading, RuleFound, Spoken
from mtlsedge.explain.asked import Asked
from mtlsedge.explain.hearing import spoken
from mtlsedge.http.exchange import Exchange
from mtlsedge.http.ruling import proved_service_token, question_of
from mtlsedge.http.site import Caller
from mtlsedge.model import Domain, Rule
from mtlsedge.names import covers
from mtlsedge.policy.application import CompiledApplication, PolicyTrace
from mtlsedge.policy.paths import PathTable, exactly
from mtlsedge.policy.question import AmbiguousPath
from mtlsedge.policy.rules import RuleTrace
from mtlsedge.policy.tree import HostPolicy
from mtlsedge.target import RequestPath, Target, read_path

NOBODY = "no application"


def describe_path(asked: Asked, caller: Caller, target: Target | None = None) -> Path | None:
    """Where a request goes; also one whose path is refused for falling under several.

    None where the path cannot even be read.
    """
    if target is not None:
        host, request_path = target.host, target.request_path
    else:
        try:
            host, request_path = caller.server_name, read_path(asked.target)
        except BadTarget:
            return None
    policy = caller.policy_for(host)
    governing = _governing(policy, request_path)
    return Path(
        request_path.path,
        tuple(Reading(each, _whose(policy, each)) for each in request_path.readings),
        governing.name if isinstance(governing, CompiledApplication) else governing,
        tuple(_covering(caller, host, request_path.path)),
    )


def _governing(policy: HostPolicy, request_path: RequestPath) -> CompiledApplication | str:
    try:
        return policy.governing(request_path) or NOBODY
    except AmbiguousPath as error:
        return f"ambiguous: {error}"


def _whose(policy: HostPolicy, reading: str) -> str:
    try:
        application = policy.find(reading)
    except AmbiguousPath as error:
        return f"ambiguous: {error}"
    return application.name if application is not None else NOBODY


def _covering(caller: Caller, host: str, path: str) -> Iterator[Covering]:
    """Every domain that covers the path, the one that counts first."""
    found = {
        domain: application.name
        for application in caller.site.policy.applications
        for domain in application.domains
        if covers(domain.host, host) and _most_specific([domain], path) is domain
    }
    own = [domain for domain in found if domain.host == host]
    counts = _most_specific(own or list(found), path)
    for domain in sorted(found, key=lambda each: each is not counts):
        yield Covering(
            found[domain], str(domain), domain is counts, _why(domain, counts, bool(own), host)
        )


def _most_specific(domains: list[Domain], path: str) -> Domain | None:
    """The domain, of one host pattern, that counts for a path: as the edge's own table has it."""
    table = PathTable(exactly)
    for domain in domains:
        # The table hands out what was put in, and here that is what we want to know.
        table.add(domain.path, cast(CompiledApplication, domain))
    return next(iter(cast(tuple[Domain, ...], table.find(path))), None)


def _why(domain: Domain, counts: Domain | None, own: bool, host: str) -> str:
    if domain is counts:
        return "the most specific domain that covers the path"
    if own and domain.host != host:
        return f"a wildcard, and {host} has a domain of its own that covers the path"
    return "less specific; nothing is inherited from it"


def describe_rule_verifiers(caller: Caller, target: Target) -> tuple[Spoken, ...]:
    """What verifiers said that rules name."""
    verdicts = caller.verdicts.get(target.host)
    return tuple(spoken(spec, verdict) for spec, verdict in (verdicts or {}).items())


def describe_policies(
    exchange: Exchange, caller: Caller, target: Target
) -> tuple[PolicyFound, ...]:
    """Every policy of the application that governs, shadows last; () where none decided."""
    decision = exchange.record.decision
    if decision is None or decision.application is None:
        return ()
    question = question_of(target, caller, proved_service_token(exchange.head, caller))
    application = decision.application
    return (
        *(
            _policy(trace, shadow=False)
            for trace in application.trace(application.enforced(question))
        ),
        *(_policy(trace, shadow=True) for trace in application.trace_shadows(question)),
    )


def _policy(trace: PolicyTrace, *, shadow: bool) -> PolicyFound:
    policy = trace.policy
    rules = tuple(map(_rule, trace.rules))
    return PolicyFound(
        policy.name, policy.decision.word, trace.matched, trace.decisive, shadow, rules
    )


def _rule(trace: RuleTrace) -> RuleFound:
    within = tuple((name, tuple(map(_rule, rules))) for name, rules in trace.within)
    return RuleFound(trace.clause, rule_text(trace.rule), trace.true, within, trace.doubts)


def rule_text(rule: Rule) -> str:
    """A rule in one line, as the configuration says it."""
    values = [*rule.values, *map(str, rule.networks)]
    return f"{rule.selector} = {' | '.join(values)}" if values else rule.selector

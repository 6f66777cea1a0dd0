"""Can a rule set ever match, and can it ever not? What a look at the rules alone can tell.

Both questions are answered with certainty or not at all: "" and False mean that nothing was
found, so that a warning is always right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mtlsedge.model import Network, Rule, RuleSet
from mtlsedge.policy.addresses import unmapped_network
from mtlsedge.policy.selectors import CERTIFICATE_SELECTORS

_ONE_VALUE = (
    "common_name",
    "serial",
    "fingerprint_sha256",
    "spki_sha256",
    "method",
    "service_token",
)
"""Selectors on something that a request has exactly one of."""

_TOKEN_SELECTORS = frozenset({"service_token", "any_valid_service_token"})


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the rules of an application meet where it stands.

    ``client_cas`` are the names of the client CAs associated with any of its hosts.
    """

    groups: Mapping[str, RuleSet]
    client_cas: frozenset[str]
    service_tokens: frozenset[str]

    def groups_of(self, rule: Rule) -> list[RuleSet]:
        """The rule sets of the groups that a ``group`` rule names."""
        return [self.groups[name] for name in rule.values if name in self.groups]


def why_never(rules: RuleSet, around: Surroundings) -> str:
    """Why a rule set can never match, in a few words; "" where it might."""
    for rule in rules.require:
        if reason := _rule_never(rule, around):
            return reason
    includes = [_rule_never(rule, around) for rule in rules.include]
    if all(includes):
        return includes[0] if includes else "it includes nobody"
    return _why_excluded(rules, around) or _why_at_odds(rules)


def always(rules: RuleSet, around: Surroundings) -> bool:
    """Whether a rule set matches every request whatsoever."""
    return (
        any(_rule_always(rule, around) for rule in rules.include)
        and all(_rule_always(rule, around) for rule in rules.require)
        and not rules.exclude
    )


def demands_certificate(rules: RuleSet, around: Surroundings) -> bool:
    """Whether a rule set matches nobody without a verified certificate."""
    return any(_rule_demands(rule, around) for rule in rules.require) or all(
        _rule_demands(rule, around) for rule in rules.include
    )


def mentions_certificate(rules: RuleSet, around: Surroundings) -> bool:
    """Whether any rule is about the client's certificate, in groups too."""
    return any(
        rule.selector in CERTIFICATE_SELECTORS
        or any(mentions_certificate(group, around) for group in _groups(rule, around))
        for rule in _every(rules)
    )


def leaves(
    rules: RuleSet, around: Surroundings, *, turned: bool = False
) -> Iterator[tuple[Rule, bool]]:
    """Every rule that names no group, in groups too, and whether it keeps from matching.

    ``turned`` is for a rule set that stands where things are excluded. A group that is named
    often, by others that are named often, is looked into once for either side.
    """
    return _leaves(rules, around, turned, set())


def _leaves(
    rules: RuleSet, around: Surroundings, turned: bool, seen: set[tuple[str, bool]]
) -> Iterator[tuple[Rule, bool]]:
    for clause in ("include", "require", "exclude"):
        for rule in getattr(rules, clause):
            keeps_out = turned is not (clause == "exclude")
            if rule.selector != "group":
                yield rule, keeps_out
                continue
            new = [each for each in rule.values if (each, keeps_out) not in seen]
            seen.update((each, keeps_out) for each in new)
            for name in new:
                if name in around.groups:
                    yield from _leaves(around.groups[name], around, keeps_out, seen)


def _every(rules: RuleSet) -> Iterator[Rule]:
    yield from rules.include
    yield from rules.require
    yield from rules.exclude


def _groups(rule: Rule, around: Surroundings) -> list[RuleSet]:
    return around.groups_of(rule) if rule.selector == "group" else []


def _rule_never(rule: Rule, around: Surroundings) -> str:
    if rule.selector == "group":
        reasons = [why_never(group, around) for group in around.groups_of(rule)]
        return f"group {rule.values[0]!r}: {reasons[0]}" if reasons and all(reasons) else ""
    if rule.selector in CERTIFICATE_SELECTORS and not around.client_cas:
        return f"{rule.selector} asks for a certificate, and its host has no client CA"
    if rule.selector == "client_ca" and around.client_cas.isdisjoint(rule.values):
        names = ", ".join(map(repr, rule.values))
        return f"client CA {names} is not associated with its host"
    if rule.selector in _TOKEN_SELECTORS and not around.service_tokens:
        return f"{rule.selector} asks for a service token, and there is none"
    return ""


def _rule_always(rule: Rule, around: Surroundings) -> bool:
    if rule.selector == "everyone":
        return True
    return any(always(group, around) for group in _groups(rule, around))


def _rule_demands(rule: Rule, around: Surroundings) -> bool:
    if rule.selector in CERTIFICATE_SELECTORS:
        return True
    groups = _groups(rule, around)
    return bool(groups) and all(demands_certificate(group, around) for group in groups)


def _why_excluded(rules: RuleSet, around: Surroundings) -> str:
    if any(_rule_always(rule, around) for rule in rules.exclude):
        return "it excludes everyone"
    if not any(rule.selector == "certificate" for rule in rules.exclude):
        return ""
    if demands_certificate(rules, around):
        return "it demands a certificate and excludes everyone who has one"
    return ""


def _why_at_odds(rules: RuleSet) -> str:
    for selector in _ONE_VALUE:
        wanted = [set(values) for values in _wanted(rules, selector)]
        excluded = {v for r in rules.exclude if r.selector == selector for v in r.values}
        if wanted and not set.intersection(*wanted) - excluded:
            return f"nobody has a {selector} that meets all of its rules"
    networks = [list(map(unmapped_network, n)) for n in _wanted_networks(rules)]
    if any(not _overlap(one, two) for i, one in enumerate(networks) for two in networks[:i]):
        return "no address is in all of the networks that its ip rules ask for"
    return ""


def _wanted(rules: RuleSet, selector: str) -> Iterator[Iterable[str]]:
    """Sets of values, each of which must hold the request's one value of the selector."""
    yield from (rule.values for rule in rules.require if rule.selector == selector)
    if rules.include and all(rule.selector == selector for rule in rules.include):
        yield [value for rule in rules.include for value in rule.values]


def _wanted_networks(rules: RuleSet) -> Iterator[Iterable[Network]]:
    yield from (rule.networks for rule in rules.require if rule.selector == "ip")
    if rules.include and all(rule.selector == "ip" for rule in rules.include):
        yield [network for rule in rules.include for network in rule.networks]


def _overlap(one: Iterable[Network], two: Iterable[Network]) -> bool:
    return any(a.version == b.version and a.overlaps(b) for a in one for b in two)

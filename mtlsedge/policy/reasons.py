"""Why was this refused? For the log of whoever was, never for the client.

Where no policy matched, what each of them missed; and wherever a verifier failed, its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from mtlsedge.policy.application import CompiledApplication, PolicyTrace
from mtlsedge.policy.question import Decision, Question
from mtlsedge.policy.rules import RuleTrace
from mtlsedge.policy.selectors import VERIFIER_SELECTORS

_MOST = 4  # policies that are named, and verdicts; an application may have many


def explained(application: CompiledApplication, question: Question, decision: Decision) -> Decision:
    """A refusal with what each policy missed, or in doubt of what one blocked; else as it is."""
    if decision.admitted or not application.policies:
        return decision
    if decision is not application.no_match:
        return _blocked(application, question, decision)
    missed = [
        f"{trace.policy.name!r} {_missed(trace, question)}" for trace in application.trace(question)
    ]
    more = f" and {len(missed) - _MOST} more" if len(missed) > _MOST else ""
    return replace(decision, reason=f"{decision.reason}: {'; '.join(missed[:_MOST])}{more}")


def _blocked(application: CompiledApplication, question: Question, decision: Decision) -> Decision:
    """A policy's own word, with the doubts that it counted as true."""
    if not application.heeded and not question.identity.in_doubt:
        return decision
    (rules,) = [each.rules for each in application.policies if each.decision is decision]
    doubts = _named(_doubts(rules.trace(question)))
    return replace(decision, reason=f"{decision.reason}{doubts}") if doubts else decision


def _missed(trace: PolicyTrace, question: Question) -> str:
    """The first clause of a policy that did not hold."""
    return next(_failures(trace, question), "did not match")


def _failures(trace: PolicyTrace, question: Question) -> Iterator[str]:
    include = [rule for rule in trace.rules if rule.clause == "include"]
    if not any(rule.true for rule in include):
        selectors = ", ".join(rule.rule.selector for rule in include)
        yield f"includes none of {selectors}{_named(_against(include, question))}"
    for rule in trace.rules:
        if rule.clause == "require" and not rule.true:
            yield f"requires {rule.rule.selector}{_named(_against([rule], question))}"
        elif rule.clause == "exclude" and rule.true:
            yield f"excludes this {rule.rule.selector}{_named(_doubts([rule]))}"


def _against(rules: Iterable[RuleTrace], question: Question) -> Iterator[str]:
    """Why rules are not true that ask verifiers: what these said, or did instead."""
    for rule in rules:
        yield from _doubts([rule])
        if rule.rule.selector in VERIFIER_SELECTORS:
            said = [question.verdicts.get(spec) for spec in rule.rule.values]
            yield from (each.reason for each in said if each is not None and not each.accepted)


def _doubts(rules: Iterable[RuleTrace]) -> Iterator[str]:
    for rule in rules:
        yield from rule.doubts
        for _, within in rule.within:
            yield from _doubts(within)


def _named(reasons: Iterable[str]) -> str:
    once = tuple(dict.fromkeys(filter(None, reasons)))
    more = f" and {len(once) - _MOST} more" if len(once) > _MOST else ""
    return f" ({'; '.join(once[:_MOST])}{more})" if once else ""

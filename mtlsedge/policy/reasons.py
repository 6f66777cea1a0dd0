"""Why did no policy match? For the log of whoever was refused, never for the client."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mtlsedge.policy.application import CompiledApplication, PolicyTrace
from mtlsedge.policy.question import Decision, Question

_MOST = 4  # policies that are named; an application may have many


def explained(application: CompiledApplication, question: Question, decision: Decision) -> Decision:
    """A decision that no policy made, with what each policy missed; any other as it is."""
    if decision is not application.no_match or not application.policies:
        return decision
    missed = [f"{trace.policy.name!r} {_missed(trace)}" for trace in application.trace(question)]
    more = f" and {len(missed) - _MOST} more" if len(missed) > _MOST else ""
    return replace(decision, reason=f"{decision.reason}: {'; '.join(missed[:_MOST])}{more}")


def _missed(trace: PolicyTrace) -> str:
    """The first clause of a policy that did not hold."""
    return next(_failures(trace), "did not match")


def _failures(trace: PolicyTrace) -> Iterator[str]:
    include = [rule for rule in trace.rules if rule.clause == "include"]
    if not any(rule.true for rule in include):
        yield f"includes none of {', '.join(rule.rule.selector for rule in include)}"
    for rule in trace.rules:
        if rule.clause == "require" and not rule.true:
            yield f"requires {rule.rule.selector}"
        elif rule.clause == "exclude" and rule.true:
            yield f"excludes this {rule.rule.selector}"

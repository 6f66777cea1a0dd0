"""Policies that are evaluated and never enforced."""

from __future__ import annotations

from dataclasses import replace

from policy_values import (
    CERTIFICATE,
    EVERYONE,
    application,
    policy,
    question,
    rule,
)

from mtlsedge.identity import Verdict
from mtlsedge.model import DecisionWord, Policy, Rule
from mtlsedge.policy.application import CompiledApplication
from mtlsedge.policy.question import Question
from mtlsedge.policy.reasons import explained
from mtlsedge.policy.rules import RuleCompiler
from mtlsedge.policy.summary import summarise

GET = rule("method", "GET")


def shadow(name: str, decision: DecisionWord, *include: Rule) -> Policy:
    """A policy that is not enforced."""
    return replace(policy(name, decision, *include), shadow=True)


def compiled(*policies: Policy) -> CompiledApplication:
    """An application of these policies."""
    return CompiledApplication(
        application("app", "a.example.com", policies=policies), RuleCompiler()
    )


def would(app: CompiledApplication, asked: Question) -> list[tuple[str, str]]:
    """What its shadows would decide."""
    return [(decision.policy, decision.word) for decision in app.shadow(asked)]


def test_a_shadow_decides_nothing() -> None:
    """Neither by blocking nor by admitting."""
    blocked = compiled(shadow("no", "block", EVERYONE), policy("yes", "allow", EVERYONE))
    assert "yes" == blocked.decide(question()).policy
    admitted = compiled(shadow("yes", "bypass", EVERYONE))
    assert admitted.no_match is admitted.decide(question())


def test_it_says_what_it_would_have_decided_in_its_place() -> None:
    """A block before the policy that admits would; one behind it would never be asked."""
    app = compiled(
        shadow("before", "block", GET),
        policy("yes", "allow", EVERYONE),
        shadow("behind", "block", GET),
    )
    assert [("before", "block")] == would(app, question())
    assert [] == would(app, question(method="POST"))


def test_bypass_and_service_auth_come_first_among_shadows_too() -> None:
    """Their place is by decision, as that of policies that are enforced."""
    app = compiled(policy("yes", "allow", EVERYONE), shadow("first", "service_auth", CERTIFICATE))
    assert [("first", "service_auth")] == would(app, question())


def test_shadows_know_nothing_of_each_other() -> None:
    """Each is taken as if it alone were enforced."""
    app = compiled(shadow("one", "allow", EVERYONE), shadow("two", "block", EVERYONE))
    assert [("one", "allow"), ("two", "block")] == would(app, question())


def test_the_verifiers_of_a_shadow_are_asked_too() -> None:
    """It is evaluated, and that takes their word."""
    app = compiled(shadow("one", "allow", rule("verifier", "chain")))
    assert ("chain",) == app.verifiers


def test_what_a_shadow_s_verifier_learned_opens_no_door() -> None:
    """An attribute is true for rules that are enforced only if their verifiers attached it."""
    app = compiled(
        policy("staff", "allow", rule("attribute", "team=staff")),
        shadow("new", "allow", rule("verifier", "directory")),
    )
    said = Verdict(True, attributes={"team": "staff"})
    asked = question(verdicts={"directory": said})
    assert "staff" == app.decide(asked).policy
    assert app.no_match is app.decide(app.enforced(asked))
    assert [] == would(app, asked)
    plain = compiled(policy("staff", "allow", rule("verifier", "directory")))
    assert asked is plain.enforced(asked)


def test_a_trace_has_shadows_by_themselves() -> None:
    """With every rule, and whether they would have decided."""
    app = compiled(policy("yes", "allow", CERTIFICATE), shadow("late", "block", EVERYONE))
    (enforced,), (traced,) = app.trace(question()), app.trace_shadows(question())
    assert ("yes", True, True) == (enforced.policy.name, enforced.matched, enforced.decisive)
    assert ("late", True, False) == (traced.policy.name, traced.matched, traced.decisive)


def test_the_reason_of_a_denial_names_no_shadow() -> None:
    """Nobody was refused by it."""
    app = compiled(policy("yes", "allow", GET), shadow("dark", "allow", GET))
    asked = question(method="POST")
    reason = explained(app, asked, app.decide(asked)).reason
    assert "'yes'" in reason and "dark" not in reason


def test_a_summary_leaves_shadows_out() -> None:
    """What clients get, they get without them."""
    summary = summarise(compiled(shadow("all", "bypass", EVERYONE)), ["A"])
    assert (False, False) == (summary.without.admitted, summary.other.admitted)

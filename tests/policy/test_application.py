"""Policies are asked in the product's order, and the first match ends it."""

from __future__ import annotations

from itertools import permutations

import pytest
from policy_values import CERTIFICATE, EVERYONE, application, policy, question, rule

from mtlsedge.errors import ConfigurationError
from mtlsedge.identity import ANONYMOUS
from mtlsedge.model import DecisionWord, Policy
from mtlsedge.policy.application import CompiledApplication
from mtlsedge.policy.rules import RuleCompiler


def compiled(*policies: Policy) -> CompiledApplication:
    """An application with these policies."""
    return CompiledApplication(
        application("app", "iot.example.com", policies=policies), RuleCompiler()
    )


WORDS: tuple[DecisionWord, ...] = ("allow", "block", "bypass", "service_auth")


@pytest.mark.parametrize("order", list(permutations(WORDS)), ids=" ".join)
def test_bypass_and_service_auth_come_before_allow_and_block(
    order: tuple[DecisionWord, ...],
) -> None:
    """Within each pair the order is the operator's."""
    asked = compiled(*(policy(word, word, EVERYONE) for word in order))
    first = next(word for word in order if word in ("bypass", "service_auth"))
    assert first == asked.decide(question()).word
    then = compiled(*(policy(word, word, EVERYONE) for word in order if word in ("allow", "block")))
    assert next(w for w in order if w in ("allow", "block")) == then.decide(question()).word


def test_the_first_match_ends_it() -> None:
    """A later block does not take back what an earlier allow gave, nor the other way round."""
    devices = policy("devices", "allow", CERTIFICATE)
    nobody = policy("nobody", "block", EVERYONE)
    assert compiled(devices, nobody).decide(question()).admitted
    assert not compiled(nobody, devices).decide(question()).admitted


@pytest.mark.parametrize(
    ("word", "admitted"),
    [("allow", True), ("service_auth", True), ("bypass", True), ("block", False)],
)
def test_a_decision_says_who_took_it(word: DecisionWord, admitted: bool) -> None:
    """Word, application, policy and a reason for the log."""
    asked = compiled(policy("mine", word, EVERYONE))
    decision = asked.decide(question())
    assert (word, admitted, asked, "mine") == (
        decision.word,
        decision.admitted,
        decision.application,
        decision.policy,
    )
    assert "policy 'mine'" in decision.reason


def test_no_match_is_a_denial() -> None:
    """Also where there is no policy at all."""
    for asked in (compiled(), compiled(policy("devices", "allow", CERTIFICATE))):
        decision = asked.decide(question(ANONYMOUS))
        assert ("block", False, "", "no policy matched") == (
            decision.word,
            decision.admitted,
            decision.policy,
            decision.reason,
        )
        assert asked is decision.application


def test_the_verifiers_of_all_policies_are_named_once() -> None:
    """The caller asks each of them before it asks for a decision."""
    asked = compiled(
        policy("one", "allow", rule("verifier", "pin:b", "pin:a")),
        policy("two", "block", EVERYONE, exclude=(rule("verifier", "pin:a"),)),
    )
    assert ("pin:a", "pin:b") == asked.verifiers


def test_a_trace_asks_every_policy_and_marks_the_one_that_decides() -> None:
    """In the order of evaluation; a later match is true and not decisive."""
    asked = compiled(
        policy("last", "block", EVERYONE),
        policy("first", "bypass", rule("method", "OPTIONS")),
        policy("second", "service_auth", CERTIFICATE),
    )
    shown = [(t.policy.name, t.matched, t.decisive) for t in asked.trace(question())]
    assert [("first", False, False), ("second", True, True), ("last", True, False)] == shown


def test_the_decisive_policy_of_a_trace_is_the_decision() -> None:
    """Explanations come from the production code, so they cannot say something else."""
    asked = compiled(policy("a", "allow", CERTIFICATE), policy("b", "block", EVERYONE))
    for of in (question(), question(ANONYMOUS)):
        (decisive,) = [trace.policy for trace in asked.trace(of) if trace.decisive]
        assert asked.decide(of) is decisive.decision


def test_an_error_names_application_and_policy() -> None:
    """So that the operator finds the rule."""
    with pytest.raises(ConfigurationError, match="application 'app', policy 'p', include"):
        compiled(policy("p", "allow", rule("san_uri", "*")))

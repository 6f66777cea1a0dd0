"""Why no policy matched, in the log's words."""

from __future__ import annotations

from policy_values import identity, question

from mtlsedge.model import Application, Domain, Policy, Rule, RuleSet
from mtlsedge.policy.reasons import explained
from mtlsedge.policy.tree import PolicyTree

CERTIFICATE = Rule("certificate")


def refused(*rules: RuleSet) -> str:
    """The reason that a verified device-1 is given by an application of these policies."""
    policies = tuple(Policy(f"p{n}", "service_auth", each) for n, each in enumerate(rules, 1))
    source = Application("app", (Domain("a.example.com"),), policies, "aud")
    (application,) = PolicyTree([source]).applications
    asked = question(identity(common_names=("device-1",)))
    decision = application.decide(asked)
    assert not decision.admitted
    told = explained(application, asked, decision)
    assert (decision.word, decision.policy) == (told.word, told.policy)
    return told.reason


def test_what_each_policy_missed_is_told() -> None:
    """The clause that did not hold, by its selector."""
    other = Rule("common_name", ("device-2",))
    mine = Rule("common_name", ("device-1",))
    assert "no policy matched: 'p1' includes none of common_name" == refused(RuleSet((other,)))
    assert "no policy matched: 'p1' requires common_name" == refused(
        RuleSet((CERTIFICATE,), (other,))
    )
    assert "no policy matched: 'p1' excludes this common_name; 'p2' requires common_name" == (
        refused(RuleSet((CERTIFICATE,), (), (mine,)), RuleSet((CERTIFICATE,), (other,)))
    )


def test_many_policies_do_not_make_a_long_line() -> None:
    """A few are named, the rest counted."""
    other = RuleSet((Rule("common_name", ("device-2",)),))
    assert refused(*[other] * 40).endswith("'p4' includes none of common_name and 36 more")


def test_an_application_without_policies_has_nothing_to_tell() -> None:
    """Its reason stays as it is."""
    assert "no policy matched" == refused()


def test_what_a_policy_decided_is_left_as_it_is() -> None:
    """A block is a policy's own word."""
    source = Application(
        "app",
        (Domain("a.example.com"),),
        (Policy("no", "block", RuleSet((CERTIFICATE,))),),
        "aud",
    )
    (application,) = PolicyTree([source]).applications
    asked = question(identity())
    decision = application.decide(asked)
    assert decision is explained(application, asked, decision)

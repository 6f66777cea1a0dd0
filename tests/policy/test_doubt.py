"""A verifier that failed opens no door, on whichever side of a policy its word is asked for."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_values import (
    CERTIFICATE,
    EVERYONE,
    any_policies,
    application,
    identity,
    policy,
    question,
    rule,
    rules,
)

from mtlsedge.identity import ANONYMOUS, Identity, Verdict
from mtlsedge.model import DecisionWord, Group, Policy, Rule
from mtlsedge.policy.application import CompiledApplication
from mtlsedge.policy.question import Question
from mtlsedge.policy.reasons import explained
from mtlsedge.policy.rules import RuleCompiler

YES, NO = Verdict(True), Verdict(False, "the verifier 'v' says no")
FAILED = Verdict(False, "the verifier 'v' failed: gone", failed=True)
V, W = rule("verifier", "v:secret"), rule("verifier", "w")
STAFF = rule("attribute", "team=staff")
ADMITTING: tuple[DecisionWord, ...] = ("allow", "bypass", "service_auth")
ALL = policy("all", "allow", EVERYONE)


def compiled(*policies: Policy, groups: tuple[Group, ...] = ()) -> CompiledApplication:
    """An application of these policies."""
    source = application("app", "iot.example.com", policies=policies)
    return CompiledApplication(source, RuleCompiler(groups))


def admits(*policies: Policy, said: Verdict | None = FAILED, groups: tuple[Group, ...] = ()) -> str:
    """The policy that admits a verified device of which the verifier said that; "" if none."""
    verdicts = {"v:secret": said} if said is not None else {}
    decision = compiled(*policies, groups=groups).decide(question(verdicts=verdicts))
    return decision.policy if decision.admitted else ""


@pytest.mark.parametrize("word", ADMITTING)
def test_in_a_policy_that_admits_doubt_keeps_out(word: DecisionWord) -> None:
    """It neither includes nor meets what is required, and it excludes."""
    for asked in (
        policy("p", word, V),
        policy("p", word, EVERYONE, require=(V,)),
        policy("p", word, EVERYONE, exclude=(V,)),
    ):
        assert "" == admits(asked)
        assert "" == admits(asked, said=None), "nothing was said at all"
    assert "p" == admits(policy("p", word, EVERYONE, exclude=(V,)), said=NO)
    assert "p" == admits(policy("p", word, EVERYONE, require=(V,)), said=YES)


def test_in_a_policy_that_blocks_doubt_blocks() -> None:
    """Whoever might be meant is, and whoever might be spared is not."""
    for asked in (
        policy("no", "block", V),
        policy("no", "block", EVERYONE, require=(V,)),
        policy("no", "block", EVERYONE, exclude=(V,)),
    ):
        assert "" == admits(asked, ALL)
        assert "" == admits(asked, ALL, said=None), "nothing was said at all"
    assert "all" == admits(policy("no", "block", V), ALL, said=NO)
    assert "all" == admits(policy("no", "block", EVERYONE, exclude=(V,)), ALL, said=YES)


def test_a_doubtful_policy_that_admits_is_passed_over_and_a_doubtful_block_ends_it() -> None:
    """In the order in which they are asked."""
    lets, blocks = policy("lets", "bypass", EVERYONE, exclude=(V,)), policy("no", "block", V)
    assert "all" == admits(lets, ALL)
    assert "" == admits(lets, blocks, ALL)
    assert "all" == admits(lets, ALL, blocks), "what comes first is certain"


def test_what_is_true_for_another_reason_is_in_no_doubt() -> None:
    """Another verifier's yes, or another rule."""
    either = rule("verifier", "v:secret", "w")
    app = compiled(policy("p", "allow", either))
    assert app.decide(question(verdicts={"v:secret": FAILED, "w": YES})).admitted
    assert "p" == admits(policy("p", "allow", V, CERTIFICATE))
    assert "" == admits(policy("no", "block", V, EVERYONE), ALL)


def test_where_nobody_was_asked_nothing_is_in_doubt() -> None:
    """A client whose certificate did not verify is one without, to every rule."""
    app = compiled(policy("p", "allow", EVERYONE, exclude=(V, STAFF)), policy("no", "block", V))
    strange = replace(identity(verified=False), in_doubt=(("A", "failed"),))
    for nobody in (ANONYMOUS, strange):
        assert app.decide(question(nobody)).admitted


def test_let_through_is_a_yes_wherever_it_is_asked_for() -> None:
    """With ``on_error=allow`` a failure includes, excludes and blocks."""
    assert "p" == admits(policy("p", "allow", V), said=YES)
    assert "" == admits(policy("p", "allow", EVERYONE, exclude=(V,)), said=YES)
    assert "" == admits(policy("no", "block", V), ALL, said=YES)


def test_a_group_stands_on_the_side_on_which_it_is_named() -> None:
    """The same group on both sides; what it excludes is on the other, at any depth."""
    trusted = Group("trusted", rules(V))
    others = Group("others", rules(EVERYONE, exclude=(rule("group", "trusted"),)))
    groups = (trusted, others)
    named, unnamed = rule("group", "trusted"), rule("group", "others")
    for asked in (
        policy("p", "allow", named),
        policy("p", "allow", EVERYONE, exclude=(named,)),
        policy("p", "allow", unnamed),
        policy("p", "allow", EVERYONE, require=(unnamed,)),
        policy("p", "allow", EVERYONE, exclude=(unnamed,)),
    ):
        assert "" == admits(asked, groups=groups)
    for asked in (
        policy("no", "block", named),
        policy("no", "block", EVERYONE, exclude=(named,)),
        policy("no", "block", unnamed),
        policy("no", "block", EVERYONE, exclude=(unnamed,)),
    ):
        assert "" == admits(asked, ALL, groups=groups)
    assert "p" == admits(policy("p", "allow", unnamed), said=NO, groups=groups)


def test_a_verifier_that_failed_may_have_withheld_an_attribute() -> None:
    """Whichever the application asks; unless somebody attached it, or nobody failed."""
    listens = policy("listens", "block", V, W, require=(rule("method", "DELETE"),))
    app = compiled(listens, policy("p", "allow", EVERYONE, exclude=(STAFF,)))
    assert not app.decide(question(verdicts={"v:secret": FAILED, "w": NO})).admitted
    assert app.decide(question(verdicts={"v:secret": YES, "w": NO})).admitted
    requires = compiled(policy("p", "allow", V, W, require=(STAFF,)))
    staff = Verdict(True, attributes={"team": "staff"})
    assert requires.decide(question(verdicts={"v:secret": FAILED, "w": staff})).admitted
    assert not requires.decide(question(verdicts={"v:secret": FAILED, "w": YES})).admitted


@pytest.mark.parametrize("asked", [STAFF, rule("client_ca", "B")], ids=["attribute", "client_ca"])
def test_what_client_cas_verifiers_left_open_is_in_doubt(asked: Rule) -> None:
    """One of B's failed: the chain may be B's, too, and may have its attributes."""
    sure, doubtful = identity(), replace(identity(), in_doubt=(("B", "the verifier 'b' hangs"),))
    excluding = compiled(policy("p", "allow", EVERYONE, exclude=(asked,)))
    blocking = compiled(policy("no", "block", asked), ALL)
    for app in (excluding, blocking):
        assert app.decide(question(sure)).admitted
        refused = app.decide(question(doubtful))
        assert not refused.admitted
        assert "the verifier 'b' hangs" in explained(app, question(doubtful), refused).reason
    including = compiled(policy("p", "allow", asked))
    assert not including.decide(question(doubtful)).admitted
    other = compiled(policy("p", "allow", EVERYONE, exclude=(rule("client_ca", "C"),)))
    assert other.decide(question(doubtful)).admitted


def test_shadows_meet_doubt_as_they_would_if_they_were_enforced() -> None:
    """A block would have blocked; what admits would not have."""
    shadows = (
        replace(policy("no", "block", V), shadow=True),
        replace(policy("lets", "bypass", EVERYONE, exclude=(V,)), shadow=True),
    )
    app = compiled(*shadows, ALL)
    asked = question(verdicts={"v:secret": FAILED})
    assert ["no"] == [decision.policy for decision in app.shadow(asked)]


# -- what people are told ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (policy("p", "allow", V), "'p' includes none of verifier (the verifier 'v' failed: gone)"),
        (
            policy("p", "allow", EVERYONE, require=(V,)),
            "'p' requires verifier (the verifier 'v' failed: gone)",
        ),
        (
            policy("p", "allow", EVERYONE, exclude=(V,)),
            "'p' excludes this verifier (the verifier 'v' failed: gone)",
        ),
        (
            policy("p", "allow", EVERYONE, exclude=(rule("group", "g"),)),
            "'p' excludes this group (the verifier 'v' failed: gone)",
        ),
        (policy("no", "block", V), "policy 'no' blocks (the verifier 'v' failed: gone)"),
        (
            policy("no", "block", EVERYONE, exclude=(V,)),
            "policy 'no' blocks (the verifier 'v' failed: gone)",
        ),
    ],
    ids=["include", "require", "exclude", "group", "block", "block, exclude"],
)
def test_a_refusal_for_doubt_names_the_verifier(asked: Policy, said: str) -> None:
    """By its name and what it did, and without its arguments."""
    app = compiled(asked, groups=(Group("g", rules(V)),))
    of = question(verdicts={"v:secret": FAILED})
    reason = explained(app, of, app.decide(of)).reason
    assert said in reason
    silent = explained(app, question(), app.decide(question())).reason
    assert said.replace("failed: gone", "has said nothing") in silent
    assert "secret" not in silent


def test_a_refusal_says_what_verifiers_said_that_answered() -> None:
    """Those on whose yes it depended; a block for certain has nothing to add."""
    app = compiled(policy("p", "allow", rule("verifier", "v:secret", "w"), exclude=(CERTIFICATE,)))
    verdicts = {"v:secret": NO, "w": Verdict(False, "the verifier 'w' says no: late")}
    of = question(verdicts=verdicts)
    assert (
        "no policy matched: 'p' includes none of verifier "
        "(the verifier 'v' says no; the verifier 'w' says no: late)"
    ) == explained(app, of, app.decide(of)).reason
    certain = compiled(policy("no", "block", V))
    of = question(verdicts={"v:secret": YES})
    assert certain.decide(of) is explained(certain, of, certain.decide(of))


def test_a_trace_tells_doubt_from_certainty() -> None:
    """Each rule with what it counts as, and by whose failure."""
    inner = Group("inner", rules(EVERYONE, exclude=(V,)))
    app = compiled(
        policy("p", "allow", V, EVERYONE, exclude=(V, rule("group", "inner"), CERTIFICATE)),
        groups=(inner,),
    )
    ((trace),) = app.trace(question(verdicts={"v:secret": FAILED}))
    shown = [(each.clause, each.rule.selector, each.true, each.doubts) for each in trace.rules]
    why = ("the verifier 'v' failed: gone",)
    assert [
        ("include", "verifier", False, why),
        ("include", "everyone", True, ()),
        ("exclude", "verifier", True, why),
        ("exclude", "group", True, ()),
        ("exclude", "certificate", True, ()),
    ] == shown
    ((_, within),) = trace.rules[3].within
    assert [(True, ()), (False, why)] == [(each.true, each.doubts) for each in within]
    (certain,) = app.trace(question(verdicts={"v:secret": YES}))
    assert [(), (), (), (), ()] == [each.doubts for each in certain.rules]


# -- whatever the policies are -----------------------------------------------------------------

_GROUPS = (
    Group("one", rules(V, require=(W,))),
    Group("two", rules(rule("group", "one"), STAFF, exclude=(W,))),
    Group("three", rules(EVERYONE, exclude=(rule("group", "two"), rule("client_ca", "B")))),
)
_rule = st.sampled_from(
    [
        *(EVERYONE, CERTIFICATE, V, V, W, STAFF, rule("client_ca", "B")),
        rule("verifier", "v:secret", "w"),
        rule("method", "POST"),
        *(rule("group", group.name) for group in _GROUPS),
    ]
)
_ANSWERS = (NO, YES, Verdict(True, attributes={"team": "staff"}))


@given(
    any_policies(_rule),
    st.lists(st.sampled_from([*_ANSWERS, FAILED, FAILED]), min_size=2, max_size=2),
    st.booleans(),
)
def test_nobody_gets_in_by_a_failure_who_would_not_by_every_answer(
    policies: list[Policy], said: list[Verdict], ca_failed: bool
) -> None:
    """For any policies: who is admitted would be, whatever those who failed had said."""
    app = compiled(*policies, groups=_GROUPS)
    who = replace(identity(), in_doubt=(("B", "failed"),)) if ca_failed else identity()
    asked = question(who, verdicts=dict(zip(("v:secret", "w"), said, strict=True)))
    if not app.decide(app.enforced(asked)).admitted:
        return
    for answer in _all_answers(asked):
        assert app.decide(app.enforced(answer)).admitted, (policies, answer.verdicts)


def _all_answers(asked: Question) -> list[Question]:
    """The question with every answer in the place of each failure."""
    options = [_ANSWERS if each.failed else (each,) for each in asked.verdicts.values()]
    whose: list[Identity] = [asked.identity]
    if asked.identity.in_doubt:
        sure = replace(asked.identity, in_doubt=())
        theirs = replace(sure, client_cas=("A", "B"))
        whose = [sure, theirs, replace(theirs, attributes={"team": "staff"})]
    return [
        replace(asked, identity=who, verdicts=dict(zip(asked.verdicts, said, strict=True)))
        for who, said in product(whose, product(*options))
    ]

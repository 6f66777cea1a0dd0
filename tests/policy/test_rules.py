"""Rule sets match any of include, all of require and none of exclude, in groups as well."""

from __future__ import annotations

from itertools import product

import pytest
from policy_values import CERTIFICATE, EVERYONE, identity, question, rule, rules

from mtlsedge.errors import ConfigurationError
from mtlsedge.identity import ANONYMOUS, Verdict
from mtlsedge.model import Group, RuleSet
from mtlsedge.policy.rules import CompiledRules, RuleCompiler

YES, NO = rule("method", "GET"), rule("method", "POST")


def compiled(source: RuleSet, *groups: Group) -> CompiledRules:
    """A rule set, ready to be asked."""
    return RuleCompiler(groups).rules(source, "here", doubt=False)


@pytest.mark.parametrize(
    ("include", "require", "exclude"),
    list(
        product(product([YES, NO], repeat=2), [(), (YES,), (NO,), (YES, NO)], [(), (YES,), (NO,)])
    ),
)
def test_any_of_include_all_of_require_none_of_exclude(include, require, exclude) -> None:  # type: ignore[no-untyped-def]
    """Every combination of true and false rules."""
    expected = YES in include and NO not in require and YES not in exclude
    found = compiled(RuleSet(include, require, exclude)).matches(question())
    assert expected is found


def test_a_rule_set_that_includes_nothing_matches_nothing() -> None:
    """Any of nothing is nothing."""
    assert not compiled(RuleSet((), (YES,))).matches(question())


def test_a_group_is_one_selector_with_rules_of_its_own() -> None:
    """Its exclusions count inside it, and groups may name groups."""
    devices = Group("devices", rules(CERTIFICATE, exclude=(rule("common_name", "device-9"),)))
    outer = Group("outer", rules(rule("group", "devices")))
    asked = compiled(rules(rule("group", "outer")), devices, outer)
    assert asked.matches(question())
    assert not asked.matches(question(identity(common_names=("device-9",))))
    assert not asked.matches(question(ANONYMOUS))


def test_verifiers_are_known_also_through_groups() -> None:
    """The caller must have asked them all before it asks for a decision."""
    inner = Group("inner", rules(rule("verifier", "pin:b")))
    outer = Group("outer", rules(EVERYONE, require=(rule("group", "inner"),)))
    asked = compiled(
        rules(EVERYONE, exclude=(rule("group", "outer"), rule("verifier", "pin:a", "pin:c"))),
        inner,
        outer,
    )
    assert {"pin:a", "pin:b", "pin:c"} == asked.verifiers


@pytest.mark.parametrize("names", [["a"], ["a", "b"], ["a", "b", "c"]])
def test_a_group_that_contains_itself_is_refused(names: list[str]) -> None:
    """The message names the circle."""
    after = [*names[1:], names[0]]
    groups = [
        Group(name, rules(rule("group", other))) for name, other in zip(names, after, strict=True)
    ]
    with pytest.raises(ConfigurationError, match=" -> ".join([*names, "a"])):
        compiled(rules(rule("group", "a")), *groups)


def test_an_error_names_the_place_of_its_rule() -> None:
    """Clause, index and selector, as the operator wrote them."""
    with pytest.raises(ConfigurationError) as caught:
        compiled(rules(EVERYONE, require=(YES, rule("posture", "x"))))
    assert "here, require[1].posture" == caught.value.problems[0].where


def test_a_trace_holds_every_rule_with_its_answer() -> None:
    """Also the rules that the answer did not depend on, and those within groups."""
    inner = Group("inner", rules(CERTIFICATE, NO))
    asked = compiled(
        rules(NO, EVERYONE, require=(rule("group", "inner"),), exclude=(rule("verifier", "v"),)),
        inner,
    )
    traces = list(asked.trace(question(verdicts={"v": Verdict(accepted=True)})))
    shown = [(trace.clause, trace.rule.selector, trace.true) for trace in traces]
    assert [
        ("include", "method", False),
        ("include", "everyone", True),
        ("require", "group", True),
        ("exclude", "verifier", True),
    ] == shown
    ((name, within),) = traces[2].within
    assert ("inner", [True, False]) == (name, [trace.true for trace in within])

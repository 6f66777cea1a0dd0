"""Who gets what is certain, or says what it depends on; the decisions are the real ones."""

from __future__ import annotations

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

from mtlsedge.identity import ANONYMOUS
from mtlsedge.model import Group, Policy
from mtlsedge.policy.application import CompiledApplication
from mtlsedge.policy.rules import RuleCompiler
from mtlsedge.policy.summary import outcome, summarise

GROUPS = (Group("named", rules(CERTIFICATE, require=(rule("common_name", "device-1"),))),)


def compiled(*policies: Policy) -> CompiledApplication:
    """An application with these policies."""
    source = application("app", "iot.example.com", policies=policies)
    return CompiledApplication(source, RuleCompiler(GROUPS))


DEVICES = policy("devices", "service_auth", CERTIFICATE)
NAMED = policy("named", "allow", CERTIFICATE, require=(rule("common_name", "device-1"),))
OFFICE = policy("office", "allow", rule("ip", "192.0.2.0/24"))


@pytest.mark.parametrize(
    ("policies", "without", "verified"),
    [
        ([DEVICES], "refused (no policy matched)", "admitted (policy 'devices' admits)"),
        ([], "refused (no policy matched)", "refused (no policy matched)"),
        (
            [NAMED],
            "refused (no policy matched)",
            "admitted or refused, depends on common_name",
        ),
        (
            [NAMED, OFFICE],
            "admitted or refused, depends on ip",
            "admitted or refused, depends on common_name, ip",
        ),
        (
            [policy("g", "allow", rule("group", "named"))],
            "refused (no policy matched)",
            "admitted or refused, depends on common_name",
        ),
        (
            [policy("ca", "allow", rule("client_ca", "A"))],
            "refused (no policy matched)",
            "admitted (policy 'ca' allows)",
        ),
        (
            [policy("ca", "allow", rule("client_ca", "B"))],
            "refused (no policy matched)",
            "refused (no policy matched)",
        ),
        ([OFFICE, policy("x", "bypass", EVERYONE)], "admitted (policy 'x' lets pass)", None),
        ([OFFICE, policy("all", "allow", EVERYONE)], "admitted, depends on ip", None),
        (
            [policy("no", "block", rule("ip", "192.0.2.0/24"))],
            "refused, depends on ip",
            "refused, depends on ip",
        ),
    ],
)
def test_what_clients_get(policies: list[Policy], without: str, verified: str | None) -> None:
    """A client of another CA gets what one without a certificate gets."""
    summary = summarise(compiled(*policies), ["A"])
    shown = [str(summary.without), str(summary.other), str(summary.verified)]
    assert [without, without, verified or without] == shown


def test_a_host_without_client_cas_has_no_verified_clients() -> None:
    """None is ever asked for a certificate there."""
    summary = summarise(compiled(DEVICES), [])
    assert summary.verified is None
    assert summary.without == summary.other


def test_with_several_client_cas_it_may_depend_on_which() -> None:
    """Different CAs for different paths of one host."""
    asked = compiled(policy("ca", "allow", rule("client_ca", "A")))
    verified = summarise(asked, ["A", "B"]).verified
    assert verified is not None
    assert verified.admitted is None
    assert ("client_ca",) == verified.depends_on


_rule = st.sampled_from(
    [
        EVERYONE,
        CERTIFICATE,
        rule("common_name", "device-1"),
        rule("common_name", "device-2"),
        rule("client_ca", "A"),
        rule("client_ca", "B"),
        rule("ip", "192.0.2.0/24"),
        rule("method", "GET"),
        rule("service_token", "robot"),
        rule("group", "named"),
    ]
)


@given(
    any_policies(_rule),
    st.booleans(),
    st.sampled_from(["device-1", "device-2", "x"]),
    st.sampled_from(["192.0.2.1", "198.51.100.1"]),
    st.sampled_from(["GET", "POST"]),
    st.sampled_from(["", "robot"]),
)
def test_no_client_gets_what_the_summary_rules_out(
    policies: list[Policy], has: bool, name: str, ip: str, method: str, token: str
) -> None:
    """For any policies and any client the real decision is among the possible ones."""
    asked = compiled(*policies)
    who = identity(common_names=(name,)) if has else ANONYMOUS
    decision = asked.decide(question(who, ip=ip, method=method, token=token))
    assert decision in outcome(asked, who).possible

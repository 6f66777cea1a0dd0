"""Policies that surprise are warned of, at their place; the others are not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from policy_values import CERTIFICATE, EVERYONE, application, policy, rule, rules

from mtlsedge.model import (
    Application,
    ClientCA,
    Configuration,
    Edge,
    Group,
    Host,
    KeyPair,
    Policy,
    ServiceToken,
)
from mtlsedge.policy.check import policy_warnings
from mtlsedge.policy.never import Surroundings, leaves

WITH_CA, WITHOUT_CA = "iot.example.com", "open.example.com"


def configuration(*applications: Application, **more: Any) -> Configuration:
    """Two hosts, of which one has the client CA ``A``, and these applications."""
    return Configuration(
        edge=Edge(listen=(), state=None),  # type: ignore[arg-type]
        hosts=(
            Host((WITH_CA, "*.iot.example.com"), KeyPair(b"", b""), ()),
            Host((WITHOUT_CA,), KeyPair(b"", b""), ()),
        ),
        client_cas=(ClientCA("A", b"", (WITH_CA,)), ClientCA("B", b"", ("*.iot.example.com",))),
        applications=applications,
        groups=(
            Group("devices", rules(CERTIFICATE)),
            Group("all", rules(EVERYONE)),
            Group("impossible", rules(rule("client_ca", "C"))),
        ),
        **more,
    )


def warned(*policies: Policy, domain: str = WITH_CA, **more: Any) -> list[str]:
    """The warnings about one application, besides those about hosts."""
    found = policy_warnings(configuration(application("app", domain, policies=policies), **more))
    return [f"{problem}" for problem in found if not problem.where.startswith("host")]


DEMAND = policy("demand", "block", EVERYONE, exclude=(CERTIFICATE,))
"""A policy without which every application here would be warned of for asking nothing."""

NEVER = [
    (rules(rule("client_ca", "B")), "'B' is not associated"),
    (rules(EVERYONE, require=(rule("client_ca", "B"),)), "'B' is not associated"),
    (rules(rule("group", "impossible")), "group 'impossible'"),
    (
        rules(EVERYONE, require=(rule("common_name", "a"), rule("common_name", "b"))),
        "a common_name that meets all",
    ),
    (
        rules(rule("common_name", "a", "b"), require=(rule("common_name", "c"),)),
        "a common_name that meets all",
    ),
    (
        rules(rule("common_name", "a", "b"), exclude=(rule("common_name", "b", "a"),)),
        "a common_name that meets all",
    ),
    (rules(EVERYONE, exclude=(EVERYONE,)), "excludes everyone"),
    (rules(EVERYONE, exclude=(rule("group", "all"),)), "excludes everyone"),
    (rules(rule("serial", "1F"), exclude=(CERTIFICATE,)), "excludes everyone who has one"),
    (rules(rule("group", "devices"), exclude=(CERTIFICATE,)), "excludes everyone who has one"),
    (rules(rule("any_valid_service_token")), "there is none"),
    (
        rules(rule("ip", "192.0.2.0/24"), require=(rule("ip", "198.51.100.0/24"),)),
        "no address",
    ),
    (
        rules(rule("ip", "192.0.2.0/24"), require=(rule("ip", "2001:db8::/32"),)),
        "no address",
    ),
    (rules(), "includes nobody"),
]


@pytest.mark.parametrize(("source", "why"), NEVER)
def test_a_policy_that_can_never_match(source: Any, why: str) -> None:
    """Each row is a rule set that nobody can satisfy on this host."""
    (warning,) = warned(DEMAND, Policy("p", "service_auth", source))
    assert warning.startswith("application 'app', policy 'p': it can never match: ")
    assert why in warning


FINE = [
    rules(CERTIFICATE),
    rules(rule("client_ca", "B", "A")),
    rules(rule("group", "impossible", "devices")),
    rules(rule("client_ca", "B"), EVERYONE),
    rules(CERTIFICATE, require=(rule("common_name", "a", "b"), rule("common_name", "b"))),
    rules(rule("common_name", "a"), rule("serial", "1F"), require=(rule("common_name", "c"),)),
    rules(rule("organizational_unit", "a"), require=(rule("organizational_unit", "b"),)),
    rules(EVERYONE, exclude=(CERTIFICATE,)),
    rules(EVERYONE, exclude=(rule("client_ca", "B"),)),
    rules(rule("ip", "192.0.2.0/24"), require=(rule("ip", "192.0.0.0/16"),)),
    rules(rule("ip", "::ffff:192.0.2.0/120"), require=(rule("ip", "192.0.0.0/16"),)),
]


@pytest.mark.parametrize("source", FINE)
def test_a_policy_that_may_match_is_not_warned_of(source: Any) -> None:
    """A warning that is wrong teaches people to skip them."""
    found = warned(Policy("p", "service_auth", source))
    assert [] == [warning for warning in found if "policy 'p'" in warning]


def test_a_certificate_selector_on_a_host_without_a_client_ca() -> None:
    """No certificate is ever asked for there."""
    (warning,) = warned(policy("p", "allow", CERTIFICATE), domain=WITHOUT_CA)
    assert "its host has no client CA" in warning


def test_client_cas_are_those_of_every_host_that_answers_for_a_domain() -> None:
    """A wildcard domain meets the hosts below it, an exact one its own wildcard's."""
    only_b = policy("p", "allow", rule("client_ca", "B"))
    assert [] == warned(only_b, domain="x.iot.example.com")
    assert [] == warned(only_b, domain="*.iot.example.com")
    assert [] == warned(policy("p", "allow", rule("client_ca", "A")), domain="*.example.com")
    assert "not associated" in warned(only_b, domain="*.example.com")[0]


def test_service_tokens_that_exist_are_no_reason_to_warn() -> None:
    """Only an edge without any makes the selector impossible."""
    tokens = (ServiceToken("robot", "id", ""),)
    asked = policy("p", "service_auth", rule("any_valid_service_token"))
    assert [] == warned(asked, domain=WITHOUT_CA, service_tokens=tokens)


@pytest.mark.parametrize(
    ("policies", "shadowed"),
    [
        ([policy("a", "allow", EVERYONE), policy("b", "block", CERTIFICATE)], ["b"]),
        ([policy("a", "allow", CERTIFICATE), policy("b", "bypass", EVERYONE)], ["a"]),
        ([policy("a", "bypass", rule("group", "all")), policy("b", "allow", CERTIFICATE)], ["b"]),
        ([policy("a", "allow", CERTIFICATE), policy("b", "block", CERTIFICATE)], ["b"]),
        ([policy("a", "allow", EVERYONE, require=(CERTIFICATE,)), DEMAND], []),
        ([policy("a", "block", EVERYONE, exclude=(CERTIFICATE,)), DEMAND], ["demand"]),
        ([policy("a", "allow", CERTIFICATE), policy("b", "block", EVERYONE)], []),
    ],
)
def test_a_policy_behind_one_that_matches_everyone(
    policies: list[Policy], shadowed: list[str]
) -> None:
    """In the order of evaluation, which is not the order of the file."""
    found = warned(*policies)
    assert len(shadowed) == len(found)
    assert all(
        f"policy {name!r}: it" in warning for name, warning in zip(shadowed, found, strict=True)
    )
    assert all("is asked before it" in warning for warning in found)


def test_a_host_that_asks_and_an_application_that_does_not_care() -> None:
    """mTLS is per host and enforcement per path: the surprise this product is known for."""
    (warning,) = warned(policy("p", "allow", rule("ip", "192.0.2.0/24")))
    assert "no policy demands one" in warning
    assert [] == warned(policy("p", "allow", rule("ip", "192.0.2.0/24")), domain=WITHOUT_CA)
    assert [] == warned(policy("p", "allow", rule("group", "devices")))


def test_a_host_that_asks_for_nobody() -> None:
    """A client CA and no application at all."""
    (warning,) = policy_warnings(configuration())
    assert f"host {WITH_CA!r}" == warning.where
    assert "every request is refused" in warning.message


def test_a_pattern_that_leaves_out_its_own_root() -> None:
    """Unless the application, or one of its domains, has that too."""
    demand = policy("p", "allow", CERTIFICATE)
    (warning,) = warned(demand, domain=f"{WITH_CA}/alpha/*")
    assert "not /alpha itself" in warning
    both = application("app", f"{WITH_CA}/alpha/*", f"{WITH_CA}/alpha", policies=(demand,))
    assert () == policy_warnings(configuration(both))
    assert [] == warned(demand, domain=f"{WITH_CA}/*")


@pytest.mark.parametrize("spec", ["http:url=http://127.0.0.1,on_error=allow", "http:url=x"])
def test_an_attribute_that_keeps_out_and_a_verifier_that_is_let_through(spec: str) -> None:
    """While it fails it attaches nothing; and neither alone is any harm."""
    suspended, named = rule("attribute", "state=suspended"), rule("verifier", spec)
    groups = (Group("out", rules(suspended)),)
    for asked, expected in (
        (policy("p", "allow", named, exclude=(suspended,)), True),
        (policy("p", "block", suspended, named), True),
        (policy("p", "allow", named, exclude=(rule("group", "out"),)), True),
        (policy("p", "block", CERTIFICATE, exclude=(rule("group", "out"), named)), False),
        (policy("p", "allow", named, require=(suspended,)), False),
    ):
        source = replace(
            configuration(application("app", WITH_CA, policies=(asked,))), groups=groups
        )
        found = [str(each) for each in policy_warnings(source)]
        assert (expected and "allow" in spec) is any("nobody is kept out" in w for w in found)
    ca = ClientCA("A", b"", (WITH_CA,), verifiers=(spec,))
    alone = policy("p", "allow", CERTIFICATE, exclude=(suspended,))
    source = configuration(application("app", WITH_CA, policies=(alone,)))
    found = [str(each) for each in policy_warnings(replace(source, client_cas=(ca,)))]
    assert ("allow" in spec) is any("nobody is kept out" in each for each in found)


def test_groups_that_are_named_over_and_over_are_looked_into_once_for_either_side() -> None:
    """Forty levels, each naming the next one twice: nobody lives to see all ways through them."""
    staff = rule("attribute", "team=staff")
    groups = {f"{n}": rules(*[rule("group", f"{n + 1}")] * 2) for n in range(40)}
    groups["40"] = rules(staff)
    around = Surroundings(groups, frozenset(), frozenset())
    top = rules(rule("group", "0"), exclude=(rule("group", "0", "gone"),))
    assert [(staff, False), (staff, True)] == list(leaves(top, around))

"""Each selector is true of what it asks for, of nothing else, and fails closed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from policy_values import FINGERPRINT, SPKI, identity, question, rule

from mtlsedge.identity import ANONYMOUS, Identity, Verdict
from mtlsedge.model import Rule
from mtlsedge.policy.question import Question
from mtlsedge.policy.selectors import CERTIFICATE_SELECTORS, SELECTORS, compile_selector

FLOOR_3 = {"floor": "3"}
YES = Verdict(accepted=True)
NO = Verdict(accepted=False, reason="no")


def ask(asked: Rule, of: Question) -> bool:
    """Evaluate a rule where the groups ``yes`` and ``no`` exist."""
    groups = {"yes": lambda _: True, "no": lambda _: False}
    return compile_selector(asked, groups)(of)


SEVEN = Verdict(accepted=True, attributes={"badge": "7=seven", "floor": "2"})
SURE = replace(identity(), attributes={"department": "radiology", "floor": "1"})
DEVICE = question(
    SURE,
    token="robot",
    verdicts={"pin:a": YES, "pin:b": NO, "pin:c": SEVEN, "pin:d": replace(NO, attributes=FLOOR_3)},
)

TRUE = [
    rule("certificate"),
    rule("common_name", "device-0", "device-1"),
    rule("ip", "203.0.113.0/24", "198.51.100.0/24"),
    rule("everyone"),
    rule("group", "no", "yes"),
    rule("service_token", "other", "robot"),
    rule("any_valid_service_token"),
    rule("client_ca", "B", "A"),
    rule("san_dns", "*.example.com"),
    rule("san_dns", "device-1.example.com"),
    rule("san_uri", "spiffe://example.org/*"),
    rule("san_uri", "spiffe://example.org/ns/prod/device-1"),
    rule("san_email", "ops@example.com"),
    rule("san_ip", "192.0.2.0/24"),
    rule("san_ip", "2001:db8::7/128"),
    Rule("san_ip", ("2001:0db8::0:7",)),
    rule("organization", "Example"),
    rule("organizational_unit", "Lab"),
    rule("issuer", "CN=Access Testing CA,O=Example"),
    rule("issuer", "CN=Access Testing CA, O=Example"),
    rule("serial", "1F2E"),
    rule("serial", "00:1f:2e"),
    rule("fingerprint_sha256", FINGERPRINT),
    rule("fingerprint_sha256", ":".join(["AB"] * 32)),
    rule("spki_sha256", SPKI),
    rule("method", "POST", "GET"),
    rule("verifier", "pin:b", "pin:a"),
    rule("external_evaluation", "pin:b", "pin:a"),
    rule("attribute", "department=surgery", "department=radiology"),
    rule("attribute", "badge=7=seven"),
    rule("attribute", "floor=2"),
]

FALSE = [
    rule("common_name", "device", "device-11", "DEVICE-1", "*"),
    rule("ip", "198.51.101.0/24", "2001:db8::/32"),
    rule("group", "no"),
    rule("service_token", "other", ""),
    rule("client_ca", "B"),
    rule("client_ca", "a"),
    rule("san_dns", "*.com", "example.com", "*.device-1.example.com"),
    rule("san_uri", "spiffe://example.org/ns/prod", "spiffe://example.org/ns/dev/*"),
    rule("san_email", "Ops@example.com", "ops@example.org"),
    rule("san_ip", "192.0.2.8/32"),
    rule("organization", "example", "Exampl"),
    rule("organizational_unit", "Field,Lab"),
    rule("issuer", "CN=Access Testing CA", "O=Example,CN=Access Testing CA"),
    rule("serial", "1F2", "F2E"),
    rule("fingerprint_sha256", SPKI),
    rule("spki_sha256", FINGERPRINT),
    rule("method", "POST"),
    rule("verifier", "pin:b", "pin:unasked"),
    rule("external_evaluation", "pin:b", "pin:unasked"),
    rule("attribute", "department=Radiology", "radiology=department", "floor=3"),
]


def spelled(asked: Rule) -> str:
    """The id of a parametrised rule."""
    return f"{asked.selector}={asked.values or asked.networks}"


@pytest.mark.parametrize("asked", TRUE, ids=spelled)
def test_a_selector_is_true_of_what_it_asks_for(asked: Rule) -> None:
    """Each row names something that the device of these tests has."""
    assert ask(asked, DEVICE) is True


@pytest.mark.parametrize("asked", FALSE, ids=spelled)
def test_a_selector_is_false_of_anything_else(asked: Rule) -> None:
    """Each row names something near what the device has."""
    assert ask(asked, DEVICE) is False


def test_every_selector_stands_in_the_tables_above() -> None:
    """A new selector cannot be forgotten here, nor an old one lose its row."""
    always_true = {"everyone", "certificate", "any_valid_service_token"}
    assert set(SELECTORS) == {asked.selector for asked in TRUE}
    assert set(SELECTORS) - always_true == {asked.selector for asked in FALSE}


def test_the_certificate_selectors_are_these() -> None:
    """All but those that are about something else: a new one is one of them or is listed."""
    others = {
        "ip",
        "everyone",
        "group",
        "service_token",
        "any_valid_service_token",
        "method",
    }
    assert set(SELECTORS) - others == set(CERTIFICATE_SELECTORS)


VERIFIERS = {"verifier", "external_evaluation"}  # asked about what verified alone
ABOUT_CERTIFICATES = [
    asked for asked in TRUE if asked.selector in set(CERTIFICATE_SELECTORS) - VERIFIERS
]


@pytest.mark.parametrize("asked", ABOUT_CERTIFICATES, ids=spelled)
@pytest.mark.parametrize(
    "who",
    [identity(verified=False), Identity(presented=True, client_cas=("A",)), ANONYMOUS],
    ids=["unverified", "without a chain", "anonymous"],
)
def test_a_certificate_selector_is_false_unless_the_certificate_verified(
    asked: Rule, who: Identity
) -> None:
    """Whatever an unverified certificate says of itself, it is not believed."""
    assert ask(asked, question(who)) is False


@pytest.mark.parametrize(
    ("names", "value"),
    [
        (("admin", "device-1"), "admin"),
        (("admin", "device-1"), "device-1"),
        (("device-1", "device-1"), "device-1"),
        (("admin\0.evil",), "admin\0.evil"),
        (("admin\0.evil",), "admin"),
        ((), ""),
        (("",), ""),
    ],
)
def test_a_common_name_that_cannot_be_relied_on_matches_nothing(
    names: tuple[str, ...], value: str
) -> None:
    """Several common names, a NUL, or none at all: invariant 8."""
    who = identity(common_names=names)
    assert ask(rule("common_name", value), question(who)) is False


@pytest.mark.parametrize(
    ("value", "name", "matches"),
    [
        ("device.example.com", "DEVICE.Example.com.", True),
        ("*.example.com", "b.example.com", True),
        ("*.example.com", "a.b.example.com", False),
        ("*.example.com", "example.com", False),
        ("b.example.com", "*.example.com", False),
        ("*.example.com", "*.example.com", True),
        ("*.example.com", "*.b.example.com", False),
        ("*.b.example.com", "*.example.com", False),
        ("*.example.com", "b.example.com\0.evil.org", False),
        ("*.example.com", "-.example.com", False),
        ("*.example.com", "*.*.example.com", False),
        ("*.example.com", ".example.com", False),
        ("xn--bcher-kva.example", "bücher.example", True),
    ],
)
def test_san_dns_matches_one_label_and_canonical_names(
    value: str, name: str, matches: bool
) -> None:
    """A ``*`` in the rule is one label; one in the certificate stands for nothing but itself."""
    who = identity(san_dns=(name,))
    assert ask(rule("san_dns", value), question(who)) is matches


def test_any_of_several_names_in_a_certificate_will_do() -> None:
    """One bad name does not spoil the others."""
    who = identity(san_dns=("no name\0", "b.example.com"), san_ip=("nonsense", "192.0.2.9"))
    assert ask(rule("san_dns", "*.example.com"), question(who))
    assert ask(rule("san_ip", "192.0.2.9/32"), question(who))


@pytest.mark.parametrize("selector", ["organization", "organizational_unit"])
def test_a_nul_in_a_value_matches_nothing(selector: str) -> None:
    """Not even its equal: readers differ on where such a text ends."""
    who = identity(organizations=("a\0b",), organizational_units=("a\0b",))
    assert ask(rule(selector, "a\0b"), question(who)) is False


def test_an_attribute_is_nobodys_whose_certificate_did_not_verify() -> None:
    """Wherever it came from."""
    nobody = replace(identity(verified=False), attributes={"department": "radiology"})
    asked = rule("attribute", "department=radiology", "floor=2")
    assert ask(asked, question(nobody, verdicts={"x": SEVEN})) is False


def test_methods_are_compared_without_case() -> None:
    """An exclusion of DELETE also keeps ``delete`` away from an origin that knows no case."""
    assert ask(rule("method", "DELETE"), question(method="delete"))


@pytest.mark.parametrize("accepted", [None, 1, "yes"])
def test_a_verdict_that_is_not_plainly_yes_is_no(accepted: object) -> None:
    """A verifier that answers nonsense has not accepted."""
    nonsense = Verdict(accepted=accepted)  # type: ignore[arg-type]
    assert ask(rule("verifier", "x"), question(verdicts={"x": nonsense})) is False


@pytest.mark.parametrize(
    "asked",
    [
        rule("attribute", "department"),
        rule("Common_Name", "a"),
        rule("group", "missing"),
        rule("san_uri", "spiffe://example.org*"),
        rule("san_email", "*@example.com"),
        rule("san_dns", "dev*.example.com"),
        rule("issuer", "Access Testing CA"),
        Rule("san_ip", ("example.org",)),
    ],
    ids=spelled,
)
def test_what_cannot_be_evaluated_is_an_error_and_never_skipped(asked: Rule) -> None:
    """A skipped exclusion would let in."""
    with pytest.raises(ValueError, match=r"\w"):
        compile_selector(asked, {})

"""Lists that are about some certificates only, and lists about other CAs' certificates.

RFC 5280 §4.2.1.13, §5.2.5 and §6.3.3 (b), (d), (e) and (l).
"""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from trust_pki import (
    DAY,
    MOMENT,
    NOW,
    Minted,
    about,
    authority,
    client,
    crl,
    crl_of,
    entry,
    key_usage,
    mint,
    p256,
    pem,
    point,
    points,
    reason,
    scope,
    source,
    url,
)

from mtlsedge.identity import Reason
from mtlsedge.trust.crl_issuers import CrlIssuers
from mtlsedge.trust.outcomes import Failed
from mtlsedge.trust.revocation import RevocationLists

ROOT = authority("Root", key=p256(0))
MIDDLE = authority("Middle", ROOT, key=p256(3))
HERE, THERE = url("http://ca.example/1.crl"), url("http://ca.example/2.crl")
PLAIN = client("plain", ROOT, key=p256(1), serial=0xA1)
POINTED = client("pointed", ROOT, key=p256(1), serial=0xA2, more_extensions=[points(point(HERE))])
COMPROMISE = frozenset({x509.ReasonFlags.key_compromise, x509.ReasonFlags.ca_compromise})
OTHERS = (
    frozenset(x509.ReasonFlags)
    - COMPROMISE
    - {
        x509.ReasonFlags.unspecified,
        x509.ReasonFlags.remove_from_crl,
    }
)


def check(
    lists: x509.CertificateRevocationList | list[x509.CertificateRevocationList],
    *minted: Minted,
    issuers: CrlIssuers | None = None,
    policy: Any = "require",
) -> Failed | None:
    found = lists if isinstance(lists, list) else [lists]
    held = RevocationLists([source(pem(*found))], policy, issuers=issuers)
    return held.check(tuple(each.read for each in minted), NOW)


def word(outcome: Failed | None) -> str:
    """One word for an outcome."""
    if outcome is None:
        return "good"
    return {Reason.REVOKED: "revoked", Reason.CRL_UNUSABLE: "unknown"}[outcome.reason]


# -- which certificates -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("only", "of_leaf", "of_ca"),
    [
        ({"only_contains_user_certs": True}, "good", "unknown"),
        ({"only_contains_ca_certs": True}, "unknown", "good"),
        ({"only_contains_attribute_certs": True}, "unknown", "unknown"),
        ({"indirect_crl": True}, "good", "good"),
    ],
)
def test_a_list_of_users_or_of_cas_speaks_of_no_others(
    only: dict[str, bool], of_leaf: str, of_ca: str
) -> None:
    """§6.3.3 (b)(2): onlyContainsUserCerts, onlyContainsCACerts, onlyContainsAttributeCerts."""
    of_root = crl(ROOT, extensions=[scope(**only)])
    assert of_leaf == word(check(of_root, PLAIN, ROOT))
    low = client("low", MIDDLE, key=p256(1))
    assert of_ca == word(check([of_root, crl(MIDDLE)], low, MIDDLE, ROOT))


def test_two_partial_lists_make_a_whole() -> None:
    """One of users, one of CAs: each certificate is looked up in its own."""
    users = crl(ROOT, [0xA1], extensions=[scope(only_contains_user_certs=True)])
    cas = crl(ROOT, [0xA2], extensions=[scope(only_contains_ca_certs=True)])
    assert "revoked" == word(check([users, cas], PLAIN, ROOT))
    assert "good" == word(check([users, cas], POINTED, ROOT))


# -- which distribution point -----------------------------------------------------------------


def test_a_list_for_a_distribution_point_speaks_of_certificates_that_name_it() -> None:
    """§6.3.3 (b)(2)(i): one name must be the same in both."""
    here = crl(ROOT, [0xA2], extensions=[scope(full_name=[*THERE, *HERE])])
    there = crl(ROOT, [0xA2], extensions=[scope(full_name=THERE)])
    assert "revoked" == word(check(here, POINTED, ROOT))
    assert "unknown" == word(check(there, POINTED, ROOT))
    assert "unknown" == word(check(here, PLAIN, ROOT))


def test_a_list_for_everything_speaks_of_certificates_that_name_a_point_too() -> None:
    """A list without an issuing distribution point is complete for its issuer."""
    assert "revoked" == word(check(crl(ROOT, [0xA2]), POINTED, ROOT))
    assert "good" == word(check(crl(ROOT), POINTED, ROOT))


def test_a_list_for_the_issuers_own_name_speaks_of_certificates_without_a_point() -> None:
    """§6.3.3, last paragraph: they have the issuer's name for their distribution point."""
    own: list[x509.GeneralName] = [x509.DirectoryName(ROOT.x509.subject)]
    assert "good" == word(check(crl(ROOT, extensions=[scope(full_name=own)]), PLAIN, ROOT))


@pytest.mark.parametrize("same", [True, False])
def test_names_relative_to_the_issuer_are_completed_before_they_are_compared(same: bool) -> None:
    """§4.2.1.13: nameRelativeToCRLIssuer is the end of a directory name."""
    part = x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COMMON_NAME, "CRL 1")])
    whole = x509.Name(
        [
            *ROOT.x509.subject.rdns,
            x509.RelativeDistinguishedName(
                [x509.NameAttribute(NameOID.COMMON_NAME, "crl 1" if same else "CRL 2")]
            ),
        ]
    )
    leaf = client(
        "c", ROOT, key=p256(1), more_extensions=[points(point([x509.DirectoryName(whole)]))]
    )
    data = crl(ROOT, extensions=[scope(relative_name=part)])
    assert ("good" if same else "unknown") == word(check(data, leaf, ROOT))
    leaf = client("c", ROOT, key=p256(1), more_extensions=[points(point(relative=part))])
    data = crl(ROOT, extensions=[scope(full_name=[x509.DirectoryName(whole)])])
    assert ("good" if same else "unknown") == word(check(data, leaf, ROOT))


# -- which reasons ----------------------------------------------------------------------------


def test_lists_about_some_reasons_suffice_only_together() -> None:
    """§6.3.3 (d), (e), (l): the reasons that are covered add up, and must be all."""
    compromise = crl(ROOT, extensions=[scope(only_some_reasons=COMPROMISE)])
    others = crl(ROOT, extensions=[scope(only_some_reasons=OTHERS)])
    assert "unknown" == word(check(compromise, PLAIN, ROOT))
    assert "only about some reasons" in str(check(compromise, PLAIN, ROOT))
    assert "unknown" == word(check(others, PLAIN, ROOT))
    assert "good" == word(check([compromise, others], PLAIN, ROOT))
    assert "good" == word(check([compromise, crl(ROOT)], PLAIN, ROOT))


def test_a_list_about_some_reasons_revokes_by_itself() -> None:
    """Revoked is revoked, whatever else is not known."""
    listed = crl(ROOT, [0xA1], extensions=[scope(only_some_reasons=COMPROMISE)])
    for policy in ("require", "warn"):
        assert "revoked" == word(check(listed, PLAIN, ROOT, policy=policy))


def test_a_points_reasons_narrow_what_its_lists_cover() -> None:
    """§6.3.3 (d): the intersection of the certificate's word and the list's."""
    named = client(
        "c",
        ROOT,
        key=p256(1),
        serial=0xA3,
        more_extensions=[points(point(HERE, reasons=COMPROMISE), point(THERE, reasons=OTHERS))],
    )
    first = crl(ROOT, extensions=[scope(full_name=HERE)])
    second = crl(ROOT, [0xA3], extensions=[scope(full_name=THERE)])
    assert "unknown" == word(check(first, named, ROOT))
    assert "revoked" == word(check([first, second], named, ROOT))
    clean = crl(ROOT, extensions=[scope(full_name=THERE)])
    assert "good" == word(check([first, clean], named, ROOT))


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("key_compromise", "(key compromise)"),
        ("ca_compromise", "(CA compromise)"),
        ("affiliation_changed", "(affiliation changed)"),
        ("superseded", "(superseded)"),
        ("cessation_of_operation", "(cessation of operation)"),
        ("certificate_hold", "(certificate hold)"),
        ("privilege_withdrawn", "(privilege withdrawn)"),
        ("aa_compromise", "(AA compromise)"),
    ],
)
def test_the_log_says_why_a_certificate_was_revoked(flag: str, words: str) -> None:
    """§5.3.1; and a certificate on hold is out like any other."""
    outcome = check(crl_of(ROOT, [entry(0xA1, reason(flag))]), PLAIN, ROOT)
    assert outcome is not None
    assert f"CN=plain (serial A1) is revoked by ca.crl {words}" == outcome.detail


def test_when_a_key_was_lost_does_not_matter() -> None:
    """§5.3.2: the invalidity date tells people something, and changes no answer."""
    date = x509.InvalidityDate(MOMENT + DAY), False
    assert "revoked" == word(check(crl_of(ROOT, [entry(0xA1, date)]), PLAIN, ROOT))
    both = entry(0xA1, reason("key_compromise"), date)
    assert "key compromise" in str(check(crl_of(ROOT, [both]), PLAIN, ROOT))


# -- indirect lists ---------------------------------------------------------------------------

SIGNER = mint(
    "CRL signer",
    ROOT,
    key=p256(5),
    extensions=[(x509.BasicConstraints(False, None), True), (key_usage("crl_sign"), True)],
)
KNOWN = CrlIssuers([ROOT.read], [SIGNER.read], [ROOT.der])
INDIRECT = client(
    "indirect",
    MIDDLE,
    key=p256(1),
    serial=0xA4,
    more_extensions=[points(point(issuer=SIGNER))],
)
BESIDE = [crl(ROOT)]
"""What every certificate of the root needs, the signer's and the intermediate's among them."""


def _indirect(*entries: x509.RevokedCertificate, **more: Any) -> x509.CertificateRevocationList:
    return crl_of(SIGNER, entries, extensions=[scope(**{"indirect_crl": True, **more})])


def test_an_indirect_list_speaks_of_certificates_that_name_its_issuer() -> None:
    """§6.3.3 (b)(1): cRLIssuer in the certificate, indirectCRL in the list."""
    assert "good" == word(check([_indirect(), *BESIDE], INDIRECT, MIDDLE, ROOT, issuers=KNOWN))
    listed = _indirect(entry(0xA4, about(MIDDLE), reason("superseded")))
    outcome = check([listed, *BESIDE], INDIRECT, MIDDLE, ROOT, issuers=KNOWN)
    assert "revoked" == word(outcome)
    assert "superseded" in str(outcome)


def test_an_indirect_list_does_not_speak_of_certificates_that_do_not_name_its_issuer() -> None:
    """A signer of lists has no say over whoever did not ask it."""
    plain = client("plain", MIDDLE, key=p256(1), serial=0xA4)
    listed = _indirect(entry(0xA4, about(MIDDLE)))
    assert "unknown" == word(check([listed, *BESIDE], plain, MIDDLE, ROOT, issuers=KNOWN))
    assert "good" == word(check([listed, crl(MIDDLE), *BESIDE], plain, MIDDLE, ROOT, issuers=KNOWN))


def test_a_list_that_does_not_say_it_is_indirect_is_none() -> None:
    """§6.3.3 (b)(1): without indirectCRL it is about the signer's own certificates."""
    direct = crl(SIGNER)
    assert "unknown" == word(check([direct, *BESIDE], INDIRECT, MIDDLE, ROOT, issuers=KNOWN))


def test_an_entry_is_about_the_issuer_that_was_named_last() -> None:
    """§5.3.3: certificateIssuer holds for the entries that follow, too."""
    other = authority("Other", ROOT, key=p256(6))
    first = [entry(0xA4, about(MIDDLE)), entry(0xB0)]
    of_other = [entry(0xA4, about(other)), entry(0xB0)]
    for entries, expected in (
        (first, "revoked"),
        (of_other, "good"),
        ([entry(0xB0, about(MIDDLE)), entry(0xA4)], "revoked"),
        ([entry(0xB0, about(other)), entry(0xA4)], "good"),
        ([entry(0xB0, about(other)), entry(0xB1, about(MIDDLE)), entry(0xA4)], "revoked"),
        ([entry(0xA4)], "good"),  # the list's own issuer's
        ([entry(0xB0, about(other)), entry(0xA4, about(SIGNER))], "good"),
    ):
        data = [_indirect(*entries), *BESIDE]
        assert expected == word(check(data, INDIRECT, MIDDLE, ROOT, issuers=KNOWN))


def test_an_indirect_list_revokes_its_own_issuers_certificates_either_way() -> None:
    """With the name of the issuer spelled out, or without."""
    own = client("own", ROOT, key=p256(1), serial=0xA6)
    for entries in ([entry(0xA6)], [entry(0xB0, about(MIDDLE)), entry(0xA6, about(ROOT))]):
        data = crl_of(ROOT, entries, extensions=[scope(indirect_crl=True)])
        assert "revoked" == word(check(data, own, ROOT))


def test_an_indirect_list_for_a_point_needs_the_point_named() -> None:
    """§6.3.3 (b)(2)(i), also where only cRLIssuer is there to be compared."""
    for names, expected in (
        ([x509.DirectoryName(SIGNER.x509.subject)], "good"),
        (HERE, "unknown"),
    ):
        data = [_indirect(full_name=names), *BESIDE]
        assert expected == word(check(data, INDIRECT, MIDDLE, ROOT, issuers=KNOWN))


def test_an_entry_must_name_exactly_one_issuer() -> None:
    """An entry about nobody, or about two, makes the whole list unreadable."""
    nobody = x509.CertificateIssuer([x509.DNSName("ca.example")]), True
    outcome = check([_indirect(entry(0xB0, nobody)), *BESIDE], PLAIN, ROOT, issuers=KNOWN)
    assert "does not name the one issuer" in str(outcome)

"""Deltas: what changed since a complete list. RFC 5280 §5.2.4 and §6.3.3 (c), (h), (i), (k)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from trust_pki import (
    DAY,
    MOMENT,
    NOW,
    Minted,
    authority,
    client,
    crl,
    crl_of,
    entry,
    p256,
    pem,
    reason,
    scope,
    source,
)

from mtlsedge.identity import Reason
from mtlsedge.trust.outcomes import Failed
from mtlsedge.trust.revocation import RevocationLists

ROOT = authority("Root", key=p256(0))
LEAF = client("leaf", ROOT, key=p256(1), serial=0xA1)
HOUR = timedelta(hours=1)
REMOVED = entry(0xA1, reason("remove_from_crl"))
HELD = entry(0xA1, reason("certificate_hold"))


def base(*entries: x509.RevokedCertificate, number: int = 5, **more: Any) -> Any:
    return crl_of(ROOT, entries, number=number, **more)


def delta(
    *entries: x509.RevokedCertificate, of: int = 5, number: int = 6, more: Any = (), **how: Any
) -> Any:
    indicator = (x509.DeltaCRLIndicator(of), True)
    return crl_of(ROOT, entries, number=number, extensions=[indicator, *more], **how)


def check(
    *lists: x509.CertificateRevocationList, minted: Minted = LEAF, now: float = NOW
) -> Failed | None:
    held = RevocationLists([source(pem(*lists))], "require")
    return held.check((minted.read, ROOT.read), now)


def word(outcome: Failed | None) -> str:
    if outcome is None:
        return "good"
    return {Reason.REVOKED: "revoked", Reason.CRL_UNUSABLE: "unknown"}[outcome.reason]


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ([base(), delta()], "good"),
        ([base(), delta(entry(0xA1))], "revoked"),
        ([base(entry(0xA1)), delta()], "revoked"),
        ([base(HELD), delta(REMOVED)], "good"),
        ([base(), delta(HELD)], "revoked"),
        ([base(HELD), delta(entry(0xA1, reason("key_compromise")))], "revoked"),
    ],
)
def test_a_delta_goes_before_its_complete_list(lists: list[Any], expected: str) -> None:
    """(i), (j), (k): the delta first, the complete list after, and removeFromCRL lifts."""
    assert expected == word(check(*lists))
    assert expected == word(check(*reversed(lists)))


def test_a_delta_alone_is_no_list() -> None:
    """Who is not in it may have been revoked before."""
    outcome = check(delta())
    assert "unknown" == word(outcome)
    assert "there are only deltas" in str(outcome)


@pytest.mark.parametrize(
    ("of", "number", "counts"),
    [
        (5, 6, True),
        (4, 6, True),  # it tells more than is needed
        (6, 7, False),  # what happened between 5 and 6 is in neither
        (5, 5, False),  # nothing that the complete list has not
        (3, 4, False),
    ],
)
def test_a_delta_counts_where_its_numbers_fit(of: int, number: int, counts: bool) -> None:
    """(c): BaseCRLNumber <= number of the complete list < number of the delta."""
    outcome = check(base(), delta(entry(0xA1), of=of, number=number))
    assert ("revoked" if counts else "good") == word(outcome)
    outcome = check(base(HELD), delta(REMOVED, of=of, number=number))
    assert ("good" if counts else "revoked") == word(outcome)


def test_a_delta_of_another_scope_does_not_count() -> None:
    """(c)(2): both have the same issuing distribution point, or none has one."""
    users = scope(only_contains_user_certs=True)
    assert "good" == word(check(base(), delta(entry(0xA1), more=[users])))
    assert "revoked" == word(check(base(extensions=[users]), delta(entry(0xA1), more=[users])))
    assert "good" == word(check(base(extensions=[users]), delta(entry(0xA1))))


def test_a_delta_of_another_key_does_not_count() -> None:
    """(c)(3): both have the same authority key identifier; (h): the delta is signed, too."""
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(ROOT.key.public_key()), False
    assert "good" == word(check(base(), delta(entry(0xA1), more=[identifier])))
    pair = base(extensions=[identifier]), delta(entry(0xA1), more=[identifier])
    assert "revoked" == word(check(*pair))
    forged = delta(REMOVED, key=p256(9))
    outcome = check(base(HELD), forged)
    assert "revoked" == word(outcome)
    assert "unknown" == word(check(base(), forged))


def test_the_newest_delta_counts() -> None:
    """An older one may say what is no longer so."""
    older = delta(HELD, number=6, start=MOMENT - 2 * HOUR)
    newer = delta(REMOVED, number=7, start=MOMENT - HOUR)
    assert "good" == word(check(base(HELD), older, newer))
    assert "revoked" == word(check(base(HELD), older))


def test_a_delta_that_is_not_valid_yet_does_not_count_yet() -> None:
    """Until its thisUpdate the lists before it serve."""
    later = delta(entry(0xA1), start=MOMENT + HOUR)
    assert "good" == word(check(base(), later))
    assert "revoked" == word(check(base(), later, now=NOW + 3600))


def test_a_stale_delta_fails_closed() -> None:
    """What its successor was to tell is not known; whom it revokes stays revoked."""
    stale = [delta(entry(0xA1), end=MOMENT), base()]
    assert "revoked" == word(check(*stale))
    other = client("other", ROOT, key=p256(1), serial=0xA9)
    outcome = check(*stale, minted=other)
    assert "unknown" == word(outcome)
    assert "ca.crl is stale" in str(outcome)
    assert "revoked" == word(check(base(HELD), delta(REMOVED, end=MOMENT)))


def test_a_delta_does_not_keep_a_stale_list_alive() -> None:
    """A list is good until its own nextUpdate."""
    assert "unknown" == word(check(base(end=MOMENT), delta(end=MOMENT + DAY)))


def test_a_delta_without_a_number_cannot_be_used() -> None:
    """Nobody could tell whether it is newer."""
    bare = crl(ROOT, number=None, extensions=[(x509.DeltaCRLIndicator(5), True)])
    lists = RevocationLists([source(bare.public_bytes(Encoding.PEM))], "require")
    assert "a delta without a CRL number" in lists.warnings[0]


def test_the_log_names_the_list_that_has_the_entry() -> None:
    """With a file for each, a person knows where to look."""
    sources = [source(pem(base(HELD)), "base.crl"), source(pem(delta(HELD)), "delta.crl")]
    lists = RevocationLists(sources, "require")
    assert "by delta.crl (certificate hold)" in str(lists.check((LEAF.read, ROOT.read), NOW))
    lists = RevocationLists([sources[0], source(pem(delta()), "delta.crl")], "require")
    assert "by base.crl" in str(lists.check((LEAF.read, ROOT.read), NOW))

"""Who may sign a list: the issuer's key, an older or newer one of the same CA, another's.

RFC 5280 §6.3.3 (f) and (g).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from trust_pki import (
    DAY,
    MOMENT,
    NOW,
    Minted,
    authority,
    client,
    crl,
    key_usage,
    mint,
    p256,
    pem,
    point,
    points,
    source,
)

from mtlsedge.errors import BadCrl
from mtlsedge.identity import Reason
from mtlsedge.trust import crl_signatures
from mtlsedge.trust.crl_issuers import CrlIssuers
from mtlsedge.trust.crls import read_crls
from mtlsedge.trust.outcomes import Failed
from mtlsedge.trust.revocation import RevocationLists

ROOT = authority("Root", key=p256(0))
OLD = authority("Middle", ROOT, key=p256(3))
NEW = authority("Middle", ROOT, key=p256(4))
LEAF = client("leaf", OLD, key=p256(1), serial=0xA1)


def lists(
    *found: x509.CertificateRevocationList, known: CrlIssuers | None = None, **more: Any
) -> RevocationLists:
    return RevocationLists([source(pem(*found))], "require", issuers=known, **more)


def knowing(*others: Minted, bundle: tuple[Minted, ...] = (ROOT,)) -> CrlIssuers:
    reads = [each.read for each in bundle]
    return CrlIssuers(reads, [each.read for each in others], [ROOT.der])


def check(held: RevocationLists, *minted: Minted, now: float = NOW) -> Failed | None:
    return held.check(tuple(each.read for each in minted or (LEAF, OLD, ROOT)), now)


# -- another key of the same CA ---------------------------------------------------------------


@pytest.mark.parametrize("serial", [0xA1, 0xFF])
def test_a_ca_may_sign_with_its_other_key(serial: int) -> None:
    """After a change of keys one list is for all that the CA issued."""
    held = lists(crl(ROOT), crl(NEW, [serial]), known=knowing(NEW))
    outcome = check(held)
    assert (serial == 0xA1) == (outcome is not None)
    assert serial != 0xA1 or "is revoked" in str(outcome)


def test_another_key_that_nobody_named_signs_nothing() -> None:
    """A name is not enough: the operator says whose certificate it is."""
    assert "is not signed by it" in str(check(lists(crl(ROOT), crl(NEW))))


def test_the_issuers_own_key_goes_first() -> None:
    """Some CAs keep a list for each key: what the new one signed says nothing of the old."""
    newer = crl(NEW, start=MOMENT)
    held = lists(crl(ROOT), crl(OLD, [0xA1], start=MOMENT - DAY), newer, known=knowing(NEW))
    assert "is revoked" in str(check(held))


def test_another_key_serves_when_the_issuers_own_list_is_stale() -> None:
    """The old key's list ends with the change."""
    stale = crl(OLD, end=MOMENT)
    assert None is check(lists(crl(ROOT), stale, crl(NEW), known=knowing(NEW)))
    assert None is not check(lists(crl(ROOT), stale, known=knowing(NEW)))


def test_a_key_identifier_says_which_certificate_to_try_first() -> None:
    """Both have the CA's name; the signature decides in any case."""
    identifier = x509.SubjectKeyIdentifier(b"new"), False
    new = authority("Middle", ROOT, key=p256(4), more_extensions=[identifier])
    named = x509.AuthorityKeyIdentifier(b"new", None, None), False
    wrong = x509.AuthorityKeyIdentifier(b"old", None, None), False
    for extension in (named, wrong):
        data = crl(new, extensions=[extension])
        assert None is check(lists(crl(ROOT), data, known=knowing(new)))


# -- what a signer must be --------------------------------------------------------------------


def _signer(**more: Any) -> Minted:
    more = {"usage": key_usage("crl_sign"), "issuer": ROOT, "end": MOMENT + DAY, **more}
    usage = more.pop("usage")
    extensions = [(x509.BasicConstraints(False, None), True), (usage, True)]
    return mint("Middle", more.pop("issuer"), key=p256(5), extensions=extensions, **more)


def test_a_certificate_only_for_lists_may_sign_them() -> None:
    """It is no CA, has the CA's name, and leads to the same anchor."""
    signer = _signer()
    assert None is check(lists(crl(ROOT), crl(signer), known=knowing(signer)))
    assert None is not check(lists(crl(ROOT), crl(signer, [0xA1]), known=knowing(signer)))


@pytest.mark.parametrize(
    ("signer", "words"),
    [
        (_signer(usage=key_usage("digital_signature")), "its key usage does not allow it"),
        (_signer(end=MOMENT - DAY / 2), "does not lead to the same anchor now"),
        (_signer(start=MOMENT + DAY / 2), "does not lead to the same anchor now"),
        (_signer(issuer=None), "does not lead to the same anchor now"),
        (_signer(issuer=authority("Root", key=p256(7))), "does not lead to the same anchor now"),
    ],
)
def test_a_signer_must_be_fit_valid_and_of_the_same_anchor(signer: Minted, words: str) -> None:
    """§6.3.3 (f), for each certificate that is not in the client's own chain."""
    held = lists(crl(ROOT), crl(signer), known=knowing(signer))
    outcome = check(held)
    assert outcome is not None
    assert Reason.CRL_UNUSABLE is outcome.reason
    assert words in outcome.detail


def test_a_signer_of_another_anchor_is_none() -> None:
    """The operator trusts both roots; each answers for its own."""
    other = authority("Other root", key=p256(8))
    signer = _signer(issuer=other)
    known = CrlIssuers([ROOT.read, other.read], [signer.read], [ROOT.der, other.der])
    assert "same anchor" in str(check(lists(crl(ROOT), crl(signer), known=known)))


def test_a_revoked_signer_signs_nothing() -> None:
    """Its path is validated as a client's is, revocation and all."""
    signer = _signer()
    revoked = crl(ROOT, [signer.x509.serial_number])
    outcome = check(lists(revoked, crl(signer), known=knowing(signer)))
    assert "CN=Middle, which is revoked" in str(outcome)
    known = knowing(signer)
    assert None is check(lists(revoked, crl(signer), known=known, check="leaf"))


def test_a_signer_whose_status_nobody_else_tells_signs_nothing() -> None:
    """A list that alone says that its signer is good proves nothing."""
    below = mint(
        "Below",
        OLD,
        key=p256(6),
        extensions=[(x509.BasicConstraints(False, None), True), (key_usage("crl_sign"), True)],
    )
    scoped = x509.IssuingDistributionPoint(None, None, False, False, None, True, False), True
    leaf = client("c", OLD, key=p256(1), more_extensions=[points(point(issuer=below))])
    indirect = crl(below, extensions=[scoped])
    known = knowing(below)
    outcome = check(lists(crl(ROOT), indirect, known=known), leaf, OLD, ROOT)
    assert "cannot be told to be unrevoked" in str(outcome)
    assert None is check(lists(crl(ROOT), indirect, crl(OLD), known=known), leaf, OLD, ROOT)


def test_a_signer_that_becomes_valid_is_tried_again() -> None:
    """What failed for its signer's sake is not held against it for ever."""
    signer = _signer(start=MOMENT + timedelta(hours=1), end=MOMENT + 2 * DAY)
    held = lists(crl(ROOT), crl(signer), known=knowing(signer))
    assert None is not check(held)
    assert None is check(held, now=NOW + 3660)


# -- the signature ----------------------------------------------------------------------------


def _keys() -> list[tuple[Any, Any, dict[str, Any]]]:
    big = rsa.generate_private_key(65537, 2048)
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    return [
        (p256(0), hashes.SHA256(), {}),
        (ec.generate_private_key(ec.SECP384R1()), hashes.SHA384(), {}),
        (p256(0), hashes.SHA3_256(), {}),
        (big, hashes.SHA256(), {}),
        (big, hashes.SHA512(), {}),
        (big, hashes.SHA256(), {"rsa_padding": pss}),
        (ed25519.Ed25519PrivateKey.generate(), None, {}),
    ]


def test_a_long_lists_signature_is_verified_as_a_short_ones_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By parts, with `hashlib`, for each kind of key; and a bit that was turned is noticed."""
    monkeypatch.setattr(crl_signatures, "LONG", 0)
    for key, digest, more in _keys():
        issuer = mint("Signer", key=key, digest=digest)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(issuer.x509.subject)
            .last_update(MOMENT)
            .next_update(MOMENT + DAY)
            .add_extension(x509.CRLNumber(0x7766554433), False)
        )
        der = builder.sign(key, digest, **more).public_bytes(Encoding.DER)
        (found,) = read_crls("ca.crl", der)
        assert found.x509.is_signature_valid(key.public_key())
        assert found.signed_by(issuer.read), (key, digest)
        assert not found.signed_by(mint("Signer", key=p256(11)).read)
        at = der.index(b"\x77\x66\x55\x44\x33")
        (turned,) = read_crls("ca.crl", der[:at] + b"\x76" + der[at + 1 :])
        assert not turned.signed_by(issuer.read)


def test_two_different_algorithms_in_one_list_are_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """RFC 5280 §5.1.1.2: what is signed must say how it was signed."""
    der = crl(ROOT).public_bytes(Encoding.DER)
    sha256, sha384 = b"\x2a\x86\x48\xce\x3d\x04\x03\x02", b"\x2a\x86\x48\xce\x3d\x04\x03\x03"
    last = der.rindex(sha256)
    mixed = der[:last] + sha384 + der[last + 8 :]
    for long in (0, 1 << 30):
        monkeypatch.setattr(crl_signatures, "LONG", long)
        try:
            (found,) = read_crls("ca.crl", mixed)
        except BadCrl:  # newer releases of cryptography do not even read it
            continue
        assert not found.signed_by(ROOT.read)

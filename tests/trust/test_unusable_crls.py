"""Which lists cannot be used? What is not known then is not let pass."""

from __future__ import annotations

import pytest
from crl_checking import BAD, GOOD, LOW, MIDDLE, OTHER, ROOT, SECOND, chain, check, unusable
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from trust_pki import DAY, MOMENT, NOW, authority, client, crl, key_usage, p256, pem, source

from mtlsedge.errors import BadCrl
from mtlsedge.identity import Reason
from mtlsedge.trust.crls import read_crls
from mtlsedge.trust.revocation import RevocationLists


def altered(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_a_stale_list_is_refused() -> None:
    """From the second of its nextUpdate."""
    data = pem(crl(ROOT, end=MOMENT))
    assert None is check(data, GOOD, ROOT, now=NOW - 1)
    assert "ca.crl is stale since 2027-01-15T08:00:00Z" in unusable(data)


def test_a_list_from_the_future_is_refused() -> None:
    """Nobody can know yet."""
    data = pem(crl(ROOT, start=MOMENT + SECOND))
    assert "ca.crl is not valid before 2027-01-15T08:00:01Z" in unusable(data)


def test_a_list_by_another_signer_is_refused() -> None:
    """Whoever can write the file cannot lift a revocation, nor make one."""
    assert "ca.crl is not signed by it" in unusable(pem(crl(ROOT, key=p256(2))))
    assert "ca.crl is not signed by it" in unusable(
        pem(crl(ROOT, key=rsa.generate_private_key(65537, 2048)))
    )
    assert None is check(pem(crl(ROOT, [0xA1], key=p256(2))), GOOD, ROOT, policy="warn")


def test_a_list_of_another_issuer_is_refused() -> None:
    """The files were swapped: the message says whose list is missing, and from where."""
    detail = unusable(pem(crl(OTHER, [0xA1])))
    assert "no usable CRL of CN=Root: none of ca.crl holds a CRL of it" in detail
    assert "issue a new CRL" in detail


def test_an_altered_list_is_refused() -> None:
    """One bit of a serial, and the signature is gone."""
    data = crl(ROOT, [0xB2, 0x77777777]).public_bytes(Encoding.DER)
    changed = altered(data, data.index(b"\x77\x77\x77\x77"))
    assert "is not signed by it" in unusable(changed)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage",
        pem(crl(ROOT))[:-40],
        pem(crl(ROOT)) + pem(crl(MIDDLE))[:-40],
        pem(crl(ROOT))[:-40] + pem(crl(MIDDLE)),
        pem(crl(ROOT)).replace(b"MI", b"!!", 1),
        crl(ROOT).public_bytes(Encoding.DER)[:-1],
        crl(ROOT).public_bytes(Encoding.DER) + b"\0",
        ROOT.pem,
    ],
)
def test_a_damaged_file_is_refused_and_named(data: bytes) -> None:
    """Whole: a list that lost its neighbour may be the wrong one."""
    with pytest.raises(BadCrl, match=r"ca\.crl"):
        read_crls("ca.crl", data)
    lists = RevocationLists([source(data)], "require")
    assert 1 == len(lists.warnings)
    assert "ca.crl" in unusable(data)


def test_a_grace_is_counted_from_the_next_update() -> None:
    """For CAs that are late, as long as the operator says."""
    lists = RevocationLists([source(pem(crl(ROOT, end=MOMENT)))], "require", grace=60.0)
    assert None is lists.check(chain(GOOD, ROOT), NOW + 59)
    outcome = lists.check(chain(GOOD, ROOT), NOW + 60)
    assert outcome is not None
    assert "stale since 2027-01-15T08:00:00Z, and the grace of 60 seconds is over" in outcome.detail


def test_a_stale_list_still_revokes() -> None:
    """Also where the policy is to warn only: its age lets nobody in who was thrown out."""
    data = pem(crl(ROOT, [0xB2], end=MOMENT))
    for policy in ("require", "warn"):
        outcome = check(data, BAD, ROOT, policy=policy)
        assert outcome is not None
        assert Reason.REVOKED is outcome.reason


def test_an_older_list_does_not_outlive_a_newer_one() -> None:
    """The newest that has begun counts, though an older one says it is good for longer."""
    old = crl(ROOT, number=1, start=MOMENT - 2 * DAY, end=MOMENT + 9 * DAY)
    new = crl(ROOT, [0xA1], number=2, end=MOMENT)
    assert "stale" in unusable(pem(old, new), client("c", ROOT, key=p256(1)), ROOT)
    assert None is not check(pem(old, new), GOOD, ROOT)


def test_a_damaged_file_does_not_spoil_another() -> None:
    """Each issuer fails for itself."""
    files = [source(b"garbage", "broken.crl"), source(pem(crl(ROOT, [0xB2])), "good.crl")]
    assert None is check(files, GOOD, ROOT)
    assert None is not check(files, BAD, ROOT)
    assert "broken.crl" in unusable(files, LOW, MIDDLE)


def test_a_ca_that_may_not_sign_lists_signs_none() -> None:
    """RFC 5280 §6.3.3 (f): where a key usage is stated, it must say so."""
    mute = authority("Mute", key=p256(4), usage=key_usage("key_cert_sign"))
    leaf = client("c", mute, key=p256(1))
    assert "key usage" in unusable(pem(crl(mute)), leaf, mute)


def _entry_from_another_issuer() -> x509.CertificateRevocationList:
    other = x509.CertificateIssuer([x509.DirectoryName(OTHER.x509.subject)])
    return crl(ROOT, [0xB2], entry_extensions=[(other, True)])


def _strange_entry() -> x509.CertificateRevocationList:
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\0")
    return crl(ROOT, [0xB2], entry_extensions=[(strange, True)])


def _strange() -> x509.CertificateRevocationList:
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\0")
    return crl(ROOT, extensions=[(strange, True)])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (_strange(), "critical extension that is not known, 1.2.3.4"),
        (_strange_entry(), "an entry has a critical extension that is not known, 1.2.3.4"),
        (_entry_from_another_issuer(), "does not say that it is indirect"),
    ],
)
def test_lists_that_say_more_than_is_understood_are_not_used(
    data: x509.CertificateRevocationList, words: str
) -> None:
    """RFC 5280 §5.2 and §5.3: what is critical and unknown forbids the use."""
    detail = unusable(pem(data))
    assert "ca.crl cannot be used: " in detail
    assert words in detail
    assert words in RevocationLists([source(pem(data))], "require").warnings[0]


def test_an_unusable_list_beside_a_usable_one_does_no_harm() -> None:
    """A delta lies beside its complete list."""
    delta = crl(ROOT, extensions=[(x509.DeltaCRLIndicator(1), True)], number=9)
    assert None is check(pem(delta, crl(ROOT)), GOOD, ROOT)


def test_a_list_without_next_update_is_refused() -> None:
    """Nobody could tell when it is stale. (Cut out by hand: nothing will make one.)"""
    data = crl(ROOT).public_bytes(Encoding.DER)
    date = b"\x17\x0d" + (MOMENT + DAY).strftime("%y%m%d%H%M%SZ").encode()
    at = data.index(date)
    body = bytearray(data[:at] + data[at + len(date) :])
    # SEQUENCE of a long length, SEQUENCE of a short one: what the cut is inside of.
    assert (0x30, 0x81, 0x30) == (body[0], body[1], body[3])
    body[2] -= len(date)
    body[4] -= len(date)
    assert "it has no nextUpdate" in read_crls("ca.crl", bytes(body))[0].fault


def test_lists_over_sha1_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """What can be forged proves nothing."""
    monkeypatch.setattr("mtlsedge.trust.crls.weak_signature", lambda _: "it is signed over SHA1")
    assert "signed over SHA1" in unusable(pem(crl(ROOT)))

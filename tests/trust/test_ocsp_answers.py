"""RFC 6960 §3.2 and §4.2.2.2, RFC 9654: which answers are believed, and which are not."""

from __future__ import annotations

import math
import os
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st
from ocsp_making import (
    GOOD,
    HOUR,
    REVOKED,
    UNKNOWN,
    answer,
    by_hand,
    delegate,
    nonce_of,
    single_of,
    unsuccessful,
    with_critical_extension,
)
from trust_pki import DAY, MOMENT, NOW, Minted, authority, client, key_usage, mint, p256

from mtlsedge.trust.ocsp import NONCE_OCTETS, Answer, BadAnswer, Question, read_answer, request_for
from mtlsedge.trust.ocsp_signers import UNKNOWN_STATUS

ROOT = authority("Root", key=p256(0))
LEAF = client("leaf", ROOT, key=p256(1), serial=0xA1)
OTHER = client("other", ROOT, key=p256(1), serial=0xA2)
STRANGER = authority("Stranger", key=p256(2))
DELEGATE = delegate(ROOT, key=p256(3))
NONCE = bytes(range(NONCE_OCTETS))


def asked(leaf: Minted = LEAF, issuer: Minted = ROOT) -> Question:
    return Question(leaf.read, issuer.read)


def trusting(_: Any, needs_status: bool) -> str:
    return UNKNOWN_STATUS if needs_status else ""


def read(data: bytes, **more: Any) -> Answer:
    question = more.pop("question", asked())
    return read_answer(data, question, NONCE, more.pop("now", NOW), trusting, **more)


def refusal(data: bytes, **more: Any) -> str:
    with pytest.raises(BadAnswer) as caught:
        read(data, **more)
    return str(caught.value)


# -- what is asked ---------------------------------------------------------------------------


def test_a_request_names_the_certificate_and_carries_the_nonce() -> None:
    """RFC 6960 §4.1.1; SHA-1 for what only names something, as RFC 5019 has it."""
    request = ocsp.load_der_ocsp_request(request_for(asked(), NONCE))
    assert (0xA1, "sha1") == (request.serial_number, request.hash_algorithm.name)
    assert NONCE == nonce_of(request_for(asked(), NONCE))


def test_questions_about_the_same_certificate_are_the_same() -> None:
    """And no others: neither another serial, nor another issuer's of the same name."""
    twin = authority("Root", key=p256(5))
    assert asked().key == asked().key
    assert asked().key != asked(OTHER).key
    assert asked().key != asked(client("leaf", twin, serial=0xA1), twin).key


# -- what is believed ------------------------------------------------------------------------


def test_the_issuer_itself_may_answer() -> None:
    """By its key's hash or by its name."""
    for by_name in (False, True):
        told = read(answer(LEAF, ROOT, by_name=by_name))
        assert "" == told.revoked
        assert (NOW - 3600, NOW + 86400) == (told.this_update, told.ends)


def test_a_delegate_may_answer() -> None:
    """Its certificate comes with the answer."""
    for by_name in (False, True):
        assert "" == read(answer(LEAF, ROOT, signer=DELEGATE, by_name=by_name)).revoked


def test_an_answer_counts_no_longer_than_its_signer() -> None:
    """A delegate's certificate may end before what it signed."""
    brief = delegate(ROOT, end=MOMENT + HOUR)
    assert NOW + 3600 == read(answer(LEAF, ROOT, signer=brief)).ends


def test_a_revocation_says_why_and_since_when() -> None:
    """The reason is for the log."""
    revoked = answer(LEAF, ROOT, status=REVOKED, reason=x509.ReasonFlags.key_compromise)
    assert "key compromise, since 2027-01-15T06:00:00Z" == read(revoked).revoked
    assert "since 2027-01-15T06:00:00Z" == read(answer(LEAF, ROOT, status=REVOKED)).revoked
    ca = answer(LEAF, ROOT, status=REVOKED, reason=x509.ReasonFlags.ca_compromise)
    assert read(ca).revoked.startswith("CA compromise, ")


def test_a_hold_is_a_revocation() -> None:
    """For as long as it lasts."""
    held = answer(LEAF, ROOT, status=REVOKED, reason=x509.ReasonFlags.certificate_hold)
    assert read(held).revoked.startswith("certificate hold, ")


def test_the_part_about_our_certificate_counts_among_others() -> None:
    """A responder may tell more than it was asked."""
    first = answer(OTHER, ROOT, status=REVOKED)
    whole = by_hand(first, ROOT, single_of(first), single_of(answer(LEAF, ROOT)))
    assert "" == read(whole).revoked
    assert "" != read(whole, question=asked(OTHER)).revoked


@pytest.mark.parametrize(
    ("key", "digest"),
    [
        (rsa.generate_private_key(65537, 2048), hashes.SHA256()),
        (ed25519.Ed25519PrivateKey.generate(), None),
        (p256(0), hashes.SHA512()),
    ],
    ids=["rsa", "ed25519", "ecdsa over sha512"],
)
def test_every_usual_kind_of_key_may_sign(key: Any, digest: Any) -> None:
    """As for certificates."""
    root = authority("Another Root", key=key, digest=digest)
    leaf = client("leaf", root, digest=digest)
    data = answer(leaf, root, digest=digest)
    assert "" == read(data, question=asked(leaf, root)).revoked
    end = data[:-1] + bytes((data[-1] ^ 1,))
    assert "not signed by the issuer" in refusal(end, question=asked(leaf, root))


# -- when it is fresh ------------------------------------------------------------------------


def test_an_answer_with_our_nonce_is_believed_and_with_another_is_not() -> None:
    """RFC 9654 §2.1: one with another belongs to another request."""
    assert "" == read(answer(LEAF, ROOT, nonce=NONCE)).revoked
    assert "another nonce" in refusal(answer(LEAF, ROOT, nonce=os.urandom(NONCE_OCTETS)))


def test_a_missing_nonce_is_a_matter_of_configuration() -> None:
    """Many responders sign their answers ahead."""
    assert "" == read(answer(LEAF, ROOT)).revoked
    assert "does not carry the nonce" in refusal(answer(LEAF, ROOT), must_echo=True)
    assert "" == read(answer(LEAF, ROOT, nonce=NONCE), must_echo=True).revoked


def test_a_stale_answer_is_no_answer() -> None:
    """The second of nextUpdate is the first that is too late."""
    data = answer(LEAF, ROOT, end=MOMENT)
    assert "" == read(data, now=NOW - 1).revoked
    assert "stale since 2027-01-15T08:00:00Z" in refusal(data)


def test_an_answer_from_the_future_is_no_answer() -> None:
    """But for a small difference of clocks."""
    data = answer(LEAF, ROOT, start=MOMENT)
    assert "" == read(data, now=NOW - 60).revoked
    assert "from the future" in refusal(data, now=NOW - 61)


def test_an_answer_that_says_no_end_is_for_the_moment() -> None:
    """And must be of this moment, by the clock or by the nonce."""
    assert -math.inf == read(answer(LEAF, ROOT, start=MOMENT, end=None)).ends
    old = answer(LEAF, ROOT, start=MOMENT - HOUR, end=None)
    assert "does not say until when" in refusal(old)
    assert "" == read(answer(LEAF, ROOT, start=MOMENT - HOUR, end=None, nonce=NONCE)).revoked


# -- what it is about ------------------------------------------------------------------------


def test_an_answer_about_another_certificate_is_no_answer() -> None:
    """By its serial, its issuer, or the hash by which that is named."""
    assert "another certificate" in refusal(answer(OTHER, ROOT))
    twin = authority("Root", key=p256(5))
    assert "another certificate" in refusal(answer(client("leaf", twin, serial=0xA1), twin))
    assert "another certificate" in refusal(answer(LEAF, ROOT, algorithm=hashes.SHA256()))


def test_an_answer_that_says_two_things_of_it_is_no_answer() -> None:
    """Whichever came first."""
    good, bad = answer(LEAF, ROOT), answer(LEAF, ROOT, status=REVOKED)
    for singles in ((good, bad), (bad, good), (good, good)):
        assert "more than once" in refusal(by_hand(good, ROOT, *map(single_of, singles)))


def test_a_certificate_that_the_responder_does_not_know_is_not_good() -> None:
    """RFC 6960 §2.2: unknown."""
    assert "does not know the certificate" in refusal(answer(LEAF, ROOT, status=UNKNOWN))


def test_an_unknown_critical_extension_spoils_an_answer() -> None:
    """RFC 6960 §4.4, of the whole and of its part; one that is not critical does not."""
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0")
    assert "1.2.3.4" in refusal(answer(LEAF, ROOT, extensions=[(unknown, True)]))
    assert "" == read(answer(LEAF, ROOT, extensions=[(unknown, False)])).revoked
    data = answer(LEAF, ROOT)
    spoilt = by_hand(data, ROOT, with_critical_extension(single_of(data)))
    assert "critical extension" in refusal(spoilt)


@pytest.mark.parametrize(
    "status", [each for each in ocsp.OCSPResponseStatus if each.value], ids=lambda each: each.name
)
def test_an_answer_that_is_none_says_so(status: ocsp.OCSPResponseStatus) -> None:
    """RFC 6960 §4.2.1: every status but successful."""
    assert "the responder answered '" in refusal(unsuccessful(status))


# -- who signed it ---------------------------------------------------------------------------


def test_nobody_else_may_sign() -> None:
    """Whether it says who it is, or that it is the issuer."""
    for named in (STRANGER, ROOT):
        for by_name in (False, True):
            told = answer(LEAF, ROOT, signer=named, by_name=by_name)
            assert ("cannot be trusted" in refusal(told)) if named is STRANGER else read(told)
            for certificates in ((), (STRANGER,), (ROOT,), (ROOT, STRANGER)):
                data = by_hand(told, STRANGER, certificates=certificates)
                assert "cannot be trusted" in refusal(data)


def test_rsa_with_pss_will_do() -> None:
    """RFC 4055; over SHA-1, which is its default, it will not."""
    root = authority("Another Root", key=rsa.generate_private_key(65537, 2048))
    leaf = client("leaf", root)
    data = by_hand(answer(leaf, root), root)
    assert "" == read(data, question=asked(leaf, root)).revoked
    assert "not signed by" in refusal(
        data[:-1] + bytes((data[-1] ^ 1,)), question=asked(leaf, root)
    )
    unknown = data.replace(bytes.fromhex("608648016503040201"), bytes.fromhex("608648016503040207"))
    assert "is unknown" in refusal(unknown, question=asked(leaf, root))


def test_a_signature_that_is_changed_is_none() -> None:
    """By one bit."""
    data = answer(LEAF, ROOT)
    assert "not signed by the issuer" in refusal(data[:-1] + bytes((data[-1] ^ 1,)))


def test_a_delegate_is_for_signing_answers() -> None:
    """And says so: neither a client's certificate nor one for anything will do."""
    anything = (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)
    for usages in ((), (ExtendedKeyUsageOID.CLIENT_AUTH,), anything):
        signer = delegate(ROOT, usages=usages)
        assert "is not for signing OCSP answers" in refusal(answer(LEAF, ROOT, signer=signer))
    signer = delegate(ROOT, key_usages=("key_encipherment",))
    assert "is not for signing OCSP answers" in refusal(answer(LEAF, ROOT, signer=signer))


def test_the_client_may_not_answer_for_itself() -> None:
    """Nor one that has the CA's name."""
    assert "cannot be trusted" in refusal(answer(LEAF, ROOT, signer=LEAF))
    namesake = client("Root", ROOT, key=p256(6))
    for by_name in (False, True):
        data = answer(LEAF, ROOT, signer=namesake, by_name=by_name)
        assert "cannot be trusted" in refusal(data)


def test_a_delegate_is_the_issuers_own() -> None:
    """Neither a stranger's, nor its own, nor an intermediate's of the same tree."""
    middle = authority("Middle", ROOT, key=p256(7))
    itself = mint("OCSP", extensions=DELEGATE_EXTENSIONS)
    for signer in (delegate(STRANGER), delegate(middle), itself):
        for more in ((signer,), (signer, middle, STRANGER)):
            data = answer(LEAF, ROOT, signer=signer, certificates=more)
            assert "does not vouch for" in refusal(data)


DELEGATE_EXTENSIONS = [
    (x509.BasicConstraints(False, None), True),
    (key_usage("digital_signature"), True),
    (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False),
    (x509.OCSPNoCheck(), False),
]


def test_a_delegates_certificate_is_valid_now() -> None:
    """Neither over nor to come."""
    over = delegate(ROOT, end=MOMENT - HOUR / 2)
    to_come = delegate(ROOT, start=MOMENT + HOUR)
    for signer in (over, to_come):
        assert "does not vouch for now" in refusal(answer(LEAF, ROOT, signer=signer))


def test_a_delegates_critical_extensions_are_known() -> None:
    """As of any certificate."""
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0")
    signer = delegate(ROOT, more_extensions=[(x509.OCSPNoCheck(), False), (unknown, True)])
    assert "does not vouch for now" in refusal(answer(LEAF, ROOT, signer=signer))


def test_weak_keys_and_hashes_are_refused() -> None:
    """Whoever could forge them could open the door."""
    weak = delegate(ROOT, key=rsa.generate_private_key(65537, 1024))
    assert "too weak" in refusal(answer(LEAF, ROOT, signer=weak))
    strong = delegate(ROOT, key=rsa.generate_private_key(65537, 2048))
    data = bytearray(answer(LEAF, ROOT, signer=strong))
    sha256, sha1 = bytes.fromhex("06092a864886f70d01010b"), bytes.fromhex("06092a864886f70d010105")
    place = data.index(sha256)
    data[place : place + len(sha256)] = sha1
    assert "SHA1, which can be forged" in refusal(bytes(data))


def test_a_delegate_whose_status_nobody_tells_must_be_brief_or_say_that_it_need_not_be_told() -> (
    None
):
    """RFC 6960 §4.2.2.2.1."""
    long = delegate(ROOT, more_extensions=())
    assert "whose own status nobody tells" in refusal(answer(LEAF, ROOT, signer=long))
    brief = delegate(ROOT, more_extensions=(), end=MOMENT + 6 * DAY)
    assert "" == read(answer(LEAF, ROOT, signer=brief)).revoked


def test_of_many_certificates_a_few_are_looked_at() -> None:
    """Each costs a signature."""
    crowd = [delegate(ROOT, key=p256(8)) for _ in range(8)]
    data = answer(LEAF, ROOT, signer=DELEGATE, certificates=[*crowd, DELEGATE])
    assert "cannot be trusted" in refusal(data)
    data = answer(LEAF, ROOT, signer=DELEGATE, certificates=[*crowd[:7], DELEGATE])
    assert "" == read(data).revoked


# -- whatever comes --------------------------------------------------------------------------


@given(st.binary(max_size=300))
def test_nonsense_is_refused(data: bytes) -> None:
    """And raises nothing else."""
    assert refusal(data)


@given(st.data())
def test_an_answer_with_any_octet_changed_is_refused_or_says_the_same(data: Any) -> None:
    """Nothing but its unsigned shell could change without a trace."""
    whole = bytearray(SOUND)
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    try:
        told = read(bytes(whole))
    except BadAnswer:
        return
    assert read(SOUND) == told


SOUND = answer(LEAF, ROOT, signer=DELEGATE, status=REVOKED)


@given(st.integers(0, 2000))
def test_an_answer_that_is_cut_short_is_refused(length: int) -> None:
    """Anywhere."""
    whole = answer(LEAF, ROOT, status=GOOD)
    assert refusal(whole[: length % len(whole)])

"""CRLs: good, stale, broken and swapped. What is not known is not let pass."""

from __future__ import annotations

import time
from base64 import b64encode, encodebytes
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st
from trust_pki import (
    DAY,
    MOMENT,
    NOW,
    Minted,
    authority,
    client,
    crl,
    key_usage,
    p256,
    pem,
    source,
)
from twisted.logger import LogEvent, globalLogPublisher

from mtlsedge.errors import BadCrl
from mtlsedge.identity import Certificate, Reason
from mtlsedge.model import CrlSource
from mtlsedge.trust import revocation
from mtlsedge.trust.crls import read_crls
from mtlsedge.trust.outcomes import Failed
from mtlsedge.trust.revocation import RevocationLists

ROOT = authority("Root", key=p256(0))
MIDDLE = authority("Middle", ROOT, key=p256(3))
OTHER = authority("Other", key=p256(2))
GOOD = client("good", ROOT, key=p256(1), serial=0xA1)
BAD = client("bad", ROOT, key=p256(1), serial=0xB2)
LOW = client("low", MIDDLE, key=p256(1), serial=0xC3)
SECOND = timedelta(seconds=1)


def chain(*minted: Minted) -> tuple[Certificate, ...]:
    return tuple(each.read for each in minted)


def check(
    data: bytes | list[CrlSource], *minted: Minted, now: float = NOW, policy: Any = "require"
) -> Failed | None:
    sources = data if isinstance(data, list) else [source(data)]
    return RevocationLists(sources, policy).check(chain(*minted), now)


def unusable(data: bytes | list[CrlSource], *minted: Minted, now: float = NOW) -> str:
    """Why there is no usable CRL; and with the policy ``warn`` it passes."""
    asked = minted or (GOOD, ROOT)
    outcome = check(data, *asked, now=now)
    assert outcome is not None
    assert Reason.CRL_UNUSABLE is outcome.reason
    assert None is check(data, *asked, now=now, policy="warn")
    return outcome.detail


def altered(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


# -- the answer -------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_the_listed_are_revoked_and_others_are_not(encoding: Encoding) -> None:
    """In PEM and in DER; the log says who, by serial and file."""
    data = crl(ROOT, [0xB2, 0xFFFF]).public_bytes(encoding)
    assert None is check(data, GOOD, ROOT)
    outcome = check(data, BAD, ROOT)
    assert outcome is not None
    assert (Reason.REVOKED, 0) == (outcome.reason, outcome.depth)
    assert "CN=bad (serial B2) is revoked by ca.crl" == outcome.detail


def test_a_warning_policy_still_refuses_the_revoked() -> None:
    """It is lenient with lists, not with certificates."""
    outcome = check(pem(crl(ROOT, [0xB2])), BAD, ROOT, policy="warn")
    assert outcome is not None
    assert Reason.REVOKED is outcome.reason


def test_without_a_list_nothing_is_revoked() -> None:
    """Revocation is for client CAs that name a CRL."""
    assert None is check([], GOOD, ROOT)


def test_every_issuer_but_the_anchor_needs_a_list() -> None:
    """An intermediate's clients are covered by its own list, and it by its root's."""
    root_list, middle_list = crl(ROOT), crl(MIDDLE)
    assert None is check(pem(root_list, middle_list), LOW, MIDDLE, ROOT)
    assert "no usable CRL of CN=Middle" in unusable(pem(root_list), LOW, MIDDLE, ROOT)
    outcome = check(pem(middle_list), LOW, MIDDLE, ROOT)
    assert outcome is not None
    assert (Reason.CRL_UNUSABLE, 1) == (outcome.reason, outcome.depth)
    assert None is check(pem(middle_list), LOW, MIDDLE)


def test_several_files_are_one_set() -> None:
    """Each issuer may have its own."""
    files = [source(pem(crl(ROOT)), "root.crl"), source(pem(crl(MIDDLE, [0xC3])), "middle.crl")]
    outcome = check(files, LOW, MIDDLE, ROOT)
    assert outcome is not None
    assert "middle.crl" in outcome.detail


def test_a_revoked_intermediate_closes_its_clients_out() -> None:
    """Also where the list for the client itself is missing: revoked is the stronger word."""
    data = pem(crl(ROOT, [MIDDLE.x509.serial_number]))
    outcome = check(data, LOW, MIDDLE, ROOT)
    assert outcome is not None
    assert (Reason.REVOKED, 1) == (outcome.reason, outcome.depth)


def test_the_newest_current_list_counts() -> None:
    """A hold that was lifted is over; a list that is not valid yet does not count yet."""
    old = crl(ROOT, [0xA1], number=1, start=MOMENT - 2 * DAY)
    new = crl(ROOT, [], number=2)
    future = crl(ROOT, [0xA1], number=3, start=MOMENT + SECOND)
    assert None is check(pem(old, new, future), GOOD, ROOT)
    assert None is not check(pem(old, new, future), GOOD, ROOT, now=NOW + 1)
    assert None is not check(pem(new, crl(ROOT, [0xA1], number=2, start=MOMENT)), GOOD, ROOT)


def test_a_removal_from_a_list_is_no_revocation() -> None:
    """RFC 5280 §5.3.1: removeFromCRL takes an entry back."""
    removed = (x509.CRLReason(x509.ReasonFlags.remove_from_crl), False)
    assert None is check(pem(crl(ROOT, [0xA1], entry_extensions=[removed])), GOOD, ROOT)
    held = (x509.CRLReason(x509.ReasonFlags.certificate_hold), True)
    assert None is not check(pem(crl(ROOT, [0xA1], entry_extensions=[held])), GOOD, ROOT)


@pytest.mark.parametrize("key", [ed25519.Ed25519PrivateKey.generate(), None])
def test_lists_of_other_keys_are_verified(key: Any) -> None:
    """Ed25519 signs without a digest, RSA with one."""
    signer = authority(
        "Signer",
        key=key or rsa.generate_private_key(65537, 2048),
        **({"digest": None} if key else {}),
    )
    leaf = client("c", signer, key=p256(1), **({"digest": None} if key else {}))
    data = crl(signer, [leaf.x509.serial_number], **({"digest": None} if key else {}))
    assert None is not check(pem(data), leaf, signer)


# -- lists that cannot be used ----------------------------------------------------------------


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


def test_a_list_in_base64_without_armour_is_read() -> None:
    """`cfssl gencrl` writes it so; and one letter less is a damaged file."""
    der = crl(ROOT, [0xB2]).public_bytes(Encoding.DER)
    for data in (b64encode(der), encodebytes(der), b64encode(der) + b"\n"):
        assert None is check(data, GOOD, ROOT)
        assert None is not check(data, BAD, ROOT)
    assert "damaged one" in unusable(b64encode(der)[:-1])


def test_what_must_have_a_list_is_the_operators_choice() -> None:
    """``crl_check``: the whole chain, or the leaf alone."""
    data = [source(pem(crl(MIDDLE, [0xC3])))]
    other = client("other", MIDDLE, key=p256(1), serial=0xC4)
    for how, expected in (("chain", Reason.CRL_UNUSABLE), ("leaf", None)):
        lists = RevocationLists(data, "require", check=how)  # type: ignore[arg-type]
        outcome = lists.check(chain(other, MIDDLE, ROOT), NOW)
        assert expected is (outcome and outcome.reason)
        revoked = lists.check(chain(LOW, MIDDLE, ROOT), NOW)
        assert revoked is not None
        assert Reason.REVOKED is revoked.reason
    middle = pem(crl(MIDDLE), crl(ROOT, [MIDDLE.x509.serial_number]))
    for how, expected in (("chain", Reason.REVOKED), ("leaf", None)):
        lists = RevocationLists([source(middle)], "require", check=how)  # type: ignore[arg-type]
        outcome = lists.check(chain(other, MIDDLE, ROOT), NOW)
        assert expected is (outcome and outcome.reason)


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


# -- what is told -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("serials", "number", "warned"),
    [
        ([1 << 150, 0], 1, "ca.crl revokes serial 0,"),
        ([1 << 150, 0], None, "ca.crl revokes serial 0,"),
        ([1 << 150, 59], None, "ca.crl revokes serial 59,"),
        ([1 << 150, 59], 1, ""),
        ([1 << 150], None, ""),
        ([], None, ""),
    ],
)
def test_serials_that_cfssl_misread_are_warned_of(
    serials: list[int], number: int | None, warned: str
) -> None:
    """`cfssl gencrl` keeps of a hexadecimal serial what stands before its first letter."""
    lists = RevocationLists([source(pem(crl(ROOT, serials, number=number)))], "require")
    assert bool(warned) == bool(lists.warnings)
    assert all(warning.startswith(warned) for warning in lists.warnings)
    assert None is lists.check(chain(GOOD, ROOT), NOW)


def test_troubles_are_told_before_a_client_comes() -> None:
    """For the log at start, and for `check`."""
    lists = RevocationLists([source(pem(crl(ROOT)))], "require")
    assert () == lists.troubles(chain(ROOT), NOW)
    assert "stale" in lists.troubles(chain(ROOT), NOW + 86400)[0]
    missing = lists.troubles(chain(OTHER), NOW)[0]
    assert "no usable CRL of CN=Other" in missing
    assert "until then whom it issued is refused" in missing
    assert () == RevocationLists([], "require").troubles(chain(ROOT), NOW)


@pytest.fixture
def logged() -> Iterator[list[LogEvent]]:
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


def test_what_the_warning_policy_lets_pass_is_logged_once(logged: list[LogEvent]) -> None:
    """And again when the reason changes: a handshake each would drown it."""
    lists = RevocationLists([source(pem(crl(ROOT)))], "warn")
    for now in (NOW, NOW + 86400, NOW + 86401, NOW - 2 * 86400):
        assert None is lists.check(chain(GOOD, ROOT), now)
    told = [event["detail"] for event in logged if "detail" in event]
    assert 2 == len(told)
    assert "stale" in told[0]
    assert "not valid before" in told[1]


# -- size and hostility -----------------------------------------------------------------------


def test_signatures_are_verified_once_for_each_issuer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of a million serials is hashed once, not for every client."""
    calls = []
    original = revocation.Crl.signed_by
    monkeypatch.setattr(
        revocation.Crl, "signed_by", lambda *each: calls.append(each) or original(*each)
    )
    lists = RevocationLists([source(pem(crl(ROOT)))], "require")
    for _ in range(3):
        lists.check(chain(GOOD, ROOT), NOW)
    assert 1 == len(calls)


def test_a_hundred_thousand_serials_load_at_once_and_cost_a_look_up() -> None:
    """A million take ten times as long, which is seconds."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ROOT.x509.subject)
        .last_update(MOMENT - DAY)
        .next_update(MOMENT + DAY)
    )
    moment = MOMENT - DAY
    builder._revoked_certificates = [
        x509.RevokedCertificateBuilder(serial, moment.replace(tzinfo=None)).build()
        for serial in range(1 << 80, (1 << 80) + 100_000)
    ]
    data = builder.sign(ROOT.key, hashes.SHA256()).public_bytes(Encoding.DER)
    start = time.process_time()
    lists = RevocationLists([source(data)], "require")
    assert None is lists.check(chain(GOOD, ROOT), NOW)
    assert time.process_time() - start < 2
    revoked = client("r", ROOT, key=p256(1), serial=(1 << 80) + 99_999)
    start = time.process_time()
    for _ in range(1000):
        assert None is not lists.check(chain(revoked, ROOT), NOW)
    assert time.process_time() - start < 0.5


LISTED = crl(ROOT, [0xA1, 0xB2]).public_bytes(Encoding.DER)


@settings(max_examples=1000, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, len(LISTED) - 1), st.integers(1, 255)), min_size=1, max_size=3
    )
)
def test_a_mutated_list_never_opens_a_door(changes: list[tuple[int, int]]) -> None:
    """Whatever bit is turned: refused as revoked, or for want of a list."""
    mutated = bytearray(LISTED)
    for position, bits in changes:
        mutated[position] ^= bits
    if bytes(mutated) == LISTED:
        return
    lists = RevocationLists([source(bytes(mutated))], "require")
    assert isinstance(lists.check(chain(BAD, ROOT), NOW), Failed)
    assert isinstance(lists.check(chain(GOOD, ROOT), NOW), Failed)

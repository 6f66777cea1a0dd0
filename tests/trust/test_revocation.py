"""CRLs: who is revoked by them, what is told of them, and what they cost."""

from __future__ import annotations

import time
from base64 import b64encode, encodebytes
from typing import Any

import pytest
from crl_checking import BAD, GOOD, LOW, MIDDLE, OTHER, ROOT, SECOND, chain, check, unusable
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st
from trust_pki import DAY, MOMENT, NOW, authority, client, crl, p256, pem, source
from twisted.logger import LogEvent

from mtlsedge.identity import Reason
from mtlsedge.trust import revocation
from mtlsedge.trust.outcomes import Failed
from mtlsedge.trust.revocation import RevocationLists

# -- the answer --------------------------------------------------------------------------------


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


# -- what is told ------------------------------------------------------------------------------


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


def test_what_the_warning_policy_lets_pass_is_logged_once(logged: list[LogEvent]) -> None:
    """And again when the reason changes: a handshake each would drown it."""
    lists = RevocationLists([source(pem(crl(ROOT)))], "warn")
    for now in (NOW, NOW + 86400, NOW + 86401, NOW - 2 * 86400):
        assert None is lists.check(chain(GOOD, ROOT), now)
    told = [event["detail"] for event in logged if "detail" in event]
    assert 2 == len(told)
    assert "stale" in told[0]
    assert "not valid before" in told[1]


# -- size and hostility ------------------------------------------------------------------------


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

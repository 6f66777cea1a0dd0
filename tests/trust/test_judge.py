"""Identities: one host's judge from the bytes a client presented to who it is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from judging import CRL, LEAF, OTHER, REVOKED, ROOT, settled, trust
from OpenSSL import crypto
from trust_pki import (
    DAY,
    MOMENT,
    NOW,
    SERVER,
    Minted,
    Moving,
    authority,
    client,
    client_ca,
    crl,
    p256,
    pem,
    source,
)
from twisted.internet.task import Clock

from mtlsedge.errors import BadCertificate, BadVerifier
from mtlsedge.identity import ANONYMOUS, Identity, PeerChain, Reason
from mtlsedge.model import ClientCA
from mtlsedge.trust.judge import ClientTrust
from support.verifiers import find_verifier

MIDDLE = authority("Middle", ROOT, key=p256(3))
LOW = client("low", MIDDLE, key=p256(1))


# -- who it is ---------------------------------------------------------------------------------


def test_nobody_is_anonymous() -> None:
    """A host with a client CA asks; only a policy demands."""
    assert ANONYMOUS is settled(trust(), None)


def test_a_client_of_the_ca_is_who_it_says() -> None:
    """Presented, verified, with its chain and its client CA."""
    identity = settled(trust(), LOW, MIDDLE)
    assert identity == Identity(
        presented=True,
        verified=True,
        reason=Reason.NONE,
        chain=PeerChain(LOW.read, (MIDDLE.read,), (LOW.read, MIDDLE.read, ROOT.read)),
        client_cas=("ca",),
    )


@pytest.mark.parametrize(
    ("leaf", "reason"),
    [
        (client("c", OTHER, key=p256(1)), Reason.UNTRUSTED),
        (client("c", ROOT, key=p256(1), end=MOMENT - DAY / 2), Reason.EXPIRED),
        (client("c", ROOT, key=p256(1), start=MOMENT + DAY / 2), Reason.NOT_YET_VALID),
        (client("c", ROOT, key=p256(1), usages=SERVER), Reason.UNFIT),
    ],
)
def test_what_does_not_verify_is_presented_and_says_why(leaf: Minted, reason: Reason) -> None:
    """The certificate is kept, for the log."""
    identity = settled(trust(), leaf)
    assert (True, False, reason) == (identity.presented, identity.verified, identity.reason)
    assert identity.detail
    assert PeerChain(leaf.read) == identity.chain
    assert () == identity.client_cas


@pytest.mark.parametrize("leaf", [b"", b"garbage", LEAF.der[:-1]])
def test_what_cannot_be_read_was_presented_all_the_same(leaf: bytes) -> None:
    """It is refused as unfit, not as absent."""
    identity = trust().settle(leaf, [], "a.example")
    assert isinstance(identity, Identity)
    assert (True, False, Reason.UNFIT) == (
        identity.presented,
        identity.verified,
        identity.reason,
    )
    assert None is identity.chain


def test_an_intermediate_that_cannot_be_read_helps_nobody_and_hurts_nobody() -> None:
    """Clients send all kinds of bundles."""
    identity = trust().settle(LOW.der, [b"garbage"], "a.example")
    assert isinstance(identity, Identity)
    assert Reason.UNTRUSTED is identity.reason
    identity = trust().settle(LOW.der, [b"garbage", MIDDLE.der], "a.example")
    assert isinstance(identity, Identity)
    assert identity.verified


def test_a_flood_of_intermediates_is_refused_before_it_is_read() -> None:
    """Sixteen are the most; the rest is not even parsed."""
    identity = trust().settle(LEAF.der, [MIDDLE.der] * 10_000, "a.example")
    assert isinstance(identity, Identity)
    assert Reason.UNFIT is identity.reason
    assert identity.chain is not None
    assert 17 == len(identity.chain.sent)


def test_a_host_without_client_cas_trusts_nobody() -> None:
    """Whatever is presented."""
    judge = ClientTrust((), find_verifier, Clock(), lambda: NOW, 5.0)
    assert Reason.UNTRUSTED is settled(judge, LEAF).reason
    assert () == judge.authorities


def test_a_resumed_session_is_judged_by_the_same_code() -> None:
    """Without what was sent then; and an end since is an end now (invariant 1)."""
    now = Moving()
    judge = trust(now=now)
    settled(judge, LOW, MIDDLE)
    assert settled(judge, LOW).verified
    now.now = LOW.read.not_after + 1
    assert Reason.EXPIRED is settled(judge, LOW).reason
    assert not settled(trust(client_ca(OTHER)), LOW, MIDDLE).verified


def test_a_bad_bundle_or_verifier_stops_the_host_from_being_made() -> None:
    """A configuration error is found before the first client."""
    with pytest.raises(BadCertificate, match="client CA 'x'"):
        trust(ClientCA("x", b"", ()))
    with pytest.raises(BadVerifier, match="no verifier 'sam'"):
        trust(client_ca(ROOT, verifiers=("sam:x",)))


# -- revocation --------------------------------------------------------------------------------


def test_a_revoked_client_is_refused_and_its_chain_kept() -> None:
    """The class for the client; who and by which file for the log."""
    judge = trust(client_ca(ROOT, crls=(CRL,)))
    assert settled(judge, LEAF).verified
    identity = settled(judge, REVOKED)
    assert (False, Reason.REVOKED, 0) == (identity.verified, identity.reason, identity.depth)
    assert "serial B2" in identity.detail
    assert identity.chain is not None
    assert (REVOKED.read, ROOT.read) == identity.chain.verified


def test_a_list_that_goes_stale_closes_the_door_at_once() -> None:
    """Also for a client whose chain is remembered (invariant 6)."""
    now = Moving()
    judge = trust(client_ca(ROOT, crls=(source(pem(crl(ROOT, end=MOMENT + DAY / 2))),)), now=now)
    assert settled(judge, LEAF).verified
    now.now += 43200
    assert Reason.CRL_UNUSABLE is settled(judge, LEAF).reason


def test_one_client_cas_stale_list_is_not_anothers() -> None:
    """It fails closed for its client CA; the same chain may end at one without lists."""
    judge = trust(
        client_ca(ROOT, name="strict", crls=(source(b"garbage"),)), client_ca(ROOT, name="plain")
    )
    identity = settled(judge, LEAF)
    assert ("plain",) == identity.client_cas
    ((name, why),) = identity.in_doubt  # for rules that keep out whom "strict" knows
    assert "strict" == name
    assert why == settled(trust(client_ca(ROOT, crls=(source(b"garbage"),))), LEAF).detail


@pytest.mark.parametrize("strict_first", [True, False])
def test_revoked_by_one_client_cas_list_is_revoked_for_all(strict_first: bool) -> None:
    """The issuer took its word back, whichever client CA names the list."""
    cas = [client_ca(ROOT, name="strict", crls=(CRL,)), client_ca(ROOT, name="plain")]
    judge = trust(*(cas if strict_first else reversed(cas)))
    assert Reason.REVOKED is settled(judge, REVOKED).reason
    assert {"strict", "plain"} == set(settled(judge, LEAF).client_cas)


def test_troubles_with_lists_are_told_once_each() -> None:
    """For the log at start, and for `check`."""
    cas = [client_ca(ROOT, name=name, crls=(source(b"garbage"),)) for name in ("one", "two")]
    troubles = trust(*cas).troubles()
    assert 2 == len(troubles)
    assert troubles[0].startswith("ca.crl: not a CRL")
    assert troubles[1].startswith("no usable CRL of CN=Root")
    assert () == trust().troubles()


# -- for the handshake -------------------------------------------------------------------------


def test_the_advertised_subjects_are_each_named_once() -> None:
    """Of every certificate in every bundle: clients choose by issuer, root or intermediate."""
    renewed = authority("Root", key=p256(0), end=MOMENT + timedelta(days=99))
    judge = trust(
        client_ca(ROOT, MIDDLE, name="a"), client_ca(renewed, name="b"), client_ca(OTHER, name="c")
    )
    assert [ROOT.x509, MIDDLE.x509, OTHER.x509] == list(judge.authorities)


def in_handshake(judge: ClientTrust, leaf: Minted, *sent: Minted) -> bool:
    store = judge.handshake_store()
    store.set_time(MOMENT)
    links = [crypto.X509.from_cryptography(each.x509) for each in sent]
    context = crypto.X509StoreContext(store, crypto.X509.from_cryptography(leaf.x509), links)
    try:
        context.verify_certificate()
    except crypto.X509StoreContextError:
        return False
    return True


def test_the_handshakes_store_holds_all_client_cas_for_clients_only() -> None:
    """A chain of any of them passes, a server's certificate does not."""
    judge = trust(
        client_ca(ROOT, name="a"), client_ca(MIDDLE, name="b"), client_ca(OTHER, name="c")
    )
    assert in_handshake(judge, LEAF)
    assert in_handshake(judge, LOW)
    assert in_handshake(judge, client("c", OTHER, key=p256(1)))
    assert not in_handshake(judge, client("c", authority("New", key=p256(4)), key=p256(1)))
    assert not in_handshake(judge, client("c", ROOT, key=p256(1), usages=SERVER))


def test_the_handshakes_store_has_no_systems_trust(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Invariant 2, for the store that OpenSSL itself judges by."""
    system = tmp_path / "system.pem"
    system.write_bytes(OTHER.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(system))
    assert not in_handshake(trust(), client("c", OTHER, key=p256(1)), OTHER)


@pytest.mark.parametrize(
    ("chain", "admitted"),
    [
        ([LEAF, ROOT], True),
        ([LOW, MIDDLE, ROOT], False),  # nobody lists for the intermediate
        ([REVOKED, ROOT], False),
        ([client("c", OTHER, key=p256(1)), OTHER], False),
        ([], False),
    ],
)
def test_within_a_handshake_the_revoked_are_not_admitted(
    chain: list[Minted], admitted: bool
) -> None:
    """What OpenSSL verified is judged as after the handshake, but for the verifiers."""
    judge = trust(client_ca(ROOT, crls=(CRL,)))
    assert admitted == (judge.objection([each.der for each in chain]) is None)


def test_what_cannot_be_read_is_not_admitted() -> None:
    """Nothing is raised into OpenSSL's callback."""
    assert trust().objection([b"garbage"]) is not None

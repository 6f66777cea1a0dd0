"""Which certificates lead to a client CA, and what such a CA is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from chain_building import LEAF, LOW_LEAF, MIDDLE, OTHER, ROOT, build, chain_of, ders, failed
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID
from trust_pki import (
    CLIENT,
    DAY,
    MOMENT,
    NOW,
    SERVER,
    Minted,
    authority,
    client,
    client_ca,
    mint,
    p256,
    peer,
)

from mtlsedge.errors import BadCertificate
from mtlsedge.identity import PeerChain, Reason
from mtlsedge.model import ClientCA
from mtlsedge.trust import authorities
from mtlsedge.trust.authorities import Authority, is_self_signed, shared_authority
from mtlsedge.trust.outcomes import Built


def built(presented: PeerChain, *cas: ClientCA) -> Built:
    outcome = build(presented, *cas)
    assert isinstance(outcome, Built), outcome
    return outcome


# -- what verifies -----------------------------------------------------------------------------


def test_a_client_of_the_ca_is_led_to_it() -> None:
    """Leaf first, anchor last, until the first of them expires."""
    outcome = built(peer(LEAF))
    assert ders(LEAF, ROOT) == chain_of(outcome)
    assert ("ca",) == outcome.client_cas
    assert LEAF.read.not_after == outcome.until


def test_until_is_the_earliest_end_in_the_chain() -> None:
    """An intermediate may end before its leaf."""
    short = authority("Short", ROOT, key=p256(4), end=MOMENT + timedelta(hours=1))
    outcome = built(peer(client("c", short, key=p256(1)), short))
    assert NOW + 3600 == outcome.until


@pytest.mark.parametrize("where", ["sent", "in the bundle", "both"])
def test_an_intermediate_may_be_sent_or_in_the_bundle(where: str) -> None:
    """Wherever it comes from, the chain ends at the root."""
    ca = client_ca(ROOT) if where == "sent" else client_ca(ROOT, MIDDLE)
    sent = () if where == "in the bundle" else (MIDDLE,)
    assert ders(LOW_LEAF, MIDDLE, ROOT) == chain_of(built(peer(LOW_LEAF, *sent), ca))


def test_the_root_may_be_sent_and_the_order_does_not_matter() -> None:
    """Clients send all kinds of bundles."""
    stray = authority("Stray", key=p256(8))
    assert ders(LOW_LEAF, MIDDLE, ROOT) == chain_of(
        built(peer(LOW_LEAF, ROOT, stray, MIDDLE, LOW_LEAF))
    )


def test_a_missing_intermediate_is_untrusted_and_named() -> None:
    """The log says whose certificate is missing."""
    outcome = failed(peer(LOW_LEAF))
    assert Reason.UNTRUSTED is outcome.reason
    assert "CN=Middle" in outcome.detail


def test_a_bundle_without_a_root_makes_its_certificates_anchors() -> None:
    """Then the chain ends there, and not at a root that nobody named."""
    outcome = built(peer(LOW_LEAF), client_ca(MIDDLE))
    assert ders(LOW_LEAF, MIDDLE) == chain_of(outcome)
    assert Reason.UNTRUSTED is failed(peer(LEAF, ROOT), client_ca(MIDDLE)).reason


def test_an_intermediate_beside_a_root_is_no_anchor() -> None:
    """Partial chains are for bundles without a root only, also beside such a bundle."""
    orphan = authority("Orphan", OTHER, key=p256(5))
    mixed = client_ca(ROOT, orphan, name="mixed")
    leaf = client("c", orphan, key=p256(1))
    assert Reason.UNTRUSTED is failed(peer(leaf), mixed, client_ca(MIDDLE, name="part")).reason
    assert Reason.UNTRUSTED is failed(peer(leaf, OTHER), mixed).reason


def test_a_chain_may_end_at_several_client_cas() -> None:
    """Each client CA has its own path; they are named in the host's order."""
    outcome = built(
        peer(LOW_LEAF, MIDDLE),
        client_ca(OTHER, name="other"),
        client_ca(MIDDLE, name="partial"),
        client_ca(ROOT, name="whole"),
        client_ca(ROOT, OTHER, name="both"),
    )
    assert ("partial", "whole", "both") == outcome.client_cas
    lengths = {path.client_ca: len(path.chain) for path in outcome.paths}
    assert {"partial": 2, "whole": 3, "both": 3} == lengths


def test_a_renewed_root_with_the_same_key_is_found_in_its_own_client_ca() -> None:
    """Two roots of one name and key in two client CAs: the chain ends at both."""
    renewed = authority("Root", key=p256(0), end=MOMENT + 99 * DAY)
    outcome = built(peer(LEAF), client_ca(ROOT, name="old"), client_ca(renewed, name="new"))
    assert ("old", "new") == outcome.client_cas


def test_names_in_another_encoding_or_case_find_their_ca() -> None:
    """RFC 5280 §7.1: OpenSSL's own tools rewrite names, and the names are still the same."""
    loud = authority("ROOT  ca", key=p256(6))
    quiet = Minted(authority("root CA", key=p256(6)).x509, p256(6))
    leaf = client("c", quiet, key=p256(1))
    assert ("ca",) == built(peer(leaf), client_ca(loud)).client_cas


def test_a_self_signed_client_certificate_may_be_its_own_anchor() -> None:
    """Small shops name it as the client CA itself."""
    alone = mint("device", key=p256(7))
    assert ders(alone) == chain_of(built(peer(alone), client_ca(alone)))


def test_a_leaf_named_as_an_anchor_verifies_alone() -> None:
    """A bundle without a root may hold a leaf."""
    assert ders(LEAF) == chain_of(built(peer(LEAF), client_ca(LEAF)))


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP224R1()),
        ec.generate_private_key(ec.SECP521R1()),
        ed25519.Ed25519PrivateKey.generate(),
        ed448.Ed448PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=lambda key: type(key).__name__,
)
def test_keys_that_are_strong_enough_pass(key: Any) -> None:
    """112 bits of strength and more."""
    assert isinstance(build(peer(client("c", ROOT, key=key))), Built)


def test_what_the_usual_small_ca_makes_is_accepted() -> None:
    """`openssl req -x509` writes no key usage, `openssl x509 -req` a leaf with no extensions."""
    plain = mint("plain", extensions=[(x509.BasicConstraints(True, None), False)], key=p256(9))
    leaf = mint("c", plain, key=p256(1))
    assert isinstance(build(peer(leaf), client_ca(plain)), Built)


def test_a_leaf_without_extended_key_usage_passes() -> None:
    """RFC 5280 §4.2.1.12: what is not stated is not restricted."""
    assert isinstance(build(peer(client("c", ROOT, key=p256(1), usages=()))), Built)


# -- client CAs --------------------------------------------------------------------------------


def test_a_client_ca_is_made_once_for_all_hosts_and_goes_with_the_last() -> None:
    """Ten thousand hosts share one store and one set of revoked serials."""
    ca = client_ca(authority("Shared", key=p256(2)))
    first = shared_authority(ca)
    assert first is shared_authority(client_ca_copy(ca))
    assert first is shared_authority(replace(ca, hosts=("x.example.com",), verifiers=("chain",)))
    assert first is not shared_authority(replace(ca, crl_policy="warn"))
    del first
    assert replace(ca, hosts=()) not in authorities._shared


def client_ca_copy(ca: ClientCA) -> ClientCA:
    return ClientCA(ca.name, bytes(bytearray(ca.certificates)), ca.hosts, ca.place)


def test_a_bundle_that_cannot_be_read_is_named() -> None:
    """The configuration's author needs the client CA and the file."""
    with pytest.raises(BadCertificate, match=r"client CA 'x' \(x\.pem\): there is no certificate"):
        Authority(ClientCA("x", b"", ("a.example",), place="x.pem"))


def _self_issued(signer: Any) -> Minted:
    """A certificate that names itself as its issuer; whether it is, the key decides."""
    issuer = Minted(authority("Self", key=p256(4)).x509, signer)
    return client("Self", issuer, key=p256(5))


def test_self_signed_is_what_its_own_key_signed() -> None:
    """Not what merely has one name twice, as key rollovers do."""
    assert is_self_signed(ROOT.read)
    assert not is_self_signed(MIDDLE.read)
    assert is_self_signed(_self_issued(p256(5)).read)
    assert not is_self_signed(_self_issued(p256(4)).read)


def test_several_common_names_verify_and_name_nobody() -> None:
    """The chain is good; the name is not one (invariant 8)."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each) for each in ("a", "b")])
    outcome = built(peer(client(subject, ROOT, key=p256(1))))
    assert "" == outcome.chain[0].common_name


def test_every_usage_of_a_client_passes() -> None:
    """Client authentication among others is client authentication."""
    usages: Sequence[x509.ObjectIdentifier] = (*SERVER, *CLIENT)
    assert isinstance(build(peer(client("c", ROOT, key=p256(1), usages=usages))), Built)

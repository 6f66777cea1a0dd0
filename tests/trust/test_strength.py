"""What is too weak in a chain, asked directly: OpenSSL's answer comes first elsewhere."""

from __future__ import annotations

from cryptography import x509
from trust_pki import authority, client, key_usage, mint, p256

from mtlsedge.trust.strength import weakness

ROOT = authority("Root", key=p256(0))


def test_an_issuer_says_that_it_is_a_ca_unless_it_is_a_root() -> None:
    """RFC 5280 §6.1.4 (k); some releases of OpenSSL take a key usage for it."""
    signs = [(key_usage("key_cert_sign"), True)]
    vague = mint("Vague", ROOT, key=p256(3), extensions=signs)
    outcome = weakness((client("c", vague, key=p256(1)).read, vague.read, ROOT.read))
    assert outcome is not None
    assert 1 == outcome.depth
    assert "CN=Vague: it has no basic constraints" in outcome.detail
    no = mint("No", ROOT, key=p256(3), extensions=[(x509.BasicConstraints(False, None), True)])
    outcome = weakness((client("c", no, key=p256(1)).read, no.read))
    assert outcome is not None
    assert "say that it is not a CA's" in outcome.detail


def test_an_old_root_says_nothing_and_need_not() -> None:
    """Version 1 roots have no extensions at all."""
    root = mint("Old", key=p256(3))
    assert None is weakness((client("c", root, key=p256(1)).read, root.read))


def test_a_weakness_keeps_the_chain_it_was_found_in() -> None:
    """For the log, and for `explain`."""
    vague = mint("Vague", ROOT, key=p256(3))
    chain = (client("c", vague, key=p256(1)).read, vague.read, ROOT.read)
    outcome = weakness(chain)
    assert outcome is not None
    assert chain == outcome.chain


def test_only_an_anchor_is_excused_from_saying_that_it_is_a_ca() -> None:
    """A CA that copies the subject out of a request may be had to certify its own name."""
    signs = [(key_usage("key_cert_sign"), True)]
    namesake = mint("Root", ROOT, key=p256(3), extensions=signs)
    outcome = weakness((client("c", namesake, key=p256(1)).read, namesake.read, ROOT.read))
    assert outcome is not None
    assert (1, True) == (outcome.depth, "no basic constraints" in outcome.detail)

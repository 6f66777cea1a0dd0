"""Where values begin and end; and the one name that is found without parsing the rest."""

from __future__ import annotations

import pytest
from trust_pki import authority, client, mint, p256

from mtlsedge.trust.der import BadDer, issuer_of

ROOT = authority("Root", key=p256(0))


def test_the_issuer_is_found_in_certificates_of_every_version() -> None:
    """Version 1 has no field that says so (RFC 5280 §4.1.2.1)."""
    leaf = client("c", ROOT, key=p256(1))
    assert leaf.x509.issuer.public_bytes() == issuer_of(leaf.der)
    version = bytes.fromhex("a003020102")
    start = leaf.der.index(version)
    signed = leaf.der[start + len(version) :]
    body = b"\x30\x82" + len(signed).to_bytes(2, "big") + signed
    first = b"\x30\x82" + len(body).to_bytes(2, "big") + body
    assert leaf.x509.issuer.public_bytes() == issuer_of(first)


def test_nothing_is_read_beyond_the_end() -> None:
    """However a certificate is cut, or whatever stands in its place."""
    der = mint("c", ROOT, key=p256(1)).der
    for length in range(len(der)):
        with pytest.raises(BadDer):
            issuer_of(der[:length])
    for octets in (b"", b"\x30\x00", b"\x30\x02\x30\x00", b"\x30\x80" + der):
        with pytest.raises(BadDer):
            issuer_of(octets)

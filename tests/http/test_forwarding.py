"""Certificate headers: exact dialects, only for certificates that verified, always safe."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from mtlsedge.http.forwarding import (
    EDGE_CERTIFICATE_HEADERS,
    certificate_headers,
    distinguished_name_value,
    xfcc_element,
)
from mtlsedge.identity import ANONYMOUS, Certificate, Identity, PeerChain, Reason

ALL = frozenset(("cf", "rfc9440", "xfcc"))


def _x509(common_name: str) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )


PARSED = _x509("device-1")


def _certificate(**changes: Any) -> Certificate:
    der = PARSED.public_bytes(Encoding.DER)
    fields: dict[str, Any] = {
        "der": der,
        "subject": "CN=device-1",
        "issuer": "CN=device-1",
        "serial": "7",
        "common_names": ("device-1",),
        "organizations": (),
        "organizational_units": (),
        "san_dns": (),
        "san_uri": (),
        "san_email": (),
        "san_ip": (),
        "not_before": 0.0,
        "not_after": 1.0,
        "fingerprint_sha256": PARSED.fingerprint(hashes.SHA256()).hex(),
        "spki_sha256": "00",
        "x509": PARSED,
    }
    return Certificate(**(fields | changes))


LEAF = _certificate()
ISSUER, ROOT = _certificate(der=b"issuer"), _certificate(der=b"root")


def _identity(chain: PeerChain, verified: bool = True) -> Identity:
    reason = Reason.NONE if verified else Reason.UNTRUSTED
    return Identity(presented=True, verified=verified, reason=reason, chain=chain)


def _parse_xfcc(value: str) -> list[tuple[str, str]]:
    """One element read the way Envoy documents it: quotes protect, backslash-quote is a quote."""
    pairs, rest = [], value
    while rest:
        match = re.match(r'([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^",;]*))(;|$)', rest)
        assert match is not None, rest
        pairs.append((match[1], match[2] if match[2] is not None else match[3]))
        rest = rest[match.end() :]
    return pairs


def test_the_flags_go_out_without_a_certificate() -> None:
    """A client that presented nothing is said to have presented nothing."""
    expected = ((b"Cf-Cert-Presented", b"false"), (b"Cf-Cert-Verified", b"false"))
    assert expected == certificate_headers(ANONYMOUS, ALL)


def test_a_certificate_that_did_not_verify_is_flagged_and_not_forwarded() -> None:
    """An origin may take the presence of a certificate for its validity."""
    expected = ((b"Cf-Cert-Presented", b"true"), (b"Cf-Cert-Verified", b"false"))
    assert expected == certificate_headers(_identity(PeerChain(LEAF), verified=False), ALL)


def test_no_dialect_no_certificate() -> None:
    """Only the flags where the host forwards nothing."""
    headers = certificate_headers(_identity(PeerChain(LEAF)), frozenset())
    assert [b"Cf-Cert-Presented", b"Cf-Cert-Verified"] == [name for name, _ in headers]


def test_cloudflare_dialect() -> None:
    """DER in base64, and its SHA-256 in lower-case hexadecimal."""
    headers = dict(certificate_headers(_identity(PeerChain(LEAF)), frozenset(("cf",))))
    assert LEAF.der == base64.b64decode(headers[b"Cf-Client-Cert-Der-Base64"], validate=True)
    assert LEAF.fingerprint_sha256.encode() == headers[b"Cf-Client-Cert-Sha256"]


def test_rfc9440_dialect_has_the_verified_chain_without_the_leaf() -> None:
    """The chain that was built, in order, and not what the peer sent."""
    chain = PeerChain(LEAF, sent=(_certificate(der=b"forged"),), verified=(LEAF, ISSUER, ROOT))
    headers = dict(certificate_headers(_identity(chain), frozenset(("rfc9440",))))
    encoded = base64.b64encode(LEAF.der)
    assert b":" + encoded + b":" == headers[b"Client-Cert"]
    assert b":aXNzdWVy:, :cm9vdA==:" == headers[b"Client-Cert-Chain"]


@pytest.mark.parametrize(
    "verified",
    [
        (),
        (LEAF,),
        (LEAF, *(ISSUER,) * 17),
        (LEAF, _certificate(der=b"x" * 20_000)),
    ],
)
def test_rfc9440_leaves_out_a_chain_that_is_empty_or_too_large(
    verified: tuple[Certificate, ...],
) -> None:
    """No empty list, and no half of a chain."""
    chain = PeerChain(LEAF, verified=verified)
    headers = dict(certificate_headers(_identity(chain), frozenset(("rfc9440",))))
    assert b"Client-Cert" in headers
    assert b"Client-Cert-Chain" not in headers


def test_rfc9440_has_no_chain_without_a_leaf() -> None:
    """RFC 9440 §2.3: the chain must not stand alone."""
    large = _certificate(der=b"x" * 20_000)
    chain = PeerChain(large, verified=(large, ROOT))
    headers = dict(certificate_headers(_identity(chain), ALL))
    assert b"Client-Cert" not in headers
    assert b"Client-Cert-Chain" not in headers
    assert b"Cf-Client-Cert-Der-Base64" not in headers


def test_xfcc_dialect() -> None:
    """Envoy's keys in Envoy's order, the subject always quoted."""
    leaf = _certificate(
        subject="CN=Test Client,O=Lyft", san_uri=("http://client/",), san_dns=("a.test", "b.test")
    )
    value = xfcc_element(leaf, "spiffe://example.org/edge").decode()
    cert = 'Cert="' + value.partition('Cert="')[2].partition('"')[0] + '"'
    expected = (
        f"By=spiffe://example.org/edge;Hash={leaf.fingerprint_sha256};{cert};"
        'Subject="CN=Test Client,O=Lyft";URI=http://client/;DNS=a.test;DNS=b.test'
    )
    assert expected == value
    pem = unquote(dict(_parse_xfcc(value))["Cert"])
    assert PARSED == x509.load_pem_x509_certificate(pem.encode())


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ('CN=a\\";Hash=0', "CN=a\\22\\3BHash=0"),
        ("CN=a\\\\", "CN=a\\5C"),
        ("CN=a\\,b,O=c", "CN=a\\2Cb,O=c"),
        ("CN=a\\0Ab", "CN=a\\0Ab"),
        ("CN=\u00e9\r\n", "CN=\\C3\\A9\\0D\\0A"),
        ("CN=a\\", "CN=a\\5C"),
    ],
)
def test_names_are_rewritten_with_hexadecimal_escapes(subject: str, expected: str) -> None:
    """The same name by RFC 4514, with nothing that XFCC parsers disagree on."""
    assert expected == distinguished_name_value(subject)


def test_an_overlong_subject_is_left_out() -> None:
    """Cut short, it could be the name of somebody else."""
    value = xfcc_element(_certificate(subject="CN=" + "a" * 5000)).decode()
    assert "Subject" not in dict(_parse_xfcc(value))


def test_a_dns_name_that_is_none_is_left_out() -> None:
    """A name with separators in it would become a pair of its own."""
    names = ("good.test", 'x;Hash="0', "*.wild.test", "b,c", "")
    value = xfcc_element(_certificate(san_dns=names)).decode()
    assert ["good.test", "*.wild.test"] == [v for key, v in _parse_xfcc(value) if key == "DNS"]


@given(st.text(), st.lists(st.text()), st.lists(st.text()), st.text())
def test_no_certificate_can_forge_or_break_a_header(
    subject: str, uris: list[str], names: list[str], by: str
) -> None:
    """Whatever a certificate holds: safe bytes, and only the pairs that belong there."""
    leaf = _certificate(subject=subject, san_uri=tuple(uris), san_dns=tuple(names))
    value = xfcc_element(leaf, by)
    assert re.fullmatch(rb"[ -~]*", value)
    pairs = _parse_xfcc(value.decode("ascii"))
    assert [leaf.fingerprint_sha256] == [text for key, text in pairs if key == "Hash"]
    assert 1 == sum(key == "Subject" for key, _ in pairs)
    assert len(uris[:32]) == sum(key == "URI" for key, _ in pairs)


def test_every_name_that_is_set_is_a_name_that_is_deleted() -> None:
    """The list for deleting requests' own headers is complete."""
    chain = PeerChain(LEAF, verified=(LEAF, ROOT))
    headers = certificate_headers(_identity(chain), ALL)
    assert EDGE_CERTIFICATE_HEADERS == {name.lower() for name, _ in headers}

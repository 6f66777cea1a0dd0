"""What hostile bytes say, and that they never say it with another exception."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from trust_pki import DAY, MOMENT, NOW, Minted, authority, client, mint, p256

from mtlsedge.errors import BadCertificate
from mtlsedge.trust import certificates
from mtlsedge.trust.certificates import name_key, read_bundle, read_certificate

ROOT = authority("Root", key=p256(0))
NAMES = [
    x509.DNSName("device.example.com"),
    x509.UniformResourceIdentifier("spiffe://example.org/a"),
    x509.RFC822Name("james@example.com"),
    x509.IPAddress(ip_address("192.0.2.1")),
    x509.IPAddress(ip_address("2001:db8::1")),
]


def dn(*pairs: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value, _validate=False) for oid, value in pairs])


def test_everything_that_rules_can_name_is_read() -> None:
    """Each attribute is what the certificate says."""
    subject = dn(
        (NameOID.ORGANIZATION_NAME, "Example"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "Fleet"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "Doors"),
        (NameOID.COMMON_NAME, "device-1"),
    )
    minted = client(subject, ROOT, key=p256(1), names=NAMES, serial=0x00A1B2)
    got = read_certificate(minted.der)
    assert "CN=device-1,OU=Doors,OU=Fleet,O=Example" == got.subject
    assert "CN=Root" == got.issuer
    assert "A1B2" == got.serial
    assert ("device-1",) == got.common_names
    assert "device-1" == got.common_name
    assert ("Example",) == got.organizations
    assert ("Fleet", "Doors") == got.organizational_units
    assert ("device.example.com",) == got.san_dns
    assert ("spiffe://example.org/a",) == got.san_uri
    assert ("james@example.com",) == got.san_email
    assert ("192.0.2.1", "2001:db8::1") == got.san_ip
    assert (NOW - 86400, NOW + 86400) == (got.not_before, got.not_after)
    assert sha256(minted.der).hexdigest() == got.fingerprint_sha256
    spki = minted.x509.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert sha256(spki).hexdigest() == got.spki_sha256
    assert minted.x509 == got.x509
    assert minted.der == got.der


@pytest.mark.parametrize(
    ("common_names", "expected"),
    [
        (("one",), "one"),
        ((), ""),
        (("one", "two"), ""),
        (("one", "one"), ""),
        (("admin\0.evil",), ""),
        (("",), ""),
    ],
)
def test_a_common_name_counts_only_where_there_is_one(
    common_names: tuple[str, ...], expected: str
) -> None:
    """Invariant 8: readers differ on several, and on a NUL."""
    subject = dn(*((NameOID.COMMON_NAME, each) for each in common_names))
    got = client(subject, ROOT, key=p256(1)).read
    assert common_names == got.common_names
    assert expected == got.common_name


def test_subject_text_cannot_move_a_cursor_or_end_a_line() -> None:
    """Control, format and separator characters are escaped as RFC 4514 escapes octets."""
    hostile = 'a\nb\x1b[2J\x00\u202ec\u2028d\x85e,f"é'
    got = client(dn((NameOID.COMMON_NAME, hostile)), ROOT, key=p256(1)).read
    expected = 'CN=a\\0Ab\\1B[2J\\00\\E2\\80\\AEc\\E2\\80\\A8d\\C2\\85e\\,f\\"é'
    assert expected == got.subject
    assert (hostile,) == got.common_names
    assert got.subject.isprintable()


def test_alternative_names_that_nobody_can_mean_are_left_out() -> None:
    """Empty ones (cfssl writes them), NUL and control characters, blanks, networks, others."""
    names = [
        x509.DNSName(""),
        x509.DNSName("admin.example.com\0.evil.example"),
        x509.DNSName("a\nb"),
        x509.DNSName(" a.example "),
        x509.DNSName("good.example"),
        x509.UniformResourceIdentifier("spiffe://example.org/a\0b"),
        x509.RFC822Name("james@example.com\0"),
        x509.IPAddress(ip_network("192.0.2.0/24")),
        x509.DirectoryName(dn((NameOID.COMMON_NAME, "x"))),
        x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x0c\x01x"),
        x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
    ]
    got = client("c", ROOT, key=p256(1), names=names).read
    assert ("good.example",) == got.san_dns
    assert ((), (), ()) == (got.san_uri, got.san_email, got.san_ip)


def test_no_subject_and_no_alternative_name_is_a_certificate_all_the_same() -> None:
    """It can be pinned."""
    got = client(None, ROOT, key=p256(1)).read
    assert ("", (), ()) == (got.subject, got.common_names, got.san_dns)


@pytest.mark.parametrize(
    ("octets", "expected"), [(b"\x00", "0"), (b"\xff", "-1"), (b"\x00\xff", "FF"), (b"\x0a", "A")]
)
@pytest.mark.filterwarnings("ignore")
def test_serials_of_every_sign_are_read(octets: bytes, expected: str) -> None:
    """Zero and negative ones break RFC 5280 §4.1.2.2; they exist."""
    minted = mint("c", ROOT, key=p256(1), serial=0x7A7B if len(octets) == 2 else 0x7A)
    old = bytes([2, len(octets)]) + (b"\x7a\x7b" if len(octets) == 2 else b"\x7a")
    der = minted.der.replace(old, bytes([2, len(octets)]) + octets, 1)
    try:
        assert expected == read_certificate(der).serial
    except BadCertificate:  # a later `cryptography` may refuse them, and so do we then
        assert expected in ("0", "-1")


def test_a_doubled_extension_is_refused() -> None:
    """RFC 5280 §4.2: readers differ on which one counts."""
    names = [x509.UniformResourceIdentifier("spiffe://example.org/aaaa")]
    extra = (x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.99"), b"\x30\x00"), False)
    plain = [(x509.SubjectAlternativeName(names), False), extra]
    der = mint("c", ROOT, key=p256(1), extensions=plain).der
    twice = der.replace(bytes.fromhex("0603551d63"), bytes.fromhex("0603551d11"))
    assert twice != der
    with pytest.raises(BadCertificate, match="cannot be read"):
        read_certificate(twice)


@pytest.mark.parametrize("der", [b"", b"0", b"\x30\x03\x02\x01\x00", b"garbage" * 100])
def test_what_is_no_certificate_is_refused(der: bytes) -> None:
    """With the one error that callers know."""
    with pytest.raises(BadCertificate):
        read_certificate(der)


def test_every_cut_of_a_certificate_is_refused() -> None:
    """And so is one with something behind it."""
    der = client("c", ROOT, key=p256(1), names=NAMES).der
    for length in range(len(der)):
        with pytest.raises(BadCertificate):
            read_certificate(der[:length])
    with pytest.raises(BadCertificate):
        read_certificate(der + b"\0")


GOOD = client(
    dn((NameOID.ORGANIZATION_NAME, "Example"), (NameOID.COMMON_NAME, "c")),
    ROOT,
    key=p256(1),
    names=NAMES,
).der


@settings(max_examples=1500, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=4)
)
@pytest.mark.filterwarnings("ignore")
def test_a_mutated_certificate_is_read_or_refused(changes: list[tuple[int, int]]) -> None:
    """Nothing but BadCertificate comes out of hostile bytes, then or later."""
    mutated = bytearray(GOOD)
    for position, octet in changes:
        mutated[position] = octet
    try:
        got = read_certificate(bytes(mutated))
    except BadCertificate:
        return
    assert got.subject.isprintable()
    assert got.issuer.isprintable()
    assert all(text.isprintable() for text in (*got.san_dns, *got.san_uri, *got.san_email))
    int(got.serial, 16)
    assert name_key(got.x509.issuer) == got.issuer_key
    name_key(got.x509.subject)


def test_the_same_bytes_are_read_once() -> None:
    """A distinct certificate is parsed once, while it is remembered."""
    der = client("once", ROOT, key=p256(1)).der
    assert read_certificate(der) is read_certificate(bytes(bytearray(der)))


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By count; and neither a long certificate nor one with many names is kept at all."""
    small: certificates.BoundedCache = certificates.BoundedCache(3)
    monkeypatch.setattr(certificates, "_read", small)
    for number in range(5):
        read_certificate(client(f"c{number}", ROOT, key=p256(1)).der)
    assert 3 == len(small)
    padding = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), bytes(17_000)), False)
    long = mint("long", ROOT, key=p256(1), extensions=[padding]).der
    assert read_certificate(long) is not read_certificate(long)
    many = client("m", ROOT, key=p256(1), names=[x509.DNSName(f"n{n}") for n in range(70)]).der
    assert read_certificate(many) is not read_certificate(many)


@pytest.mark.parametrize(
    ("make", "kind", "bits"),
    [
        (lambda: rsa.generate_private_key(65537, 2048), "RSA", 2048),
        (lambda: ec.generate_private_key(ec.SECP224R1()), "EC", 224),
        (ed25519.Ed25519PrivateKey.generate, "Ed25519", 0),
        (ed448.Ed448PrivateKey.generate, "Ed448", 0),
        (lambda: dsa.generate_private_key(1024), "", 1024),
    ],
)
def test_keys_of_every_kind_are_read(make: Callable[[], Any], kind: str, bits: int) -> None:
    """Whether they are good enough is asked elsewhere."""
    got = mint("c", ROOT, key=make()).read
    assert ("c", kind, bits) == (got.common_name, got.key_kind, got.key_bits)


@pytest.mark.parametrize(
    ("extensions", "expected"),
    [
        ([], False),
        ([(x509.BasicConstraints(False, None), True)], False),
        ([(x509.BasicConstraints(True, None), False)], True),
    ],
)
def test_only_basic_constraints_make_a_ca(extensions: list[Any], expected: bool) -> None:
    """RFC 5280 §4.2.1.9."""
    assert expected is mint("c", ROOT, key=p256(1), extensions=extensions).read.is_ca


def test_issuers_are_told_apart_however_alike_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each name is read once, and never taken for another's; long ones are read every time."""
    monkeypatch.setattr(certificates, "_issuers", certificates.BoundedCache(10))
    monkeypatch.setattr(certificates, "_read", certificates.BoundedCache(100))
    names = [
        x509.Name([]),
        dn((NameOID.COMMON_NAME, "Root")),
        dn((NameOID.COMMON_NAME, "root")),
        dn((NameOID.COMMON_NAME, "Root\0")),
        dn((NameOID.ORGANIZATION_NAME, "Root")),
        dn((NameOID.COMMON_NAME, "Root"), (NameOID.COMMON_NAME, "Root")),
        dn((NameOID.COMMON_NAME, "long" * 300)),
    ]
    for name in (*names, *names):
        for subject in ("a", "b"):
            got = client(subject, authority(name, key=p256(2)), key=p256(1)).read
            assert (certificates.name_text(name), name_key(name)) == (got.issuer, got.issuer_key)
    assert len(names) - 1 == len(certificates._issuers)


def test_a_certificate_that_is_remembered_is_small() -> None:
    """What it was parsed into is not kept: names, extensions and keys take three times as much."""
    ders = [client(f"c{number}", ROOT, key=p256(1), names=NAMES).der for number in range(20)]
    read_certificate(ders[0])
    tracemalloc.start()
    try:
        kept = [read_certificate(der) for der in ders[1:]]
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size / len(kept) < 3000


def test_a_date_past_2050_is_read() -> None:
    """RFC 5280 §4.1.2.5.2: GeneralizedTime, up to 99991231235959Z."""
    end = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert end.timestamp() == mint("c", ROOT, key=p256(1), end=end).read.not_after


# -- bundles ----------------------------------------------------------------------------------


def bundle(*parts: Minted | bytes) -> bytes:
    return b"".join(part if isinstance(part, bytes) else part.pem for part in parts)


def test_a_bundle_is_read_in_order_and_each_once() -> None:
    """Text between the certificates is nothing, as in the bundles of distributions."""
    other = authority("Other", key=p256(2))
    pem = bundle(b"# Root CA\n", ROOT, b"subject: x\r\n", other, ROOT)
    assert [ROOT.der, other.der] == [each.der for each in read_bundle(pem)]


@pytest.mark.parametrize(
    ("pem", "words"),
    [
        (b"", "there is no certificate"),
        (b"-----BEGIN PRIVATE KEY-----\n", "there is no certificate"),
        (ROOT.pem + ROOT.pem[:-30], "no -----END CERTIFICATE-----"),
        (ROOT.pem[:-30] + ROOT.pem, "no -----END CERTIFICATE-----"),
        (ROOT.pem + ROOT.pem.replace(b"MII", b"AII", 1), "certificate 2"),
        (b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----", "certificate 1"),
    ],
)
def test_a_broken_bundle_is_refused_whole(pem: bytes, words: str) -> None:
    """A client CA of which half was read would surprise."""
    with pytest.raises(BadCertificate, match=words):
        read_bundle(pem)


def test_name_keys_forget_what_rfc_5280_forgets() -> None:
    """Case and inner blanks do not count (§7.1); a different name does."""
    a = name_key(dn((NameOID.COMMON_NAME, "Access  Testing CA")))
    assert a == name_key(dn((NameOID.COMMON_NAME, "access testing ca ")))
    assert a != name_key(dn((NameOID.COMMON_NAME, "access testing cb")))
    assert a != name_key(dn((NameOID.ORGANIZATION_NAME, "Access Testing CA")))


def test_the_fixed_moment_is_within_what_is_minted() -> None:
    """The helpers of these tests agree on when they happen."""
    assert ROOT.read.not_before < NOW < ROOT.read.not_after
    assert MOMENT + 10 * DAY == ROOT.x509.not_valid_after_utc

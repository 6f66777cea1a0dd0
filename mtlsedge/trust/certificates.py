"""What does a certificate say? From hostile bytes to a ``Certificate``, once for the same bytes.

Everything the edge will ever look at is read here, so that nothing hostile is left to be parsed
later, when a request waits for it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from mtlsedge.errors import BadCertificate
from mtlsedge.identity import Certificate, NameKey
from mtlsedge.trust.caches import LARGEST_CACHED, BoundedCache
from mtlsedge.trust.der import issuer_of

E = TypeVar("E", bound=x509.ExtensionType)

_CACHED = 2048  # certificates
_CACHED_NAMES = 64  # a certificate with more names is read again: each costs an object
_ISSUERS = 256  # names of issuers, which many certificates have in common
_LONGEST_ISSUER = 1024  # bytes
_KEYS = {
    "EC": ec.EllipticCurvePublicKey,
    "RSA": rsa.RSAPublicKey,
    "Ed25519": ed25519.Ed25519PublicKey,
    "Ed448": ed448.Ed448PublicKey,
}
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_PEM_BEGIN = b"-----BEGIN CERTIFICATE-----"

_read: BoundedCache[bytes, Certificate] = BoundedCache(_CACHED)
_issuers: BoundedCache[bytes, tuple[str, NameKey]] = BoundedCache(_ISSUERS)


def read_certificate(der: bytes) -> Certificate:
    """Read one certificate (RFC 5280), whoever sent it.

    Subject alternative names that are empty or hold anything but printable ASCII are left out:
    no rule can mean them. So are the kinds that no rule names.

    Raises:
        BadCertificate: any part of it cannot be read: names, extensions, key, dates.
    """
    known = _read.get(der)
    if known is not None:
        return known
    try:
        certificate = _parse(der)
    except Exception as error:  # cryptography raises a dozen kinds for what it cannot read
        raise BadCertificate(f"the certificate cannot be read: {error}") from error
    if len(der) <= LARGEST_CACHED and _count_names(certificate) <= _CACHED_NAMES:
        _read.put(certificate.der, certificate)
    return certificate


def read_bundle(pem: bytes) -> tuple[Certificate, ...]:
    """Read the certificates of a PEM bundle (RFC 7468), in order, each once.

    Raises:
        BadCertificate: there is none, or one of them is cut short or cannot be read.
    """
    blocks = _PEM.findall(pem)
    if not blocks:
        raise BadCertificate("there is no certificate (-----BEGIN CERTIFICATE-----) in it")
    if len(blocks) != pem.count(_PEM_BEGIN):
        raise BadCertificate("a certificate in it has no -----END CERTIFICATE----- line")
    found: dict[bytes, Certificate] = {}
    for number, block in enumerate(blocks, 1):
        try:
            der = x509.load_pem_x509_certificate(block).public_bytes(Encoding.DER)
            found.setdefault(der, read_certificate(der))
        except ValueError as error:
            raise BadCertificate(f"certificate {number} in it cannot be read: {error}") from error
    return tuple(found.values())


def name_key(name: x509.Name) -> NameKey:
    """What is equal for two names that RFC 5280 §7.1 may take for one.

    Coarser than that: for finding candidates, whose signatures then decide.
    """
    return tuple(
        frozenset((part.oid.dotted_string, _folded(part.value)) for part in rdn)
        for rdn in name.rdns
    )


def _folded(value: str | bytes) -> str | bytes:
    return " ".join(value.casefold().split()) if isinstance(value, str) else value


def _parse(der: bytes) -> Certificate:
    parsed = x509.load_der_x509_certificate(der)
    subject = parsed.subject
    issuer, issuer_key = _issuer(parsed, der)
    extensions = parsed.extensions
    names = tuple(_extension(extensions, x509.SubjectAlternativeName) or ())
    constraints = _extension(extensions, x509.BasicConstraints)
    key = parsed.public_key()
    parsed.signature_algorithm_oid  # noqa: B018 - read so that it cannot raise later
    return Certificate(
        der=bytes(der),
        subject=name_text(subject),
        issuer=issuer,
        serial=f"{parsed.serial_number:X}",
        common_names=_attributes(subject, NameOID.COMMON_NAME),
        organizations=_attributes(subject, NameOID.ORGANIZATION_NAME),
        organizational_units=_attributes(subject, NameOID.ORGANIZATIONAL_UNIT_NAME),
        san_dns=_printable(n.value for n in names if isinstance(n, x509.DNSName)),
        san_uri=_printable(n.value for n in names if isinstance(n, x509.UniformResourceIdentifier)),
        san_email=_printable(n.value for n in names if isinstance(n, x509.RFC822Name)),
        san_ip=_addresses(names),
        not_before=parsed.not_valid_before_utc.timestamp(),
        not_after=parsed.not_valid_after_utc.timestamp(),
        fingerprint_sha256=sha256(der).hexdigest(),
        spki_sha256=sha256(
            key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        ).hexdigest(),
        # Not the one above: what it was asked for it keeps, three times what all of this takes.
        x509=x509.load_der_x509_certificate(der),
        issuer_key=issuer_key,
        key_kind=_kind_of(type(key)),
        key_bits=getattr(key, "key_size", 0),
        is_ca=constraints is not None and constraints.ca,
    )


def _issuer(parsed: x509.Certificate, der: bytes) -> tuple[str, NameKey]:
    """The issuer's name as text and for comparisons, made once for all whom it issued."""
    written = issuer_of(der)
    known = _issuers.get(written)
    if known is None:
        name = parsed.issuer
        known = name_text(name), name_key(name)
        if len(written) <= _LONGEST_ISSUER:
            _issuers.put(written, known)
    return known


@lru_cache(maxsize=32)
def _kind_of(key: type) -> str:
    return next((kind for kind, base in _KEYS.items() if issubclass(key, base)), "")


def _extension(extensions: x509.Extensions, kind: type[E]) -> E | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _printable(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(
        value
        for value in values
        if value and value.isascii() and value.isprintable() and value == value.strip()
    )


def _addresses(names: Iterable[x509.GeneralName]) -> tuple[str, ...]:
    # Eight octets make a network, which is for name constraints and names nobody.
    return tuple(
        str(name.value)
        for name in names
        if isinstance(name, x509.IPAddress) and isinstance(name.value, IPv4Address | IPv6Address)
    )


def _attributes(name: x509.Name, oid: x509.ObjectIdentifier) -> tuple[str, ...]:
    values = tuple(attribute.value for attribute in name.get_attributes_for_oid(oid))
    if not all(isinstance(value, str) for value in values):
        raise BadCertificate(f"the attribute {oid.dotted_string} is not text")
    return tuple(str(value) for value in values)


def name_text(name: x509.Name) -> str:
    """RFC 4514 text in which nothing can move a cursor, end a line or turn the writing."""
    text = name.rfc4514_string()
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        octets = character.encode("utf-8", "surrogatepass")
        return "".join(f"\\{octet:02X}" for octet in octets)
    return character


def _count_names(certificate: Certificate) -> int:
    names = (
        certificate.common_names,
        certificate.organizations,
        certificate.organizational_units,
        certificate.san_dns,
        certificate.san_uri,
        certificate.san_email,
        certificate.san_ip,
    )
    return sum(map(len, names))

"""What does a certificate say? From hostile bytes to a ``Certificate``, once for the same bytes.

Everything the edge will ever look at is read here, so that nothing hostile is left to be parsed
later, when a request waits for it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from mtlsedge.errors import BadCertificate
from mtlsedge.identity import Certificate
from mtlsedge.trust.caches import LARGEST_CACHED, BoundedCache

NameKey = tuple[frozenset[tuple[str, str | bytes]], ...]

_CACHED = 2048  # certificates
_CACHED_NAMES = 64  # a certificate with more names is read again: each costs an object
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_PEM_BEGIN = b"-----BEGIN CERTIFICATE-----"

_read: BoundedCache[bytes, Certificate] = BoundedCache(_CACHED)


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
    certificate = x509.load_der_x509_certificate(der)
    subject = certificate.subject
    names = _alternative_names(certificate.extensions)
    key = certificate.public_key()
    certificate.signature_algorithm_oid  # noqa: B018 - read so that it cannot raise later
    return Certificate(
        der=bytes(der),
        subject=name_text(subject),
        issuer=name_text(certificate.issuer),
        serial=f"{certificate.serial_number:X}",
        common_names=_attributes(subject, NameOID.COMMON_NAME),
        organizations=_attributes(subject, NameOID.ORGANIZATION_NAME),
        organizational_units=_attributes(subject, NameOID.ORGANIZATIONAL_UNIT_NAME),
        san_dns=_printable(n.value for n in names if isinstance(n, x509.DNSName)),
        san_uri=_printable(n.value for n in names if isinstance(n, x509.UniformResourceIdentifier)),
        san_email=_printable(n.value for n in names if isinstance(n, x509.RFC822Name)),
        san_ip=_addresses(names),
        not_before=certificate.not_valid_before_utc.timestamp(),
        not_after=certificate.not_valid_after_utc.timestamp(),
        fingerprint_sha256=sha256(der).hexdigest(),
        spki_sha256=sha256(
            key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        ).hexdigest(),
        x509=certificate,
    )


def _alternative_names(extensions: x509.Extensions) -> tuple[x509.GeneralName, ...]:
    try:
        return tuple(extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return ()


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
    x = certificate.x509
    return len(list(x.subject)) + len(list(x.issuer)) + len(_alternative_names(x.extensions))

"""A PKI whose every part can be wrong on purpose, at a fixed moment.

``pki.mint`` makes what is right; these make what is wrong as well, and say when it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mtlsedge.identity import Certificate, PeerChain
from mtlsedge.model import ClientCA, CrlSource
from mtlsedge.trust.certificates import read_certificate

NOW = 1_800_000_000.0
"""The moment at which everything here happens, in seconds since the epoch."""

MOMENT = datetime.fromtimestamp(NOW, UTC)
DAY = timedelta(days=1)
SHA256 = hashes.SHA256()
CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)
SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)

_KEY_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
_serials = iter(range(0x1000, 0xFFFFFF))


@dataclass(frozen=True)
class Minted:
    """A certificate and its key."""

    x509: x509.Certificate
    key: Any

    @property
    def der(self) -> bytes:
        return self.x509.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.x509.public_bytes(Encoding.PEM)

    @property
    def read(self) -> Certificate:
        return read_certificate(self.der)


@cache
def p256(number: int = 0) -> ec.EllipticCurvePrivateKey:
    """A key that is the same for the same number: making them is most of the time."""
    return ec.generate_private_key(ec.SECP256R1())


def name(common_name: str | None) -> x509.Name:
    """A distinguished name of a common name, or an empty one."""
    if common_name is None:
        return x509.Name([])
    # Not validated: some are too long, empty, or otherwise as nobody should make them.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name, _validate=False)])


def key_usage(*bits: str) -> x509.KeyUsage:
    """A key usage with these bits set."""
    return x509.KeyUsage(**{bit: bit in bits for bit in _KEY_USAGES})


def mint(
    subject: str | x509.Name | None,
    issuer: Minted | None = None,
    *,
    key: Any = None,
    serial: int | None = None,
    start: datetime = MOMENT - DAY,
    end: datetime = MOMENT + DAY,
    extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
    digest: Any = SHA256,
) -> Minted:
    """Any certificate; without an issuer it signs itself."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    its_name = subject if isinstance(subject, x509.Name) else name(subject)
    builder = (
        x509.CertificateBuilder()
        .subject_name(its_name)
        .issuer_name(issuer.x509.subject if issuer else its_name)
        .public_key(key.public_key())
        .serial_number(next(_serials) if serial is None else serial)
        .not_valid_before(start)
        .not_valid_after(end)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return Minted(builder.sign(issuer.key if issuer else key, digest), key)


def authority(
    common_name: str,
    issuer: Minted | None = None,
    *,
    path_length: int | None = None,
    usage: x509.KeyUsage | None = None,
    more_extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
    **more: Any,
) -> Minted:
    """A CA: a root, or an intermediate under an issuer."""
    extensions = (
        (x509.BasicConstraints(True, path_length), True),
        (usage or key_usage("key_cert_sign", "crl_sign"), True),
        *more_extensions,
    )
    more = {"end": MOMENT + 10 * DAY, **more}
    return mint(common_name, issuer, extensions=extensions, **more)


def client(
    common_name: str | x509.Name | None,
    issuer: Minted | None,
    *,
    usages: Sequence[x509.ObjectIdentifier] = CLIENT,
    names: Sequence[x509.GeneralName] = (),
    more_extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
    key_usages: Sequence[str] = ("digital_signature",),
    **more: Any,
) -> Minted:
    """A client's certificate."""
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(False, None), True),
        (key_usage(*key_usages), True),
    ]
    if usages:
        extensions.append((x509.ExtendedKeyUsage(usages), False))
    if names:
        extensions.append((x509.SubjectAlternativeName(names), False))
    extensions += more_extensions
    return mint(common_name, issuer, extensions=extensions, **more)


def crl(
    issuer: Minted,
    serials: Iterable[int] = (),
    *,
    key: Any = None,
    start: datetime = MOMENT - DAY,
    end: datetime | None = MOMENT + DAY,
    number: int | None = 1,
    extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
    entry_extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
    entries: Iterable[x509.RevokedCertificate] = (),
    digest: Any = SHA256,
) -> x509.CertificateRevocationList:
    """A certificate revocation list; ``key`` is another signer's."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.x509.subject)
        .last_update(start)
        .next_update(end or MOMENT + DAY)
    )
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    for serial in serials:
        # The builder refuses serial 0, which is the very one that cfssl makes.
        builder = builder.add_revoked_certificate(entry(serial, *entry_extensions))
    for each in entries:
        builder = builder.add_revoked_certificate(each)
    return builder.sign(key or issuer.key, digest)


def entry(serial: int, *extensions: tuple[x509.ExtensionType, bool]) -> x509.RevokedCertificate:
    """One revoked certificate, for `crl_of`."""
    builder = x509.RevokedCertificateBuilder(serial, MOMENT.replace(tzinfo=None) - 2 * DAY)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.build()


def crl_of(
    issuer: Minted, entries: Iterable[x509.RevokedCertificate], **more: Any
) -> x509.CertificateRevocationList:
    """A CRL of these entries, each with its own extensions."""
    return crl(issuer, entries=tuple(entries), **more)


def reason(flag: str) -> tuple[x509.ExtensionType, bool]:
    """A reason code, as an entry's extension."""
    return x509.CRLReason(x509.ReasonFlags[flag]), False


def about(other: Minted) -> tuple[x509.ExtensionType, bool]:
    """Whose certificate an entry of an indirect list is about."""
    return x509.CertificateIssuer([x509.DirectoryName(other.x509.subject)]), True


def scope(**more: Any) -> tuple[x509.ExtensionType, bool]:
    """An issuing distribution point, as a list's extension."""
    nothing = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**{**nothing, **more}), True


def url(text: str) -> list[x509.GeneralName]:
    """A distribution point's full name."""
    return [x509.UniformResourceIdentifier(text)]


def points(*found: x509.DistributionPoint) -> tuple[x509.ExtensionType, bool]:
    """A certificate's distribution points, as its extension."""
    return x509.CRLDistributionPoints(found), False


def point(
    full_name: list[x509.GeneralName] | None = None,
    *,
    relative: x509.RelativeDistinguishedName | None = None,
    reasons: frozenset[x509.ReasonFlags] | None = None,
    issuer: Minted | None = None,
) -> x509.DistributionPoint:
    """One distribution point."""
    issuers = [x509.DirectoryName(issuer.x509.subject)] if issuer else None
    return x509.DistributionPoint(full_name, relative, reasons, issuers)


def pem(*lists: x509.CertificateRevocationList) -> bytes:
    """CRLs as one PEM file."""
    return b"".join(each.public_bytes(Encoding.PEM) for each in lists)


def source(data: bytes, place: str = "ca.crl") -> CrlSource:
    """A CRL file as the configuration has it."""
    return CrlSource(place, data)


def client_ca(*certificates: Minted, name: str = "ca", **more: Any) -> ClientCA:
    """A client CA of these certificates."""
    bundle = b"".join(certificate.pem for certificate in certificates)
    return ClientCA(name, bundle, ("a.example",), place="ca.pem", **more)


def peer(leaf: Minted, *sent: Minted) -> PeerChain:
    """What a client presented."""
    return PeerChain(leaf.read, tuple(each.read for each in sent))


class Moving:
    """A clock that a test moves; called, it says the time."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now

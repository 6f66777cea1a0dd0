"""How is a certificate made? Roots, leaves and revocation lists, in memory.

File names and habits are cfssl's, because its users come with them: ``ca.pem`` and ``ca-key.pem``,
``client.pem`` and ``client-key.pem``, and one list of ``hosts`` for names of every kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

KeyType = Literal["ec-p256", "ec-p384", "rsa-2048", "rsa-4096", "ed25519"]
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

CA_LIFETIME = timedelta(days=1825)
LEAF_LIFETIME = timedelta(days=365)
CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)
SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)

_SKEW = timedelta(minutes=5)  # for clocks that run behind the one that minted


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its private key.

    Attributes:
        certificate: PEM, leaf first, then every intermediate up to but not with the root.
        key: PEM (PKCS #8), not encrypted.
        x509: the leaf.
    """

    certificate: bytes
    key: bytes = field(repr=False)
    x509: x509.Certificate = field(repr=False)


@dataclass(frozen=True, slots=True)
class Authority:
    """One certificate authority: its certificate, its key, and what links it to its root.

    ``above`` holds the intermediates that a peer needs besides this one, nearest first; the
    root is never among them. A root has none.
    """

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)
    above: tuple[x509.Certificate, ...] = ()

    @classmethod
    def make_root(
        cls,
        common_name: str,
        key_type: KeyType = "ec-p256",
        *,
        lifetime: timedelta = CA_LIFETIME,
        not_before: datetime | None = None,
    ) -> Authority:
        """A new self-signed root."""
        key = make_key(key_type)
        name = distinguished_name(common_name)
        builder = _builder(name, name, key, lifetime, not_before)
        subject_key = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = (
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .add_extension(subject_key, critical=False)
            .add_extension(_authority_key(key), critical=False)
        )
        return cls(builder.sign(key, _digest(key)), key)

    @classmethod
    def load(cls, certificate: bytes, key: bytes) -> Authority:
        """An authority from ``ca.pem`` (the first certificate counts) and ``ca-key.pem``.

        Raises:
            ValueError: not PEM, a key of another kind, or not the certificate's key.
        """
        first, *above = x509.load_pem_x509_certificates(certificate)
        private = serialization.load_pem_private_key(key, password=None)
        if not isinstance(private, PrivateKey):
            raise ValueError(f"a key of type {type(private).__name__} cannot sign certificates")
        if private.public_key() != first.public_key():
            raise ValueError("the key is not the certificate's")
        return cls(first, private, tuple(above))

    @property
    def pem(self) -> bytes:
        """This authority's certificate alone, PEM: what goes into ``ca.pem``."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """This authority's key, PEM: what goes into ``ca-key.pem``."""
        return key_pem(self.key)

    @property
    def is_root(self) -> bool:
        """Whether it is its own issuer."""
        return self.certificate.issuer == self.certificate.subject

    def issue(
        self,
        subject: str | x509.Name,
        hosts: Sequence[str | x509.GeneralName] = (),
        ekus: Sequence[x509.ObjectIdentifier] = CLIENT,
        *,
        key_type: KeyType = "ec-p256",
        lifetime: timedelta = LEAF_LIFETIME,
        not_before: datetime | None = None,
        serial: int | None = None,
        extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
    ) -> Issued:
        """A new leaf with a new key.

        Args:
            subject: a common name, or a whole distinguished name.
            hosts: subject alternative names, read by `general_name`.
            ekus: extended key usages; none leaves the extension out.
            lifetime: from ``not_before``, which is now (less a little) unless given.
            serial: a random one unless given.
            extensions: more of them, each with whether it is critical.
        """
        key = make_key(key_type)
        name = distinguished_name(subject) if isinstance(subject, str) else subject
        builder = _builder(name, self.certificate.subject, key, lifetime, not_before, serial)
        for extension, critical in (*self._leaf_extensions(key, hosts, ekus), *extensions):
            builder = builder.add_extension(extension, critical)
        leaf = builder.sign(self.key, _digest(self.key))
        chain = b"".join(
            each.public_bytes(serialization.Encoding.PEM) for each in (leaf, *self.links())
        )
        return Issued(chain, key_pem(key), leaf)

    def issue_server(
        self,
        hosts: Sequence[str],
        *,
        key_type: KeyType = "ec-p256",
        lifetime: timedelta = LEAF_LIFETIME,
    ) -> Issued:
        """A server certificate for these names and addresses; the first is its common name."""
        return self.issue(hosts[0], hosts, SERVER, key_type=key_type, lifetime=lifetime)

    def issue_client(
        self,
        common_name: str,
        hosts: Sequence[str] = (),
        *,
        key_type: KeyType = "ec-p256",
        lifetime: timedelta = LEAF_LIFETIME,
    ) -> Issued:
        """A client certificate for this common name."""
        return self.issue(common_name, hosts, CLIENT, key_type=key_type, lifetime=lifetime)

    def crl(
        self,
        serials: Iterable[int] = (),
        next_update: timedelta = timedelta(days=7),
        *,
        number: int = 1,
        last_update: datetime | None = None,
    ) -> bytes:
        """A full CRL of this authority, PEM (RFC 5280 §5).

        ``next_update`` counts from ``last_update``, which is now (less a little) unless given.
        """
        start = last_update or datetime.now(UTC) - _SKEW
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(start)
            .next_update(start + next_update)
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(self.key_identifier(), critical=False)
        )
        for serial in serials:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(start)
            builder = builder.add_revoked_certificate(entry.build())
        signed = builder.sign(self.key, _digest(self.key))
        return signed.public_bytes(serialization.Encoding.PEM)

    def links(self) -> tuple[x509.Certificate, ...]:
        """What a peer needs besides a leaf of this authority, nearest first; never the root."""
        return () if self.is_root else (self.certificate, *self.above)

    def key_identifier(self) -> x509.AuthorityKeyIdentifier:
        """What names this authority's key (RFC 5280 §4.2.1.1): its own word for it, if any."""
        try:
            own = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        except x509.ExtensionNotFound:
            return _authority_key(self.key)
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own.value)

    def _leaf_extensions(
        self,
        key: PrivateKey,
        hosts: Sequence[str | x509.GeneralName],
        ekus: Sequence[x509.ObjectIdentifier],
    ) -> Iterable[tuple[x509.ExtensionType, bool]]:
        yield x509.BasicConstraints(ca=False, path_length=None), True
        yield _key_usage(encipherment=isinstance(key, rsa.RSAPrivateKey)), True
        yield x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False
        yield self.key_identifier(), False
        if ekus:
            yield x509.ExtendedKeyUsage(ekus), False
        if hosts:
            names = [general_name(host) if isinstance(host, str) else host for host in hosts]
            yield x509.SubjectAlternativeName(names), False


def make_key(key_type: KeyType) -> PrivateKey:
    """A new private key."""
    if key_type == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    family, size = key_type.split("-")
    if family == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=int(size))
    return ec.generate_private_key(ec.SECP384R1() if size == "p384" else ec.SECP256R1())


def key_pem(key: PrivateKey) -> bytes:
    """A private key as PEM (PKCS #8), not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def distinguished_name(common_name: str) -> x509.Name:
    """A distinguished name of nothing but a common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def general_name(text: str) -> x509.GeneralName:
    """A subject alternative name by what it looks like, as cfssl reads its ``hosts``.

    An IP address; a URI, if it has ``://``; a mail address, if it has ``@``; else a DNS name.
    """
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        pass
    if "://" in text:
        return x509.UniformResourceIdentifier(text)
    return x509.RFC822Name(text) if "@" in text else x509.DNSName(text)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: PrivateKey,
    lifetime: timedelta,
    not_before: datetime | None,
    serial: int | None = None,
) -> x509.CertificateBuilder:
    start = not_before or datetime.now(UTC) - _SKEW
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial if serial is not None else x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + lifetime)
    )


def _authority_key(signer: PrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())


def _key_usage(*, authority: bool = False, encipherment: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _digest(key: PrivateKey) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()

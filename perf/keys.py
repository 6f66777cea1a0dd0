"""Which keys do a measured server and its client have? Made afresh for every run.

The client CA is never the CA of the server's certificate: a server that finds its own issuer
among the client CAs does more work (or sends more) than one that does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Algorithm = Literal["p256", "rsa2048", "rsa4096"]
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

CLIENT_NAME = "perf-client"
UNLISTED_NAME = "perf-outsider"


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """PEM files. ``*_pem`` hold certificate and key together.

    ``client_pems`` are all clients, ``client_pem`` the first of them; each has its own key and
    common name. ``unlisted_pem`` is by the same CA, and its name is none of theirs.
    ``stranger_pem`` is a client certificate that must be refused: its issuer has the name of
    the client CA and another key.
    """

    server_ca: Path
    server_cert: Path
    server_key: Path
    server_pem: Path
    client_ca: Path
    client_ca_key: Path
    client_pem: Path
    client_pems: tuple[Path, ...]
    unlisted_pem: Path
    stranger_pem: Path


@dataclass(frozen=True, slots=True)
class _Issued:
    certificate: x509.Certificate
    key: PrivateKey


def client_names(count: int) -> tuple[str, ...]:
    """The common names of so many clients."""
    return (CLIENT_NAME, *(f"{CLIENT_NAME}-{n:06d}" for n in range(1, count)))


def make_keys(
    directory: Path, algorithm: Algorithm, server_name: str, clients: int = 1
) -> KeyFiles:
    """Write the keys of one run; ``rsa4096`` is for clients and their CA, the server has 2048."""
    server = "rsa2048" if algorithm == "rsa4096" else algorithm
    server_ca = _authority("perf server CA", server)
    client_ca = _authority("perf client CA", algorithm)
    served = _leaf(server_ca, server_name, server, ExtendedKeyUsageOID.SERVER_AUTH)
    pems = _clients(directory, client_ca, algorithm, client_names(clients))
    (unlisted,) = _clients(directory, client_ca, "p256", (UNLISTED_NAME,))
    impostor_ca = _authority("perf client CA", "p256")
    stranger = _leaf(impostor_ca, CLIENT_NAME, "p256", ExtendedKeyUsageOID.CLIENT_AUTH)
    return KeyFiles(
        server_ca=_write(directory / "server-ca.pem", _pem(server_ca)),
        server_cert=_write(directory / "server.pem", _pem(served)),
        server_key=_write(directory / "server-key.pem", _key_pem(served)),
        server_pem=_write(directory / "server-both.pem", _pem(served) + _key_pem(served)),
        client_ca=_write(directory / "client-ca.pem", _pem(client_ca)),
        client_ca_key=_write(directory / "client-ca-key.pem", _key_pem(client_ca)),
        client_pem=pems[0],
        client_pems=pems,
        unlisted_pem=unlisted,
        stranger_pem=_write(directory / "stranger-both.pem", _pem(stranger) + _key_pem(stranger)),
    )


def _clients(
    directory: Path, ca: _Issued, algorithm: Algorithm, names: Sequence[str]
) -> tuple[Path, ...]:
    made = (_leaf(ca, name, algorithm, ExtendedKeyUsageOID.CLIENT_AUTH) for name in names)
    return tuple(
        _write(directory / f"{name}-both.pem", _pem(one) + _key_pem(one))
        for name, one in zip(names, made, strict=True)
    )


def make_servers(directory: Path, names: Sequence[str]) -> list[Path]:
    """Certificate and key (P-256) in one file for each of many server names."""
    ca = _authority("perf server CA", "p256")
    made = (_leaf(ca, name, "p256", ExtendedKeyUsageOID.SERVER_AUTH) for name in names)
    return [
        _write(directory / f"server-{n}.pem", _pem(one) + _key_pem(one))
        for n, one in enumerate(made)
    ]


def make_authorities(directory: Path, count: int) -> list[Path]:
    """Certificates of many CAs (P-256), each with its own name."""
    made = (_authority(f"perf client CA {n}", "p256") for n in range(count))
    return [_write(directory / f"ca-{n}.pem", _pem(one)) for n, one in enumerate(made)]


def fingerprint(path: Path) -> str:
    """The SHA-256 of the certificate in one of our files, in hexadecimal."""
    return x509.load_pem_x509_certificate(path.read_bytes()).fingerprint(hashes.SHA256()).hex()


def signing_key(path: Path) -> PrivateKey:
    """The private key of one of our files."""
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, PrivateKey)
    return key


def _new_key(algorithm: Algorithm) -> PrivateKey:
    if algorithm == "p256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65537, 4096 if algorithm == "rsa4096" else 2048)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(subject: str, issuer: str, key: PrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=90))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _authority(name: str, algorithm: Algorithm) -> _Issued:
    key = _new_key(algorithm)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        _builder(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
    )
    return _Issued(builder.sign(key, hashes.SHA256()), key)


def _leaf(ca: _Issued, name: str, algorithm: Algorithm, purpose: x509.ObjectIdentifier) -> _Issued:
    key = _new_key(algorithm)
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key())
    issuer = ca.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    builder = (
        _builder(name, str(issuer), key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(issuer_key, critical=False)
    )
    return _Issued(builder.sign(ca.key, hashes.SHA256()), key)


def _pem(issued: _Issued) -> bytes:
    return issued.certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(issued: _Issued) -> bytes:
    return issued.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, content: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path

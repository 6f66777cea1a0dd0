"""Files and mappings for the configuration's tests: a small PKI, and a mapping that is right."""

from __future__ import annotations

import copy
import datetime as dt
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from cryptography.x509.oid import NameOID

from mtlsedge.config.load import load_mapping
from mtlsedge.errors import BadVerifier, ConfigurationError
from mtlsedge.model import Configuration

NOW = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def name(common_name: str) -> x509.Name:
    """A distinguished name of one common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


@dataclass
class Minted:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(ser.Encoding.PEM)

    def key_pem(self, passphrase: bytes | None = None) -> bytes:
        encryption = ser.BestAvailableEncryption(passphrase) if passphrase else ser.NoEncryption()
        return self.key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, encryption)


def mint(
    common_name: str,
    *,
    sans: tuple[str, ...] = (),
    ca: bool | None = False,
    issuer: Minted | None = None,
    ends: dt.datetime = NOW + 90 * DAY,
    begins: dt.datetime = NOW - 30 * DAY,
    usage: x509.KeyUsage | None = None,
) -> Minted:
    """A certificate; self-signed unless an issuer is given. ``ca=None`` leaves constraints out."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(common_name))
        .issuer_name(issuer.certificate.subject if issuer else name(common_name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
    if usage is not None:
        builder = builder.add_extension(usage, critical=True)
    if sans:
        dns = [x509.DNSName(one) for one in sans]
        builder = builder.add_extension(x509.SubjectAlternativeName(dns), critical=False)
    return Minted(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def crl(issuer: Minted, next_update: dt.datetime = NOW + 7 * DAY) -> x509.CertificateRevocationList:
    """A CRL that revokes nothing."""
    return (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(NOW - 30 * DAY)
        .next_update(next_update)
        .sign(issuer.key, hashes.SHA256())
    )


def unfit_keys() -> dict[str, bytes]:
    """Keys that parse and cannot serve TLS."""
    keys = {
        "small-key.pem": rsa.generate_private_key(65537, 1024),
        "exchange-key.pem": x25519.X25519PrivateKey.generate(),
    }
    how = (ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())
    return {file: key.private_bytes(*how) for file, key in keys.items()}


_SIGNS_ONLY_CERTIFICATES = x509.KeyUsage(
    False,
    False,
    False,
    False,
    False,
    key_cert_sign=True,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def write_pki(directory: Path) -> None:
    """Every file that a test names, in one directory; keys are for their owner only."""
    server = mint("server", sans=("iot.example.com",))
    other = mint("other", sans=("other.example.com",))
    ca, stranger = mint("Access Testing CA", ca=True), mint("Stranger", ca=True)
    pem_crl = crl(ca).public_bytes(ser.Encoding.PEM)
    files = {
        "server.pem": server.pem,
        "server-key.pem": server.key_pem(),
        "encrypted-key.pem": server.key_pem(b"secret"),
        "other.pem": other.pem,
        "other-key.pem": other.key_pem(),
        "server-wrong-order.pem": other.pem + server.pem,
        "ca.pem": ca.pem,
        "ca-with-key.pem": ca.pem + ca.key_pem(),
        "leaf-as-ca.pem": ca.pem + server.pem,
        "no-crls.pem": mint("Mute", usage=_SIGNS_ONLY_CERTIFICATES).pem,
        "no-constraints.pem": mint("v1", ca=None).pem,
        "old-ca.pem": mint("Old CA", ca=True, ends=NOW - DAY).pem,
        "cut.pem": ca.pem[:-30],
        "damaged.pem": ca.pem.replace(b"\nM", b"\nA", 1),
        "ca.der": ca.certificate.public_bytes(ser.Encoding.DER),
        "ca.crl": pem_crl,
        "ca-der.crl": crl(ca).public_bytes(ser.Encoding.DER),
        "two.crl": pem_crl + pem_crl,
        "cut.crl": pem_crl[:-30],
        "cut-der.crl": crl(ca).public_bytes(ser.Encoding.DER)[:-10],
        "base64.crl": b64encode(crl(ca).public_bytes(ser.Encoding.DER)),
        "half-pasted.crl": pem_crl[:100] + b"\n" + pem_crl,
        "empty.crl": b"",
        "stale.crl": crl(ca, NOW - DAY).public_bytes(ser.Encoding.PEM),
        "stranger.crl": crl(stranger).public_bytes(ser.Encoding.PEM),
        **unfit_keys(),
        "text.txt": b"nothing of the kind\n",
    }
    for label, ends in (("expired", NOW - DAY), ("ending", NOW + 3 * DAY)):
        short = mint(label, sans=("iot.example.com",), ends=ends)
        files |= {f"{label}.pem": short.pem, f"{label}-key.pem": short.key_pem()}
    for file, data in files.items():
        (directory / file).write_bytes(data)
        (directory / file).chmod(0o600)


def check_verifier(spec: str, directory: Path) -> str:
    """Knows ``good`` and nothing else; ``broken`` fails as a bad plugin would."""
    if spec == "broken":
        raise RuntimeError("a third party's mistake")
    if spec != "good":
        raise BadVerifier("there is no such verifier")
    return spec


def right() -> dict[str, Any]:
    """A mapping without a mistake and without a warning, to break in one place."""
    return {
        "edge": {"listen": ["127.0.0.1:8443"]},
        "host": [
            {
                "names": ["iot.example.com"],
                "certificate": "server.pem",
                "key": "server-key.pem",
                "upstream": ["http://127.0.0.1:8080"],
            }
        ],
        "client_ca": [
            {
                "name": "Access Testing CA",
                "certificate": "ca.pem",
                "hosts": ["iot.example.com"],
                "crl": ["ca.crl"],
            }
        ],
        "application": [
            {
                "name": "ingest",
                "domain": "iot.example.com/ingest",
                "policy": [
                    {
                        "name": "devices",
                        "decision": "service_auth",
                        "include": [{"certificate": True}],
                        "require": [{"common_name": ["device-1", "device-2"]}],
                        "exclude": [{"ip": "192.0.2.0/24"}],
                    }
                ],
            }
        ],
        "group": [{"name": "staff", "include": [{"organization": "Example"}]}],
        "service_token": [{"name": "robot", "client_id": "r2.access", "secret_sha256": "ab" * 32}],
    }


def at(mapping: Any, *path: str | int) -> Any:
    """What stands at a path of keys and indices."""
    for step in path:
        mapping = mapping[step]
    return mapping


def load(mapping: Mapping[str, object], base: Path) -> Configuration:
    """The mapping, loaded at the tests' moment."""
    return load_mapping(mapping, base, check_verifier=check_verifier, now=NOW.timestamp())


def problems(mapping: Mapping[str, object], base: Path) -> dict[str, str]:
    """Messages by key path; empty where the mapping loads. Every message is one line."""
    try:
        load(mapping, base)
    except ConfigurationError as error:
        for problem in error.problems:
            assert "\n" not in str(problem)
        return {problem.where: problem.message for problem in error.problems}
    return {}


def broken(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """The right mapping after a change."""
    mapping = copy.deepcopy(right())
    change(mapping)
    return mapping

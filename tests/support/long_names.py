"""CAs whose names take a lot of room in a handshake: about a kilobyte each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID


@cache
def bundle(count: int, first: int = 0) -> bytes:
    """So many self-signed CAs, each of a name of its own, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return b"".join(_authority(key, number) for number in range(first, first + count))


def _authority(key: ec.EllipticCurvePrivateKey, number: int) -> bytes:
    units = [f"{number:04}-{unit:02} ".ljust(60, "x") for unit in range(14)]
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, u) for u in units])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)

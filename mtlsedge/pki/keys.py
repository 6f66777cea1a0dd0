"""How does a private key come about, and how is it written and read, with a passphrase or not?

Keys are written as PKCS #8, which every cfssl reads as it reads its own; with a passphrase, under
PBES2 with AES-256. Read is whatever OpenSSL, cfssl or we wrote.
"""

from __future__ import annotations

from collections.abc import Callable

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from mtlsedge.errors import PkiError
from mtlsedge.pki.mint import PrivateKey
from mtlsedge.pki.requests import KeySpec

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
Ask = Callable[[], bytes]
"""Gives a passphrase; called only where one is needed."""

_CURVES: dict[int, ec.EllipticCurve] = {
    256: ec.SECP256R1(),
    384: ec.SECP384R1(),
    521: ec.SECP521R1(),
}
_LEAST_RSA = 2048


def generate(spec: KeySpec) -> PrivateKey:
    """A new key."""
    if spec.algorithm == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if spec.algorithm == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=spec.size)
    return ec.generate_private_key(_CURVES[spec.size])


def key_file(key: PrivateKey, passphrase: bytes | None) -> bytes:
    """A key as PEM, encrypted if there is a passphrase."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption(),
    )


def load_key(place: str, data: bytes, ask: Ask) -> PrivateKey:
    """Read a private key in PEM; ``ask`` is called if it is encrypted.

    Raises:
        PkiError: it is none, of a kind that is not used here, or the passphrase is wrong.
    """
    encrypted = b"ENCRYPTED" in data
    try:
        key = serialization.load_pem_private_key(data, ask() if encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if encrypted:
            raise PkiError(
                f"{place}: the passphrase does not open this key (or it is damaged): try again"
            ) from error
        raise PkiError(f"{place} is not a private key in PEM: {error}") from error
    if not isinstance(key, PrivateKey):
        raise PkiError(f"{place}: such a key is not used here: take RSA, ECDSA or Ed25519")
    weakness = weak(key.public_key())
    if weakness:
        raise PkiError(f"{place}: {weakness}")
    return key


def weak(key: object) -> str:
    """Why a public key is not good enough to certify; "" if it is."""
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < _LEAST_RSA:
            return f"an RSA key of {key.key_size} bits is too weak: at least {_LEAST_RSA}"
        return ""
    if isinstance(key, ec.EllipticCurvePublicKey):
        known = {curve.name for curve in _CURVES.values()}
        return "" if key.curve.name in known else f"the curve {key.curve.name} is not used here"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return ""
    return "this kind of key is not used here: take RSA, ECDSA or Ed25519"


def name_of(key: object) -> str:
    """What kind of public key this is, as `KeySpec` writes it."""
    if isinstance(key, rsa.RSAPublicKey):
        return str(KeySpec("rsa", key.key_size))
    if isinstance(key, ec.EllipticCurvePublicKey):
        return str(KeySpec("ecdsa", key.curve.key_size))
    return "ed25519"


def digest(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    """The hash that goes with a key when it signs; Ed25519 has its own."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey):
        if key.key_size > 384:
            return hashes.SHA512()
        if key.key_size > 256:
            return hashes.SHA384()
    return hashes.SHA256()

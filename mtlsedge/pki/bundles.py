"""How does a certificate get into a browser or a phone? As PKCS #12 (RFC 7292), with its key."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    KeySerializationEncryption,
    PrivateFormat,
    pkcs12,
)

from mtlsedge.errors import PkiError
from mtlsedge.pki.loading import common_name, issued_by
from mtlsedge.pki.mint import PrivateKey

_ROUNDS = 100_000
_LEGACY_ROUNDS = 2048  # what the readers that want the old form expect


def bundle(
    chain: Sequence[x509.Certificate],
    key: PrivateKey,
    authorities: Sequence[x509.Certificate],
    password: bytes,
    *,
    name: str = "",
    legacy: bool = False,
) -> bytes:
    """A PKCS #12 file of a certificate, its key and the CAs above it.

    Args:
        chain: the certificate first, then any of those above it.
        authorities: further ones that may be above it.
        name: what the browser calls it; the common name unless given.
        legacy: 3DES and SHA-1, which older systems want, instead of AES-256 and SHA-256.

    Raises:
        PkiError: key and certificate do not belong together, or a CA is missing.
    """
    leaf = chain[0]
    if key.public_key() != leaf.public_key():
        raise PkiError("the key is not the certificate's: take the pair made together")
    above = _above(leaf, [*chain[1:], *authorities])
    friendly = (name or common_name(leaf)).encode()
    return pkcs12.serialize_key_and_certificates(
        friendly, key, leaf, above, _encryption(password, legacy=legacy)
    )


def _encryption(password: bytes, *, legacy: bool) -> KeySerializationEncryption:
    builder = PrivateFormat.PKCS12.encryption_builder()
    if legacy:
        return (
            builder.kdf_rounds(_LEGACY_ROUNDS)
            .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
            .hmac_hash(hashes.SHA1())  # noqa: S303 # the form asked for has nothing else
            .build(password)
        )
    return (
        builder.kdf_rounds(_ROUNDS)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(hashes.SHA256())
        .build(password)
    )


def _above(leaf: x509.Certificate, others: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """The CAs above a certificate, nearest first, as far as they are at hand."""
    found: list[x509.Certificate] = []
    at = leaf
    while at.issuer != at.subject:
        issuer = next((each for each in others if issued_by(each, at)), None)
        if issuer is None or issuer in found:
            break
        found.append(issuer)
        at = issuer
    if not found:
        raise PkiError(
            f"the CA {leaf.issuer.rfc4514_string()} of the certificate is in none of the files: "
            "name its file with --ca"
        )
    return found

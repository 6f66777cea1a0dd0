"""Did this key sign this CRL? Without stopping every other thread over a long one.

``is_signature_valid`` writes the whole list out anew before it hashes it: half a second for a
million entries, in which nothing else runs. ``hashlib`` hashes the bytes that are there, and
lets other threads run meanwhile.
"""

from __future__ import annotations

import hashlib

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from mtlsedge.trust.crl_entries import Anatomy

LONG = 256 * 1024
"""Bytes from which on a list is hashed by ``hashlib``."""


def verifies(
    crl: x509.CertificateRevocationList, der: bytes, anatomy: Anatomy, issuer: x509.Certificate
) -> bool:
    """Whether a certificate's key signed a list (RFC 5280 §6.3.3 (g)); never raises."""
    key = issuer.public_key()
    try:
        if len(der) >= LONG and isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            return _by_parts(crl, der, anatomy, key)
        return crl.is_signature_valid(key)  # type: ignore[arg-type]
    except Exception:  # another kind of key, or an algorithm that is not known
        return False


def _by_parts(
    crl: x509.CertificateRevocationList,
    der: bytes,
    anatomy: Anatomy,
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
) -> bool:
    inner, outer = anatomy.inner_algorithm, anatomy.outer_algorithm
    if der[inner.start : inner.end] != der[outer.start : outer.end]:
        return False  # RFC 5280 §5.1.1.2: both must say the same
    algorithm = crl.signature_hash_algorithm
    parameters = crl.signature_algorithm_parameters
    if algorithm is None:
        return False
    signed = memoryview(der)[anatomy.signed.start : anatomy.signed.end]
    digest = hashlib.new(algorithm.name.replace("-", "_"), signed).digest()
    try:
        _verify(key, crl.signature, digest, parameters, algorithm)
    except InvalidSignature:
        return False
    return True


def _verify(
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    signature: bytes,
    digest: bytes,
    parameters: object,
    algorithm: hashes.HashAlgorithm,
) -> None:
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(parameters, ec.ECDSA):
        key.verify(signature, digest, ec.ECDSA(Prehashed(algorithm)))
    elif isinstance(key, rsa.RSAPublicKey) and isinstance(
        parameters, padding.PKCS1v15 | padding.PSS
    ):
        key.verify(signature, digest, parameters, Prehashed(algorithm))
    else:
        raise InvalidSignature

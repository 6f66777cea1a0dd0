"""Is a verified chain worth its mathematics? The checks that OpenSSL leaves to a security level.

``X509StoreContext`` has no security level, and without strict checking OpenSSL takes a
certificate with no basic constraints for a CA if its key usage allows signing.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from mtlsedge.identity import Certificate, Reason
from mtlsedge.trust.outcomes import Failed

_LEAST_BITS = {"RSA": 2048, "EC": 224, "Ed25519": 0, "Ed448": 0}
_BROKEN_HASHES = (hashes.MD5, hashes.SHA1)


def weakness(chain: tuple[Certificate, ...]) -> Failed | None:
    """What is too weak in a verified chain (leaf first, anchor last), or None.

    NIST SP 800-57 part 1's 112 bits for every key; no signature over MD5 or SHA-1 but the
    anchor's own, which nobody relies on; RFC 5280 §6.1.4 (k) for every issuer but a root.
    """
    last = len(chain) - 1
    for depth, certificate in enumerate(chain):
        fault = _weak_key(certificate)
        if not fault and depth < last:
            fault = weak_signature(certificate.x509)
        is_root = depth == last and certificate.subject == certificate.issuer
        if not fault and depth > 0 and not is_root:
            fault = _no_authority(certificate)
        if fault:
            return Failed(Reason.UNFIT, f"{certificate.subject}: {fault}", depth, chain)
    return None


def weak_signature(signed: x509.Certificate | x509.CertificateRevocationList) -> str:
    """What is wrong with the hash a certificate or CRL was signed over; "" if nothing."""
    try:
        algorithm = signed.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return (
            f"its signature algorithm ({signed.signature_algorithm_oid.dotted_string}) is unknown"
        )
    if isinstance(algorithm, _BROKEN_HASHES):
        return f"it is signed over {algorithm.name.upper()}, which can be forged"
    return ""


def _weak_key(certificate: Certificate) -> str:
    least = _LEAST_BITS.get(certificate.key_kind)
    if least is None:
        return "its key is of a kind that is not accepted (RSA, EC, Ed25519 and Ed448 are)"
    bits = certificate.key_bits
    if bits < least:
        return f"its key has {bits} bits, and {least} are the least that is accepted"
    return ""


def _no_authority(certificate: Certificate) -> str:
    try:
        constraints = certificate.x509.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        return "it has no basic constraints, so it is not a CA's"
    return "" if constraints.value.ca else "its basic constraints say that it is not a CA's"

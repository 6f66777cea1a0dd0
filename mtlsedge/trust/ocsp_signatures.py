"""Did this key sign this OCSP answer, by mathematics that is still worth something?"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import SignatureAlgorithmOID

from mtlsedge.identity import Certificate
from mtlsedge.trust.der import OBJECT_IDENTIFIER, SEQUENCE, Value, dotted, inside, value_at

_BROKEN_HASHES = (hashes.MD5, hashes.SHA1)
_EDWARDS = (SignatureAlgorithmOID.ED25519, SignatureAlgorithmOID.ED448)
_PSS_HASHES: dict[str, hashes.HashAlgorithm] = {
    "2.16.840.1.101.3.4.2.1": hashes.SHA256(),
    "2.16.840.1.101.3.4.2.2": hashes.SHA384(),
    "2.16.840.1.101.3.4.2.3": hashes.SHA512(),
}
_FIRST = 0xA0  # [0], explicit
_OCTETS = 0x04


def weak_algorithm(response: ocsp.OCSPResponse) -> str:
    """What is wrong with the algorithm that an answer is signed by; "" if nothing."""
    try:
        algorithm = _hash(response)
    except UnsupportedAlgorithm:
        oid = response.signature_algorithm_oid.dotted_string
        return f"its signature algorithm ({oid}) is unknown"
    if isinstance(algorithm, _BROKEN_HASHES):
        return f"it is signed over {algorithm.name.upper()}, which can be forged"
    return ""


def signed_by(response: ocsp.OCSPResponse, signer: Certificate) -> bool:
    """Whether a certificate's key signed an answer. One that does not fit its algorithm did not."""
    try:
        _verify(response, signer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def _verify(response: ocsp.OCSPResponse, signer: Certificate) -> None:
    key = signer.x509.public_key()
    signature, signed = response.signature, response.tbs_response_bytes
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        if response.signature_algorithm_oid not in _EDWARDS:
            raise InvalidSignature
        key.verify(signature, signed)
        return
    algorithm = _hash(response)
    if algorithm is None:
        raise InvalidSignature
    if isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, signed, ec.ECDSA(algorithm))
    elif isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, signed, _padding(response, algorithm), algorithm)
    else:
        raise InvalidSignature


def _padding(
    response: ocsp.OCSPResponse, algorithm: hashes.HashAlgorithm
) -> padding.PKCS1v15 | padding.PSS:
    if response.signature_algorithm_oid == SignatureAlgorithmOID.RSASSA_PSS:
        return padding.PSS(padding.MGF1(algorithm), padding.PSS.AUTO)
    return padding.PKCS1v15()


def _hash(response: ocsp.OCSPResponse) -> hashes.HashAlgorithm | None:
    if response.signature_algorithm_oid == SignatureAlgorithmOID.RSASSA_PSS:
        return _pss_hash(response.public_bytes(Encoding.DER))
    return response.signature_hash_algorithm


def _pss_hash(data: bytes) -> hashes.HashAlgorithm:
    """The hash of RSASSA-PSS-params (RFC 4055 §3.1), which ``cryptography`` does not read here."""
    whole = inside(data, value_at(data, 0, len(data)), SEQUENCE)
    typed = inside(data, value_at(data, whole[1].content, whole[1].end), SEQUENCE)
    basic = value_at(data, inside(data, _tagged(typed[1], _OCTETS), _OCTETS)[0].start, len(data))
    algorithm = inside(data, inside(data, basic, SEQUENCE)[1], SEQUENCE)
    fields = inside(data, algorithm[1], SEQUENCE) if len(algorithm) > 1 else []
    for field in fields:
        if field.tag == _FIRST:
            identifier = inside(data, value_at(data, field.content, field.end), SEQUENCE)
            oid = _tagged(identifier[0], OBJECT_IDENTIFIER)
            found = _PSS_HASHES.get(dotted(data[oid.content : oid.end]))
            if found is not None:
                return found
    raise UnsupportedAlgorithm("PSS with a hash that is not known, or with its default, SHA-1")


def _tagged(value: Value, tag: int) -> Value:
    if value.tag != tag:
        raise ValueError(f"the tag is {value.tag:#x} and should be {tag:#x}")
    return value

"""OCSP answers of every kind, right and wrong, and a responder that gives what it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from trust_pki import DAY, MOMENT, SHA256, Minted, client
from twisted.internet.defer import Deferred

from mtlsedge.trust.der import SEQUENCE, inside, value_at

HOUR = DAY / 24
GOOD, REVOKED, UNKNOWN = (
    ocsp.OCSPCertStatus.GOOD,
    ocsp.OCSPCertStatus.REVOKED,
    ocsp.OCSPCertStatus.UNKNOWN,
)
NO_CHECK = (x509.OCSPNoCheck(), False)


def delegate(issuer: Minted, common_name: str = "OCSP", **more: Any) -> Minted:
    """A certificate for signing answers."""
    more = {
        "usages": (ExtendedKeyUsageOID.OCSP_SIGNING,),
        "more_extensions": (NO_CHECK,),
        "end": MOMENT + 30 * DAY,
        **more,
    }
    return client(common_name, issuer, **more)


def answer(
    leaf: Minted,
    issuer: Minted,
    *,
    signer: Minted | None = None,
    by_name: bool = False,
    status: ocsp.OCSPCertStatus = GOOD,
    reason: x509.ReasonFlags | None = None,
    start: datetime = MOMENT - HOUR,
    end: datetime | None = MOMENT + DAY,
    nonce: bytes = b"",
    certificates: Sequence[Minted] | None = None,
    algorithm: Any = None,
    digest: Any = SHA256,
    extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
) -> bytes:
    """An answer about a leaf. A signer that is not the issuer sends its certificate along."""
    signer = signer or issuer
    if certificates is None:
        certificates = () if signer is issuer else (signer,)
    encoding = ocsp.OCSPResponderEncoding
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            leaf.x509,
            issuer.x509,
            algorithm or SHA1(),
            status,
            start,
            end,
            MOMENT - 2 * HOUR if status is REVOKED else None,
            reason,
        )
        .responder_id(encoding.NAME if by_name else encoding.HASH, signer.x509)
    )
    if certificates:
        builder = builder.certificates([each.x509 for each in certificates])
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    if nonce:
        builder = builder.add_extension(x509.OCSPNonce(nonce), False)
    return builder.sign(signer.key, digest).public_bytes(Encoding.DER)


def unsuccessful(status: ocsp.OCSPResponseStatus) -> bytes:
    """An answer that says no more than that there is none."""
    return ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)


def nonce_of(request: bytes) -> bytes:
    """The nonce of a request."""
    found = ocsp.load_der_ocsp_request(request).extensions
    return found.get_extension_for_class(x509.OCSPNonce).value.nonce


# -- what no builder makes ---------------------------------------------------------------------


def tlv(tag: int, *parts: bytes) -> bytes:
    """One DER value."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def single_of(response: bytes) -> bytes:
    """The only SingleResponse of an answer."""
    data = ocsp.load_der_ocsp_response(response).tbs_response_bytes
    parts = inside(data, value_at(data, 0, len(data)), SEQUENCE)
    single = inside(data, parts[2], SEQUENCE)[0]
    return data[single.start : single.end]


def with_critical_extension(single: bytes) -> bytes:
    """A SingleResponse to which a critical extension is added that nobody knows."""
    value = value_at(single, 0, len(single))
    extension = tlv(0x30, bytes.fromhex("06032a0304"), tlv(0x01, b"\xff"), tlv(0x04, b"\x05\x00"))
    return tlv(0x30, single[value.content : value.end], tlv(0xA1, tlv(0x30, extension)))


_ECDSA = tlv(0x30, bytes.fromhex("06082a8648ce3d040302"))
_SHA256 = tlv(0x30, bytes.fromhex("0609608648016503040201"), b"\5\0")
_PSS = tlv(
    0x30,
    bytes.fromhex("06092a864886f70d01010a"),
    tlv(
        0x30,
        tlv(0xA0, _SHA256),
        tlv(0xA1, tlv(0x30, bytes.fromhex("06092a864886f70d010108"), _SHA256)),
        tlv(0xA2, tlv(0x02, b"\x20")),
    ),
)


def by_hand(
    response: bytes, signer: Minted, *singles: bytes, certificates: Sequence[Minted] = ()
) -> bytes:
    """An answer like another, signed anew, by anybody; other SingleResponses if some are given.

    A signer with an RSA key signs with PSS.
    """
    data = ocsp.load_der_ocsp_response(response).tbs_response_bytes
    parts = inside(data, value_at(data, 0, len(data)), SEQUENCE)
    kept = [data[part.start : part.end] for part in parts]
    told = tlv(0x30, *singles) if singles else kept[2]
    tbs = tlv(0x30, kept[0], kept[1], told, *kept[3:])
    if isinstance(signer.key, rsa.RSAPrivateKey):
        pss = padding.PSS(padding.MGF1(SHA256), 32)
        algorithm, signature = _PSS, signer.key.sign(tbs, pss, SHA256)
    else:
        algorithm, signature = _ECDSA, signer.key.sign(tbs, ec.ECDSA(SHA256))
    sent = tlv(0xA0, tlv(0x30, *(each.der for each in certificates))) if certificates else b""
    basic = tlv(0x30, tbs, algorithm, tlv(0x03, b"\0", signature), sent)
    typed = tlv(0x30, bytes.fromhex("06092b0601050507300101"), tlv(0x04, basic))
    return tlv(0x30, tlv(0x0A, b"\0"), tlv(0xA0, typed))


class Scripted:
    """A ``Post``: gives what ``answers`` makes of a request, and remembers who was asked.

    An answer may be bytes, an exception, or a Deferred of bytes.
    """

    def __init__(self, answers: Callable[[bytes], Any]) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.requests: list[bytes] = []

    async def __call__(self, url: str, request: bytes) -> bytes:
        self.asked.append(url)
        self.requests.append(request)
        made = self.answers(request)
        if isinstance(made, Deferred):
            made = await made
        if isinstance(made, Exception):
            raise made
        assert isinstance(made, bytes)
        return made

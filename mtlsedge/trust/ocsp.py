"""What does a responder say of a certificate? One OCSP request, and its answer judged (RFC 6960).

Pure: bytes in, bytes out. Whatever a responder sends is either an ``Answer`` that can be relied
on, or ``BadAnswer`` with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from mtlsedge.errors import EdgeError
from mtlsedge.identity import Certificate
from mtlsedge.trust.der import BOOLEAN, SEQUENCE, inside, value_at
from mtlsedge.trust.ocsp_signers import ForgedAnswer, Vouch, signer_of
from mtlsedge.trust.outcomes import moment

NONCE_OCTETS = 32
"""What a client should send (RFC 9654 §2.1); older responders take no more."""

SKEW = 60.0
"""Seconds by which a responder's clock may be ahead of ours."""

RECENT = 300.0
"""Seconds for which an answer counts as fresh that says neither our nonce nor its own end."""

OCSP_TYPES = "application/ocsp-request", "application/ocsp-response"
"""The media types of a request and of its answer (RFC 6960 appendix A)."""

MOST_ANSWERED = 64 * 1024
"""Bytes of the longest answer: certificates and all, none needs a quarter of it."""

_SINGLE_EXTENSIONS = 0xA1
_VERSION = 0xA0


class BadAnswer(EdgeError):
    """A responder's answer, or its silence, that says nothing of a certificate; and why."""


@dataclass(frozen=True, slots=True)
class Question:
    """Whether a certificate is revoked, asked of whoever speaks for its issuer."""

    certificate: Certificate
    issuer: Certificate

    @property
    def key(self) -> tuple[str, str, str]:
        """Equal for what gets the same answer: the issuer's name and key, and the serial."""
        return (self.certificate.issuer, self.issuer.spki_sha256, self.certificate.serial)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a responder said, and could prove that it may say.

    Attributes:
        revoked: why and since when, in words; "" if the certificate is good.
        this_update: when that was known to be so, in seconds since the epoch.
        ends: until when it may be relied on, likewise; -inf where it does not say.
        signer: the certificate that signed it.
    """

    revoked: str
    this_update: float
    ends: float
    signer: Certificate


def request_for(question: Question, nonce: bytes) -> bytes:
    """The DER of an OCSPRequest (RFC 6960 §4.1) for one certificate, with a nonce (RFC 9654).

    The CertID is of SHA-1, which every responder knows (RFC 5019 §2.1.1): it only names the
    certificate, and an answer about another one with the same hashes would have to be signed by
    the same issuer.
    """
    builder = _request(question).add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)


def read_answer(
    data: bytes,
    question: Question,
    nonce: bytes,
    now: float,
    vouch: Vouch,
    *,
    must_echo: bool = False,
) -> Answer:
    """Judge the DER of an OCSPResponse by RFC 6960 §3.2.

    Args:
        data: what the responder sent, hostile or not.
        question: what was asked.
        nonce: what was sent with it.
        now: seconds since the epoch.
        vouch: says what speaks against a delegated signer; see ``ocsp_signers``.
        must_echo: an answer without the nonce is refused, and not only one with another.

    Raises:
        BadAnswer: it is no answer to this question that can be relied on now.
    """
    try:
        response = ocsp.load_der_ocsp_response(data)
        status = response.response_status
        if status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise BadAnswer(f"the responder answered {_WORDS[status]}")
        echoed = _echoed(response.extensions, nonce)
        if must_echo and not echoed:
            raise BadAnswer("the answer does not carry the nonce, so it may be an old one")
        single = _single(response, question)
        signer = signer_of(response, question.issuer, now, vouch)
        return _judged(single, signer, now, fresh=echoed)
    except BadAnswer:
        raise
    except ForgedAnswer as error:
        raise BadAnswer(str(error)) from error
    except Exception as error:  # cryptography raises a dozen kinds for what it cannot read
        raise BadAnswer(f"the answer is no OCSP response that can be read: {error}") from error


_WORDS = {
    ocsp.OCSPResponseStatus.MALFORMED_REQUEST: "'malformedRequest'",
    ocsp.OCSPResponseStatus.INTERNAL_ERROR: "'internalError'",
    ocsp.OCSPResponseStatus.TRY_LATER: "'tryLater'",
    ocsp.OCSPResponseStatus.SIG_REQUIRED: "'sigRequired': it takes signed requests only",
    ocsp.OCSPResponseStatus.UNAUTHORIZED: "'unauthorized': it does not know this issuer, or us",
}


def _echoed(extensions: x509.Extensions, nonce: bytes) -> bool:
    """Whether the answer carries our nonce; another's is an answer to another request."""
    found = None
    for extension in extensions:
        if isinstance(extension.value, x509.OCSPNonce):
            found = extension.value.nonce
        elif extension.critical:
            raise BadAnswer(f"the answer has an unknown extension, {extension.oid.dotted_string}")
    if found is not None and found != nonce:
        raise BadAnswer("the answer carries another nonce: it belongs to another request")
    return found is not None


def _single(response: ocsp.OCSPResponse, question: Question) -> ocsp.OCSPSingleResponse:
    """The part of an answer that is about our certificate; what else it tells is not asked."""
    asked = _certificate_id(question)
    found = []
    for single, critical in zip(response.responses, _criticals(response), strict=True):
        algorithm = single.hash_algorithm.name
        name, key = single.issuer_name_hash, single.issuer_key_hash
        if (algorithm, name, key, single.serial_number) != asked:
            continue
        if critical:
            raise BadAnswer("the answer has an unknown critical extension")
        found.append(single)
    if not found:
        raise BadAnswer("the answer is about another certificate")
    if len(found) > 1:
        raise BadAnswer("the answer is about the certificate more than once")
    return found[0]


def _certificate_id(question: Question) -> tuple[str, bytes, bytes, int]:
    asked = _request(question).build()
    name, key = asked.issuer_name_hash, asked.issuer_key_hash
    return asked.hash_algorithm.name, name, key, asked.serial_number


def _request(question: Question) -> ocsp.OCSPRequestBuilder:
    return ocsp.OCSPRequestBuilder().add_certificate(
        question.certificate.x509,
        question.issuer.x509,
        SHA1(),  # noqa: S303  # it names, and proves nothing
    )


def _criticals(response: ocsp.OCSPResponse) -> Iterator[bool]:
    """Of each single response, whether it has a critical extension: none is known here.

    ``cryptography`` shows these extensions only where there is one single response.
    """
    data = response.tbs_response_bytes
    whole = inside(data, value_at(data, 0, len(data)), SEQUENCE)
    parts = whole[1:] if whole[0].tag == _VERSION else whole
    for single in inside(data, parts[2], SEQUENCE):
        last = inside(data, single, SEQUENCE)[-1]
        if last.tag != _SINGLE_EXTENSIONS:
            yield False
            continue
        extensions = inside(data, value_at(data, last.content, last.end), SEQUENCE)
        fields = (inside(data, each, SEQUENCE)[1] for each in extensions)
        yield any(each.tag == BOOLEAN and data[each.content] for each in fields)


def _judged(
    single: ocsp.OCSPSingleResponse, signer: Certificate, now: float, *, fresh: bool
) -> Answer:
    this_update = single.this_update_utc.timestamp()
    if this_update > now + SKEW:
        raise BadAnswer(f"the answer is from the future ({moment(this_update)}); is a clock wrong?")
    ends = -math.inf
    if single.next_update_utc is not None:
        ends = single.next_update_utc.timestamp()
        if ends <= now:
            raise BadAnswer(f"the answer is stale since {moment(ends)}")
    elif not fresh and now - this_update > RECENT:
        raise BadAnswer(f"the answer is of {moment(this_update)} and does not say until when it is")
    if single.certificate_status is ocsp.OCSPCertStatus.UNKNOWN:
        raise BadAnswer("the responder does not know the certificate")
    return Answer(_revoked(single), this_update, min(ends, signer.not_after), signer)


def _revoked(single: ocsp.OCSPSingleResponse) -> str:
    """Why and since when a certificate is revoked, in words; "" if it is not."""
    if single.certificate_status is ocsp.OCSPCertStatus.GOOD:
        return ""
    since = single.revocation_time_utc
    when = f"since {moment(since.timestamp())}" if since is not None else "since some time"
    reason = single.revocation_reason
    if reason is None or reason is x509.ReasonFlags.unspecified:
        return when
    return f"{_spaced(reason.value)}, {when}"


def _spaced(camel: str) -> str:
    """``keyCompromise`` as people write it; of ``cACompromise`` the first word is a name."""
    spaced = "".join(f" {each.lower()}" if each.isupper() else each for each in camel)
    return spaced.replace("c a ", "CA ").replace("a a ", "AA ")

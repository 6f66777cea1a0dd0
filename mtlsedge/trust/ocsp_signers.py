"""Who signed an OCSP answer, and may they? The issuer, or whom it delegated (RFC 6960 §4.2.2.2)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import crypto

from mtlsedge.errors import BadCertificate, EdgeError
from mtlsedge.identity import Certificate
from mtlsedge.trust.certificates import read_certificate
from mtlsedge.trust.ocsp_signatures import signed_by, weak_algorithm
from mtlsedge.trust.strength import weakness

MOST_SENT = 8
"""Certificates that are looked at in one answer."""

BRIEF = 7 * 86400.0
"""Seconds: a delegate whose certificate lasts no longer needs no status of its own."""

Vouch = Callable[[Certificate, bool], str]
"""Asked about a delegate, and whether its own status must be known. Says what speaks against it,
to follow its name; "" if nothing does."""

UNKNOWN_STATUS = (
    "whose own status nobody tells: put id-pkix-ocsp-nocheck into its certificate, let it last a "
    "week at most, or name a CRL of its issuer"
)
"""What speaks against a delegate whose status must be known and is not."""


class ForgedAnswer(EdgeError):
    """An answer that nobody signed who may; the message says why."""


def signer_of(
    response: ocsp.OCSPResponse, issuer: Certificate, now: float, vouch: Vouch
) -> Certificate:
    """The certificate whose key signed an answer, and which may speak for the issuer.

    That is the issuer's own; or one that came with the answer, was issued by the issuer itself,
    is valid now, and is for signing OCSP answers (id-kp-OCSPSigning, said aloud). A delegate's
    own status must be known unless its certificate says that it need not be
    (id-pkix-ocsp-nocheck) or is brief (§4.2.2.2.1).

    Raises:
        ForgedAnswer: nobody of that kind has signed it.
    """
    weak = weak_algorithm(response)
    if weak:
        raise ForgedAnswer(f"the answer cannot be trusted: {weak}")
    if _is_named(response, issuer) and signed_by(response, issuer):
        return issuer
    complaint = "it is not signed by the issuer, and carries no certificate of who signed it"
    for sent in response.certificates[:MOST_SENT]:
        try:
            delegate = read_certificate(sent.public_bytes(Encoding.DER))
        except BadCertificate:
            continue
        if delegate.der == issuer.der or not _is_named(response, delegate):
            continue
        objection = _objection(response, delegate, issuer, now, vouch)
        if not objection:
            return delegate
        complaint = f"it is signed as {delegate.subject}, {objection}"
    raise ForgedAnswer(f"the answer cannot be trusted: {complaint}")


def _is_named(response: ocsp.OCSPResponse, certificate: Certificate) -> bool:
    """Whether a certificate is the one that the answer's ResponderID means."""
    if response.responder_name is not None:
        return response.responder_name == certificate.x509.subject
    # A KeyHash is what RFC 5280 §4.2.1.2 (1) makes of a key, whatever the certificate says.
    digest = x509.SubjectKeyIdentifier.from_public_key(certificate.x509.public_key()).digest
    return response.responder_key_hash == digest


def _objection(
    response: ocsp.OCSPResponse,
    delegate: Certificate,
    issuer: Certificate,
    now: float,
    vouch: Vouch,
) -> str:
    if not signed_by(response, delegate):
        return "whose key has not signed it"
    if not _may_sign_ocsp(delegate):
        return "whose certificate is not for signing OCSP answers (id-kp-OCSPSigning)"
    failure = _path_failure(delegate, issuer, now)
    if failure:
        return f"whose certificate the issuer does not vouch for now: {failure}"
    weak = weakness((delegate, issuer))
    if weak is not None:
        return f"which is too weak: {weak.detail}"
    return vouch(delegate, not _need_not_be_checked(delegate))


def _may_sign_ocsp(delegate: Certificate) -> bool:
    extensions = delegate.x509.extensions
    try:
        usages = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    if ExtendedKeyUsageOID.OCSP_SIGNING not in usages:
        return False
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return usage.digital_signature or usage.content_commitment


def _need_not_be_checked(delegate: Certificate) -> bool:
    if delegate.not_after - delegate.not_before <= BRIEF:
        return True
    try:
        delegate.x509.extensions.get_extension_for_class(x509.OCSPNoCheck)
    except x509.ExtensionNotFound:
        return False
    return True


def _path_failure(delegate: Certificate, issuer: Certificate, now: float) -> str:
    """Why this issuer did not issue a certificate directly, valid now; "" if it did.

    OpenSSL says so, which knows critical extensions and the constraints of names, too.
    """
    store = crypto.X509Store()
    store.add_cert(crypto.X509.from_cryptography(issuer.x509))
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    store.set_time(datetime.fromtimestamp(int(now), UTC))
    subject = crypto.X509.from_cryptography(delegate.x509)
    try:
        found = crypto.X509StoreContext(store, subject, None).get_verified_chain()
    except crypto.X509StoreContextError as error:
        return str(error)
    ders = [crypto.dump_certificate(crypto.FILETYPE_ASN1, each) for each in found]
    return "" if ders == [delegate.der, issuer.der] else "it did not issue it"

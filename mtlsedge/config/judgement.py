"""Is what the files hold fit for its use? Key pairs, client CAs and CRLs are judged here.

What would never work, or not as it says, is an error. What works today and will surprise (an
end that is near, a name that is not covered, a key that others can read) is a warning.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime

from cryptography import x509

from mtlsedge.config.files import FileContent
from mtlsedge.config.pem import PrivateKey, certificates, crls, fits, private_key
from mtlsedge.config.reader import Place, show
from mtlsedge.errors import BadHostName
from mtlsedge.names import canonical_pattern, covers

SOON = 14 * 86400.0
"""Seconds before a certificate's end from which on the edge warns."""


def key_pair(
    at_certificate: Place,
    at_key: Place,
    chain: FileContent,
    key: FileContent,
    names: tuple[str, ...] = (),
) -> None:
    """Judge the files of a certificate chain and of its key.

    ``names`` are the canonical patterns that the leaf should cover; none for a client
    certificate.
    """
    found = at_certificate.read(lambda _, __: certificates(chain), None, ())
    secret = at_key.read(lambda _, __: private_key(key), None, None)
    if key.exposed:
        at_key.warn(f"{key.path} can be read by others than its owner; chmod 600 it")
    if not found:
        return
    if secret is not None and not fits(found[0], secret):
        at_key.problem(_misfit(found, secret, chain, key))
    warn_of_end(at_certificate, found, chain)
    _warn_of_names(at_certificate, found[0], names, chain)


def client_ca_bundle(place: Place, bundle: Iterable[x509.Certificate], file: FileContent) -> None:
    """Judge the certificates that clients are verified against: each must be a CA's."""
    found = tuple(bundle)
    for number, certificate in enumerate(found, 1):
        if not _is_ca(certificate):
            place.problem(
                f"certificate {number} in {file.path} ({_subject(certificate)}) is not a CA's: it "
                "lacks CA:TRUE; name the CA that signs clients, not a certificate it signed"
            )
    warn_of_end(place, found, file)


def crl_issuers(place: Place, found: tuple[x509.Certificate, ...], file: FileContent) -> None:
    """Judge the certificates of those who only sign CRLs: their key usage must allow it."""
    for number, certificate in enumerate(found, 1):
        if not _signs_crls(certificate):
            place.problem(
                f"certificate {number} in {file.path} ({_subject(certificate)}) may not sign CRLs: "
                "it lacks the key usage cRLSign; name who does"
            )
    warn_of_end(place, found, file)


def crl(content: FileContent, place: Place, issuers: Iterable[x509.Certificate]) -> None:
    """Judge a CRL file; raises ``Wrong`` where none can be read from it.

    A list that is stale or from a stranger is the trust store's to refuse, at every handshake
    and not only now; here it is told in advance.
    """
    subjects = {certificate.subject for certificate in issuers}
    for one in crls(content):
        issuer = show(one.issuer.rfc4514_string())
        if one.next_update_utc is None:
            place.warn(f"{content.path} by {issuer} does not say when its successor comes")
        elif one.next_update_utc.timestamp() < place.loading.now:
            place.warn(
                f"{content.path} by {issuer} is stale since {one.next_update_utc:%Y-%m-%d %H:%M} "
                "UTC; fetch or make a new one"
            )
        if subjects and one.issuer not in subjects:
            place.warn(f"{content.path} is by {issuer}, which is not in the bundle of this CA")


def warn_of_end(place: Place, found: Iterable[x509.Certificate], file: FileContent) -> None:
    """Warn of every certificate that is outside its validity, or soon will be."""
    now = place.loading.now
    for certificate in found:
        begins = certificate.not_valid_before_utc.timestamp()
        ends = certificate.not_valid_after_utc.timestamp()
        if begins <= now and ends - now >= SOON:
            continue
        who = f"{_subject(certificate)} in {file.path}"
        if now < begins:
            place.warn(f"{who} is not valid before {_date(begins)}")
        elif ends < now:
            place.warn(f"{who} expired on {_date(ends)}; renew it")
        else:
            place.warn(f"{who} is about to expire, on {_date(ends)}; renew it")


def _misfit(
    found: tuple[x509.Certificate, ...], secret: PrivateKey, chain: FileContent, key: FileContent
) -> str:
    for number, certificate in enumerate(found[1:], 2):
        if fits(certificate, secret):
            return (
                f"{key.path} fits certificate {number} of {chain.path}; put that one first, "
                "its intermediates after it"
            )
    return f"{key.path} does not fit {chain.path}; name the key that its certificate was made for"


def _warn_of_names(
    place: Place, leaf: x509.Certificate, names: tuple[str, ...], file: FileContent
) -> None:
    patterns = _san_patterns(leaf)
    missing = [name for name in names if not any(covers(one, name) for one in patterns)]
    if missing:
        place.warn(
            f"{file.path} does not cover {', '.join(missing)} in its subject alternative names; "
            "clients will refuse it"
        )


def _san_patterns(leaf: x509.Certificate) -> list[str]:
    try:
        san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:  # there is none, or it cannot be read: either way it covers nothing
        return []
    patterns = []
    for name in san:
        if isinstance(name, x509.DNSName):
            with suppress(BadHostName):
                patterns.append(canonical_pattern(name.value))
        elif isinstance(name, x509.IPAddress):
            patterns.append(str(name.value))
    return patterns


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except Exception:  # there are none, or they cannot be read: not a CA's
        return False
    return constraints.value.ca


def _signs_crls(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    except x509.ExtensionNotFound:
        return True  # RFC 5280 §6.3.3 (f): only a usage that is stated can forbid it
    except Exception:  # as above: what cannot be read signs nothing
        return False
    return usage.value.crl_sign


def _subject(certificate: x509.Certificate) -> str:
    return show(certificate.subject.rfc4514_string())


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")

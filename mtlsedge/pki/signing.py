"""How does a profile become a certificate? Everything follows RFC 5280 §4.

What a request says beyond its subject, its alternative names and its key never comes in: whether
something is a CA, and what for, is the profile's word alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from unicodedata import category

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import (
    AuthorityInformationAccessOID,
    ExtendedKeyUsageOID,
    NameOID,
)

from mtlsedge.errors import PkiError
from mtlsedge.pki.keys import PublicKey, digest
from mtlsedge.pki.mint import Authority, PrivateKey
from mtlsedge.pki.profiles import Profile
from mtlsedge.pki.requests import CaSpec, Request
from mtlsedge.pki.usages import AUTHORITY, Usages

_PARTS = {
    x509.DNSName: "dns_names",
    x509.IPAddress: "ip_addresses",
    x509.RFC822Name: "email_addresses",
    x509.UniformResourceIdentifier: "uris",
}
_ENDS = frozenset({"Cc", "Zl", "Zp"})
_OURS = (x509.SubjectAlternativeName, x509.SubjectKeyIdentifier)


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom a certificate is for."""

    subject: x509.Name
    names: tuple[x509.GeneralName, ...]
    public_key: PublicKey


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate, and what should be said about it."""

    certificate: x509.Certificate
    notes: tuple[str, ...] = field(default=())


def sign(authority: Authority, asked: Asked, profile: Profile, now: datetime) -> Signed:
    """A certificate for somebody, by a profile.

    Raises:
        PkiError: this authority or this profile cannot sign that.
    """
    _check_names(asked, profile)
    start, end, notes = _validity(authority, profile, now)
    builder = (
        x509.CertificateBuilder()
        .subject_name(asked.subject)
        .issuer_name(authority.certificate.subject)
        .public_key(asked.public_key)
        .serial_number(x509.random_serial_number())  # 159 random bits, never 0 or negative
        .not_valid_before(start)
        .not_valid_after(end)
    )
    length = _path_length(authority, profile) if profile.is_ca else None
    basic = x509.BasicConstraints(ca=profile.is_ca, path_length=length)
    builder = builder.add_extension(basic, critical=True)
    for extension, critical in _extensions(authority, asked, profile):
        builder = builder.add_extension(extension, critical)
    if ExtendedKeyUsageOID.SERVER_AUTH in profile.usages.extended and not asked.names:
        notes += ("no client takes a server without names: give it hosts, or use --hostname",)
    return Signed(builder.sign(authority.key, digest(authority.key)), notes)


def sign_root(request: Request, key: PrivateKey, now: datetime) -> x509.Certificate:
    """A CA's certificate signed by its own key."""
    if not request.subject:
        raise PkiError("a CA must have a name: give the request a CN")
    ca = request.ca or CaSpec()
    start = _whole(now - ca.backdate)
    public = key.public_key()
    subject_key = x509.SubjectKeyIdentifier.from_public_key(public)
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(request.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + ca.expiry)
        .add_extension(x509.BasicConstraints(ca=True, path_length=ca.path_length), critical=True)
        .add_extension(_required(Usages(AUTHORITY).key_usage(public)), critical=True)
        .add_extension(subject_key, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject_key),
            critical=False,
        )
    )
    if request.names:
        builder = builder.add_extension(x509.SubjectAlternativeName(request.names), critical=False)
    return builder.sign(key, digest(key))


def sign_request(request: Request, key: PrivateKey, *, for_ca: bool) -> bytes:
    """The certificate signing request that goes with a new key, as PEM."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(request.subject)
    if request.names:
        names = x509.SubjectAlternativeName(request.names)
        builder = builder.add_extension(names, critical=not request.subject)
    if for_ca:
        length = request.ca.path_length if request.ca else None
        basic = x509.BasicConstraints(ca=True, path_length=length)
        builder = builder.add_extension(basic, critical=True)
    return builder.sign(key, digest(key)).public_bytes(serialization.Encoding.PEM)


def asked_by(
    request: x509.CertificateSigningRequest,
    profile: Profile,
    subject: x509.Name | None = None,
    names: Sequence[x509.GeneralName] | None = None,
) -> tuple[Asked, tuple[str, ...]]:
    """What is taken of a CSR made elsewhere, and what is said about the rest.

    ``subject`` and ``names`` stand in for the CSR's own.

    Raises:
        PkiError: its extensions cannot be read.
    """
    notes = []
    if subject is None:
        subject = request.subject if profile.takes_from_csr("subject") else x509.Name([])
    try:
        extensions = list(request.extensions)
    except ValueError as error:
        raise PkiError(f"the request's extensions cannot be read: {error}") from error
    theirs: list[x509.GeneralName] = []
    for extension in extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            theirs = list(extension.value)
        elif not isinstance(extension.value, _OURS):
            notes.append(f"the request's {_called(extension)} is not taken: the profile decides")
    if names is None:
        names = [n for n in theirs if _kind(n) and profile.takes_from_csr(_kind(n))]
        notes += [f"the request's name {_shown(n)} is not taken" for n in theirs if n not in names]
    public: PublicKey = request.public_key()  # type: ignore[assignment] # `weak` has seen it
    return Asked(subject, tuple(names), public), tuple(notes)


def _check_names(asked: Asked, profile: Profile) -> None:
    common = [str(each.value) for each in asked.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if not asked.subject and not asked.names:
        raise PkiError("nothing says whom the certificate is for: it has no subject and no names")
    if profile.is_ca and not asked.subject:
        raise PkiError("a CA must have a name: give the request a CN")
    for attribute in asked.subject:
        if "\0" in str(attribute.value):
            raise PkiError("the subject has a NUL in it: ask for a request without")
    _check_characters(asked)
    if len(common) > 1:
        raise PkiError("the subject has several common names, which match nothing: ask for one")
    if profile.names is not None:
        for name in (*common, *(str(each.value) for each in asked.names)):
            if not profile.names.search(name):
                raise PkiError(
                    f"{name!r} does not match the profile's name_whitelist "
                    f"{profile.names.pattern!r}: ask for another name, or take another profile"
                )


def _check_characters(asked: Asked) -> None:
    # A '$' in a name_whitelist is also true before a line's end.
    for name in (*asked.subject, *asked.names):
        if any(category(each) in _ENDS for each in str(name.value)):
            raise PkiError(f"{str(name.value)!r} has a line's end or a control character in it")


def _validity(
    authority: Authority, profile: Profile, now: datetime
) -> tuple[datetime, datetime, tuple[str, ...]]:
    start = _whole(profile.not_before or now - profile.backdate)
    end = profile.not_after or start + profile.expiry
    if end <= now:
        raise PkiError(
            f"such a certificate would have ended on {end:%Y-%m-%d}: give the profile "
            f"{profile.name!r} a longer expiry"
        )
    latest = authority.certificate.not_valid_after_utc
    if end <= latest:
        return start, end, ()
    note = (
        f"it ends with its CA, on {latest:%Y-%m-%d}, and not on {end:%Y-%m-%d} as the profile has "
        "it: it is time for a new CA"
    )
    return start, latest, (note,)


def _path_length(authority: Authority, profile: Profile) -> int | None:
    """How many CAs may be below the new one: what the profile says, within what its CA may give."""
    basic = authority.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    if basic.path_length is None:
        return profile.path_length
    if basic.path_length == 0:
        raise PkiError(
            "this CA may have no CA below it (its path length is 0): sign with the one above it, "
            "or make a root with a longer one"
        )
    most = basic.path_length - 1
    return most if profile.path_length is None else min(most, profile.path_length)


def _extensions(
    authority: Authority, asked: Asked, profile: Profile
) -> Iterable[tuple[x509.ExtensionType, bool]]:
    usage = profile.usages.key_usage(asked.public_key)
    if usage is not None:
        yield usage, True
    if profile.usages.extended:
        yield x509.ExtendedKeyUsage(profile.usages.extended), False
    yield x509.SubjectKeyIdentifier.from_public_key(asked.public_key), False
    yield authority.key_identifier(), False
    if asked.names:
        # With no subject, the names are all there is (RFC 5280 §4.2.1.6).
        yield x509.SubjectAlternativeName(asked.names), not asked.subject
    yield from _pointers(profile)


def _pointers(profile: Profile) -> Iterable[tuple[x509.ExtensionType, bool]]:
    """Where to ask further, and under which policies it was issued."""
    if profile.crl_url:
        full = [x509.UniformResourceIdentifier(profile.crl_url)]
        points = [x509.DistributionPoint(full, None, None, None)]
        yield x509.CRLDistributionPoints(points), False
    ocsp, issuers = AuthorityInformationAccessOID.OCSP, AuthorityInformationAccessOID.CA_ISSUERS
    places = [(ocsp, profile.ocsp_url)] if profile.ocsp_url else []
    places += [(issuers, url) for url in profile.issuer_urls]
    if places:
        yield (
            x509.AuthorityInformationAccess(
                x509.AccessDescription(how, x509.UniformResourceIdentifier(url))
                for how, url in places
            ),
            False,
        )
    if profile.policies:
        yield x509.CertificatePolicies(profile.policies), False
    if profile.ocsp_no_check:
        yield x509.OCSPNoCheck(), False


def _kind(name: x509.GeneralName) -> str:
    return _PARTS.get(type(name), "")


def _shown(name: x509.GeneralName) -> str:
    return f"{type(name).__name__} {getattr(name, 'value', '')!s}"


def _called(extension: x509.Extension[x509.ExtensionType]) -> str:
    return type(extension.value).__name__ + f" ({extension.oid.dotted_string})"


def _required(usage: x509.KeyUsage | None) -> x509.KeyUsage:
    assert usage is not None
    return usage


def _whole(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)

"""How is a revocation list made? Full ones and deltas, as RFC 5280 §5 has them.

Both kinds share one sequence of numbers (§5.2.3). What a delta holds is what the ledger has after
the record of its base, so nothing that was revoked in between can be missed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from mtlsedge.errors import PkiError
from mtlsedge.pki.keys import digest
from mtlsedge.pki.loading import authority_id, issued_by
from mtlsedge.pki.mint import Authority
from mtlsedge.pki.register import LIFTED, REASONS, UNSPECIFIED, CrlMade, Draft, Register, Revocation

EXPIRY = timedelta(days=7)  # cfssl's default
_SKEW = timedelta(minutes=5)  # for clocks that run behind this one
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def draft(
    register: Register,
    now: datetime,
    expiry: timedelta,
    *,
    above: int = 0,
    base: CrlMade | None = None,
) -> Draft:
    """What the next CRL says. ``above``: a number that it must be higher than, besides."""
    number = max(register.last_number(), above) + 1
    start = now.replace(microsecond=0)
    entries: Iterable[Revocation] = register.revoked.values()
    if base is not None:
        entries = [each for each in entries if each.place > base.place]
        # Told even of those that the base does not have (§5.2.4): a later delta may have them.
        entries += [
            Revocation(serial, start, LIFTED, place)
            for serial, place in register.lifted.items()
            if place > base.place
        ]
    ordered = tuple(sorted(entries, key=lambda each: each.serial))
    return Draft(number, start - _SKEW, start + expiry, ordered, base.number if base else None)


def sign_crl(authority: Authority, wanted: Draft) -> x509.CertificateRevocationList:
    """The CRL itself.

    Raises:
        PkiError: this authority may not sign CRLs.
    """
    _check_may_sign(authority.certificate)
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (authority.key_identifier(), False),
        (x509.CRLNumber(wanted.number), False),
    ]
    if wanted.base is not None:
        extensions.append((x509.DeltaCRLIndicator(wanted.base), True))
    # All entries at once: added one by one, each would copy all before it.
    builder = x509.CertificateRevocationListBuilder(
        revoked_certificates=[_entry(each) for each in wanted.entries]
    )
    builder = (
        builder.issuer_name(authority.certificate.subject)
        .last_update(wanted.start)
        .next_update(wanted.next_update)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(authority.key, digest(authority.key))


@dataclass(frozen=True, slots=True)
class Present:
    """A CRL that this CA made before: its number, and what it revokes and why.

    A delta's entries are left out: they are no whole.
    """

    number: int
    revoked: dict[int, str] = field(repr=False)


def read_present(data: bytes, issuer: x509.Certificate) -> Present | None:
    """A CRL that this CA made before; None for anything else."""
    try:
        if b"-----BEGIN X509 CRL-----" in data:
            crl = x509.load_pem_x509_crl(data)
        else:
            crl = x509.load_der_x509_crl(data)
        if not crl.is_signature_valid(issuer.public_key()):  # type: ignore[arg-type]
            return None
        extensions = [each.value for each in crl.extensions]
        numbers = [each.crl_number for each in extensions if isinstance(each, x509.CRLNumber)]
        is_delta = any(isinstance(each, x509.DeltaCRLIndicator) for each in extensions)
        revoked = {} if is_delta else {each.serial_number: _reason(each) for each in crl}
    except Exception:  # whatever else it is, it is none of ours
        return None
    return Present(max(numbers, default=0), revoked)


def crl_bytes(crl: x509.CertificateRevocationList, *, der: bool) -> bytes:
    """A CRL as a file has it."""
    encoding = serialization.Encoding.DER if der else serialization.Encoding.PEM
    return crl.public_bytes(encoding)


def belongs_to(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Whether this CA is the one that can revoke a certificate."""
    return issued_by(issuer, certificate) and authority_id(issuer) != authority_id(certificate)


def _reason(entry: x509.RevokedCertificate) -> str:
    for extension in entry.extensions:
        if isinstance(extension.value, x509.CRLReason):
            return str(extension.value.reason.value)
    return UNSPECIFIED


def _entry(each: Revocation) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder(each.serial, max(each.time, _EPOCH))
    if each.reason == UNSPECIFIED:  # is said by saying nothing (§5.3.1)
        return builder.build()
    return builder.add_extension(x509.CRLReason(REASONS[each.reason]), critical=False).build()


def _check_may_sign(certificate: x509.Certificate) -> None:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not usage.crl_sign:
        raise PkiError(
            "the CA's key usage does not let it sign CRLs: nobody would take one; make it anew "
            'with the usage "crl sign"'
        )

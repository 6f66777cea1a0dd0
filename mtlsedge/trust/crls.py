"""What does a certificate revocation list say? From a file's bytes to ``Crl`` values.

Follows RFC 5280 §5 for complete lists of a CA's own certificates. Deltas, indirect lists and
lists with an issuing distribution point are recognised and not used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509

from mtlsedge.errors import BadCrl
from mtlsedge.identity import Certificate
from mtlsedge.trust.certificates import NameKey, name_key
from mtlsedge.trust.strength import weak_signature

_PEM = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)
_PEM_BEGIN = b"-----BEGIN X509 CRL-----"
_UNDERSTOOD = (x509.AuthorityKeyIdentifier, x509.CRLNumber)


@dataclass(frozen=True, slots=True)
class Crl:
    """One certificate revocation list, read; nothing here says that it can be trusted.

    Attributes:
        place: where it was read from.
        issuer: its issuer's name as RFC 4514 text; ``issuer_key`` is for look-ups.
        this_update, next_update: seconds since the epoch.
        number: its CRL number; -1 where it has none.
        revoked: the serial numbers of the revoked certificates.
        fault: why it can never be used; "" if it can.
    """

    place: str
    issuer: str
    issuer_key: NameKey
    this_update: float
    next_update: float
    number: int
    revoked: frozenset[int] = field(repr=False)
    fault: str
    x509: x509.CertificateRevocationList = field(repr=False, compare=False)

    def signed_by(self, issuer: Certificate) -> bool:
        """Whether a certificate's key signed this list."""
        key = issuer.x509.public_key()
        try:
            return self.x509.is_signature_valid(key)  # type: ignore[arg-type]
        except Exception:  # another kind of key, or an algorithm that is not known
            return False


def read_crls(place: str, data: bytes) -> tuple[Crl, ...]:
    """Read a file of CRLs: one in DER, or one or more in PEM.

    Raises:
        BadCrl: any of them is cut short or cannot be read. The message names the file.
    """
    blocks = _PEM.findall(data)
    if len(blocks) != data.count(_PEM_BEGIN):
        raise BadCrl(f"{place}: a CRL in it has no -----END X509 CRL----- line: copy it again")
    try:
        if blocks:
            return tuple(_read(place, x509.load_pem_x509_crl(block)) for block in blocks)
        return (_read(place, x509.load_der_x509_crl(data)),)
    except Exception as error:  # cryptography raises a dozen kinds for what it cannot read
        raise BadCrl(
            f"{place}: not a CRL in PEM or DER, or a damaged one ({error}): make it again"
        ) from error


def _read(place: str, crl: x509.CertificateRevocationList) -> Crl:
    revoked, fault = _entries(crl)
    return Crl(
        place=place,
        issuer=crl.issuer.rfc4514_string(),
        issuer_key=name_key(crl.issuer),
        this_update=crl.last_update_utc.timestamp(),
        next_update=_seconds(crl.next_update_utc),
        number=_number(crl),
        revoked=revoked,
        fault=_fault(crl) or fault or weak_signature(crl),
        x509=crl,
    )


def _entries(crl: x509.CertificateRevocationList) -> tuple[frozenset[int], str]:
    revoked = set()
    fault = ""
    for entry in crl:
        lifted = False
        for extension in entry.extensions:
            value = extension.value
            lifted = lifted or (
                isinstance(value, x509.CRLReason)
                and value.reason is x509.ReasonFlags.remove_from_crl
            )
            if extension.critical and not isinstance(value, x509.CRLReason):
                # RFC 5280 §5.3: such a list must not be used for any certificate.
                fault = f"an entry has a critical extension, {extension.oid.dotted_string}"
        if not lifted:
            revoked.add(entry.serial_number)
    return frozenset(revoked), fault


def _fault(crl: x509.CertificateRevocationList) -> str:
    if crl.next_update_utc is None:
        return "it has no nextUpdate, which RFC 5280 demands: nobody could tell when it is stale"
    for extension in crl.extensions:
        if isinstance(extension.value, x509.DeltaCRLIndicator):
            return "it is a delta, and only complete lists are supported"
        if isinstance(extension.value, x509.IssuingDistributionPoint):
            return "it has an issuing distribution point, which is not supported"
        if extension.critical and not isinstance(extension.value, _UNDERSTOOD):
            return f"it has a critical extension that is not known, {extension.oid.dotted_string}"
    return ""


def _number(crl: x509.CertificateRevocationList) -> int:
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return -1


def _seconds(moment: datetime | None) -> float:
    return 0.0 if moment is None else moment.timestamp()

"""What does a certificate revocation list say? From a file's bytes to ``Crl`` values (RFC 5280 §5).

Everything here is a pure function of its bytes, safe in a thread: reading a million entries
takes most of a second, which no connection should wait for.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from cryptography import x509

from mtlsedge.errors import BadCrl
from mtlsedge.identity import Certificate, NameKey
from mtlsedge.trust.certificates import name_key, name_text
from mtlsedge.trust.crl_entries import Anatomy, Entries, dissect, scan
from mtlsedge.trust.crl_signatures import verifies
from mtlsedge.trust.distribution import Scope, scope_of
from mtlsedge.trust.strength import weak_signature

_PEM = re.compile(rb"-----BEGIN X509 CRL-----(.*?)-----END X509 CRL-----", re.DOTALL)
_PEM_BEGIN = b"-----BEGIN X509 CRL-----"
_BASE64 = re.compile(rb"\s*MI[A-Za-z0-9+/=\s]+")  # of a DER sequence
_BLANKS = b" \t\r\n"
_LONGEST_NUMBER = 20 * 8  # bits of a CRL number (RFC 5280 §5.2.3)
_UNDERSTOOD = (
    x509.AuthorityKeyIdentifier,
    x509.CRLNumber,
    x509.DeltaCRLIndicator,
    x509.IssuingDistributionPoint,
    x509.FreshestCRL,
    x509.IssuerAlternativeName,
    x509.AuthorityInformationAccess,
)


@dataclass(frozen=True, slots=True, eq=False)
class Crl:
    """One certificate revocation list, read; nothing here says that it can be trusted.

    Attributes:
        place: where it was read from.
        issuer: its issuer's name as RFC 4514 text; ``issuer_key`` is for look-ups.
        this_update, next_update: seconds since the epoch.
        number: its CRL number; -1 where it has none.
        base: the number of the list that it is a delta to; None for a complete list.
        scope: which certificates it is about.
        key_identifier: of the key that signed it, as it says; None where it does not.
        entries: what it lists.
        fault: why it can never be used; "" if it can.
    """

    place: str
    issuer: str
    issuer_key: NameKey
    this_update: float
    next_update: float
    number: int
    base: int | None
    scope: Scope
    key_identifier: bytes | None
    entries: Entries = field(repr=False)
    fault: str
    x509: x509.CertificateRevocationList = field(repr=False)
    der: bytes = field(repr=False)
    _anatomy: Anatomy = field(repr=False)
    _verified: dict[str, bool] = field(default_factory=dict, repr=False)

    def signed_by(self, issuer: Certificate) -> bool:
        """Whether a certificate's key signed this list; found out once for each key."""
        known = self._verified.get(issuer.spki_sha256)
        if known is None:
            known = verifies(self.x509, self.der, self._anatomy, issuer.x509)
            self._verified[issuer.spki_sha256] = known
        return known

    @property
    def order(self) -> tuple[float, int]:
        """What is greater for the newer of two lists."""
        return self.this_update, self.number


def read_crls(place: str, data: bytes) -> tuple[Crl, ...]:
    """Read a file of CRLs: one in DER or in base64, or one or more in PEM (RFC 7468).

    Base64 without PEM's lines is what ``cfssl gencrl`` writes.

    Raises:
        BadCrl: any of them is cut short or cannot be read. The message names the file.
    """
    if not data.strip():
        raise BadCrl(f"{place} is empty: put a CRL there, even one that revokes none")
    try:
        return tuple(_read(place, der) for der in _ders(data))
    except BadCrl as error:
        raise BadCrl(f"{place}: {error}: make it again, or copy it again") from error
    except Exception as error:  # cryptography raises a dozen kinds for what it cannot read
        raise BadCrl(
            f"{place}: not a CRL in PEM or DER, or a damaged one ({error}): make it again"
        ) from error


def _ders(data: bytes) -> Iterator[bytes]:
    blocks = _PEM.findall(data)
    if len(blocks) != data.count(_PEM_BEGIN):
        raise BadCrl("a CRL in it has no -----END X509 CRL----- line")
    if blocks:
        yield from map(_decoded, blocks)
    elif _BASE64.fullmatch(data):
        yield _decoded(data)
    else:
        yield data


def _decoded(base64: bytes) -> bytes:
    return binascii.a2b_base64(base64.translate(None, _BLANKS), strict_mode=True)


def _read(place: str, der: bytes) -> Crl:
    crl = x509.load_der_x509_crl(der)
    anatomy = dissect(der)
    issuer = name_key(crl.issuer)
    entries = scan(der, anatomy.revoked, issuer, _issuer_name)
    scope = scope_of(crl)
    next_update = crl.next_update_utc
    return Crl(
        place=place,
        issuer=name_text(crl.issuer),
        issuer_key=issuer,
        this_update=crl.last_update_utc.timestamp(),
        next_update=0.0 if next_update is None else next_update.timestamp(),
        number=_number(crl),
        base=_base(crl),
        scope=scope,
        key_identifier=_key_identifier(crl),
        entries=entries,
        fault=_fault(crl, scope, entries) or entries.fault or weak_signature(crl),
        x509=crl,
        der=der,
        _anatomy=anatomy,
    )


def _fault(crl: x509.CertificateRevocationList, scope: Scope, entries: Entries) -> str:
    if crl.next_update_utc is None:
        return "it has no nextUpdate, which RFC 5280 demands: nobody could tell when it is stale"
    for extension in crl.extensions:
        value = extension.value
        if isinstance(value, x509.CRLNumber | x509.DeltaCRLIndicator) and (
            value.crl_number.bit_length() > _LONGEST_NUMBER
        ):
            return "its CRL number has more than 20 octets"
        if extension.critical and not isinstance(value, _UNDERSTOOD):
            return f"it has a critical extension that is not known, {extension.oid.dotted_string}"
    if entries.others and not scope.indirect:
        return "an entry names another issuer, and the list does not say that it is indirect"
    if _base(crl) is not None and _number(crl) < 0:
        return "it is a delta without a CRL number, and nobody could tell what it adds to"
    return ""


def _number(crl: x509.CertificateRevocationList) -> int:
    try:
        found = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return -1
    return _short(found)


def _base(crl: x509.CertificateRevocationList) -> int | None:
    try:
        found = crl.extensions.get_extension_for_class(x509.DeltaCRLIndicator).value.crl_number
    except x509.ExtensionNotFound:
        return None
    return _short(found)


def _short(number: int) -> int:
    """A CRL number, or 0: of thousands of digits, Python would not even write it into a log."""
    return number if number.bit_length() <= _LONGEST_NUMBER else 0


def _key_identifier(crl: x509.CertificateRevocationList) -> bytes | None:
    try:
        found = crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except x509.ExtensionNotFound:
        return None
    return found.value.key_identifier


def _issuer_name(names: bytes) -> NameKey:
    """The directory name in a certificateIssuer extension, by ``cryptography``'s own parser."""
    extension = _sequence(b"\x06\x03\x55\x1d\x1d", b"\x01\x01\xff", _tlv(0x04, names))
    moment = _tlv(0x17, b"200101000000Z")
    algorithm = _sequence(_tlv(0x06, b"\x2a\x86\x48\xce\x3d\x04\x03\x02"))
    entry = _sequence(_tlv(0x02, b"\x01"), moment, _sequence(extension))
    signed = _sequence(_tlv(0x02, b"\x01"), algorithm, _sequence(), moment, _sequence(entry))
    crl = x509.load_der_x509_crl(_sequence(signed, algorithm, _tlv(0x03, b"\0")))
    value = crl[0].extensions.get_extension_for_class(x509.CertificateIssuer).value
    found = value.get_values_for_type(x509.DirectoryName)
    if len(found) != 1:
        raise BadCrl("an entry does not name the one issuer whose certificate it is about")
    return name_key(found[0])


def _sequence(*parts: bytes) -> bytes:
    return _tlv(0x30, b"".join(parts))


def _tlv(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content

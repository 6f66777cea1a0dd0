"""How are the values of certificate selectors written? Serials, addresses, URIs, issuers.

Each function is a ``Convert`` to the one form in which rules compare. What could be meant in
two ways, or could never match, is refused.
"""

from __future__ import annotations

import re

from cryptography import x509
from cryptography.x509.oid import NameOID

from mtlsedge.config.network import host_name
from mtlsedge.config.reader import Place, Wrong, show
from mtlsedge.config.values import text

_MOST_SERIAL_DIGITS = 40  # twenty octets, RFC 5280 §4.1.2.2
_SERIAL = re.compile(r"(0x)?([0-9a-f]+)", re.IGNORECASE)
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(//[^/?#*]*)?([\x21-\x29\x2b-\x7e]*)(\*?)")
_ATTRIBUTES = {
    "E": NameOID.EMAIL_ADDRESS,
    "emailAddress": NameOID.EMAIL_ADDRESS,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "S": NameOID.STATE_OR_PROVINCE_NAME,
    "SN": NameOID.SURNAME,
    "GN": NameOID.GIVEN_NAME,
    "T": NameOID.TITLE,
}
"""Short names of attributes that RFC 4514 does not list and people write all the same."""


def serial(value: object, place: Place) -> str:
    """A serial number as ``Certificate.serial`` has it, from ``0x1f2e``, ``1F:2E`` or ``1f2e``.

    ``1234`` could be decimal or, as OpenSSL prints serials and cfssl does not, hexadecimal. What
    could be either is refused rather than guessed: a guess would name another certificate.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        raise Wrong("must be a string, such as '0x1f2e': a bare number could be meant in decimal")
    spelled = text(value, place).strip()
    match = _SERIAL.fullmatch(spelled.replace(":", "").replace(" ", ""))
    if match is None:
        raise Wrong(f"{show(spelled)} is not a serial number; write it like '0x1f2e' or '1F:2E'")
    prefix, digits = match.groups()
    if not prefix and ":" not in spelled and digits.isdigit():
        raise Wrong(
            f"{show(spelled)} could be decimal or hexadecimal; write '0x' before hexadecimal"
        )
    plain = digits.lstrip("0").upper()
    if not plain or len(plain) > _MOST_SERIAL_DIGITS:
        raise Wrong(f"{show(spelled)}: serial numbers are above 0 and have at most 20 octets")
    return plain


def email(value: object, place: Place) -> str:
    """An address; its domain canonical, its local part as it stands (RFC 5280 §7.5)."""
    local, at_sign, domain = text(value, place).strip().rpartition("@")
    if not at_sign or not local or "*" in local:
        raise Wrong(f"{show(value)} must be one mail address, such as 'ops@example.com'")
    return f"{local}@{host_name(domain, place)}"


def uri(value: object, place: Place) -> str:
    """A URI, or the beginning of one and ``*``, which must not reach into its host."""
    spelled = text(value, place)
    match = _URI.fullmatch(spelled)
    if match is None or not spelled.isascii():
        raise Wrong(
            f"{show(spelled)} is not a URI such as 'spiffe://example.org/device', with '*' "
            "nowhere but at its end"
        )
    authority, rest, star = match.groups()
    bounded = rest.startswith("/") if authority else rest and not rest.startswith("/")
    if star and (authority == "//" or not bounded):
        raise Wrong(f"{show(spelled)}: '*' may stand only behind a whole host and its '/'")
    return spelled


def distinguished_name(value: object, place: Place) -> str:
    """A distinguished name as ``Certificate.issuer`` has it (RFC 4514)."""
    spelled = text(value, place)
    try:
        return x509.Name.from_rfc4514_string(spelled, dict(_ATTRIBUTES)).rfc4514_string()
    except (ValueError, KeyError) as error:
        raise Wrong(
            f"{show(spelled)} is not a distinguished name; write it like 'CN=Example CA,O=Example'"
        ) from error

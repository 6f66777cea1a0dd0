"""When are two names in a certificate the same? URIs, mail addresses, distinguished names."""

from __future__ import annotations

import re
from collections.abc import Iterable

from cryptography import x509
from cryptography.x509.oid import NameOID

from mtlsedge.errors import BadHostName
from mtlsedge.names import canonical_host

_URI = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*):"  # scheme
    r"(//[\x21\x22\x24-\x2e\x30-\x3e\x40-\x7e]*)?"  # authority: visible ASCII without / ? #
    r"([\x21-\x7e]*)\Z"
)
_DOT_SEGMENT = re.compile(r"(?:[/\\]|%2f|%5c)(?:\.|%2e){1,2}(?:[/\\?#]|%2f|%5c|\Z)", re.IGNORECASE)

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


def canonical_uri(text: str) -> str:
    """A URI with scheme and authority in lower case (RFC 3986 §6.2.2.1), "" if it is none."""
    match = _URI.match(text)
    if match is None:
        return ""
    return f"{match[1].lower()}:{(match[2] or '').lower()}{match[3]}"


def canonical_email(text: str) -> str:
    """A mail address with its host name canonical (RFC 5280 §4.2.1.6), "" if it is none."""
    mailbox, _, host = text.rpartition("@")
    try:
        return f"{mailbox}@{canonical_host(host)}" if mailbox else ""
    except BadHostName:
        return ""


def canonical_name(text: str) -> str:
    """A distinguished name as ``Certificate.issuer`` writes it, from how people do (RFC 4514).

    Raises:
        ValueError: it is no distinguished name, so that no issuer could ever equal it.
    """
    closed = re.sub(r"(?<!\\),\s+", ",", text)  # people write a blank behind the comma
    try:
        name = x509.Name.from_rfc4514_string(closed, dict(_ATTRIBUTES))
        if not name.rdns:
            raise ValueError("empty")
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"{text!r} is not a distinguished name; write it as the access log shows issuers"
        ) from error
    return name.rfc4514_string()


class UriPatterns:
    """URIs, and prefixes of URIs that end in ``*``.

    A prefix reaches past the authority (``spiffe://example.org/*``), so that no other host can
    begin like it; a URI with dot segments is under no prefix.

    Raises:
        ValueError: a value is no URI, or its ``*`` stands where it would match other hosts.
    """

    __slots__ = ("_exact", "_prefixes")

    def __init__(self, values: Iterable[str]) -> None:
        exact: set[str] = set()
        prefixes: set[str] = set()
        for value in values:
            uri = canonical_uri(value.removesuffix("*"))
            if not uri or "*" in uri:
                raise ValueError(f"{value!r} is not a URI, with '*' nowhere but at its end")
            if value.endswith("*"):
                prefixes.add(_whole_authority(uri, value))
            else:
                exact.add(uri)
        self._exact = frozenset(exact)
        self._prefixes = tuple(sorted(prefixes))

    def __contains__(self, text: str) -> bool:
        uri = canonical_uri(text)
        if not uri:
            return False
        if uri in self._exact:
            return True
        return uri.startswith(self._prefixes) and not _DOT_SEGMENT.search(uri)


def _whole_authority(prefix: str, value: str) -> str:
    match = _URI.match(prefix)
    assert match is not None
    authority, rest = match[2], match[3]
    reaches_past = rest.startswith("/") if authority else rest and not rest.startswith("/")
    if authority == "//" or not reaches_past:
        raise ValueError(f"{value!r}: '*' may stand only behind a whole host and its '/'")
    return prefix

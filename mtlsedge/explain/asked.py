"""What is asked? One request that nobody sends, and the client that does not send it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from urllib.parse import quote, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mtlsedge.errors import BadHostName, EdgeError
from mtlsedge.names import canonical_host, is_address

NOBODY = IPv4Address("192.0.2.1")
"""The client's address where none is given: one that documentation has to itself (RFC 5737)."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")  # RFC 9110 §5.6.2
_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))


class BadQuestion(EdgeError, ValueError):
    """Something that cannot be explained, as it is no request."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request.

    Attributes:
        url: as it was given.
        server_name: what the client would send in the handshake; None for an address.
        authority: the Host field, unless ``fields`` has one.
        port: of the edge, 0 where the URL names none.
        target: path and query as they would be sent.
        fields: further header lines, in order.
        at: seconds since the epoch.
        leaf, sent: the client's certificate and what it sends with it, DER.
    """

    url: str
    server_name: bytes | None
    authority: bytes
    port: int
    target: bytes
    method: str = "GET"
    ip: IPv4Address | IPv6Address = NOBODY
    fields: tuple[tuple[bytes, bytes], ...] = ()
    at: float = 0.0
    leaf: bytes | None = None
    sent: tuple[bytes, ...] = ()

    def head(self) -> bytes:
        """The request as its client would send it."""
        named = any(name.lower() == b"host" for name, _ in self.fields)
        fields = self.fields if named else ((b"Host", self.authority), *self.fields)
        lines = b"".join(b"%b: %b\r\n" % field for field in fields)
        return b"%b %b HTTP/1.1\r\n%b\r\n" % (self.method.encode("ascii"), self.target, lines)


def read_url(url: str) -> tuple[bytes | None, bytes, int, bytes]:
    """Server name, authority, port (0 for none) and request target of an ``https`` URL.

    The path goes as it stands: browsers take ``..`` out before they ask, attackers do not.

    Raises:
        BadQuestion: it is none.
    """
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        port = parts.port or 0
        host = parts.hostname or ""
        name = canonical_host(host)
    except (ValueError, BadHostName) as error:
        raise BadQuestion(f"{url!r} is no URL: {error}") from error
    if parts.scheme.lower() != "https":
        raise BadQuestion(f"{url!r}: the edge speaks https only")
    if parts.username is not None or parts.password is not None:
        raise BadQuestion(f"{url!r}: say nothing before the host; see --header")
    path = quote(parts.path or "/", safe=_VISIBLE)
    query = f"?{quote(parts.query, safe=_VISIBLE)}" if parts.query else ""
    shown = f"[{name}]" if ":" in name else name
    authority = f"{shown}:{port}" if port else shown
    server_name = None if is_address(name) else name.encode("ascii")
    return server_name, authority.encode("ascii"), port, f"{path}{query}".encode("ascii")


def read_method(text: str) -> str:
    """A method, as it stands: they are case-sensitive (RFC 9110 §9.1).

    Raises:
        BadQuestion: it is none.
    """
    if not _TOKEN.match(text):
        raise BadQuestion(f"{text!r} is no method")
    return text


def read_address(text: str) -> IPv4Address | IPv6Address:
    """A client's address.

    Raises:
        BadQuestion: it is none.
    """
    try:
        return ip_address(text)
    except ValueError as error:
        raise BadQuestion(f"{text!r} is no IP address") from error


def read_field(text: str) -> tuple[bytes, bytes]:
    """A header line, ``Name: value``.

    Raises:
        BadQuestion: it is none.
    """
    name, colon, value = text.partition(":")
    if not colon or not _TOKEN.match(name) or any(mark in value for mark in "\r\n\0"):
        raise BadQuestion(f"{text!r} is no header line, such as 'Accept: text/html'")
    return name.encode("ascii"), value.strip(" \t").encode("utf-8", "surrogateescape")


def read_moment(text: str) -> float:
    """A moment, ISO 8601 or seconds since the epoch; without an offset it is UTC.

    Raises:
        BadQuestion: it is none.
    """
    try:
        seconds = float(text) if re.fullmatch(r"[0-9]+(\.[0-9]*)?", text) else _instant(text)
        datetime.fromtimestamp(seconds, UTC)  # can it be written down?
    except (ValueError, OverflowError, OSError) as error:
        raise BadQuestion(f"{text!r} is no moment, such as 2026-11-23T14:00:00Z") from error
    return seconds


def read_certificates(path: Path) -> tuple[bytes, tuple[bytes, ...]]:
    """A client's certificate and what follows it in its PEM file (or a DER file's one), as DER.

    Raises:
        BadQuestion: there is none in it.
        OSError: it cannot be read.
    """
    data = path.read_bytes()
    try:
        if b"-----BEGIN" in data:
            found = x509.load_pem_x509_certificates(data)
        else:
            found = [x509.load_der_x509_certificate(data)]
    except ValueError as error:
        raise BadQuestion(f"{path} holds no certificate that can be read: {error}") from error
    leaf, *sent = (each.public_bytes(Encoding.DER) for each in found)
    return leaf, tuple(sent)


def _instant(text: str) -> float:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = datetime.fromisoformat(f"{text}T00:00:00Z" if len(text) == 10 else f"{text}Z")
    return moment.timestamp()

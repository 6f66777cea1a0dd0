"""Host names: the one canonicaliser and the one matcher that TLS, HTTP and policy share.

Two readings of one name are how proxies are bypassed, so nothing else in this package may
lower-case, strip or compare a host name (invariant 3 of the design).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import ip_address
from typing import Generic, TypeVar

import idna

from mtlsedge.errors import BadHostName

T = TypeVar("T")

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\Z")
_NUMBER = re.compile(r"[0-9]+\Z|0x[0-9a-f]*\Z")
_LONGEST = 255  # characters; no host name is longer, and IDNA is quadratic in what it is given
_CACHED = 16_384  # names; ten thousand hosts that are asked in turn should find theirs
_AUTHORITY = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[^:\[\]@/?#\s]+)(?::([0-9]{0,5}))?\Z")


@lru_cache(maxsize=_CACHED)
def canonical_host(text: str) -> str:
    """The canonical form of a host name or IP literal: lower case, A-labels, no final dot.

    IPv6 literals may stand in brackets and come back without them, compressed (RFC 5952).

    Raises:
        BadHostName: the text is not a host name (a wildcard is not one either).
    """
    if len(text) > _LONGEST:
        raise BadHostName(f"{text[:32]!r}... is too long for a host name")
    address = _as_address(text)
    if address is not None:
        return address
    name = text[:-1] if text.endswith(".") else text
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True, transitional=False).decode("ascii")
        except (idna.IDNAError, UnicodeError) as error:
            raise BadHostName(f"{text!r} is not a valid internationalised host name") from error
    name = name.lower()
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.match(label) for label in labels):
        raise BadHostName(f"{text!r} is not a host name")
    if _NUMBER.match(labels[-1]):
        # Some readers take "1.2.3" or "1.0x7f" for an address: nobody is to guess (WHATWG URL).
        raise BadHostName(f"{text!r} ends in a number and is not an IP address")
    return name


@lru_cache(maxsize=1024)
def canonical_pattern(text: str) -> str:
    """The canonical form of a host name whose first label may be ``*``.

    Raises:
        BadHostName: not a host name, or a ``*`` anywhere but as the whole first label.
    """
    if text.startswith("*."):
        name = canonical_host(text[2:])
        if _as_address(name) is not None:
            raise BadHostName(f"{text!r}: an IP address has no labels for '*' to stand for")
        return "*." + name
    if "*" in text:
        raise BadHostName(f"{text!r}: '*' may stand only for the whole first label")
    return canonical_host(text)


@lru_cache(maxsize=_CACHED)
def split_authority(raw: bytes) -> tuple[str, int | None]:
    """The canonical host and the port of a ``Host`` field or an authority (RFC 9110 §7.2).

    Raises:
        BadHostName: no single reading of the bytes is a host with an optional port.
    """
    match = _AUTHORITY.match(raw)
    if match is None:
        raise BadHostName(f"{raw!r} is not a host with an optional port")
    try:
        host = canonical_host(match[1].decode("ascii"))
    except UnicodeDecodeError as error:
        raise BadHostName(f"{raw!r} is not ASCII") from error
    port = int(match[2]) if match[2] else None
    if port is not None and port > 65535:
        raise BadHostName(f"{raw!r}: no such port")
    return host, port


def is_address(name: str) -> bool:
    """Whether a canonical name is an IP address."""
    return _as_address(name) is not None


def wildcard_of(name: str) -> str:
    """The one wildcard that covers a canonical name: ``a.b.c`` gives ``*.b.c``."""
    return "*." + name.partition(".")[2]


def covers(pattern: str, name: str) -> bool:
    """Whether a canonical pattern stands for a canonical name; ``*`` is exactly one label."""
    return pattern == name or (pattern.startswith("*.") and wildcard_of(name) == pattern)


class NameTable(Generic[T]):
    """What belongs to which host name: one dictionary look-up, and one more for wildcards."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[str, T] = {}

    def add(self, pattern: str, value: T) -> bool:
        """Enter a canonical pattern; False, and nothing changed, if it is there already."""
        if pattern in self._entries:
            return False
        self._entries[pattern] = value
        return True

    def find(self, name: str) -> T | None:
        """The entry for a canonical name: its own, or else its wildcard's."""
        entry = self._entries.get(name)
        return entry if entry is not None else self._entries.get(wildcard_of(name))

    def __iter__(self) -> Iterator[tuple[str, T]]:
        return iter(self._entries.items())

    def __len__(self) -> int:
        return len(self._entries)


def _as_address(text: str) -> str | None:
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if "%" in inner or (":" not in inner and inner != text):
        return None  # a zone after '%' means something on one machine only (RFC 6874)
    if ":" not in inner and not inner[-1:].isdigit():
        return None  # as most names; reading them as an address to find out is dear
    try:
        return str(ip_address(inner))
    except ValueError:
        return None

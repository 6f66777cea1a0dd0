"""Which subject alternative names does an operator mean? One pattern for each kind of name.

The pattern is the operator's and the name is the certificate's, so the matchers of server
authentication, in which the certificate holds the pattern, do not fit; host names go through
the package's one matcher (invariant 3 of the design).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from mtlsedge.errors import BadHostName, BadVerifier
from mtlsedge.names import canonical_host, canonical_pattern, covers

Matcher = Callable[[str], bool]

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#@\\%]+)((?:/[^/?#\\%]+)*/?)\Z")
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_ID_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")
_SPIFFE_ID = re.compile(r"spiffe://([a-z0-9._-]{1,255})((?:/[A-Za-z0-9._-]+)*)")
_LONGEST_ID = 2048  # octets (SPIFFE-ID §2.3)
_DOTS = frozenset({".", ".."})


def dns_pattern(text: str) -> Matcher:
    """A DNS name, or ``*.`` and one: ``*`` stands for exactly one label.

    Raises:
        BadVerifier: it is neither.
    """
    try:
        pattern = canonical_pattern(text)
    except BadHostName as error:
        raise BadVerifier(str(error)) from error
    return lambda name: _host_covered(pattern, name)


def ip_pattern(text: str) -> Matcher:
    """An IP address or a network in CIDR notation.

    Raises:
        BadVerifier: it is neither.
    """
    try:
        network = ip_network(text)
    except ValueError as error:
        raise BadVerifier(f"{text!r} is neither an address nor a network: {error}") from error
    return lambda name: ip_address(name) in network


def email_pattern(text: str) -> Matcher:
    """A mailbox, or ``*@`` and a domain for all of its mailboxes.

    The local part is compared as it stands (RFC 5280 §7.5), the domain as a host name.

    Raises:
        BadVerifier: it is not a mailbox.
    """
    local, at, domain = text.rpartition("@")
    if not at or not local or ("*" in local and local != "*"):
        raise BadVerifier(f"{text!r} is neither a mailbox nor '*@' and a domain")
    try:
        domain = canonical_host(domain)
    except BadHostName as error:
        raise BadVerifier(f"{text!r}: {error}") from error

    def matches(name: str) -> bool:
        its_local, its_at, its_domain = name.partition("@")
        if not its_at or not its_local:
            return False
        return local in ("*", its_local) and _host_covered(domain, its_domain)

    return matches


def uri_pattern(text: str) -> Matcher:
    """A URI; ``*`` for a path segment stands for one, ``/*`` at the end for all below.

    With a ``*``, scheme and host are compared as such (RFC 3986 §6.2.2) and the path segment by
    segment. Names with a query, an escape, an empty or a dot segment then never match: origins
    and people read those in more than one way. Without a ``*`` the whole text is compared.

    Raises:
        BadVerifier: it is not a URI, or a ``*`` is only a part of a segment.
    """
    if "*" not in text:
        if not urlsplit(text).scheme:
            raise BadVerifier(f"{text!r} is not a URI: it has no scheme")
        return lambda name: name == text
    pattern = _Hierarchy.read(text, canonical_pattern)
    if pattern is None or any("*" in part and part != "*" for part in pattern.segments):
        raise BadVerifier(
            f"{text!r}: '*' stands for a whole path segment or the host's first label, in "
            "SCHEME://HOST/PATH without query, escapes or empty segments"
        )
    return pattern.covers


def spiffe_pattern(text: str) -> Matcher:
    """A SPIFFE id without its scheme, or a trust domain for all ids of it.

    ``example.org`` is the whole trust domain; ``example.org/ns/web/*`` what is below a path, as
    in `uri_pattern`; ``example.org/ns/web`` one id. Ids are read as SPIFFE-ID §2 says: a trust
    domain is lower case, without port or user; neither has escapes, nor a path empty segments.

    Raises:
        BadVerifier: it is none of these.
    """
    domain, slash, path = text.partition("/")
    segments = path.split("/") if slash else []
    if not _TRUST_DOMAIN.fullmatch(domain) or not all(map(_id_segment_pattern, segments)):
        raise BadVerifier(
            f"{text!r} is no SPIFFE id: write example.org for a trust domain, example.org/ns/web "
            "for one id, example.org/ns/* for what is below"
        )

    def matches(name: str) -> bool:
        found = _SPIFFE_ID.fullmatch(name)
        if found is None or found[1] != domain or len(name) > _LONGEST_ID:
            return False
        its = found[2].split("/")[1:]
        if not _DOTS.isdisjoint(its):
            return False
        return not segments or _path_covered(tuple(segments), tuple(its))

    return matches


def _id_segment_pattern(segment: str) -> bool:
    return segment == "*" or (_ID_SEGMENT.fullmatch(segment) is not None and segment not in _DOTS)


@dataclass(frozen=True, slots=True)
class _Hierarchy:
    """A URI with an authority, taken apart: ``spiffe://example.org/ns/web``."""

    scheme: str
    host: str
    port: str
    segments: tuple[str, ...]

    @classmethod
    def read(cls, text: str, canonical: Callable[[str], str]) -> _Hierarchy | None:
        """None where there is no single reading of the text."""
        match = _URI.match(text)
        if match is None:
            return None
        host, colon, port = match[2].rpartition(":") if _has_port(match[2]) else (match[2], "", "")
        segments = tuple(match[3].split("/"))[1:]
        if (colon and not port.isdecimal()) or not _DOTS.isdisjoint(segments):
            return None
        try:
            return cls(match[1].lower(), canonical(host), port, segments)
        except BadHostName:
            return None

    def covers(self, name: str) -> bool:
        """Whether this, as a pattern, stands for a URI."""
        other = _Hierarchy.read(name, canonical_host)
        if other is None or (self.scheme, self.port) != (other.scheme, other.port):
            return False
        return covers(self.host, other.host) and _path_covered(self.segments, other.segments)


def _has_port(authority: str) -> bool:
    return ":" in authority.rpartition("]")[2]


def _path_covered(pattern: tuple[str, ...], segments: tuple[str, ...]) -> bool:
    if pattern and pattern[-1] == "*" and len(segments) > len(pattern):
        segments = segments[: len(pattern)]
    return len(pattern) == len(segments) and all(
        wanted == given or (wanted == "*" and given != "")
        for wanted, given in zip(pattern, segments, strict=True)
    )


def _host_covered(pattern: str, name: str) -> bool:
    try:
        return covers(pattern, canonical_host(name))
    except BadHostName:
        return False

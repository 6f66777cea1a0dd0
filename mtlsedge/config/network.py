"""Where does the edge listen, what are hosts called, and where are their origins?"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from ipaddress import AddressValueError, IPv6Address, ip_address, ip_network
from typing import Literal

from mtlsedge.config.reader import Place, Wrong, show
from mtlsedge.config.values import text
from mtlsedge.errors import BadHostName
from mtlsedge.model import Listen, Network, Upstream
from mtlsedge.names import canonical_host, canonical_pattern, split_authority

NO_HTTP3 = (
    "HTTP/3 is refused: a client that moved to QUIC would skip the client certificate, so the "
    "edge never listens on UDP; take it out"
)
HTTP3_KEYS = dict.fromkeys(("h3", "http3", "http_3", "quic", "udp", "alt_svc"), NO_HTTP3)
"""What to say of keys that ask for HTTP/3."""

_HTTP3 = re.compile(r"(?:udp|quic|h3|http/?3)\b", re.IGNORECASE)
_LISTEN = re.compile(r"(\[[^\]]*\]|[^\[\]:]*):([0-9]{1,5})")
_DESCRIPTOR = re.compile(r"fd:([0-9]{1,6})")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(//)?(.*)", re.DOTALL)
_FIRST_DESCRIPTOR = 3  # 0 to 2 are the standard streams; systemd passes sockets from 3 on
_LONGEST_SOCKET_PATH = 107  # bytes, of sun_path in unix(7)


def protocol(value: object, place: Place) -> str:
    """A protocol towards clients: for now ``http/1.1`` alone."""
    word = text(value, place).lower()
    if _HTTP3.match(word):
        raise Wrong(NO_HTTP3)
    if word in ("h2", "http/2", "h2c"):
        raise Wrong("HTTP/2 is not yet served; write 'http/1.1'")
    if word != "http/1.1":
        raise Wrong(f"{show(word)} is not a protocol that the edge serves; write 'http/1.1'")
    return word


def listen(value: object, place: Place) -> Listen:
    """``127.0.0.1:8443``, ``[::1]:8443``, ``:8443`` (every interface), or ``fd:3``."""
    spelled = text(value, place).strip()
    if _HTTP3.match(spelled):
        raise Wrong(NO_HTTP3)
    if spelled.startswith("fd:"):
        return _descriptor(spelled)
    match = _LISTEN.fullmatch(spelled)
    if match is None or int(match[2]) > 65535:
        raise Wrong(f"{show(spelled)} must be like '127.0.0.1:8443', '[::1]:8443', ':8443', 'fd:3'")
    return Listen(_interface(match[1], spelled), int(match[2]))


def address_and_port(value: object, place: Place) -> str:
    """As ``listen``, without inherited sockets; the text."""
    where = listen(value, place)
    if where.descriptor is not None:
        raise Wrong("takes no inherited socket; write it like '127.0.0.1:9901'")
    return str(where)


def host_name(value: object, place: Place) -> str:
    """A canonical host name."""
    return _canonical(canonical_host, text(value, place))


def host_pattern(value: object, place: Place) -> str:
    """A canonical host name, or one whose first label is ``*``."""
    spelled = text(value, place)
    if re.search(r"[/:@]", spelled) and _not_ipv6(spelled):
        raise Wrong(f"{show(spelled)} is not a bare host name; leave scheme, port and path out")
    return _canonical(canonical_pattern, spelled)


def network(value: object, place: Place) -> Network:
    """An address, or a network written strictly: no bits beyond its prefix."""
    spelled = text(value, place).strip()
    try:
        found = ip_network(spelled)
    except ValueError as error:
        raise Wrong(_network_remedy(spelled)) from error
    if isinstance(found.network_address, IPv6Address) and found.network_address.ipv4_mapped:
        raise Wrong(f"{show(spelled)} holds IPv4 addresses; write them as IPv4")
    return found


def upstream(value: object, place: Place) -> Upstream:
    """``http://host:port``, ``https://host:port`` or ``unix:/path/of.sock``."""
    spelled = text(value, place).strip()
    match = _SCHEME.fullmatch(spelled)
    scheme = match[1].lower() if match else ""
    if match is None or scheme not in ("http", "https", "unix"):
        raise Wrong(f"{show(spelled)} must begin with http://, https:// or unix:")
    if scheme == "unix":
        return _unix_upstream(spelled.partition(":")[2], place)
    if not match[2]:
        raise Wrong(f"{show(spelled)} lacks the '//' after its scheme")
    return _url_upstream("https" if scheme == "https" else "http", match[3], spelled)


def _url_upstream(scheme: Literal["http", "https"], rest: str, spelled: str) -> Upstream:
    if "@" in rest:
        raise Wrong("carries a user name or password; the edge sends none to origins: take it out")
    if "?" in rest or "#" in rest:
        raise Wrong(f"{show(spelled)} has a query or fragment; take it out")
    authority, _, path = rest.partition("/")
    if path:
        raise Wrong(f"{show(spelled)} has a path; origins get the request's own path: take it out")
    try:
        host, port = split_authority(_ascii_authority(authority))
    except BadHostName as error:
        raise Wrong(f"{show(spelled)} names no origin: {error}") from error
    if port == 0:
        raise Wrong(f"{show(spelled)}: no origin listens on port 0")
    return Upstream(scheme, host, port or (443 if scheme == "https" else 80))


def _unix_upstream(spelled: str, place: Place) -> Upstream:
    if spelled.startswith("//"):
        if not spelled.startswith("///"):
            raise Wrong("must be 'unix:/path/of.sock', without a host")
        spelled = spelled[2:]
    if not spelled:
        raise Wrong("names no socket; write 'unix:/run/app.sock'")
    path = str(place.loading.base / spelled)
    if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
        raise Wrong(f"{show(path)} is longer than the {_LONGEST_SOCKET_PATH} bytes a socket allows")
    return Upstream("unix", path=path)


def _descriptor(spelled: str) -> Listen:
    match = _DESCRIPTOR.fullmatch(spelled)
    if match is None or int(match[1]) < _FIRST_DESCRIPTOR:
        raise Wrong(f"{show(spelled)} must be 'fd:3' or a higher descriptor")
    return Listen(descriptor=int(match[1]))


def _interface(host: str, spelled: str) -> str:
    if not host:
        return ""
    bracketed = host.startswith("[")
    try:
        address = ip_address(host[1:-1] if bracketed else host)
    except ValueError as error:
        remedy = "write the interface's address, or nothing before the ':' for all of them"
        raise Wrong(f"{show(spelled)} names no address; {remedy}") from error
    if bracketed != (address.version == 6):
        raise Wrong(f"{show(spelled)}: brackets stand around IPv6 addresses, and only those")
    return str(address)


def _canonical(canonicalise: Callable[[str], str], spelled: str) -> str:
    try:
        return canonicalise(spelled)
    except BadHostName as error:
        raise Wrong(f"{error}; write a name such as 'iot.example.com'") from error


def _not_ipv6(spelled: str) -> bool:
    try:
        IPv6Address(spelled.removeprefix("[").removesuffix("]"))
    except AddressValueError:
        return True
    return False


def _ascii_authority(authority: str) -> bytes:
    """The authority as bytes; a host name in Unicode is first made canonical, its port kept."""
    if authority.isascii():
        return authority.encode("ascii")
    host, colon, port = authority.partition(":")
    return (canonical_host(host) + colon + port).encode("ascii", "replace")


def _network_remedy(spelled: str) -> str:
    try:
        wider = ip_network(spelled, strict=False)
    except ValueError:
        return f"{show(spelled)} is not an IP address or network such as '192.0.2.0/24'"
    return f"{show(spelled)} has bits beyond its prefix; write {str(wider)!r}, or one address"

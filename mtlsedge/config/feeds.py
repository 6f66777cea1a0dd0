"""What may be fetched, from where, and whose word is taken for it? URLs that the operator lists."""

from __future__ import annotations

from urllib.parse import urlsplit

from mtlsedge.config import judgement
from mtlsedge.config.pem import ca_certificates, certificate_file
from mtlsedge.config.reader import Place, Table, Wrong, show
from mtlsedge.config.values import duration
from mtlsedge.errors import BadHostName
from mtlsedge.model import CrlSource
from mtlsedge.names import canonical_host

_SCHEMES = ("http://", "https://")
_EVERY = 300.0  # seconds
_LEAST_EVERY, _MOST_EVERY = 1.0, 7 * 86400.0
_LONGEST_URL = 2048


def is_url(value: object) -> bool:
    """Whether the operator means something to be fetched, and not a file."""
    return isinstance(value, str) and value.lower().startswith(_SCHEMES)


def url(value: object, _: Place) -> str:
    """An http or https URL, in ASCII, with a host and without a user or a fragment."""
    if not is_url(value):
        raise Wrong(f"{show(value)} is no http:// or https:// URL")
    assert isinstance(value, str)
    try:
        parts = urlsplit(value)
        canonical_host(parts.hostname or "")
        sound = value.isascii() and value.isprintable() and " " not in value
        sound = sound and len(value) <= _LONGEST_URL and parts.port != 0
    except (ValueError, BadHostName) as error:
        raise Wrong(f"{show(value)} is no URL: {error}") from error
    if not sound:
        raise Wrong(f"{show(value)} is no URL of printable ASCII; percent-encode what is not")
    if "@" in parts.netloc or parts.fragment:
        raise Wrong(f"{show(value)} has a user or a fragment, which are never sent; take them out")
    return value


def crl_url(value: object, place: Place) -> CrlSource:
    """A CRL that is fetched once the edge runs; until then there is none."""
    return CrlSource(url(value, place), b"", remote=True)


def refresh(table: Table, key: str, *, remote: bool) -> float:
    """How often URLs are asked, in seconds."""
    if key in table and not remote:
        table.at(key).problem("is for CRLs from URLs, and there is none; files are watched anyway")
    return table.take(key, duration(_LEAST_EVERY, _MOST_EVERY), _EVERY)


def trusted_for(table: Table, key: str, *, secure: bool) -> bytes:
    """PEM of the CAs that https is verified by; b"" where the operator wrote ``"system"``."""
    if secure:
        return table.need(
            key,
            _trusted,
            b"",
            "name the CA file that signs the server's certificate, or write 'system'; the "
            "system's store is never used unasked",
        )
    if key in table:
        table.at(key).problem("needs an https:// URL, and there is none; take it out")
    return table.take(key, _trusted, b"")


def _trusted(value: object, place: Place) -> bytes:
    if value == "system":
        return b""
    content = certificate_file(value, place)
    judgement.warn_of_end(place, ca_certificates(content), content)
    return content.data

"""How does the origin learn of the client's certificate, in which dialects?

The two flags go out always; what the certificate says goes out only when it verified, so that an
origin which trusts the mere presence of a header (RFC 9440 §2.4 reads that way) is right to.
All of it is made once per connection. Values are visible ASCII and spaces, whatever the
certificate holds, and bounded in size.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from cryptography.hazmat.primitives.serialization import Encoding

from mtlsedge.identity import Certificate, Identity, PeerChain
from mtlsedge.model import CertificateDialect

Headers = tuple[tuple[bytes, bytes], ...]

EDGE_CERTIFICATE_HEADERS: frozenset[bytes] = frozenset(
    (
        b"cf-cert-presented",
        b"cf-cert-verified",
        b"cf-client-cert-der-base64",
        b"cf-client-cert-sha256",
        b"client-cert",
        b"client-cert-chain",
        b"x-forwarded-client-cert",
    )
)
"""Every name this file can set, in lower case: whatever a client sends under them is deleted."""

_LONGEST_LEAF = 10 * 1024  # bytes of base64; Cloudflare's limit
_LONGEST_CHAIN = 16 * 1024  # bytes of the field's value; Cloudflare's limit
_MOST_CHAIN = 16  # certificates
_LONGEST_XFCC = 24 * 1024
_MOST_NAMES = 32  # alternative names of a kind
_LONGEST_NAME = 2048

_DNS_NAME = re.compile(r"(?:\*\.)?[A-Za-z0-9_.-]{1,253}\Z")
_UNSAFE_IN_URI = re.compile(r"[^!#-\[\]-~]")  # all but visible ASCII; also the quote and "\"
_UNSAFE_IN_VALUE = re.compile(r"[^ -$&-~]")  # all but visible ASCII and blanks; also "%"
_DN_PIECE = re.compile(r"\\[0-9A-Fa-f]{2}|\\(?P<escaped>.)|(?P<bare>[^ !#-:<-\[\]-~])", re.DOTALL)


def certificate_headers(
    identity: Identity, dialects: Iterable[CertificateDialect], server_uri: str = ""
) -> Headers:
    """The headers that tell an origin of a connection's certificate.

    Arguments:
        dialects: any of ``cf`` (Cloudflare's), ``rfc9440`` and ``xfcc`` (Envoy's).
        server_uri: the URI in the server certificate's alternative names, for XFCC's ``By``; ""
            where it has none.

    A leaf or a chain that is too large leaves its header out: half of one is of no use.
    """
    headers: list[tuple[bytes, bytes]] = [
        (b"Cf-Cert-Presented", _flag(identity.presented)),
        (b"Cf-Cert-Verified", _flag(identity.verified)),
    ]
    if identity.verified and identity.chain is not None:
        for dialect in sorted(set(dialects)):
            headers += _of_dialect(dialect, identity.chain, server_uri)
    return tuple(headers)


def attribute_lines(found: Iterable[Mapping[str, str]], names: Iterable[str]) -> bytes:
    """The header lines that tell an origin what accepting verifiers attached.

    ``Cf-Cert-Attribute-`` and the name; of several values the first. What is not visible ASCII
    or a blank, and ``%`` itself, is percent-encoded UTF-8.
    """
    lines = []
    everything = tuple(found)
    for name in names:
        value = next((each[name] for each in everything if name in each), None)
        if value is not None and len(value) <= _LONGEST_NAME:
            field = name.replace("_", "-").title()
            safe = _UNSAFE_IN_VALUE.sub(_percent, value.strip())
            lines.append(f"Cf-Cert-Attribute-{field}: {safe}\r\n")
    return "".join(lines).encode("ascii")


def _of_dialect(
    dialect: CertificateDialect, chain: PeerChain, server_uri: str
) -> list[tuple[bytes, bytes]]:
    if dialect == "cf":
        return _cloudflare(chain.leaf)
    if dialect == "rfc9440":
        return _rfc9440(chain)
    return [(b"X-Forwarded-Client-Cert", xfcc_element(chain.leaf, server_uri))]


def _cloudflare(leaf: Certificate) -> list[tuple[bytes, bytes]]:
    headers = [(b"Cf-Client-Cert-Sha256", leaf.fingerprint_sha256.encode("ascii"))]
    encoded = b64encode(leaf.der)
    if len(encoded) <= _LONGEST_LEAF:
        headers.insert(0, (b"Cf-Client-Cert-Der-Base64", encoded))
    return headers


def _rfc9440(chain: PeerChain) -> list[tuple[bytes, bytes]]:
    """RFC 9440 §2: byte sequences (RFC 8941 §3.3.5); the chain without the leaf, in TLS's order.

    The chain is the one that was verified, up to the trust anchor, and not what the peer sent.
    """
    leaf = _byte_sequence(chain.leaf.der)
    if len(leaf) > _LONGEST_LEAF:
        return []  # the chain must not stand alone (§2.3)
    headers = [(b"Client-Cert", leaf)]
    issuers = chain.verified[1:]
    value = b", ".join(_byte_sequence(issuer.der) for issuer in issuers[: _MOST_CHAIN + 1])
    if issuers and len(issuers) <= _MOST_CHAIN and len(value) <= _LONGEST_CHAIN:
        headers.append((b"Client-Cert-Chain", value))
    return headers


def xfcc_element(leaf: Certificate, server_uri: str = "") -> bytes:
    """One element of Envoy's ``X-Forwarded-Client-Cert``.

    Envoy's syntax has an escape for the quote and none for the backslash, so that parsers differ
    on ``\\\\"``. No value here holds either one within its quotes: names are rewritten with RFC
    4514's hexadecimal escapes and URIs with percent ones, which mean the same.
    """
    pairs = ["Hash=" + leaf.fingerprint_sha256]
    if server_uri:
        pairs.insert(0, "By=" + _uri_value(server_uri))
    pem = leaf.x509.public_bytes(Encoding.PEM).decode("ascii")
    if len(pem) <= _LONGEST_LEAF:
        pairs.append(f'Cert="{quote(pem, safe="")}"')
    subject = distinguished_name_value(leaf.subject)
    if len(subject) <= _LONGEST_NAME:  # cut short, it could be somebody else's
        pairs.append(f'Subject="{subject}"')
    pairs += ["URI=" + _uri_value(uri) for uri in _bounded(leaf.san_uri)]
    pairs += ["DNS=" + name for name in _bounded(leaf.san_dns) if _DNS_NAME.match(name)]
    return _joined(pairs).encode("ascii")


def distinguished_name_value(name: str) -> str:
    r"""An RFC 4514 name in ASCII, where only ``\`` and two hexadecimal digits escape anything.

    The commas that are left part its components; quotes and semicolons are not left.
    """
    return _DN_PIECE.sub(_hexadecimal, name)


def _hexadecimal(match: re.Match[str]) -> str:
    character = match["escaped"] or match["bare"]
    if character is None:
        return match[0]
    return "".join(f"\\{octet:02X}" for octet in character.encode("utf-8", "surrogatepass"))


def _uri_value(uri: str) -> str:
    """A URI that ends neither its quotes nor its pair; quoted where Envoy's syntax wants it."""
    safe = _UNSAFE_IN_URI.sub(_percent, uri)
    return f'"{safe}"' if any(mark in safe for mark in ",;=") else safe


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{octet:02X}" for octet in match[0].encode("utf-8", "surrogatepass"))


def _bounded(names: tuple[str, ...]) -> list[str]:
    return [name for name in names[:_MOST_NAMES] if len(name) <= _LONGEST_NAME]


def _joined(pairs: list[str]) -> str:
    """As many pairs as fit, the first ones first: names of alternatives are the last."""
    size, kept = 0, []
    for pair in pairs:
        size += len(pair) + 1
        if size > _LONGEST_XFCC:
            break
        kept.append(pair)
    return ";".join(kept)


def _byte_sequence(octets: bytes) -> bytes:
    return b":" + b64encode(octets) + b":"


def _flag(value: bool) -> bytes:
    return b"true" if value else b"false"

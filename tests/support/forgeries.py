"""Names of fields that say who a client is, and the spellings in which they have been forged."""

from __future__ import annotations

from mtlsedge.http.forwarding import EDGE_CERTIFICATE_HEADERS

TRANSFORM = frozenset(
    b"cf-cert-" + name
    for name in (
        b"revoked",
        b"issuer-dn",
        b"subject-dn",
        b"issuer-dn-rfc2253",
        b"subject-dn-rfc2253",
        b"issuer-dn-legacy",
        b"subject-dn-legacy",
        b"serial",
        b"issuer-serial",
        b"fingerprint-sha256",
        b"fingerprint-sha1",
        b"not-before",
        b"not-after",
        b"ski",
        b"issuer-ski",
    )
)
"""What Cloudflare's managed transform adds and the edge does not set."""
ACCESS = frozenset(
    {
        b"cf-access-jwt-assertion",
        b"cf-access-authenticated-user-email",
        b"cf-access-client-id",
        b"cf-access-client-secret",
        b"cf-access-token",
        b"cf-access-user",
    }
)
ADDRESS = frozenset(
    {
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-server",
        b"x-forwarded-ssl",
        b"x-forwarded-tls-client-cert",
        b"x-forwarded-user",
        b"x-forwarded-email",
        b"x-real-ip",
        b"x-request-id",
        b"cookie2",
        b"cf-authorization",
        b"cf-connecting-ip",
        b"cf-connecting-ipv6",
        b"cf-pseudo-ipv4",
        b"true-client-ip",
        b"client-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-original-forwarded-for",
    }
)
ROUTE = frozenset(
    {b"x-original-url", b"x-rewrite-url", b"x-original-uri", b"x-original-host", b"x-host"}
)
FORGEABLE = (
    EDGE_CERTIFICATE_HEADERS
    | TRANSFORM
    | ACCESS
    | ADDRESS
    | ROUTE
    | {b"proxy", b"proxy-authorization"}
)
"""Every name, in lower case, that no client may say to an origin."""


def spellings(name: bytes) -> list[bytes]:
    """One name as clients have written it to get past a proxy and reach an application."""
    words = name.split(b"-")
    return [
        name,
        name.upper(),
        name.title(),
        name.swapcase().replace(b"-", b"_"),
        b"_".join(words),
        b".".join(words),
        b"".join(words),
        b"--".join(words),
        b"-_".join(word.capitalize() for word in words),
        b"_" + name + b"-",
        name.title().replace(b"-", b"_", 1),
    ]

"""The verifier ``san``: only certificates with one of these subject alternative names."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.plugin import IPlugin
from zope.interface import implementer

from mtlsedge.identity import Certificate, PeerChain, Verdict
from mtlsedge.interfaces import IVerifier, IVerifierFactory
from mtlsedge.trust.arguments import read_arguments
from mtlsedge.trust.san_patterns import (
    Matcher,
    dns_pattern,
    email_pattern,
    ip_pattern,
    spiffe_pattern,
    uri_pattern,
)

_PATTERNS = {
    "dns": dns_pattern,
    "uri": uri_pattern,
    "email": email_pattern,
    "ip": ip_pattern,
    "spiffe": spiffe_pattern,
}
_AN_HOUR = 3600.0  # the answer about a certificate never changes
_ACCEPTED = Verdict(True, cache_for=_AN_HOUR)


@implementer(IVerifier)
class SanVerifier:
    """Accepts a leaf of whose subject alternative names any matches any pattern of its kind."""

    def __init__(self, patterns: Sequence[tuple[str, Matcher]]) -> None:
        """Each pattern with its kind: ``dns``, ``uri``, ``email``, ``ip`` or ``spiffe``."""
        self._patterns = tuple(patterns)

    def verify(self, peer: PeerChain, host: str) -> Verdict:
        """See ``IVerifier``."""
        leaf = peer.leaf
        for kind, matches in self._patterns:
            if any(matches(name) for name in _names(leaf, kind)):
                return _ACCEPTED
        return Verdict(
            False,
            "none of its subject alternative names is among those asked for",
            cache_for=_AN_HOUR,
        )


@implementer(IPlugin, IVerifierFactory)
class SanFactory:
    """Makes ``SanVerifier`` of patterns."""

    name = "san"
    syntax = "san:dns=NAME[,dns=*.NAME][,uri=URI][,email=MAILBOX][,ip=NETWORK][,spiffe=ID]"
    help = (
        "Accepts a certificate of which any subject alternative name matches any of those "
        "listed. In dns= a first label '*' stands for exactly one label. In uri= a path segment "
        "'*' stands for one segment, and '/*' at the end for everything below: "
        "uri=spiffe://example.org/* is every id of that trust domain. email=*@example.com is "
        "every mailbox there. spiffe=example.org/ns/web/* is read as SPIFFE ids are, and "
        "spiffe=example.org is a whole trust domain; the certificate must then have that URI "
        "and no other, as an X.509-SVID does. Values with commas are written in double quotes."
    )

    def makeVerifier(self, spec: str) -> SanVerifier:
        """See ``IVerifierFactory``."""
        pairs = read_arguments(spec, tuple(_PATTERNS))
        return SanVerifier([(kind, _PATTERNS[kind](value)) for kind, value in pairs])


def _names(leaf: Certificate, kind: str) -> tuple[str, ...]:
    if kind == "dns":
        return leaf.san_dns
    if kind == "uri":
        return leaf.san_uri
    if kind == "spiffe":  # X509-SVID §2: exactly one URI, whichever
        return leaf.san_uri if len(leaf.san_uri) == 1 else ()
    return leaf.san_email if kind == "email" else leaf.san_ip

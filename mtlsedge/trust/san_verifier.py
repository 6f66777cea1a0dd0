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
    uri_pattern,
)

_PATTERNS = {
    "dns": dns_pattern,
    "uri": uri_pattern,
    "email": email_pattern,
    "ip": ip_pattern,
}
_ACCEPTED = Verdict(True)


@implementer(IVerifier)
class SanVerifier:
    """Accepts a leaf of whose subject alternative names any matches any pattern of its kind."""

    def __init__(self, patterns: Sequence[tuple[str, Matcher]]) -> None:
        """Each pattern with its kind: ``dns``, ``uri``, ``email`` or ``ip``."""
        self._patterns = tuple(patterns)

    def verify(self, peer: PeerChain, host: str) -> Verdict:
        """See ``IVerifier``."""
        leaf = peer.leaf
        for kind, matches in self._patterns:
            if any(matches(name) for name in _names(leaf, kind)):
                return _ACCEPTED
        return Verdict(False, "none of its subject alternative names is among those asked for")


@implementer(IPlugin, IVerifierFactory)
class SanFactory:
    """Makes ``SanVerifier`` of patterns."""

    name = "san"
    syntax = "san:dns=NAME[,dns=*.NAME][,uri=URI][,email=MAILBOX][,ip=ADDRESS-OR-NETWORK]"
    help = (
        "Accepts a certificate of which any subject alternative name matches any of those "
        "listed. In dns= a first label '*' stands for exactly one label. In uri= a path segment "
        "'*' stands for one segment, and '/*' at the end for everything below: "
        "uri=spiffe://example.org/* is every id of that trust domain. email=*@example.com is "
        "every mailbox there. Commas within a value are written '\\,'."
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
    return leaf.san_email if kind == "email" else leaf.san_ip

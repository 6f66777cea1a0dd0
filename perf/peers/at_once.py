"""A verifier that answers at once, as a third party would write it; an edge finds it as a plugin.

What it costs is what it costs to ask: it makes its verdict once, and looks at nothing.
"""

from __future__ import annotations

from twisted.plugin import IPlugin
from zope.interface import implementer

from mtlsedge.errors import BadVerifier
from mtlsedge.identity import PeerChain, Verdict
from mtlsedge.interfaces import IVerifier, IVerifierFactory


@implementer(IVerifier)
class AtOnce:
    """Gives everybody the same verdict."""

    def __init__(self, verdict: Verdict) -> None:
        self._verdict = verdict

    def verify(self, peer: PeerChain, host: str) -> Verdict:
        """See ``IVerifier``."""
        return self._verdict


@implementer(IPlugin, IVerifierFactory)
class AtOnceFactory:
    """Makes ``AtOnce`` of the seconds for which its verdict holds, or of ``no``."""

    name = "at-once"
    syntax = "at-once:SECONDS or at-once:no"
    help = "Says yes at once; the verdict may be kept for so many seconds."

    def makeVerifier(self, spec: str) -> AtOnce:
        """See ``IVerifierFactory``."""
        if spec == "no":
            return AtOnce(Verdict(False, "it was told to", cache_for=3600.0))
        if not spec.isdecimal():
            raise BadVerifier(f"{spec!r} is no number of seconds")
        return AtOnce(Verdict(True, cache_for=float(spec)))


at_once = AtOnceFactory()

"""The verifier ``chain``: what verified is accepted. It is what a client CA has without any."""

from __future__ import annotations

from twisted.plugin import IPlugin
from zope.interface import implementer

from mtlsedge.errors import BadVerifier
from mtlsedge.identity import PeerChain, Verdict
from mtlsedge.interfaces import IVerifier, IVerifierFactory

_ACCEPTED = Verdict(True, cache_for=3600.0)  # what else ends it is not for a verifier to say
_REJECTED = Verdict(False, "the chain did not verify")


@implementer(IVerifier)
class ChainVerifier:
    """Accepts every chain that verified."""

    def verify(self, peer: PeerChain, host: str) -> Verdict:
        """See ``IVerifier``."""
        return _ACCEPTED if peer.verified else _REJECTED


@implementer(IPlugin, IVerifierFactory)
class ChainFactory:
    """Makes ``ChainVerifier`` of nothing."""

    name = "chain"
    syntax = "chain"
    help = (
        "Accepts every certificate whose chain ends at the client CA and is not revoked. "
        "This is what holds where no verifier is named."
    )

    def makeVerifier(self, spec: str) -> ChainVerifier:
        """See ``IVerifierFactory``."""
        if spec:
            raise BadVerifier(f"it takes no arguments, and {spec!r} was given")
        return ChainVerifier()

"""What can be plugged in. Third parties implement these; this file imports nothing of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from mtlsedge.identity import PeerChain


class IVerifier(Interface):
    """Judges one presented chain. It must have no side effects on the connection."""

    def verify(peer: PeerChain, host: str) -> Any:  # noqa: N805
        """Judge a chain that ended at a client CA of ``host`` (a canonical server name).

        Returns a ``Verdict``, or a Deferred or awaitable of one. The connection is paused
        meanwhile. Raising is a rejection, and so is any other answer.
        """


class IVerifierFactory(Interface):
    """A Twisted plugin that makes verifiers from strings such as ``"san:dns=*.example.com"``."""

    name: str = Attribute("The word before the colon.")
    syntax: str = Attribute("One line that shows what may stand after the colon.")
    help: str = Attribute("What it does, in a few sentences, for --help-verifiers.")

    def makeVerifier(spec: str) -> Any:  # noqa: N805
        """An ``IVerifier`` for the text after the colon; raises ``BadVerifier``."""

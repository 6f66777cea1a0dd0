"""A verifier that takes its time, a host that asks it, and a protocol that notes its client."""

from __future__ import annotations

from typing import Any

from tls_serving import NAME, Scribe, tls_host, trusting
from twisted.internet.defer import Deferred
from zope.interface import implementer

from mtlsedge.identity import Verdict
from mtlsedge.interfaces import IVerifier


@implementer(IVerifier)
class Thoughtful:
    """A verifier that answers when it is told to."""

    def __init__(self) -> None:
        self.answers: list[Deferred[Verdict]] = []
        self.cancelled = 0

    def verify(self, peer: Any, host: str) -> Deferred[Verdict]:
        self.answers.append(Deferred(lambda _: self._cancel()))
        return self.answers[-1]

    def _cancel(self) -> None:
        self.cancelled += 1


class Witness(Scribe):
    """Writes down who its client was known to be at each event."""

    def handshakeCompleted(self) -> None:
        super().handshakeCompleted()
        self.known = self.transport.identity

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        assert self.known is self.transport.identity


def thoughtful_host(verifier: Thoughtful, **more: Any) -> dict[str, Any]:
    return {NAME: tls_host(NAME, trust=trusting(verifier=verifier), **more)}

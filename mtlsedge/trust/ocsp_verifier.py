"""The verifier ``ocsp``: only chains of which a responder says now that nothing is revoked.

A client CA's own ``ocsp_responder`` does the same for all of its clients, and more. This is for a
responder that matters in one rule, or beside another verifier.
"""

from __future__ import annotations

from typing import Any

from twisted.plugin import IPlugin
from zope.interface import implementer

from mtlsedge.errors import BadVerifier, EdgeError, VerifierFailed
from mtlsedge.identity import PeerChain, Reason, Verdict
from mtlsedge.interfaces import IVerifierFactory, IVerifierService
from mtlsedge.model import Ocsp
from mtlsedge.trust.arguments import read_arguments, the_one
from mtlsedge.trust.ocsp import OCSP_TYPES, BadAnswer
from mtlsedge.trust.ocsp_chains import Statuses
from mtlsedge.trust.ocsp_status import StatusDesk
from mtlsedge.trust.outcomes import Path
from mtlsedge.trust.revocation import RevocationLists
from mtlsedge.trust.services import service_ca, service_url

_NAME = "the verifier ocsp"  # in the place of a client CA's
_FOR_A_MOMENT = 1.0  # seconds that an answer holds: what responders say is remembered below
_ACCEPTED = Verdict(True, cache_for=_FOR_A_MOMENT)


@implementer(IVerifierService)
class OcspVerifier:
    """Accepts a verified chain that its responders call good."""

    def __init__(self, ocsp: Ocsp) -> None:
        """Whom to ask, and how; that the status must be known is a matter of ``on_error``."""
        self._ocsp = ocsp
        self._client: Any = None
        self._statuses: Statuses | None = None

    def startService(self, edge: Any) -> None:
        """See ``IVerifierService``."""
        self._client = edge.http(self._ocsp.ca)
        desk = StatusDesk(_NAME, self._ocsp, self._post, edge.reactor, edge.now)
        self._statuses = Statuses({_NAME: desk}, {_NAME: RevocationLists((), "require")}, edge.now)

    def stopService(self) -> Any:
        """See ``IVerifierService``."""
        self._statuses = None
        return self._client.close() if self._client is not None else None

    async def verify(self, peer: PeerChain, host: str) -> Verdict:
        """See ``IVerifier``.

        Raises:
            VerifierFailed: no responder can tell.
        """
        statuses = self._statuses
        if statuses is None:
            raise VerifierFailed("it is not in service")
        paths = (Path(_NAME, peer.verified),)
        outcome = statuses.look(paths)
        if outcome is None:
            outcome = statuses.look(paths, await statuses.ask(paths))
        if outcome is paths:
            return _ACCEPTED
        if outcome is None or isinstance(outcome, tuple):
            raise VerifierFailed("the responders have not told")
        if outcome.reason is Reason.REVOKED:
            return Verdict(False, outcome.detail, cache_for=_FOR_A_MOMENT)
        raise VerifierFailed(outcome.detail)

    async def _post(self, url: str, request: bytes) -> bytes:
        try:
            answer = await self._client.post(url, request, OCSP_TYPES[0])
        except EdgeError as error:
            raise BadAnswer(str(error)) from error
        if answer.status != 200:
            raise BadAnswer(f"the responder answered with HTTP status {answer.status}")
        content: bytes = answer.content
        return content


@implementer(IPlugin, IVerifierFactory)
class OcspFactory:
    """Makes ``OcspVerifier`` of URLs."""

    name = "ocsp"
    syntax = "ocsp:url=URL[,url=URL][,check=leaf][,nonce=require][,ca=FILE]"
    files = ("ca",)
    help = (
        "Accepts a chain of which an OCSP responder says that no certificate is revoked; those "
        "in url= are asked in their order, by http or by https with ca=. All certificates but "
        "the root are asked about, the leaf alone with check=leaf; nonce=require takes no answer "
        "that was made before. What cannot be told is what on_error= says, a refusal unless it "
        "says otherwise. A client CA's own OCSP does this for all of its clients; name this "
        "verifier in a rule where only a part of a site needs it."
    )

    def makeVerifier(self, spec: str) -> OcspVerifier:
        """See ``IVerifierFactory``."""
        pairs = read_arguments(spec, ("url", "check", "nonce", "ca"))
        ca = service_ca(pairs)
        urls = [(pair,) for pair in pairs if pair[0] == "url"]
        if not urls:
            raise BadVerifier("it needs at least one url=")
        if the_one(pairs, "check", "chain") not in ("chain", "leaf"):
            raise BadVerifier("check= is chain or leaf")
        if the_one(pairs, "nonce", "ask") not in ("ask", "require"):
            raise BadVerifier("nonce= is ask or require")
        return OcspVerifier(
            Ocsp(
                responders=tuple(service_url(url, "url", ca, signed=True) for url in urls),
                check="leaf" if the_one(pairs, "check", "chain") == "leaf" else "chain",
                nonce="require" if the_one(pairs, "nonce", "ask") == "require" else "ask",
                ca=ca,
            )
        )

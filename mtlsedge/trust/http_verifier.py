"""The verifier ``http``: a decision service is asked, in JSON as Open Policy Agent's data API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from twisted.plugin import IPlugin
from zope.interface import implementer

from mtlsedge.errors import VerifierFailed
from mtlsedge.identity import PeerChain, Verdict
from mtlsedge.interfaces import IVerifierFactory, IVerifierService
from mtlsedge.trust.arguments import read_arguments, the_one
from mtlsedge.trust.bearer import BearerToken, service_token
from mtlsedge.trust.services import described, service_ca, service_url
from mtlsedge.trust.terms import seconds

_KEYS = ("url", "ca", "token_file", "cache_for")


@implementer(IVerifierService)
class HttpVerifier:
    """Accepts whom a service accepts."""

    def __init__(
        self, url: str, ca: bytes, cache_for: float, token: BearerToken | None = None
    ) -> None:
        """``cache_for`` is in seconds, for answers that do not say themselves."""
        self._url = url
        self._ca = ca
        self._cache_for = cache_for
        self._token = token
        self._client: Any = None

    def startService(self, edge: Any) -> None:
        """See ``IVerifierService``."""
        self._client = edge.http(self._ca)
        if self._token is not None:
            self._token.start(edge)

    def stopService(self) -> Any:
        """See ``IVerifierService``."""
        if self._token is not None:
            self._token.stop()
        client, self._client = self._client, None
        return client.close() if client is not None else None

    async def verify(self, peer: PeerChain, host: str) -> Verdict:
        """See ``IVerifier``.

        Raises:
            VerifierFailed: the service did not answer as it should.
        """
        if self._client is None:
            raise VerifierFailed("it is not in service")
        question = {"input": {"host": host, "certificate": described(peer)}}
        content = json.dumps(question).encode("ascii")
        bearer = self._token.text if self._token is not None else ""
        answer = await self._client.post(self._url, content, "application/json", bearer)
        if answer.status != 200:
            raise VerifierFailed(f"the service answered {answer.status}")
        return self._read(answer.content)

    def _read(self, content: bytes) -> Verdict:
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise VerifierFailed("the service answered no JSON") from error
        if not isinstance(answer, Mapping):
            raise VerifierFailed("the service answered no JSON object")
        if "result" not in answer:
            # OPA: it is undefined, as everything is while no policy is loaded.
            return Verdict(False, "the service has no result for it", failed=True)
        result = answer["result"]
        if isinstance(result, bool):
            return Verdict(result, cache_for=self._cache_for)
        if not isinstance(result, Mapping) or not isinstance(result.get("allow"), bool):
            raise VerifierFailed('its "result" is neither true or false nor has an "allow" that is')
        return Verdict(
            result["allow"],
            str(result.get("reason", "")),
            _attributes(result.get("attributes", {})),
            _lifetime(result.get("cache_for", self._cache_for)),
        )


@implementer(IPlugin, IVerifierFactory)
class HttpFactory:
    """Makes ``HttpVerifier`` of a URL."""

    name = "http"
    syntax = "http:url=URL[,ca=FILE][,token_file=FILE][,cache_for=DURATION]"
    files = ("ca", "token_file")
    help = (
        'Asks a decision service: POST {"input": {"host": ..., "certificate": {...}}} to url=, '
        'which answers {"result": true}, or {"result": {"allow": true, "reason": "...", '
        '"attributes": {"department": "radiology"}, "cache_for": 60}}. Open Policy Agent\'s data '
        "API is such a service: url=http://127.0.0.1:8181/v1/data/edge/decision. https needs "
        "ca=, the CAs that may have signed the service's certificate; http goes to this machine "
        "only. The token in token_file= is sent as Authorization: Bearer, and read again when it "
        "changes. An answer without a result is no answer: give a rule of OPA's a default. Those "
        "that do not say for how long they hold hold for cache_for=, 0 unless given."
    )

    def makeVerifier(self, spec: str) -> HttpVerifier:
        """See ``IVerifierFactory``."""
        pairs = read_arguments(spec, _KEYS)
        ca = service_ca(pairs)
        url = service_url(pairs, "url", ca)
        cache_for = seconds("cache_for", the_one(pairs, "cache_for", "0"))
        return HttpVerifier(url, ca, cache_for, service_token(pairs))


def _attributes(found: object) -> dict[str, str]:
    if not isinstance(found, Mapping) or not all(isinstance(v, str) for v in found.values()):
        raise VerifierFailed('its "attributes" are not texts by name')
    return dict(found)


def _lifetime(found: object) -> float:
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < 1e9:
        raise VerifierFailed('its "cache_for" is not a number of seconds')
    return float(found)

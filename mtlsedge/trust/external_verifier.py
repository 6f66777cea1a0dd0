"""The verifier ``external``: Cloudflare Access' External Evaluation, with the edge as Access.

The contract is that of its example evaluator (workers-access-external-auth-example): POST
``{"token": JWT}`` to the evaluate URL, the JWT signed by a key that ``/cdn-cgi/access/certs``
publishes, with the claims ``identity`` and ``nonce``. The evaluator answers ``{"token": JWT}``
with ``success``, ``nonce``, ``iat`` and ``exp``, signed by a key that its keys URL publishes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hmac import compare_digest
from secrets import token_urlsafe
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from twisted.plugin import IPlugin
from zope.interface import implementer

from mtlsedge.errors import VerifierFailed
from mtlsedge.identity import PeerChain, Verdict
from mtlsedge.interfaces import IVerifierFactory, IVerifierService
from mtlsedge.trust.arguments import read_arguments, the_one
from mtlsedge.trust.jwks import RemoteKeys
from mtlsedge.trust.services import described, service_ca, service_url
from mtlsedge.trust.terms import seconds

_ALGORITHM = "RS256"
_LIFETIME = 60.0  # seconds that our question is good for, as their answer is
_LEEWAY = 30.0  # seconds that two clocks may differ
_LONGEST = 8192  # characters of a token
_KEYS = ("evaluate_url", "keys_url", "ca", "cache_for")


@implementer(IVerifierService)
class ExternalVerifier:
    """Accepts whom an evaluator accepts in a signed answer to this very question.

    An answer that is not signed as it must be, or answers another question, is none, and not
    an error of the kind that ``on_error`` is about: somebody made it.
    """

    def __init__(self, evaluate_url: str, keys_url: str, ca: bytes, cache_for: float) -> None:
        """``cache_for`` is in seconds; no answer is kept beyond its own end."""
        self._evaluate_url = evaluate_url
        self._keys_url = keys_url
        self._ca = ca
        self._cache_for = cache_for
        self._edge: Any = None
        self._client: Any = None
        self._keys: RemoteKeys | None = None

    def startService(self, edge: Any) -> None:
        """See ``IVerifierService``."""
        self._edge = edge
        self._client = edge.http(self._ca)
        self._keys = RemoteKeys(self._keys_url, self._client, edge.reactor)
        self._keys.start()

    def stopService(self) -> Any:
        """See ``IVerifierService``."""
        keys, self._keys = self._keys, None
        if keys is None:
            return None
        keys.stop()
        return self._client.close()

    async def verify(self, peer: PeerChain, host: str) -> Verdict:
        """See ``IVerifier``.

        Raises:
            VerifierFailed: the evaluator did not answer, or its keys cannot be had.
        """
        keys = self._keys
        if keys is None:
            raise VerifierFailed("it is not in service")
        nonce = token_urlsafe(24)
        question = json.dumps({"token": self._edge.sign(self._claims(peer, host, nonce))})
        answer = await self._client.post(
            self._evaluate_url, question.encode("ascii"), "application/json"
        )
        if answer.status != 200:
            raise VerifierFailed(f"the evaluator answered {answer.status}")
        token = _token(answer.content)
        kid = _kid(token)
        key = await keys.find(kid) if kid else None
        if key is None:
            return _untold(f"its answer is not signed by a key at {self._keys_url}")
        try:
            signed = jws.deserialize_compact(token, key, [_ALGORITHM])
            claims = json.loads(signed.payload)
        except (JoseError, ValueError, TypeError, RecursionError):
            return _untold("the signature of its answer does not hold")
        return self._read(claims, nonce)

    def _claims(self, peer: PeerChain, host: str, nonce: str) -> dict[str, Any]:
        now = int(self._edge.now())
        leaf = peer.leaf
        return {
            "type": "external_evaluation",
            "iss": f"https://{host}",
            "aud": [self._evaluate_url],
            "iat": now,
            "nbf": now,
            "exp": now + int(_LIFETIME),
            "nonce": nonce,
            "identity": {
                "common_name": leaf.common_name,
                "mtls_auth": {
                    "auth_status": "SUCCESS",
                    "cert_presented": True,
                    "cert_serial": leaf.serial,
                    "cert_issuer_dn": leaf.issuer,
                },
                "certificate": described(peer),
            },
        }

    def _read(self, claims: object, nonce: str) -> Verdict:
        if not isinstance(claims, Mapping):
            return _untold("its answer has no claims")
        answered, now = claims.get("nonce"), self._edge.now()
        if not isinstance(answered, str) or not compare_digest(answered.encode(), nonce.encode()):
            return _untold("its answer is to another question: the nonce is not ours")
        begins, ends = _seconds(claims.get("iat")), _seconds(claims.get("exp"))
        if begins is None or ends is None:
            return _untold("its answer does not say for when it is (iat, exp)")
        if not begins - _LEEWAY <= now < ends + _LEEWAY:
            return _untold("its answer is not of now; are both clocks right?")
        success = claims.get("success")
        if success is not True:
            untold = success is not False
            return Verdict(False, "the evaluator does not accept it", failed=untold)
        return Verdict(True, cache_for=max(0.0, min(self._cache_for, ends - now)))


@implementer(IPlugin, IVerifierFactory)
class ExternalFactory:
    """Makes ``ExternalVerifier`` of two URLs."""

    name = "external"
    syntax = "external:evaluate_url=URL,keys_url=URL[,ca=FILE][,cache_for=DURATION]"
    files = ("ca",)
    help = (
        "Asks an evaluator made for Cloudflare Access' External Evaluation rules: what "
        "evaluate_url= answers must be signed by a key at keys_url=, and answer this very "
        "question. The edge signs its questions by the keys at /cdn-cgi/access/certs. https "
        "needs ca=, the CAs that may have signed the evaluator's certificate; http goes to this "
        "machine only. An answer holds for cache_for=, 0 unless given, and never beyond its exp."
    )

    def makeVerifier(self, spec: str) -> ExternalVerifier:
        """See ``IVerifierFactory``."""
        pairs = read_arguments(spec, _KEYS)
        ca = service_ca(pairs)
        return ExternalVerifier(
            service_url(pairs, "evaluate_url", ca),
            service_url(pairs, "keys_url", ca),
            ca,
            seconds("cache_for", the_one(pairs, "cache_for", "0")),
        )


def _untold(why: str) -> Verdict:
    return Verdict(False, why, failed=True)


def _token(content: bytes) -> str:
    try:
        token = json.loads(content)["token"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise VerifierFailed("the evaluator's answer holds no token") from error
    if not isinstance(token, str) or len(token) > _LONGEST or not token.isascii():
        raise VerifierFailed("the evaluator's answer holds no token")
    return token


def _kid(token: str) -> str:
    """The id of the key that a token names; "" where it names none, or is none."""
    try:
        kid = jws.extract_compact(token.encode("ascii")).headers().get("kid")
    except (JoseError, ValueError, TypeError, RecursionError):
        return ""
    return kid if isinstance(kid, str) else ""


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        return None
    return float(value)

"""A service that verifiers ask, scripted; and verifiers that ask it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey
from trust_pki import NOW, authority, client, p256, peer
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from mtlsedge.identity import PeerChain, Verdict
from mtlsedge.interfaces import IVerifierService

PEER = peer(client("device-1", authority("Root", key=p256(0)), key=p256(1)))
VERIFIED = PeerChain(PEER.leaf, (), (PEER.leaf, authority("Root", key=p256(0)).read))
KEY, OTHER, OURS = (RSAKey.generate_key(2048) for _ in range(3))


class Service:
    """An HTTP client at whose other end a function answers."""

    def __init__(self, answer: Callable[[str, bytes | None], Any]) -> None:
        self.answer = answer
        self.asked: list[tuple[str, bytes | None]] = []
        self.bearers: list[str] = []
        self.closed = False

    def get(self, url: str) -> Deferred[Any]:
        return self.post(url, None, "")

    def post(
        self, url: str, content: bytes | None, content_type: str, bearer: str = ""
    ) -> Deferred[Any]:
        self.bearers.append(bearer)
        self.asked.append((url, content))
        answer = self.answer(url, content)
        if isinstance(answer, Deferred):
            return answer
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return succeed(SimpleNamespace(status=status, content=content))

    def close(self) -> Deferred[None]:
        self.closed = True
        return succeed(None)


class FakeEdge:
    """What a process lends to a verifier."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.reactor = Clock()
        self.time = NOW
        self.ca = b"-"

    def now(self) -> float:
        return self.time

    def http(self, ca: bytes) -> Service:
        self.ca = ca
        return self.service

    def sign(self, claims: Mapping[str, Any]) -> str:
        return jwt.encode({"alg": "RS256", "kid": "ours"}, dict(claims), OURS)


def started(verifier: Any, edge: FakeEdge) -> Any:
    assert verifyObject(IVerifierService, verifier)
    verifier.startService(edge)
    return verifier


def verdict(verifier: Any) -> Any:
    """What a verifier says that answers at once; what it raises."""
    got: list[Any] = []
    Deferred.fromCoroutine(verifier.verify(VERIFIED, "a.example")).addBoth(got.append)
    assert got, "it is still thinking"
    if not isinstance(got[0], Verdict):
        got[0].raiseException()
    return got[0]


def jwks(**keys: RSAKey) -> dict[str, Any]:
    return {"keys": [{**key.as_dict(private=False), "kid": kid} for kid, key in keys.items()]}

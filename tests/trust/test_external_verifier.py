"""The external verifier: an evaluator is asked by Cloudflare's contract, and signs what it says."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from trust_pki import NOW
from verifier_services import KEY, OTHER, OURS, FakeEdge, Service, jwks, started, verdict

from mtlsedge.errors import VerifierFailed
from mtlsedge.trust.external_verifier import ExternalFactory

EXTERNAL = "evaluate_url=http://127.0.0.1/evaluate,keys_url=http://127.0.0.1/keys"


class Evaluator:
    """An evaluator by the published contract; a test bends what it answers."""

    def __init__(self) -> None:
        self.keys: Any = jwks(one=KEY)
        self.signs: Any = KEY
        self.header: dict[str, Any] = {"alg": "RS256", "kid": "one"}
        self.bend: Callable[[dict[str, Any]], Any] = lambda claims: claims
        self.success: object = True
        self.questions: list[dict[str, Any]] = []
        self.edge = FakeEdge(Service(self.answer))
        self.verifier = started(ExternalFactory().makeVerifier(EXTERNAL), self.edge)

    def answer(self, url: str, content: bytes | None) -> Any:
        if url.endswith("/keys"):
            return self.keys
        claims = jwt.decode(json.loads(content or b"")["token"], OURS, ["RS256"]).claims
        self.questions.append(claims)
        now = int(self.edge.time)
        answer = {"success": self.success, "iat": now, "exp": now + 60, "nonce": claims["nonce"]}
        bent = self.bend(answer)
        if not isinstance(bent, dict):
            return bent
        algorithms = ["RS256", "HS256", "ES256", "none"]
        return {"token": jwt.encode(self.header, bent, self.signs, algorithms)}


@pytest.fixture
def evaluator() -> Evaluator:
    return Evaluator()


def test_the_question_holds_identity_and_nonce(evaluator: Evaluator) -> None:
    """Signed by us, for this moment, and each with a nonce of its own."""
    assert verdict(evaluator.verifier).accepted
    assert verdict(evaluator.verifier).accepted
    first, second = evaluator.questions
    assert "device-1" == first["identity"]["common_name"]
    assert first["identity"]["mtls_auth"]["cert_presented"] is True
    assert (NOW, NOW + 60) == (first["iat"], first["exp"])
    assert first["nonce"] != second["nonce"]
    assert len(first["nonce"]) >= 32


def test_a_signed_no_is_a_no(evaluator: Evaluator) -> None:
    """And only true is yes."""
    for no in (False, 1, "true", None, [True]):
        evaluator.success = no
        said = verdict(evaluator.verifier)
        assert (False, no is not False) == (said.accepted, said.failed)


def replayed(evaluator: Evaluator) -> None:
    verdict(evaluator.verifier)
    old = evaluator.questions[0]["nonce"]
    evaluator.bend = lambda claims: {**claims, "nonce": old}


def handmade(evaluator: Evaluator, header: dict[str, Any]) -> None:
    """A token that no library makes: RFC 8725 §2.1 and §3.2 tell of them."""

    def token(claims: dict[str, Any]) -> bytes:
        said = b".".join(
            urlsafe_b64encode(json.dumps(x).encode()).rstrip(b"=") for x in (header, claims)
        )
        mac = hmac.digest(KEY.as_pem(private=False), said, "sha256")
        signature = b"" if header["alg"] == "none" else urlsafe_b64encode(mac).rstrip(b"=")
        return json.dumps({"token": (said + b"." + signature).decode()}).encode()

    evaluator.bend = token


FORGERIES: dict[str, Callable[[Evaluator], Any]] = {
    "another's key": lambda e: setattr(e, "signs", OTHER),
    "a key that is not published": lambda e: e.header.update(kid="two"),
    "no key at all": lambda e: e.header.pop("kid"),
    "a key id that is no text": lambda e: handmade(e, {"alg": "RS256", "kid": 1}),
    "a signature by the public key": lambda e: handmade(e, {"alg": "HS256", "kid": "one"}),
    "no signature": lambda e: handmade(e, {"alg": "none", "kid": "one"}),
    "another algorithm": lambda e: (
        e.header.update(alg="ES256"),
        setattr(e, "signs", ECKey.generate_key("P-256")),
    ),
    "an answer to another question": replayed,
    "no nonce": lambda e: setattr(e, "bend", lambda claims: {**claims, "nonce": None}),
    "an end that is past": lambda e: setattr(e, "bend", lambda c: {**c, "exp": NOW - 31}),
    "a beginning to come": lambda e: setattr(e, "bend", lambda c: {**c, "iat": NOW + 31}),
    "no end": lambda e: setattr(e, "bend", lambda c: {k: c[k] for k in c if k != "exp"}),
    "an odd end": lambda e: setattr(e, "bend", lambda c: {**c, "exp": "never"}),
    "an endless end": lambda e: setattr(e, "bend", lambda c: {**c, "exp": 1e300}),
    "nothing but rubbish": lambda e: setattr(
        e, "bend", lambda c: {"token": 1} and b'{"token":"a.b.c"}'
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES.keys())
def test_what_the_evaluator_did_not_answer_to_this_question_is_a_no(
    evaluator: Evaluator, forgery: Callable[[Evaluator], Any]
) -> None:
    """Whatever ``on_error`` says; and keeps nobody from being excluded, as it is no answer."""
    forgery(evaluator)
    evaluator.edge.reactor.advance(10)
    said = verdict(evaluator.verifier)
    assert (False, True) == (said.accepted, said.failed)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"{}",
        b'{"token": 1}',
        b"[]",
        b'{"token": "' + b"a" * 9000 + b'"}',
        (403, {}),
        (500, b""),
    ],
)
def test_no_token_is_an_error(evaluator: Evaluator, answer: Any) -> None:
    """The evaluator is out of order."""
    evaluator.bend = lambda claims: answer
    with pytest.raises(VerifierFailed):
        verdict(evaluator.verifier)


def test_keys_that_were_rotated_are_looked_up(evaluator: Evaluator) -> None:
    """At once, where an answer names one that is not known."""
    assert verdict(evaluator.verifier).accepted
    evaluator.keys = jwks(two=OTHER)
    evaluator.signs, evaluator.header["kid"] = OTHER, "two"
    evaluator.edge.reactor.advance(5)
    assert verdict(evaluator.verifier).accepted
    evaluator.signs, evaluator.header["kid"] = KEY, "one"
    assert not verdict(evaluator.verifier).accepted


def test_unknown_keys_are_not_looked_for_without_end(evaluator: Evaluator) -> None:
    """Whoever answers with ever new ids does not make us ask as often."""
    evaluator.edge.reactor.advance(10)
    for number in range(50):
        evaluator.header["kid"] = f"k{number}"
        verdict(evaluator.verifier)
    looked = [url for url, _ in evaluator.edge.service.asked if url.endswith("/keys")]
    assert 2 == len(looked)


def test_an_answer_is_not_kept_beyond_its_end(evaluator: Evaluator) -> None:
    """However long the operator would keep it."""
    spec = f"{EXTERNAL},cache_for=1h"
    evaluator.verifier = started(ExternalFactory().makeVerifier(spec), evaluator.edge)
    assert 60.0 == verdict(evaluator.verifier).cache_for

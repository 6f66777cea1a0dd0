"""Verifiers that ask a service: what they send, and that only a good answer lets in."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from itertools import count
from types import SimpleNamespace
from typing import Any
from warnings import catch_warnings

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey
from ocsp_making import REVOKED
from ocsp_making import answer as ocsp_answer
from trust_pki import NOW, authority, client, p256, peer
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from mtlsedge.errors import BadVerifier, VerifierFailed
from mtlsedge.identity import PeerChain, Verdict
from mtlsedge.interfaces import IVerifierService
from mtlsedge.trust.external_verifier import ExternalFactory
from mtlsedge.trust.http_verifier import HttpFactory
from mtlsedge.trust.jwks import EVERY, KEPT, RemoteKeys, read_keys
from mtlsedge.trust.ocsp_verifier import OcspFactory
from mtlsedge.trust.verifiers import find_verifier

PEER = peer(client("device-1", authority("Root", key=p256(0)), key=p256(1)))
VERIFIED = PeerChain(PEER.leaf, (), (PEER.leaf, authority("Root", key=p256(0)).read))
KEY, OTHER, OURS = (RSAKey.generate_key(2048) for _ in range(3))
with catch_warnings(action="ignore"):
    WEAK = RSAKey.generate_key(1024)
HTTP = "url=http://127.0.0.1:8181/v1/data/edge"
EXTERNAL = "evaluate_url=http://127.0.0.1/evaluate,keys_url=http://127.0.0.1/keys"


class Service:
    """An HTTP client at whose other end a function answers."""

    def __init__(self, answer: Callable[[str, bytes | None], Any]) -> None:
        self.answer = answer
        self.asked: list[tuple[str, bytes | None]] = []
        self.closed = False

    def get(self, url: str) -> Deferred[Any]:
        return self.post(url, None, "")

    def post(self, url: str, content: bytes | None, content_type: str) -> Deferred[Any]:
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


# -- http ------------------------------------------------------------------------------------


def http(answer: Any, spec: str = HTTP) -> Any:
    return started(HttpFactory().makeVerifier(spec), FakeEdge(Service(lambda *_: answer)))


def test_a_decision_service_is_asked_with_an_input() -> None:
    """As OPA's data API wants it: what is known of the certificate, and where it wants to go."""
    verifier = HttpFactory().makeVerifier(HTTP)
    edge = FakeEdge(Service(lambda *_: {"result": True}))
    assert verdict(started(verifier, edge)).accepted
    ((url, content),) = edge.service.asked
    assert "http://127.0.0.1:8181/v1/data/edge" == url
    asked = json.loads(content or b"")["input"]
    assert "a.example" == asked["host"]
    assert "device-1" == asked["certificate"]["common_name"]
    assert PEER.leaf.fingerprint_sha256 == asked["certificate"]["fingerprint_sha256"]
    assert ["CN=Root"] == [each["subject"] for each in asked["certificate"]["chain"]]
    verifier.stopService()
    assert edge.service.closed


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"result": True}, Verdict(True)),
        ({"result": False}, Verdict(False)),
        ({}, Verdict(False, "the service has no result for it")),
        ({"result": {"allow": True}}, Verdict(True)),
        ({"result": {"allow": False, "reason": "lost"}}, Verdict(False, "lost")),
        (
            {"result": {"allow": True, "attributes": {"a": "b"}, "cache_for": 60}},
            Verdict(True, attributes={"a": "b"}, cache_for=60.0),
        ),
    ],
)
def test_what_a_decision_service_answers(answer: Any, expected: Verdict) -> None:
    """Plainly, or with more to say."""
    assert expected == verdict(http(answer))


@pytest.mark.parametrize(
    "answer",
    [
        (500, {"result": True}),
        (204, b""),
        (302, {"result": True}),
        b"",
        b"true",
        b"[" * 100_000,
        b"\xff",
        {"result": 1},
        {"result": "true"},
        {"result": None},
        {"result": {}},
        {"result": {"allow": "true"}},
        {"result": {"allow": True, "attributes": ["a"]}},
        {"result": {"allow": True, "attributes": {"a": 1}}},
        {"result": {"allow": True, "cache_for": "long"}},
        {"result": {"allow": True, "cache_for": -1}},
        {"result": {"allow": True, "cache_for": True}},
    ],
)
def test_any_other_answer_is_an_error(answer: Any) -> None:
    """For ``on_error`` to say what then."""
    with pytest.raises(VerifierFailed):
        verdict(http(answer))


def test_an_answer_holds_for_as_long_as_the_operator_said() -> None:
    """Unless it says so itself."""
    spec = f"{HTTP},cache_for=1m"
    assert 60.0 == verdict(http({"result": True}, spec)).cache_for
    assert 5.0 == verdict(http({"result": {"allow": True, "cache_for": 5}}, spec)).cache_for


def test_it_says_nothing_before_it_is_started_and_after_it_is_stopped() -> None:
    """There is nobody to ask."""
    verifier = HttpFactory().makeVerifier(HTTP)
    with pytest.raises(VerifierFailed):
        verdict(verifier)
    started(verifier, FakeEdge(Service(lambda *_: {"result": True}))).stopService()
    with pytest.raises(VerifierFailed):
        verdict(verifier)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("http:cache_for=1s", "url= is missing"),
        ("http:url=https://decide.example.com", "name the CA file"),
        ("http:url=http://decide.example.com", "use https"),
        ("http:url=http://192.0.2.1/", "use https"),
        ("http:url=http://127.0.0.1.example.com/", "use https"),
        ("http:url=http://a@127.0.0.1/", "neither user nor fragment"),
        ("http:url=ftp://127.0.0.1/", "neither https nor http"),
        ("http:url=127.0.0.1", "is not a URL"),
        ("http:url=http://127.0.0.1:99999/", "is not a URL"),
        ("http:url=http://127.0.0.1/,url=http://127.0.0.1/", "stands 2 times"),
        (f"http:{HTTP},cache_for=long", "not a duration"),
        ("http:url=https://decide.example.com,ca=/nowhere.pem", "cannot be read"),
        ("external:evaluate_url=http://127.0.0.1/", "keys_url= is missing"),
        ("external:evaluate_url=http://127.0.0.1/,keys_url=http://example.com/", "use https"),
    ],
)
def test_services_are_where_nobody_can_answer_in_their_place(spec: str, words: str) -> None:
    """https by a named CA, or this machine."""
    with pytest.raises(BadVerifier, match=words):
        find_verifier(spec)


def test_https_trusts_the_ca_that_is_named_and_nothing_else(tmp_path: Any) -> None:
    """It is read when the verifier is made."""
    ca = authority("Service CA", key=p256(3)).pem
    (tmp_path / "ca.pem").write_bytes(ca)
    spec = f"url=https://decide.example.com,ca={tmp_path / 'ca.pem'}"
    edge = FakeEdge(Service(lambda *_: {"result": True}))
    started(HttpFactory().makeVerifier(spec), edge)
    assert ca == edge.ca
    (tmp_path / "ca.pem").write_bytes(b"nonsense")
    with pytest.raises(BadVerifier, match=r"ca\.pem"):
        HttpFactory().makeVerifier(spec)


# -- external --------------------------------------------------------------------------------


def jwks(**keys: RSAKey) -> dict[str, Any]:
    return {"keys": [{**key.as_dict(private=False), "kid": kid} for kid, key in keys.items()]}


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
        assert not verdict(evaluator.verifier).accepted


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
    """Whatever ``on_error`` says: it is a verdict, and no error."""
    forgery(evaluator)
    evaluator.edge.reactor.advance(10)
    assert not verdict(evaluator.verifier).accepted


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


# -- keys ------------------------------------------------------------------------------------


def remote(answer: Callable[..., Any]) -> tuple[RemoteKeys, Clock, Service]:
    clock, service = Clock(), Service(answer)
    keys = RemoteKeys("http://127.0.0.1/keys", service, clock)
    keys.start()
    return keys, clock, service


def find(keys: RemoteKeys, kid: str) -> list[Any]:
    got: list[Any] = []
    Deferred.fromCoroutine(keys.find(kid)).addBoth(got.append)
    return got


def test_keys_are_looked_up_now_and_then_and_last_through_an_outage() -> None:
    """But not for ever."""
    up = [True]
    keys, clock, service = remote(lambda *_: jwks(one=KEY) if up[0] else (500, b""))
    clock.advance(EVERY)
    assert 2 == len(service.asked)
    up[0] = False
    for _ in range(int(KEPT / EVERY)):
        clock.advance(EVERY)
    assert isinstance(find(keys, "one")[0], RSAKey)
    clock.advance(EVERY)
    find(keys, "one")[0].trap(VerifierFailed)
    keys.stop()
    assert [] == clock.getDelayedCalls()


def test_several_wait_for_one_look_and_one_may_leave() -> None:
    """The look goes on for the others."""
    gates: list[Deferred[Any]] = []

    def slow(*_: Any) -> Any:
        gates.append(Deferred())
        return gates[-1]

    keys, _, service = remote(slow)
    leaving = Deferred.fromCoroutine(keys.find("one"))
    leaving.addErrback(lambda failure: failure.trap(CancelledError) and None)
    got = find(keys, "one")
    leaving.cancel()
    body = json.dumps(jwks(one=KEY)).encode()
    gates[0].callback(SimpleNamespace(status=200, content=body))
    assert isinstance(got[0], RSAKey)
    assert 1 == len(service.asked)


def test_a_look_that_hangs_is_given_up() -> None:
    """Who waits for it hears so."""
    keys, clock, _ = remote(lambda *_: Deferred())
    got = find(keys, "one")
    clock.advance(10)
    got[0].trap(VerifierFailed)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"keys": 1}',
        b'{"keys": []}',
        b'{"keys": [1]}',
        json.dumps({"keys": [{"kty": "RSA", "kid": "a", "n": "!", "e": "AQAB"}]}).encode(),
        json.dumps({"keys": [KEY.as_dict(private=False)]}).replace('"kid"', '"k"').encode(),
        json.dumps(jwks(weak=WEAK)).encode(),
        json.dumps({"keys": [{**OctKey.generate_key(256).as_dict(), "kid": "a"}]}).encode(),
        json.dumps({"keys": [{**KEY.as_dict(private=False), "kid": "a", "use": "enc"}]}).encode(),
        b"[" * 100_000,
    ],
)
def test_what_is_no_key_set_has_no_keys(content: bytes) -> None:
    """It replaces nothing."""
    with pytest.raises(VerifierFailed):
        read_keys(content)


def test_private_keys_are_not_taken_in() -> None:
    """An evaluator that publishes too much is not helped to keep it."""
    (key,) = read_keys(
        json.dumps({"keys": [{**KEY.as_dict(private=True), "kid": "a"}]}).encode()
    ).values()
    assert not key.is_private


# -- ocsp ------------------------------------------------------------------------------------


ROOT = authority("Root", key=p256(0))
LEAF = client("asked", ROOT, key=p256(1))
ASKED = PeerChain(LEAF.read, (), (LEAF.read, ROOT.read))


def ocsp(answer: Any) -> tuple[Any, FakeEdge]:
    edge = FakeEdge(Service(lambda *_: answer))
    spec = f"url=http://ocsp{next(_numbers)}.example.com"  # what is known is kept by it
    return started(OcspFactory().makeVerifier(spec), edge), edge


_numbers = count()


def says(verifier: Any) -> Any:
    got: list[Any] = []
    Deferred.fromCoroutine(verifier.verify(ASKED, "a.example")).addBoth(got.append)
    return got[0]


def test_a_responder_that_calls_it_good_is_believed_and_remembered() -> None:
    """Over plain http: it is the signature that counts."""
    verifier, edge = ocsp(ocsp_answer(LEAF, ROOT))
    assert says(verifier).accepted
    assert says(verifier).accepted
    assert 1 == len(edge.service.asked)
    verifier.stopService()
    assert edge.service.closed
    says(verifier).trap(VerifierFailed)


def test_a_responder_that_calls_it_revoked_is_a_no() -> None:
    """A verdict, and no error."""
    verifier, _ = ocsp(ocsp_answer(LEAF, ROOT, status=REVOKED))
    verdict = says(verifier)
    assert not verdict.accepted
    assert "is revoked by OCSP" in verdict.reason


@pytest.mark.parametrize(
    "answer",
    [
        ocsp_answer(LEAF, ROOT, signer=authority("Other", key=p256(5))),
        b"nonsense",
        (500, b""),
        (404, b"none"),
    ],
)
def test_where_nobody_can_tell_it_is_an_error(answer: Any) -> None:
    """For ``on_error`` to say what then."""
    verifier, _ = ocsp(answer)
    says(verifier).trap(VerifierFailed)

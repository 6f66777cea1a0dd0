"""The http verifier: what it sends to a decision service, and that only a good answer lets in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from trust_pki import authority, p256
from verifier_services import PEER, FakeEdge, Service, started, verdict

from mtlsedge.errors import BadVerifier, VerifierFailed
from mtlsedge.identity import Verdict
from mtlsedge.trust.http_verifier import HttpFactory
from support.verifiers import find_verifier

HTTP = "url=http://127.0.0.1:8181/v1/data/edge"


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
        ({}, Verdict(False, "the service has no result for it", failed=True)),
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

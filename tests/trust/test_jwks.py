"""The keys of an evaluator: looked up now and then, kept through an outage, and never too many."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from warnings import catch_warnings

import pytest
from joserfc.jwk import OctKey, RSAKey
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from verifier_services import KEY, Service, jwks

from mtlsedge.errors import VerifierFailed
from mtlsedge.trust.jwks import EVERY, KEPT, RemoteKeys, read_keys

with catch_warnings(action="ignore"):
    WEAK = RSAKey.generate_key(1024)


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

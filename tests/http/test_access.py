"""Sessions: which token a caller carries, and how seldom one is signed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from http_bench import NAME, NOW, OK, Bench, get, statuses, tokens

from mtlsedge import model
from mtlsedge.http.access import AccessTokens, Holder, issuer_of
from mtlsedge.identity import ANONYMOUS, Identity, PeerChain, Reason
from mtlsedge.policy.tree import PolicyTree
from mtlsedge.session.keys import KeyRing
from mtlsedge.session.keystore import SigningKey
from mtlsedge.session.tokens import TokenIssuer, _sign
from mtlsedge.trust.certificates import read_certificate
from support import certs


def holder(common_name: str = "device-1") -> Identity:
    """The identity of a client whose certificate verified."""
    leaf = read_certificate(certs.client(common_name).der)
    return Identity(True, True, Reason.NONE, chain=PeerChain(leaf, (), (leaf,)))


def application(name: str, *paths: str) -> model.Application:
    """An application for any certificate."""
    rules = model.RuleSet((model.Rule("certificate"),))
    domains = tuple(model.Domain(NAME, path) for path in paths)
    return model.Application(name, domains, (model.Policy("p", "service_auth", rules),), name)


@pytest.fixture
def signed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every signature that is made."""
    made: list[Any] = []

    def counted(key: SigningKey, claims: str) -> str:
        made.append(json.loads(claims))
        return _sign(key, claims)

    monkeypatch.setattr("mtlsedge.session.tokens._sign", counted)
    return made


def ask(bench: Bench, identity: Identity, paths: list[str], cookie: str = "") -> bytes:
    """One connection, a request for each path; what the client got."""
    client = bench.client(identity)
    for path in paths:
        client.say(get(path, cookie))
        for endpoint in bench.endpoints:
            endpoint.wires[-1].say(OK)
    client.lost()
    return client.taken()


def test_one_signature_per_session_and_application(ring: KeyRing, signed: list[Any]) -> None:
    """A hundred requests on ten connections at two applications are two signatures."""
    bench = Bench(
        applications=[application("one", "/"), application("two", "/two")], tokens=tokens(ring)
    )
    for _ in range(10):
        got = ask(bench, holder(), ["/", "/two"] * 5)
        assert [200] * 10 == statuses(got)
    assert ["one", "two"] == sorted(claims["aud"][0] for claims in signed)
    ask(bench, holder("device-2"), ["/"] * 5)
    assert 3 == len(signed)


def test_the_cookie_is_handed_out_until_it_comes_back(ring: KeyRing, signed: list[Any]) -> None:
    """And a cookie that comes back costs no signature either."""
    bench = Bench(applications=[application("one", "/")], tokens=tokens(ring))
    got = ask(bench, holder(), ["/"] * 3)
    assert 3 == got.count(b"Set-Cookie: CF_Authorization=")
    text = got.partition(b"CF_Authorization=")[2].partition(b";")[0].decode()
    got = ask(bench, holder(), ["/"] * 3, f"Cookie: CF_Authorization={text}\r\n")
    assert 0 == got.count(b"Set-Cookie")
    assert 1 == len(signed)


def test_a_refusal_signs_nothing(ring: KeyRing, signed: list[Any]) -> None:
    """Or strangers could keep the edge busy."""
    bench = Bench(applications=[application("one", "/")], tokens=tokens(ring))
    client = bench.client()
    client.say(get() * 10)
    assert [403] * 10 == statuses(client.taken())
    assert [] == signed


def test_a_session_is_the_same_until_its_token_is_another(ring: KeyRing) -> None:
    """Its header lines are made once for a connection."""
    now = [NOW]
    issued = AccessTokens(ring, TokenIssuer(ring, lambda: now[0]), lambda: now[0])
    (app,) = PolicyTree((application("one", "/"),)).applications
    who = Holder.of(holder(), "")
    first = issued.session(app, NAME, who, None)
    assert first.token is issued.session(app, NAME, who, first).token
    now[0] += 86400
    later = issued.session(app, NAME, who, first)
    assert later.token.expires > first.token.expires
    assert later.assertion != first.assertion


def test_a_token_is_made_out_to_the_certificate_before_the_service_token() -> None:
    """What verified says more than what was sent in a header."""
    leaf = read_certificate(certs.client().der)
    unverified = Identity(True, False, Reason.UNTRUSTED, chain=PeerChain(leaf))
    assert Holder("device-1", leaf.fingerprint_sha256) == Holder.of(holder(), "id.access")
    assert Holder("id.access", "") == Holder.of(ANONYMOUS, "id.access")
    assert Holder("id.access", "") == Holder.of(unverified, "id.access")


def test_the_cookies_path_covers_the_application(ring: KeyRing) -> None:
    """Its own where it has one path, the root where it has several."""
    tree = PolicyTree((application("one", "/a/b"), application("two", "/c", "/d")))
    paths = {}
    for app in tree.applications:
        session = tokens(ring).session(app, NAME, Holder("x", ""), None)
        paths[app.name] = session.cookie.line(NOW).partition(b"Path=")[2].partition(b";")[0]
    assert {"one": b"/a/b", "two": b"/"} == paths


@pytest.mark.parametrize(
    "name, issuer", [("a.example.com", "https://a.example.com"), ("::1", "https://[::1]")]
)
def test_the_issuer_is_where_the_keys_are(name: str, issuer: str) -> None:
    """As an origin can look them up."""
    assert issuer == issuer_of(name)


def test_the_cookie_lives_as_long_as_what_is_left_of_its_token(ring: KeyRing) -> None:
    """Also on a connection that is kept for an hour."""
    now = [NOW]
    issued = AccessTokens(ring, TokenIssuer(ring, lambda: now[0]), lambda: now[0])
    (app,) = PolicyTree((application("one", "/"),)).applications
    who = Holder.of(holder(), "")
    first = issued.session(app, NAME, who, None)
    now[0] += 3600
    later = issued.session(app, NAME, who, first)
    assert first.token is later.token
    assert b"Max-Age=86400;" in first.cookie.line(NOW)
    assert b"Max-Age=82800;" in later.cookie.line(now[0])

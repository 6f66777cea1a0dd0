"""The token of a session: who gets one, who hears of it, and what it is not good for."""

from __future__ import annotations

import base64
import hashlib
import stat
import time
from collections.abc import Callable, Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import jwt
import pytest

from support import certs
from support.client import Answered, Client, Connection
from support.edge import Edge
from support.origin import CountingOrigin, Received
from support.reading import lines
from support.tables import application, client_ca, host, policy

NAME = "tokens.example.com"
OTHER = "other-tokens.example.com"
SECRET = "correct horse battery staple"
ID = "0123456789abcdef.access"
PAGE = {"Accept": "text/html,application/xhtml+xml"}


def configuration(origin: CountingOrigin) -> dict[str, Any]:
    """Two applications on one host, one for a service token, and one host more."""
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    token = {"name": "robot", "client_id": ID, "secret_sha256": digest}
    robots = policy(include=[{"service_token": ["robot"]}])
    return {
        "host": [host(NAME, upstream=origin.url), host(OTHER, upstream=origin.url)],
        "client_ca": [client_ca(NAME, OTHER)],
        "application": [
            application(NAME),
            application(f"{NAME}/two"),
            application(f"{NAME}/robots", robots),
            application(f"{NAME}/open", policy("bypass", include=[{"everyone": True}])),
            application(OTHER),
        ],
        "service_token": [token],
    }


@pytest.fixture(scope="module")
def backend() -> Iterator[CountingOrigin]:
    """An origin that answers 200 everywhere and counts."""
    with CountingOrigin() as running:
        yield running


@pytest.fixture(scope="module")
def edge(backend: CountingOrigin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """One edge for all the tests that do not restart it."""
    with Edge(tmp_path_factory.mktemp("tokens"), configuration(backend)) as running:
        yield running


def connect(edge: Edge, client: certs.Pair | None, name: str = NAME) -> Connection:
    """A connection with this certificate, or none."""
    return Client(client).connect(edge.port, name)


def token(answered: Answered) -> str:
    """The token in an answer's one Set-Cookie."""
    return SimpleCookie(answered.header("Set-Cookie"))["CF_Authorization"].value


def claims(edge: Edge, text: str, aud: str) -> dict[str, Any]:
    """What an independent library makes of a token, with the keys that the edge publishes."""
    keys = jwt.PyJWKSet.from_dict(Client().get(edge.port, NAME, "/cdn-cgi/access/certs").json())
    key = keys[jwt.get_unverified_header(text)["kid"]]
    decoded: dict[str, Any] = jwt.decode(text, key, ["RS256"], audience=aud)
    return decoded


def aud_of(text: str) -> str:
    """The audience that a token says it is for."""
    return str(jwt.decode(text, options={"verify_signature": False})["aud"][0])


# -- certificates --------------------------------------------------------------------------


def test_the_cookie_is_set_once(edge: Edge, backend: CountingOrigin) -> None:
    """Not again for a client that returns it, on this connection or another; the origin gets
    the same token in a header each time."""
    with connect(edge, certs.client()) as connection:
        first = connection.get(NAME)
        text = token(first)
        again = connection.get(NAME, Cookie=f"a=b; CF_Authorization={text}")
        assert [] == again.all("Set-Cookie")
    with connect(edge, certs.client()) as connection:
        again = connection.get(NAME, Cookie=f"CF_Authorization={text}")
        assert [] == again.all("Set-Cookie")
    for received in backend.requests[-3:]:
        assert text == received.header("Cf-Access-Jwt-Assertion")
    assert f"a=b; CF_Authorization={text}" == backend.requests[-2].header("Cookie")


def test_the_cookie_is_for_browsers_that_keep_secrets(edge: Edge) -> None:
    """Secure, HttpOnly, and for the application's path alone."""
    with connect(edge, certs.client()) as connection:
        for path, scope in (("/", "/"), ("/two/deep", "/two")):
            morsel = SimpleCookie(connection.get(NAME, path).header("Set-Cookie"))
            cookie = morsel["CF_Authorization"]
            assert (True, True, scope) == (cookie["secure"], cookie["httponly"], cookie["path"])


def test_the_token_verifies_and_names_its_certificate(edge: Edge) -> None:
    """In another library, by the published key; bound to the certificate (RFC 8705)."""
    pair = certs.client()
    with connect(edge, pair) as connection:
        text = token(connection.get(NAME))
    found = claims(edge, text, aud_of(text))
    thumbprint = base64.urlsafe_b64encode(bytes.fromhex(pair.fingerprint)).rstrip(b"=").decode()
    assert {"x5t#S256": thumbprint} == found["cnf"]
    assert ("device-1", f"https://{NAME}", "app") == (
        found["common_name"],
        found["iss"],
        found["type"],
    )


def test_one_signature_for_a_session_and_not_one_for_a_request(
    edge: Edge, backend: CountingOrigin
) -> None:
    """Seconds later and on other connections it is the same token; each application has its own."""
    device = certs.client("device-of-one-session")
    before = backend.count
    for turn in range(2):
        time.sleep(1.1 * turn)  # a second signature would have another "iat"
        with connect(edge, device) as connection:
            for _ in range(5):
                connection.get(NAME, "/one")
                connection.get(NAME, "/two")
    received = backend.requests[before:]
    for target in ("/one", "/two"):
        assert 1 == len({assertion(each) for each in received if each.target == target})
    assert 2 == len({assertion(each) for each in received})


def assertion(received: Received) -> str | None:
    """The token that the origin was shown."""
    return received.header("Cf-Access-Jwt-Assertion")


def test_a_token_is_no_certificate(edge: Edge, backend: CountingOrigin) -> None:
    """The rules want the certificate on every request; a cookie alone is a 403."""
    with connect(edge, certs.client()) as connection:
        text = token(connection.get(NAME))
    before = backend.count
    with connect(edge, None) as connection:
        answered = connection.get(
            NAME, Cookie=f"CF_Authorization={text}", Cf_Access_Jwt_Assertion=text
        )
    assert (403, before) == (answered.status, backend.count)


@pytest.mark.parametrize("path, name", [("/", NAME), ("/two", NAME), ("/", OTHER)])
def test_a_token_of_another_is_replaced_and_not_passed_on(
    edge: Edge, backend: CountingOrigin, path: str, name: str
) -> None:
    """Of another certificate, another application, another host."""
    with connect(edge, certs.client("device-A")) as connection:
        text = token(connection.get(NAME))
    mine = certs.client("device-B" if (path, name) == ("/", NAME) else "device-A")
    with connect(edge, mine, name) as connection:
        answered = connection.get(name, path, Cookie=f"x=1; CF_Authorization={text}; y=2")
    assert text != token(answered)
    received = backend.requests[-1]
    assert "x=1; y=2" == received.header("Cookie")
    assert token(answered) == assertion(received)


def test_rubbish_for_a_token_is_replaced(edge: Edge, backend: CountingOrigin) -> None:
    """Also ``alg: none``, and a token whose signature is not ours."""
    with connect(edge, certs.client()) as connection:
        good = token(connection.get(NAME))
        payload = good.split(".")[1]
        nothing = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
        forged = (f"{good[:-6]}AAAAAA", f"{nothing}.{payload}.", f"{nothing}.{payload}.AAAA", "x")
        for text in forged:
            answered = connection.get(NAME, Cookie=f"CF_Authorization={text}")
            assert good == token(answered)
            assert None is backend.requests[-1].header("Cookie")


def test_bypass_gives_no_token(edge: Edge, backend: CountingOrigin) -> None:
    """Nobody was judged, so nobody is vouched for; what the client claims is deleted."""
    with connect(edge, certs.client()) as connection:
        answered = connection.get(NAME, "/open", Cf_Access_Jwt_Assertion="forged")
    assert [] == answered.all("Set-Cookie")
    assert None is assertion(backend.requests[-1])


# -- service tokens ------------------------------------------------------------------------


def test_a_service_token_admits_without_a_certificate(edge: Edge, backend: CountingOrigin) -> None:
    """Its headers stay here; the token for the origin carries its client id, and no ``cnf``."""
    with connect(edge, None) as connection:
        answered = connection.get(
            NAME, "/robots", CF_Access_Client_Id=ID, CF_Access_Client_Secret=SECRET
        )
        text = token(answered)
        assert 200 == answered.status
    received = backend.requests[-1]
    assert (None, None) == (
        received.header("CF-Access-Client-Id"),
        received.header("CF-Access-Client-Secret"),
    )
    assert text == assertion(received)
    found = claims(edge, text, aud_of(text))
    assert (ID, None) == (found["common_name"], found.get("cnf"))


def test_a_service_token_is_wanted_every_time(edge: Edge, backend: CountingOrigin) -> None:
    """Neither a wrong secret nor the cookie of a right one admits; certificates do not either."""
    before = backend.count
    with connect(edge, certs.client()) as connection:
        assert 403 == connection.get(NAME, "/robots").status
        wrong = {"CF_Access_Client_Id": ID, "CF_Access_Client_Secret": "wrong"}
        assert 403 == connection.get(NAME, "/robots", **wrong).status
    with connect(edge, None) as connection:
        right = {"CF_Access_Client_Id": ID, "CF_Access_Client_Secret": SECRET}
        text = token(connection.get(NAME, "/robots", **right))
        cookie = f"CF_Authorization={text}"
        assert 403 == connection.get(NAME, "/robots", Cookie=cookie).status
        assert [] == connection.get(NAME, "/robots", Cookie=cookie, **right).all("Set-Cookie")
    assert before + 2 == backend.count


# -- the edge's own pages ------------------------------------------------------------------


def test_the_edges_own_pages(edge: Edge, backend: CountingOrigin) -> None:
    """Certs, get-identity and logout are answered here; so is all else under their prefix."""
    before = backend.count
    with connect(edge, certs.client()) as connection:
        keys = connection.get(NAME, "/cdn-cgi/access/certs").json()
        assert {"RSA"} == {key["kty"] for key in keys["keys"]}
        assert not any("d" in key for key in keys["keys"])
        identity = connection.get(NAME, "/cdn-cgi/access/get-identity").json()
        certificate = identity["certificate"]
        assert (True, True, "device-1") == (
            certificate["presented"],
            certificate["verified"],
            certificate["common_name"],
        )
        cleared = connection.get(NAME, "/cdn-cgi/access/logout").all("Set-Cookie")
        assert {"/", "/two", "/robots", "/open"} == {
            SimpleCookie(each)["CF_Authorization"]["path"] for each in cleared
        }
        assert all("Max-Age=0" in each for each in cleared)
        assert 404 == connection.get(NAME, "/cdn-cgi/access/else").status
        post = f"POST /cdn-cgi/access/logout HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 0\r\n\r\n"
        assert 405 == connection.request(post.encode()).status
    assert before == backend.count


def test_somebody_unknown_hears_what_the_edge_knows(edge: Edge) -> None:
    """get-identity says that nothing was presented, or why it did not verify."""
    for client, presented, reason in (
        (None, False, "no_certificate"),
        (certs.client("stranger", ca=certs.OTHER_CA), True, "certificate_untrusted"),
    ):
        with connect(edge, client) as connection:
            known = connection.get(NAME, "/cdn-cgi/access/get-identity").json()["certificate"]
            assert (presented, False, reason) == (
                known["presented"],
                known["verified"],
                known["reason"],
            )


def test_refusals_are_pages_for_people_and_json_for_programs(edge: Edge) -> None:
    """By ``Accept``; to HEAD with the length of what is not sent; with the log's request id."""
    with connect(edge, None) as connection:
        page = connection.get(NAME, **PAGE)
        assert (403, "text/html; charset=utf-8") == (page.status, page.header("Content-Type"))
        assert b"<!DOCTYPE html>" in page.body
        answered = connection.get(NAME, "/named")
        assert (403, "application/json") == (answered.status, answered.header("Content-Type"))
        assert "no_certificate" == answered.json()["reason"]
        head = connection.request(f"HEAD /named HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        assert str(len(answered.body)) == head.header("Content-Length")
        assert 403 == connection.get(NAME).status  # HEAD's had no body
    logged = [entry["request_id"] for entry in lines(edge, "/named", 2)]
    assert answered.json()["request_id"] == logged[0]


# -- keys ----------------------------------------------------------------------------------


def test_the_keys_are_kept_for_the_edge_alone_and_survive_a_restart(
    origin: CountingOrigin, tmp_path: Path, start_edge: Callable[..., Edge]
) -> None:
    """Mode 0600 in a directory of 0700; a token from before is still good."""
    tables = {**configuration(origin), "edge": {"state": str(tmp_path / "kept")}}
    first = start_edge(tables)
    with connect(first, certs.client()) as connection:
        text = token(connection.get(NAME))
    published = Client().get(first.port, NAME, "/cdn-cgi/access/certs").json()
    first.stop()
    for path in (tmp_path / "kept").iterdir():
        assert 0o600 == stat.S_IMODE(path.stat().st_mode), path
    assert 0o700 == stat.S_IMODE((tmp_path / "kept").stat().st_mode)
    second = start_edge(tables)
    assert published == Client().get(second.port, NAME, "/cdn-cgi/access/certs").json()
    with connect(second, certs.client()) as connection:
        answered = connection.get(NAME, Cookie=f"CF_Authorization={text}")
    assert (200, []) == (answered.status, answered.all("Set-Cookie"))

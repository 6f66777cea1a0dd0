"""What the edge answers by itself, on every host, to everyone."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from mtlsedge.identity import ANONYMOUS, Identity
from mtlsedge.session.keys import KeyRing
from support.memory import NAME, MemoryEdge, application, holder

CERTS, IDENTITY, LOGOUT = (
    f"/cdn-cgi/access/{name}" for name in ("certs", "get-identity", "logout")
)


@pytest.fixture
def edge(ring: KeyRing) -> Iterator[MemoryEdge]:
    made = MemoryEdge(ring, (application("/", "block"), application("/a/*", "allow")))
    yield made
    made.close()


def ask(
    edge: MemoryEdge, path: str, method: str = "GET", identity: Identity = ANONYMOUS
) -> tuple[int, list[str], bytes]:
    """Status, header lines, body."""
    request = f"{method} {path} HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode()
    head, _, body = edge.connect(identity).send(request).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    return int(lines[0].split()[1]), lines[1:], body


def test_certs_is_the_key_set(edge: MemoryEdge, ring: KeyRing) -> None:
    """Public keys, to be cached for a while, for anybody."""
    status, lines, body = ask(edge, CERTS)
    assert (200, ring.public_keys()) == (status, json.loads(body))
    assert "Cache-Control: max-age=300" in lines
    assert b'"d"' not in body


def test_get_identity_says_what_the_edge_knows_of_the_caller(edge: MemoryEdge) -> None:
    """To that caller alone, and not for any cache."""
    status, lines, body = ask(edge, IDENTITY, identity=holder())
    told = json.loads(body)
    assert (200, "192.0.2.7", NAME) == (status, told["ip"], told["host"])
    assert ("device-1", True) == (
        told["certificate"]["common_name"],
        told["certificate"]["verified"],
    )
    assert "Cache-Control: no-store" in lines
    anonymous = json.loads(ask(edge, IDENTITY)[2])["certificate"]
    assert {
        "presented": False,
        "verified": False,
        "reason": "no_certificate",
        "client_cas": [],
    } == (anonymous)


def test_logout_clears_the_cookie_wherever_it_was_set(edge: MemoryEdge) -> None:
    """Each application's path and the root."""
    lines = ask(edge, LOGOUT)[1]
    cleared = [line for line in lines if line.startswith("Set-Cookie: CF_Authorization=;")]
    assert ["Path=/;", "Path=/a;"] == [line.split()[2] for line in cleared]
    assert all("Max-Age=0" in line for line in cleared)


def test_head_gets_no_body(edge: MemoryEdge) -> None:
    """And the length that GET would have."""
    _, lines, body = ask(edge, CERTS, "HEAD")
    assert b"" == body
    assert f"Content-Length: {len(ask(edge, CERTS)[2])}" in lines


@pytest.mark.parametrize("path", [CERTS, IDENTITY, LOGOUT])
def test_other_methods_are_405(edge: MemoryEdge, path: str) -> None:
    """With what is allowed."""
    status, lines, _ = ask(edge, path, "POST")
    assert 405 == status
    assert "Allow: GET, HEAD" in lines


@pytest.mark.parametrize(
    "path",
    ["/cdn-cgi/access/", "/cdn-cgi/access/login", "/cdn-cgi/access/certs/",
     "/cdn-cgi/access//certs", "/cdn-cgi/access/certs;a", "/cdn-cgi/access/%2e/nothing",
     "/cdn-cgi/access/..%2f..%2fa"],
)  # fmt: skip
def test_the_whole_prefix_is_the_edges(edge: MemoryEdge, path: str) -> None:
    """Nothing under it ever reaches an origin."""
    assert 404 == ask(edge, path, identity=holder())[0]
    assert [] == edge.origin.requests


@pytest.mark.parametrize(
    "path",
    [
        "/cdn-cgi/access",
        "/cdn-cgi/access/../a/",
        "/cdn-cgi/Access/certs",
        "/a/cdn-cgi/access/certs",
    ],
)
def test_what_is_beside_the_prefix_is_not(edge: MemoryEdge, path: str) -> None:
    """It is for policy to judge, as every other path."""
    assert ask(edge, path)[0] in (200, 400, 403)
    assert all("edge" not in line["reason"] for line in edge.lines())


def test_each_is_in_the_log(edge: MemoryEdge) -> None:
    """With no origin and no decision, since nobody was admitted to anything."""
    ask(edge, CERTS)
    (line,) = edge.lines()
    assert (CERTS, 200, "", "", "answered by the edge") == (
        line["path"], line["status"], line["origin"], line["decision"], line["reason"]
    )  # fmt: skip

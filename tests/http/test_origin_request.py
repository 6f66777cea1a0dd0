"""What the origin gets: one request, written anew, with the edge's own words last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mtlsedge.http.messages import RequestHead
from mtlsedge.http.origin_request import render_request, switched_properly, upgrade_for_origin
from mtlsedge.session.keys import KeyRing
from mtlsedge.target import Target, read_path
from support.memory import NAME, MemoryEdge, holder
from support.strict import StrictRequest, read_requests


@pytest.fixture
def edge(ring: KeyRing) -> Iterator[MemoryEdge]:
    made = MemoryEdge(ring, host={"forward_certificate": frozenset(("cf", "rfc9440", "xfcc"))})
    yield made
    made.close()


def rendered(
    edge: MemoryEdge, head: RequestHead, upgrade: bytes = b"", body: bytes = b"", **more: Any
) -> StrictRequest:
    """The head as an origin reads that forgives nothing; ``body`` is put behind it."""
    before, behind = render_request(
        head,
        Target(head.method, NAME, read_path(head.target)),
        edge.connect(holder()).caller,
        **{
            "host": NAME.encode(),
            "session": None,
            "good_cookies": [],
            "upgrade": upgrade,
            "heard": {},
            **more,
        },
    )
    requests, rest = read_requests(before + b"id-1" + behind + body)
    assert b"" == rest
    (request,) = requests
    return request


def test_the_path_is_the_one_that_was_judged(edge: MemoryEdge) -> None:
    """Canonical; the query as it was sent."""
    request = rendered(edge, RequestHead("GET", b"/a/./%62/../%7ec%2f?q=%41/..", "1.1"))
    assert ("GET", "/a/~c%2F?q=%41/..") == (request.method, request.target)
    assert NAME == request.one("Host")


@pytest.mark.parametrize(
    ("method", "length", "body", "expected"),
    [
        ("GET", 0, b"", {}),
        ("DELETE", 0, b"", {}),
        ("POST", 0, b"", {"Content-Length": "0"}),
        ("PUT", 0, b"", {"Content-Length": "0"}),
        ("PATCH", 0, b"", {"Content-Length": "0"}),
        ("GET", 3, b"abc", {"Content-Length": "3"}),
        ("POST", None, b"0\r\n\r\n", {"Transfer-Encoding": "chunked"}),
    ],
)
def test_the_framing_is_ours(
    edge: MemoryEdge, method: str, length: int | None, body: bytes, expected: dict[str, str]
) -> None:
    """One field or none (RFC 9110 §8.6)."""
    request = rendered(edge, RequestHead(method, b"/", "1.1", length=length), body=body)
    names = ("Content-Length", "Transfer-Encoding")
    assert expected == {name: request.one(name) for name in names if request.all(name)}


def test_the_edges_own_fields_come_after_all_that_the_client_said(edge: MemoryEdge) -> None:
    """So that an origin that takes the last of several takes ours."""
    request = rendered(edge, RequestHead("GET", b"/", "1.1", headers=[(b"X-Last", b"1")]))
    names = [name for name, _ in request.fields]
    own = names[names.index("X-Last") + 1 :]
    assert [
        "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "Forwarded",
        "Cf-Cert-Presented", "Cf-Cert-Verified", "Cf-Client-Cert-Der-Base64",
        "Cf-Client-Cert-Sha256", "Client-Cert", "Client-Cert-Chain", "X-Forwarded-Client-Cert",
        "X-Request-Id",
    ] == own  # fmt: skip
    assert ("192.0.2.7", "id-1") == (request.one("X-Forwarded-For"), request.one("X-Request-Id"))


def test_cookies_go_on_without_the_edges_own(edge: MemoryEdge) -> None:
    """Unless it was found to be good; field by field, in order."""
    cookies = [b"a=1; CF_Authorization=a.b.c; d=2", b"cf_authorization=x", b"e=" + b"f" * 9000]
    head = RequestHead("GET", b"/", "1.1", cookies=cookies)
    expected = ["a=1; d=2", "e=" + "f" * 9000]
    assert expected == rendered(edge, head).all("Cookie")
    good = rendered(edge, head, good_cookies=["a.b.c"]).all("Cookie")
    assert ["a=1; CF_Authorization=a.b.c; d=2", "e=" + "f" * 9000] == good


def test_expectations_trailers_and_upgrades_are_said_anew(edge: MemoryEdge) -> None:
    """Each hop says them for itself."""
    head = RequestHead("POST", b"/", "1.1", length=1, expects_continue=True, trailers=True)
    request = rendered(edge, head, body=b"a")
    said = [request.one("Expect"), request.one("Connection"), request.one("TE")]
    assert ["100-continue", "te", "trailers"] == said
    upgrade = rendered(edge, RequestHead("GET", b"/", "1.1", trailers=True), b"websocket")
    assert ("upgrade", "websocket") == (upgrade.one("Connection"), upgrade.one("Upgrade"))
    assert [] == upgrade.all("TE")


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        (b"", b""),
        (b"websocket", b"websocket"),
        (b"WebSocket", b"WebSocket"),
        (b"websocket, h2c", b"websocket"),
        (b"h2c,websocket/13", b"websocket/13"),
        (b"h2c", b""),
        (b"H2C", b""),
        (b"h2", b""),
        (b"h2c-14", b""),
        (b"h3", b""),
        (b"HTTP/2.0", b""),
        (b"http/1.1, HTTP", b""),
        (b"TLS/1.0", b""),
        (b"TLS/1.0, HTTP/1.1", b""),
        (b"web socket", b""),
        (b'"h2c"', b""),
        (b"x h2c", b""),
        (b"x;h2c", b""),
        (b"a/b/c", b""),
        (b"a/", b""),
        (b"\xff", b""),
        (b",, ,", b""),
    ],
)
def test_no_upgrade_carries_more_requests_past_the_edge(asked: bytes, kept: bytes) -> None:
    """Neither HTTP of any version nor TLS with HTTP in it; and only names of protocols."""
    assert kept == upgrade_for_origin(RequestHead("GET", b"/", "1.1", upgrade=asked), ("*",))


def test_the_operator_may_name_the_upgrades() -> None:
    """None, some, any; HTTP/2 not even by name."""
    head = RequestHead("GET", b"/", "1.1", upgrade=b"websocket, mqtt/5, h2c")
    assert b"" == upgrade_for_origin(head, ())
    assert b"mqtt/5" == upgrade_for_origin(head, ("mqtt", "h2c"))
    assert b"websocket, mqtt/5" == upgrade_for_origin(head, ("*",))


@pytest.mark.parametrize(
    ("answered", "asked", "proper"),
    [
        (b"websocket", b"websocket", True),
        (b"WebSocket", b"websocket", True),
        (b"b", b"a, b", True),
        (b"", b"websocket", False),
        (b"h2c", b"websocket", False),
        (b"websocket, h2c", b"websocket", False),
        (b"websocket", b"", False),
        (b",", b"websocket", False),
    ],
)
def test_a_101_names_what_was_asked_for(answered: bytes, asked: bytes, proper: bool) -> None:
    """RFC 9110 §15.2.2."""
    assert proper == switched_properly(answered, asked)

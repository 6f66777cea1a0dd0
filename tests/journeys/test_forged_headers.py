"""What the edge says of a client cannot be said by the client (invariant 4).

Every name, in every spelling, on every route: an origin sees the edge's values and no others.
"""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from mtlsedge.http.fields import letters
from mtlsedge.http.forwarding import EDGE_CERTIFICATE_HEADERS
from mtlsedge.policy.service_tokens import mint
from support import certs
from support.client import Client, Connection
from support.edge import Edge
from support.forgeries import FORGEABLE, spellings
from support.origin import CountingOrigin, Received, switching
from support.tables import application, client_ca, host, policy

DIALECTS = ("cf", "rfc9440", "xfcc")
FORGED = "forged-by-the-client"
TOKEN, SECRET = mint("robot")


@dataclass(frozen=True)
class Route:
    """A way to the origin: the host's path, who goes it, and what the origin must be told."""

    path: str
    certificate: bool
    token: bool = False
    upgrade: bool = False

    @property
    def has_assertion(self) -> bool:
        return self.path.split("/")[1] in ("auth", "allow", "token", "ws-auth")


ROUTES = {
    "service_auth": Route("/auth", True),
    "allow": Route("/allow", True),
    "allow without a certificate": Route("/allow", False),
    "a service token": Route("/token", False, token=True),
    "bypass": Route("/bypass", True),
    "bypass without a certificate": Route("/bypass", False),
    "unprotected": Route("/elsewhere", True),
    "unprotected without a certificate": Route("/elsewhere", False),
    "a WebSocket": Route("/ws-auth", True, upgrade=True),
    "a WebSocket in bypass": Route("/bypass/ws", False, upgrade=True),
    "a WebSocket, unprotected": Route("/ws", False, upgrade=True),
}
HOSTS = {
    "no dialect": ("none.example.com", ()),
    "cf": ("cf.example.com", ("cf",)),
    "rfc9440": ("rfc.example.com", ("rfc9440",)),
    "xfcc": ("xfcc.example.com", ("xfcc",)),
    "all dialects": ("all.example.com", DIALECTS),
}


@pytest.fixture(scope="module")
def origin() -> Iterator[CountingOrigin]:
    sockets = {path: switching("websocket") for path in ("/ws-auth", "/bypass/ws", "/ws")}
    with CountingOrigin(sockets) as running:
        yield running


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, origin: CountingOrigin) -> Iterator[Edge]:
    names = [name for name, _ in HOSTS.values()]
    everyone = {"include": [{"everyone": True}]}
    applications = []
    for name in names:
        applications += [
            application(f"{name}/auth"),
            application(f"{name}/ws-auth"),
            application(f"{name}/allow", policy("allow", **everyone)),
            application(f"{name}/bypass", policy("bypass", **everyone)),
            application(f"{name}/token", policy(include=[{"service_token": "robot"}])),
        ]
    config = {
        "host": [
            host(name, upstream=origin.url, forward_certificate=list(dialects), unprotected="pass")
            for name, dialects in HOSTS.values()
        ],
        "client_ca": [client_ca(*names)],
        "application": applications,
        "service_token": [
            {
                "name": TOKEN.name,
                "client_id": TOKEN.client_id,
                "secret_sha256": TOKEN.secret_sha256,
            }
        ],
    }
    with Edge(tmp_path_factory.mktemp("edge"), config) as running:
        yield running


Send = Callable[..., Received]


@pytest.fixture
def send(edge: Edge, origin: CountingOrigin) -> Iterator[Send]:
    """Send one request along a route with these lines; gives what the origin got of it."""
    clients = {True: Client(certs.client()), False: Client()}
    connections: dict[tuple[str, bool], Connection] = {}

    def send_one(
        name: str, route: Route, lines: str, body: bytes = b"", method: str = "GET"
    ) -> Received:
        key = name, route.certificate
        if key not in connections:
            connections[key] = clients[route.certificate].connect(edge.port, name)
            connections[key].sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        own = f"Host: {name}\r\n"
        if route.token:
            own += (
                f"CF-Access-Client-Id: {TOKEN.client_id}\r\nCF-Access-Client-Secret: {SECRET}\r\n"
            )
        if route.upgrade:
            own += "Connection: upgrade\r\nUpgrade: websocket\r\n"
        before = origin.count
        head = f"{method} {route.path} HTTP/1.1\r\n{own}{lines}\r\n".encode("latin-1")
        answered = connections[key].request(head + body, method)
        assert (101 if route.upgrade else 200) == answered.status, answered
        if route.upgrade:
            connections.pop(key).close()
        assert before + 1 == origin.count
        return origin.requests[-1]

    yield send_one
    for connection in connections.values():
        connection.close()


def told(received: Received) -> dict[str, list[str]]:
    """What the origin was told under any spelling of a forgeable name, by the name's letters."""
    keys = {letters(name) for name in FORGEABLE}
    found: dict[str, list[str]] = {}
    for name, value in received.fields:
        if letters(name.encode("latin-1")) in keys:
            found.setdefault(name, []).append(value)
    return found


def expected(edge: Edge, origin_saw: Received, name: str, route: Route) -> dict[str, list[str]]:
    """What the edge itself has to say, from what the test knows of the client."""
    pair = certs.client()
    verified = str(route.certificate).lower()
    said = {
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": name,
        "X-Forwarded-Port": str(edge.port),
        "Forwarded": f"for=127.0.0.1;host={name};proto=https",
        "Cf-Cert-Presented": verified,
        "Cf-Cert-Verified": verified,
    }
    dialects = dict(HOSTS.values())[name]
    der = base64.b64encode(pair.der).decode()
    if route.certificate and "cf" in dialects:
        said["Cf-Client-Cert-Der-Base64"] = der
        said["Cf-Client-Cert-Sha256"] = pair.fingerprint
    if route.certificate and "rfc9440" in dialects:
        said["Client-Cert"] = f":{der}:"
        said["Client-Cert-Chain"] = origin_saw.header("Client-Cert-Chain") or ""
        assert FORGED not in said["Client-Cert-Chain"]
    if route.certificate and "xfcc" in dialects:
        said["X-Forwarded-Client-Cert"] = origin_saw.header("X-Forwarded-Client-Cert") or ""
        assert said["X-Forwarded-Client-Cert"].startswith(f"Hash={pair.fingerprint};")
    said["X-Request-Id"] = origin_saw.header("X-Request-Id") or ""
    if route.has_assertion:
        said["Cf-Access-Jwt-Assertion"] = origin_saw.header("Cf-Access-Jwt-Assertion") or ""
        assert 2 == said["Cf-Access-Jwt-Assertion"].count(".")
    return {field: [value] for field, value in said.items()}


def forgeries(number: int) -> list[bytes]:
    """One spelling of every forgeable name but the service token's, which is tested by itself."""
    names = sorted(FORGEABLE - {b"cf-access-client-id", b"cf-access-client-secret"})
    return [spellings(name)[number] for name in names]


SPELLINGS = range(len(spellings(b"a-b")))


def lines_of(names: list[bytes], value: str = FORGED) -> str:
    return "".join(f"{name.decode()}: {value}\r\n" for name in names)


@pytest.mark.parametrize("name", [name for name, _ in HOSTS.values()], ids=list(HOSTS))
@pytest.mark.parametrize("route", ROUTES.values(), ids=list(ROUTES))
def test_no_spelling_of_any_name_survives_on_any_route(
    edge: Edge, send: Send, name: str, route: Route
) -> None:
    """Each once, then each twice, as many as the limit on fields lets through."""
    for number in SPELLINGS:
        names = forgeries(number)
        half = len(names) // 2
        for part in (names[:half], names[half:]):
            received = send(name, route, lines_of(part))
            assert expected(edge, received, name, route) == told(received)
            assert FORGED.encode() not in received.head


@pytest.mark.parametrize("name", sorted(EDGE_CERTIFICATE_HEADERS))
def test_a_name_that_comes_twice_in_two_spellings_is_gone(
    edge: Edge, send: Send, name: bytes
) -> None:
    """Origins join them, take the first, or take the last: there is none of the client's."""
    both = spellings(name)
    for route in (ROUTES["service_auth"], ROUTES["bypass without a certificate"]):
        received = send("all.example.com", route, lines_of([*both, *both]))
        assert expected(edge, received, "all.example.com", route) == told(received)


@pytest.mark.parametrize("route", ROUTES.values(), ids=list(ROUTES))
@pytest.mark.parametrize("number", SPELLINGS)
def test_connection_cannot_take_away_or_change_what_is_ours(
    edge: Edge, send: Send, route: Route, number: int
) -> None:
    """Hop-by-hop fields are processed first, ours are added after."""
    name = "all.example.com"
    named = ", ".join(spelling.decode() for spelling in forgeries(number))
    lines = f"Connection: {named}, host, content-length, transfer-encoding, cookie, upgrade\r\n"
    received = send(name, route, lines + lines_of(forgeries(number)[:40]) + "Cookie: a=b\r\n")
    assert expected(edge, received, name, route) == told(received)
    assert (name, "a=b") == (received.header("Host"), received.header("Cookie"))
    assert received.header("Connection") == ("upgrade" if route.upgrade else None)


def test_connection_cannot_take_away_the_framing(send: Send) -> None:
    """The body ends where it ended."""
    route = ROUTES["service_auth"]
    for framing, body in (
        ("Content-Length: 3\r\n", b"abc"),
        ("Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n0\r\n\r\n"),
    ):
        named = "Connection: host, content-length, transfer-encoding, x-forwarded-for\r\n"
        received = send("none.example.com", route, named + framing, body, "POST")
        assert (b"abc", "POST") == (received.body, received.method)


@pytest.mark.parametrize("route", ["service_auth", "bypass", "unprotected", "a service token"])
def test_no_trailer_says_what_no_field_may(send: Send, route: str) -> None:
    """Origins merge trailers into fields."""
    for number in SPELLINGS:
        for at in range(0, len(FORGEABLE), 20):
            section = lines_of(forgeries(number)[at : at + 20]).encode()
            body = b"3\r\nabc\r\n0\r\n" + section + b"X-Sum: 1\r\n\r\n"
            received = send(
                "all.example.com", ROUTES[route], "Transfer-Encoding: chunked\r\n", body, "POST"
            )
            assert (b"abc", b"X-Sum: 1\r\n") == (received.body, received.trailers)


def test_a_service_tokens_credentials_end_at_the_edge(send: Send) -> None:
    """Good or bad, in any spelling, on any route."""
    for route in ROUTES.values():
        for credential in (b"cf-access-client-id", b"cf-access-client-secret"):
            lines = lines_of(spellings(credential)[1:], FORGED) if not route.token else ""
            received = send("none.example.com", route, lines)
            for secret in (FORGED, TOKEN.client_id, SECRET):
                assert secret.encode() not in received.head.replace(assertion(received), b"")


def assertion(received: Received) -> bytes:
    """The token's text, which may name a service token and is not a forgery."""
    return (received.header("Cf-Access-Jwt-Assertion") or "-").encode()


@pytest.mark.parametrize(
    "cookie",
    ["CF_Authorization=a.b.c", "a=b; CF_Authorization=a.b.c", "cf_authorization=a.b.c",
     "CF%5FAuthorization=a.b.c", "CF.Authorization=a.b.c; a=b", 'CF_Authorization="a.b.c"',
     " CF_Authorization = a.b.c", "a=b, CF_Authorization=a.b.c", "CF[Authorization=a.b.c",
     "x=CF_Authorization=a.b.c", "CF_Authorization=", "__Secure-CF_Authorization=a.b.c"],
)  # fmt: skip
@pytest.mark.parametrize("route", ["service_auth", "bypass", "unprotected", "a WebSocket"])
def test_a_token_that_is_not_good_never_reaches_the_origin(
    send: Send, cookie: str, route: str
) -> None:
    """Whatever it is called, it says who somebody is; other cookies stay."""
    received = send("none.example.com", ROUTES[route], f"Cookie: {cookie}\r\nCookie: keep=1\r\n")
    cookies = "; ".join(received.all("Cookie"))
    assert "keep=1" in cookies
    assert "a.b.c" not in cookies and "authorization" not in cookies.lower()


def test_another_clients_token_never_reaches_the_origin(edge: Edge, send: Send) -> None:
    """It is bound to its certificate; one's own goes on."""
    name, path = "none.example.com", "/auth"
    own = taken(Client(certs.client()).get(edge.port, name, path).header("Set-Cookie"))
    others = taken(Client(certs.client("device-2")).get(edge.port, name, path).header("Set-Cookie"))
    route = ROUTES["service_auth"]
    assert [] == send(name, route, f"Cookie: {others}\r\n").all("Cookie")
    assert [own] == send(name, route, f"Cookie: {own}\r\n").all("Cookie")
    both = send(name, route, f"Cookie: {others}; {own}\r\n").header("Cookie")
    assert own == both
    assert [] == send(name, ROUTES["bypass"], f"Cookie: {own}\r\n").all("Cookie")


def taken(set_cookie: str | None) -> str:
    """The pair that a browser would send back."""
    assert set_cookie is not None
    return set_cookie.partition(";")[0]


def test_names_that_only_look_alike_go_on(send: Send) -> None:
    """Nobody's own fields are lost to this."""
    names = ["Cf-Ray", "Cf-Visitor", "X-Forward", "Client-Certificate-Type", "X-Requested-With",
             "Via", "-", "X_Custom"]  # fmt: skip
    received = send(
        "none.example.com", ROUTES["bypass"], lines_of([n.encode() for n in names], "1")
    )
    assert names == [name for name, value in received.fields if value == "1"]

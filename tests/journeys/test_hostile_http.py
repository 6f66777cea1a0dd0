"""Hostile HTTP against the real process, counted at the origin.

No request reaches the origin that the edge did not decide on, one by one: what the origin got
and what the access log admits are compared after every test.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from support import certs
from support.client import Answered, Client, Connection
from support.edge import Edge
from support.hostile import BAD_CHUNKS, BAD_HEADS, BAD_LINES
from support.origin import Answer, CountingOrigin, Received, switching
from support.ports import wait_until
from support.stream import StreamEnded
from support.tables import application, client_ca, host, policy

NAME = "iot.example.com"
OTHER = "other.example.com"
H = f"Host: {NAME}\r\n".encode()
SMUGGLED = b"GET /smuggled HTTP/1.1\r\n" + H + b"\r\n"
SHUT = b"GET /shut/smuggled HTTP/1.1\r\n" + H + b"\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst"
POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned"


@pytest.fixture(scope="module")
def origin() -> Iterator[CountingOrigin]:
    """An origin with a few odd corners."""
    answers = {
        "/ws": switching("websocket"),
        "/wrong": switching("h2c"),
        "/two": Answer(raw=OK + POISON),
        "/late": Answer(raw=OK, pieces=(POISON,), pause=0.05),
        "/both": Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
                        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", close=True),
        "/split": Answer(raw=b"HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: b=c\r\n\r\n", close=True),
        "/head-body": Answer(raw=OK),
        "/unasked-101": switching("websocket"),
    }  # fmt: skip
    with CountingOrigin(answers) as running:
        yield running


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, origin: CountingOrigin) -> Iterator[Edge]:
    config = {
        "host": [host(NAME, upstream=origin.url), host(OTHER, upstream=origin.url)],
        "client_ca": [client_ca(NAME), client_ca(OTHER)],
        "application": [
            application(NAME),
            application(OTHER),
            application(f"{NAME}/shut", policy("block", include=[{"everyone": True}])),
        ],
    }
    config["client_ca"][1]["name"] = "the same again"
    with Edge(tmp_path_factory.mktemp("edge"), config) as running:
        yield running


@pytest.fixture
def connect(edge: Edge) -> Iterator[Callable[[], Connection]]:
    """Connections of a client that is admitted everywhere but to /shut."""
    client = Client(certs.client())
    opened: list[Connection] = []

    def connect_one() -> Connection:
        connection = client.connect(edge.port, NAME)
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.append(connection)
        return connection

    yield connect_one
    for connection in opened:
        connection.close()


@pytest.fixture(autouse=True)
def one_by_one(edge: Edge, origin: CountingOrigin) -> Iterator[None]:
    """Every request at the origin is one line of the log that admits it, and the other way."""
    yield

    def admitted() -> dict[str, dict[str, object]]:
        lines = edge.access_log()
        return {line["request_id"]: line for line in lines if line.get("origin")}

    def arrived() -> dict[str, Received]:
        requests = list(origin.requests)
        by_id = {request.header("X-Request-Id") or "": request for request in requests}
        assert len(by_id) == len(requests)
        return by_id

    wait_until(lambda: arrived().keys() <= admitted().keys(), 10, "the log to tell of each")
    for request_id, line in admitted().items():
        request = arrived().get(request_id)
        if request is None:  # it was cut off in its body, and never was a whole request
            assert line["status"] not in (200, 101), line
            continue
        assert ("service_auth", line["method"], line["path"]) == (
            line["decision"],
            request.method,
            request.target.partition("?")[0],
        )
    assert not [target for target in origin.targets if "smuggled" in target]


def closed_after(connection: Connection, status: int) -> Answered:
    """The next answer, which must have this status and be the last."""
    answered = connection.read()
    assert (status, "close") == (answered.status, answered.header("Connection"))
    assert connection.closed()
    return answered


# -- one by one --------------------------------------------------------------------------------


def test_requests_sent_ahead_are_decided_one_by_one(
    connect: Callable[[], Connection], origin: CountingOrigin
) -> None:
    """The refused one in their midst does not reach the origin."""
    before = origin.count
    connection = connect()
    first = b"POST /a HTTP/1.1\r\n" + H + b"Content-Length: 3\r\n\r\nabc"
    connection.send(first + SHUT + b"GET /b HTTP/1.1\r\n" + H + b"\r\n")
    assert [200, 403, 200] == [connection.read().status for _ in range(3)]
    assert ["/a", "/b"] == origin.targets[before:]


def test_requests_that_share_a_blank_line_between_reads_stay_two(
    connect: Callable[[], Connection], origin: CountingOrigin
) -> None:
    """TLS records may part anywhere; once, two such requests were taken for one."""
    data = b"GET /one HTTP/1.1\r\n" + H + b"\r\n" + b"GET /two-a HTTP/1.1\r\n" + H + b"\r\n"
    seam = data.index(b"\r\n\r\n")
    before = origin.count
    for at in range(seam - 1, seam + 6):
        connection = connect()
        connection.send(data[:at])
        connection.send(data[at:])
        assert [200, 200] == [connection.read().status for _ in range(2)]
    assert ["/one", "/two-a"] * 7 == origin.targets[before:]


def test_what_follows_a_body_is_a_request_of_its_own(
    connect: Callable[[], Connection], origin: CountingOrigin
) -> None:
    """Never part of the body, and judged by itself."""
    for framing, body in (
        (b"Content-Length: 3\r\n\r\n", b"abc"),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n"),
    ):
        connection = connect()
        connection.send(b"POST /a HTTP/1.1\r\n" + H + framing + body + SHUT)
        assert [200, 403] == [connection.read().status for _ in range(2)]
        assert b"abc" == origin.requests[-1].body


def test_what_follows_a_body_and_is_no_request_is_refused(
    connect: Callable[[], Connection],
) -> None:
    """After the first was answered."""
    connection = connect()
    connection.send(b"POST /a HTTP/1.1\r\n" + H + b"Content-Length: 3\r\n\r\nabcd\r\n" + SMUGGLED)
    assert 200 == connection.read().status
    closed_after(connection, 400)


def test_a_body_that_looks_like_a_request_stays_a_body(
    connect: Callable[[], Connection], origin: CountingOrigin
) -> None:
    """Also where the request is refused: the connection then ends."""
    length = b"Content-Length: %d\r\n\r\n" % len(SMUGGLED)
    connection = connect()
    connection.send(b"POST /a HTTP/1.1\r\n" + H + length + SMUGGLED)
    assert 200 == connection.read().status
    assert SMUGGLED == origin.requests[-1].body
    connection.send(b"POST /shut HTTP/1.1\r\n" + H + length + SMUGGLED)
    closed_after(connection, 403)


def test_a_get_may_have_a_body_and_it_is_not_the_next_request(
    connect: Callable[[], Connection], origin: CountingOrigin
) -> None:
    """Framing does not depend on the method (RFC 9112 §6)."""
    connection = connect()
    connection.send(
        b"GET /a HTTP/1.1\r\n" + H + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED
    )
    assert 200 == connection.read().status
    assert SMUGGLED == origin.requests[-1].body


# -- what is doubtful is refused, closes, and nothing behind it is served -------------------------


@pytest.mark.parametrize("lines", BAD_HEADS.values(), ids=BAD_HEADS.keys())
def test_a_doubtful_head(connect: Callable[[], Connection], lines: bytes) -> None:
    """Whatever is behind it, as a body or as a request."""
    connection = connect()
    head = b"POST /doubtful-smuggled HTTP/1.1\r\n" + H + lines + b"\r\n"
    connection.send(head + b"0\r\n\r\n" + SMUGGLED)
    closed_after(connection, 400)


@pytest.mark.parametrize(("line", "status"), BAD_LINES.values(), ids=BAD_LINES.keys())
def test_a_doubtful_request_line(
    connect: Callable[[], Connection], line: bytes, status: int
) -> None:
    """Other versions, other targets, no HTTP."""
    connection = connect()
    connection.send(line + H + b"\r\n" + SMUGGLED)
    closed_after(connection, status)


@pytest.mark.parametrize("chunks", BAD_CHUNKS.values(), ids=BAD_CHUNKS.keys())
def test_a_doubtful_chunk(
    connect: Callable[[], Connection], origin: CountingOrigin, chunks: bytes
) -> None:
    """The origin may have got a part, never a whole request."""
    before = origin.count
    connection = connect()
    head = b"POST /doubtful HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n"
    connection.send(head + chunks + SMUGGLED)
    closed_after(connection, 400)
    assert before == origin.count


def test_the_http2_preface(connect: Callable[[], Connection]) -> None:
    """Nobody negotiated it."""
    connection = connect()
    connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SMUGGLED)
    closed_after(connection, 400)


def test_sizes(connect: Callable[[], Connection]) -> None:
    """414 and 431, and the connection ends."""
    for request, status in (
        (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n" + H + b"\r\n", 414),
        (b"GET /smuggled HTTP/1.1\r\n" + H + b"X: " + b"a" * 40_000 + b"\r\n\r\n", 431),
        (b"GET /smuggled HTTP/1.1\r\n" + H + b"X: a\r\n" * 200 + b"\r\n", 431),
        (b"\r\n" * 20_000 + SMUGGLED, 431),
    ):
        connection = connect()
        connection.send(request + SMUGGLED)
        closed_after(connection, status)


# -- whose host, which target --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "lines", "status"),
    [
        ("/", f"Host: {OTHER}\r\n", 421),
        ("/", "Host: nobody.example\r\n", 421),
        ("/", "Host: 127.0.0.1\r\n", 421),
        ("/", f"Host: {NAME}\r\nHost: {OTHER}\r\n", 400),
        ("/", f"Host: {NAME}\r\nHost: {NAME}\r\n", 400),
        ("/", f"Host: {OTHER}\r\nhost : {NAME}\r\n", 400),
        ("/", "", 400),
        ("/", "Host:\r\n", 400),
        ("/", f"Host: {NAME}, {OTHER}\r\n", 400),
        ("/", f"Host: {NAME}@{OTHER}\r\n", 400),
        ("/", f"Host: {NAME}/a\r\n", 400),
        ("/", f"X-Forwarded-Host: {NAME}\r\nX-Host: {NAME}\r\n", 400),
        (f"https://{OTHER}/", f"Host: {NAME}\r\n", 400),
        (f"https://{OTHER}/", f"Host: {OTHER}\r\n", 421),
        (f"https://{NAME}/", f"Host: {OTHER}\r\n", 400),
        (f"http://{NAME}/", f"Host: {NAME}\r\n", 400),
        (f"https://{NAME}?/", f"Host: {NAME}\r\n", 400),
        (f"https://a@{NAME}/", f"Host: {NAME}\r\n", 400),
        (f"{NAME}:443", f"Host: {NAME}\r\n", 400),
        ("*", f"Host: {NAME}\r\n", 400),
    ],
)
def test_a_request_for_somebody_else(
    connect: Callable[[], Connection], origin: CountingOrigin, target: str, lines: str, status: int
) -> None:
    """421 where it is clear for whom, 400 where it is not; the origin hears of neither."""
    before = origin.count
    connection = connect()
    connection.send(f"GET {target} HTTP/1.1\r\n{lines}\r\n".encode())
    answered = connection.read()
    assert status == answered.status
    assert (status == 400) == (answered.header("Connection") == "close")
    if status == 400:
        assert connection.closed()
    assert before == origin.count


def test_absolute_form_reaches_the_origin_in_origin_form(
    connect: Callable[[], Connection], origin: CountingOrigin
) -> None:
    """RFC 9112 §3.2.2: a server must accept it; and the policy is the path's."""
    connection = connect()
    assert (
        200
        == connection.request(
            f"GET https://{NAME}/a/../b?c HTTP/1.1\r\n".encode() + H + b"\r\n"
        ).status
    )
    assert "/b?c" == origin.targets[-1]
    url = f"GET https://{NAME}/shut/smuggled HTTP/1.1\r\n".encode()
    assert 403 == connection.request(url + H + b"\r\n").status


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
@pytest.mark.parametrize("target", [f"{NAME}:443", "/smuggled", f"https://{NAME}/smuggled"])
def test_connect_and_trace(connect: Callable[[], Connection], method: str, target: str) -> None:
    """Neither a tunnel nor an echo; what was sent ahead is not served."""
    connection = connect()
    connection.send(f"{method} {target} HTTP/1.1\r\n".encode() + H + b"\r\n" + SMUGGLED)
    status = 400 if (method, target) == ("TRACE", f"{NAME}:443") else 405
    closed_after(connection, status)


def test_http_1_0_without_host_is_for_the_handshakes_name(
    connect: Callable[[], Connection], origin: CountingOrigin
) -> None:
    """The origin must not answer for its own default."""
    connection = connect()
    connection.send(b"GET /old HTTP/1.0\r\n\r\n")
    closed_after(connection, 200)
    assert (NAME, "/old") == (origin.requests[-1].header("Host"), origin.targets[-1])


# -- upgrades ------------------------------------------------------------------------------------

WEBSOCKET = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"


def test_early_bytes_wait_for_the_101(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Invariant 7: nothing behind the head reaches the origin before it has switched."""
    early = b"\x81\x05hello" + SMUGGLED
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            sock, _ = listener.accept()
            with sock:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += sock.recv(65536)
                heard.append(head.partition(b"\r\n\r\n")[2])
                sock.settimeout(0.3)
                with suppress(TimeoutError):
                    heard.append(sock.recv(65536))
                sock.settimeout(10)
                sock.sendall(b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
                got = b""
                while len(got) < len(early):
                    got += sock.recv(65536)
                sock.sendall(got)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        config = {
            "host": [host(NAME, upstream=f"http://127.0.0.1:{listener.getsockname()[1]}")],
            "client_ca": [client_ca(NAME)],
            "application": [application(NAME)],
        }
        with (
            Edge(tmp_path_factory.mktemp("early"), config) as edge,
            Client(certs.client()).connect(edge.port, NAME) as connection,
        ):
            connection.send(b"GET /ws HTTP/1.1\r\n" + H + WEBSOCKET + b"\r\n" + early)
            assert 101 == connection.read().status
            got = bytearray()
            connection.stream.exactly(len(early), got.extend)
            assert early == got
        thread.join(10)
    assert [b""] == heard


def test_early_bytes_of_a_declined_upgrade_are_the_next_request(
    connect: Callable[[], Connection], origin: CountingOrigin
) -> None:
    """The origin said 200: HTTP goes on, and what follows is judged."""
    connection = connect()
    connection.send(b"GET /declined HTTP/1.1\r\n" + H + WEBSOCKET + b"\r\n" + SHUT)
    assert [200, 403] == [connection.read().status for _ in range(2)]
    assert "websocket" == origin.requests[-1].header("Upgrade")


def test_early_bytes_of_a_refused_upgrade_are_the_next_request(
    connect: Callable[[], Connection],
) -> None:
    """The edge said 403: HTTP goes on."""
    connection = connect()
    connection.send(b"GET /shut/ws HTTP/1.1\r\n" + H + WEBSOCKET + b"\r\n" + SHUT)
    assert [403, 403] == [connection.read().status for _ in range(2)]


@pytest.mark.parametrize(
    "lines",
    [b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n",
     b"Connection: upgrade\r\nUpgrade: H2C\r\n",
     b"Connection: upgrade\r\nUpgrade: h2c, HTTP/2.0\r\n",
     b"Connection: upgrade\r\nUpgrade: TLS/1.0\r\n", b"Connection: upgrade\r\n",
     b"Upgrade: websocket\r\n"],
)  # fmt: skip
def test_upgrades_that_never_reach_the_origin(
    connect: Callable[[], Connection], origin: CountingOrigin, lines: bytes
) -> None:
    """HTTP in any dress would carry requests past the edge; half an upgrade is none."""
    connection = connect()
    connection.send(b"GET /a HTTP/1.1\r\n" + H + lines + b"\r\n" + SHUT)
    assert [200, 403] == [connection.read().status for _ in range(2)]
    names = {name.lower() for name, _ in origin.requests[-1].fields}
    assert not names & {"upgrade", "connection", "http2-settings"}


def test_h2c_does_not_ride_along_with_another_protocol(
    connect: Callable[[], Connection], origin: CountingOrigin
) -> None:
    """And a 101 to it makes no tunnel, whatever the origin thinks it was asked."""
    connection = connect()
    head = b" HTTP/1.1\r\n" + H + b"Connection: upgrade\r\nUpgrade: h2c, websocket\r\n\r\n"
    connection.send(b"GET /wrong" + head + SHUT)
    assert 502 == connection.read().status
    assert "websocket" == origin.requests[-1].header("Upgrade")


def test_an_upgrade_with_a_body(connect: Callable[[], Connection]) -> None:
    """Refused: it would be read in two ways."""
    connection = connect()
    length = b"Content-Length: %d\r\n\r\n" % len(SMUGGLED)
    connection.send(b"POST /ws HTTP/1.1\r\n" + H + WEBSOCKET + length + SMUGGLED)
    closed_after(connection, 400)


def test_a_101_that_nobody_asked_for(connect: Callable[[], Connection]) -> None:
    """502, and no tunnel."""
    connection = connect()
    connection.send(b"GET /unasked-101 HTTP/1.1\r\n" + H + b"\r\n" + SHUT)
    assert 502 == connection.read().status


# -- the origin's side ---------------------------------------------------------------------------


def test_bytes_behind_an_answer_are_nobodys(connect: Callable[[], Connection]) -> None:
    """The connection to the origin is not used again, so the next client gets its own answer."""
    for _ in range(3):
        first, second = connect(), connect()
        assert b"first" == first.get(NAME, "/two").body
        assert b"origin\n" == second.get(NAME, "/own").body
        assert b"origin\n" == first.get(NAME, "/own").body


def test_an_idle_connection_that_speaks_is_dropped(
    connect: Callable[[], Connection], origin: CountingOrigin
) -> None:
    """Nobody asked, so nobody is to get it."""
    first, second = connect(), connect()
    first.get(NAME, "/own")  # so that a connection is there, and none is made below
    open_before = origin.open_connections()
    assert b"first" == first.get(NAME, "/late").body
    used = origin.requests[-1].connection
    wait_until(lambda: origin.open_connections() < open_before, 10, "the edge to drop it")
    assert b"origin\n" == second.get(NAME, "/own").body
    assert used != origin.requests[-1].connection


def test_a_body_that_answers_head_is_nobodys(connect: Callable[[], Connection]) -> None:
    """Nor is it the next answer."""
    connection = connect()
    request = b"HEAD /head-body HTTP/1.1\r\n" + H + b"\r\n"
    assert (200, b"") == (lambda a: (a.status, a.body))(connection.request(request))
    assert b"origin\n" == connection.get(NAME, "/own").body


@pytest.mark.parametrize("path", ["/both", "/split"])
def test_an_answer_that_can_be_read_in_two_ways_is_502(
    connect: Callable[[], Connection], path: str
) -> None:
    """And nothing of it reaches the client."""
    answered = connect().get(NAME, path)
    assert 502 == answered.status
    assert [] == answered.all("X")
    assert not any("b=c" in value for value in answered.all("Set-Cookie"))


def test_a_good_client_is_served_throughout(connect: Callable[[], Connection]) -> None:
    """After all of the above."""
    connection = connect()
    assert [200] * 3 == [connection.get(NAME, "/end").status for _ in range(3)]
    with pytest.raises(StreamEnded):
        connection.send(b"GET / HTTP/1.1\r\n" + H + b"Connection: close\r\n\r\n")
        connection.read()
        connection.read()

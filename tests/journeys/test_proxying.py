"""A request goes to an ordinary origin and its answer comes back, in every framing there is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from support import certs
from support.client import Client, Connection
from support.edge import Edge
from support.origin import Answer, CountingOrigin, Received, chunked
from support.reading import line
from support.tables import application, client_ca, host

NAME = "proxy.example.com"
BIG = bytes(range(256)) * 2000  # half a megabyte


def echo(received: Received) -> Answer:
    """Answer with what was asked for and how long its body was."""
    return Answer(body=f"{received.method} {received.target} {received.body_length}".encode())


ANSWERS = {
    "/chunked": chunked(b"one", b"two" * 1000, trailers="X-Sum: 42\r\n"),
    "/big": Answer(body=BIG),
    "/length-of-nothing": Answer(body=b""),
    "/hints": Answer(
        raw=b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    ),
    "/204": Answer(204),
    "/304": Answer(304, (("ETag", '"x"'), ("Content-Length", "99"))),
    "/until-close": Answer(
        raw=b"HTTP/1.1 200 OK\r\n\r\n", pieces=(b"until ", b"the end"), close=True
    ),
    "/old-origin": Answer(raw=b"HTTP/1.0 200 OK\r\n\r\nold", close=True),
    "/alt-svc": Answer(
        headers=(
            ("Alt-Svc", 'h3=":443"; ma=86400, h2=":8443"'),
            ("alt-svc", 'h3-29=":443"'),
            ("X-Kept", "yes"),
        )
    ),
    "/hop": Answer(
        headers=(
            ("Connection", "X-Private, close"),
            ("X-Private", "1"),
            ("Keep-Alive", "timeout=9"),
            ("X-Public", "2"),
        ),
        close=True,
    ),
    "/slow": Answer(delay=0.3, body=b"slow"),
    "/early": Answer(413, body=b"too much", before_body=True, close=True),
}


@pytest.fixture(scope="module")
def backend() -> Iterator[CountingOrigin]:
    """The origin of all these tests; it echoes where it has no other answer."""
    with CountingOrigin(ANSWERS, default=echo) as running:
        yield running


@pytest.fixture(scope="module")
def edge(backend: CountingOrigin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """One host; any verified certificate passes."""
    config = {
        "host": [host(NAME, upstream=backend.url)],
        "client_ca": [client_ca(NAME)],
        "application": [application(NAME)],
    }
    with Edge(tmp_path_factory.mktemp("proxying"), config) as running:
        yield running


@pytest.fixture
def client(edge: Edge) -> Iterator[Connection]:
    """A connection with a good certificate."""
    with Client(certs.client()).connect(edge.port, NAME) as connection:
        yield connection


def request(path: str, method: str = "GET", more: str = "", version: str = "1.1") -> bytes:
    """A request head."""
    return f"{method} {path} HTTP/{version}\r\nHost: {NAME}\r\n{more}\r\n".encode()


def test_connections_are_kept_alive_on_both_sides(
    client: Connection, backend: CountingOrigin
) -> None:
    """Requests that follow each other share one connection to the origin."""
    answers = [client.get(NAME, f"/kept/{number}").body for number in range(5)]
    assert [f"GET /kept/{number} 0".encode() for number in range(5)] == answers
    kept = [got for got in backend.requests if got.target.startswith("/kept/")]
    assert 1 == len({got.connection for got in kept})


def test_pipelined_requests_are_answered_in_their_order(client: Connection) -> None:
    """A slow one first, bodies between them, and a HEAD."""
    client.send(
        request("/slow")
        + request("/p/1", "POST", "Content-Length: 3\r\n")
        + b"abc"
        + request("/p/2", "POST", "Transfer-Encoding: chunked\r\n")
        + b"2\r\nhi\r\n0\r\n\r\n"
        + request("/p/3", "HEAD")
        + b"".join(request(f"/p/{number}") for number in range(4, 40))
    )
    assert b"slow" == client.read().body
    assert b"POST /p/1 3" == client.read().body
    assert b"POST /p/2 2" == client.read().body
    assert b"" == client.read("HEAD").body
    answers = [client.read().body for _ in range(4, 40)]
    assert [f"GET /p/{number} 0".encode() for number in range(4, 40)] == answers


def test_chunks_and_trailers_go_up(client: Connection, backend: CountingOrigin) -> None:
    """Trailers that could be mistaken for the edge's own words stay behind."""
    head = request("/up", "PUT", "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n")
    body = b"3\r\none\r\n5;ext=1\r\ntwo34\r\n0\r\nX-Sum: 8\r\nCf-Cert-Verified: true\r\n\r\n"
    assert b"PUT /up 8" == client.request(head + body).body
    received = backend.requests[-1]
    assert (b"onetwo34", b"X-Sum: 8\r\n") == (received.body, received.trailers)
    assert "chunked" == received.header("Transfer-Encoding")
    assert None is received.header("Content-Length")


def test_chunks_and_trailers_come_down(client: Connection) -> None:
    """The answer is chunked again, trailers and all."""
    answered = client.get(NAME, "/chunked")
    assert b"one" + b"two" * 1000 == answered.body
    assert b"X-Sum: 42\r\n" == answered.trailers
    assert "chunked" == answered.header("Transfer-Encoding")
    assert 200 == client.get(NAME, "/next").status


def test_lengths_go_up_and_come_down(client: Connection, backend: CountingOrigin) -> None:
    """A long body either way arrives byte for byte, with its length."""
    head = request("/up", "POST", f"Content-Length: {len(BIG)}\r\n")
    assert f"POST /up {len(BIG)}".encode() == client.request(head + BIG).body
    received = backend.requests[-1]
    assert hashlib.sha256(BIG).hexdigest() == received.body_sha256
    assert str(len(BIG)) == received.header("Content-Length")
    answered = client.get(NAME, "/big")
    assert BIG == answered.body
    assert str(len(BIG)) == answered.header("Content-Length")


def test_an_empty_body_has_its_length(client: Connection, backend: CountingOrigin) -> None:
    """Both ways: 0 is a length."""
    assert "0" == client.get(NAME, "/length-of-nothing").header("Content-Length")
    client.request(request("/empty", "POST", "Content-Length: 0\r\n"))
    assert "0" == backend.requests[-1].header("Content-Length")


def test_head_has_a_length_and_no_body(client: Connection) -> None:
    """Whatever the origin's framing, and the connection goes on."""
    answered = client.request(request("/big", "HEAD"))
    assert (200, str(len(BIG))) == (answered.status, answered.header("Content-Length"))
    answered = client.request(request("/chunked-not", "HEAD"))
    assert 200 == answered.status
    assert b"GET /after 0" == client.get(NAME, "/after").body


def test_interim_answers_are_passed_on(client: Connection) -> None:
    """103 with its fields, before the answer."""
    answered = client.get(NAME, "/hints")
    assert 1 == len(answered.interim)
    assert answered.interim[0].startswith(b"HTTP/1.1 103 ")
    assert b"Link: </a.css>; rel=preload\r\n" in answered.interim[0]
    assert (200, b"ok") == (answered.status, answered.body)


def test_an_old_client_gets_no_interim_answer(client: Connection) -> None:
    """HTTP/1.0 knows none (RFC 9110 §15.2)."""
    answered = client.request(request("/hints", version="1.0"))
    assert ((), b"ok") == (answered.interim, answered.body)


def test_answers_without_a_body_have_no_framing(client: Connection) -> None:
    """204 and 304, and the next answer is the next answer."""
    answered = client.get(NAME, "/204")
    assert 204 == answered.status
    assert not {"content-length", "transfer-encoding"} & {n.lower() for n, _ in answered.fields}
    answered = client.get(NAME, "/304")
    assert (304, '"x"') == (answered.status, answered.header("ETag"))
    assert "99" == answered.header("Content-Length")
    assert b"GET /after 0" == client.get(NAME, "/after").body


@pytest.mark.parametrize(
    "path, body", [("/until-close", b"until the end"), ("/old-origin", b"old")]
)
def test_answers_that_end_with_the_connection_are_whole(
    client: Connection, path: str, body: bytes
) -> None:
    """The client's connection goes on: it gets chunks."""
    answered = client.get(NAME, path)
    assert (body, "chunked") == (answered.body, answered.header("Transfer-Encoding"))
    assert b"GET /after 0" == client.get(NAME, "/after").body


def test_an_old_client_without_keep_alive(client: Connection) -> None:
    """HTTP/1.0: an answer of known length, and the end."""
    answered = client.request(request("/old", version="1.0"))
    assert b"GET /old 0" == answered.body
    assert "close" == answered.header("Connection")
    assert client.closed()


def test_an_old_client_with_keep_alive(client: Connection) -> None:
    """It hears that the connection is kept, and it is."""
    kept = request("/old", more="Connection: keep-alive\r\n", version="1.0")
    answered = client.request(kept)
    assert "keep-alive" == answered.header("Connection")
    assert b"GET /old 0" == client.request(kept).body


def test_an_old_client_gets_no_chunks(client: Connection) -> None:
    """What has no length ends with the connection, also where it asked to keep it."""
    answered = client.request(request("/chunked", more="Connection: keep-alive\r\n", version="1.0"))
    assert b"one" + b"two" * 1000 == answered.body
    assert None is answered.header("Transfer-Encoding")
    assert "close" == answered.header("Connection")


def test_a_client_that_closes_is_closed(client: Connection) -> None:
    """``Connection: close`` in the request."""
    answered = client.get(NAME, "/bye", Connection="close")
    assert "close" == answered.header("Connection")
    assert client.closed()


def test_an_answer_before_the_upload_ends(client: Connection) -> None:
    """The client gets it whole; then the connection closes, as the rest has no meaning."""
    client.send(request("/early", "POST", "Content-Length: 1000000\r\n") + b"x" * 1000)
    answered = client.read("POST")
    assert (413, b"too much") == (answered.status, answered.body)
    assert "close" == answered.header("Connection")
    assert client.closed()


def test_http3_is_taken_out_of_alt_svc(client: Connection) -> None:
    """A client that moved to QUIC would skip client certificates; other services stay."""
    answered = client.get(NAME, "/alt-svc")
    assert ['h2=":8443"'] == [value.strip() for value in answered.all("Alt-Svc")]
    assert "yes" == answered.header("X-Kept")


def test_hop_by_hop_fields_of_the_answer_stay_behind(client: Connection) -> None:
    """They are about the origin's connection, not the client's."""
    answered = client.get(NAME, "/hop")
    names = {name.lower() for name, _ in answered.fields}
    assert not {"x-private", "keep-alive", "connection"} & names
    assert "2" == answered.header("X-Public")
    assert 200 == client.get(NAME, "/after").status


def test_each_request_has_its_line(edge: Edge, client: Connection) -> None:
    """Sizes of the bodies, the origin and the time it took."""
    client.request(request("/logged?secret", "POST", "Content-Length: 5\r\n") + b"12345")
    logged = line(edge, "/logged")
    assert ("request", 200, "POST") == (logged["event"], logged["status"], logged["method"])
    assert (5, len(b"POST /logged?secret 5")) == (logged["bytes_in"], logged["bytes_out"])
    assert logged["origin"].startswith("http://127.0.0.1:")
    assert 0 <= logged["origin_time"] <= logged["duration"]
    assert ("service_auth", NAME, "policy-1") == (
        logged["decision"],
        logged["application"],
        logged["policy"],
    )
    assert "secret" not in str(logged)


def test_a_request_id_goes_to_the_origin_and_the_log(
    edge: Edge, client: Connection, backend: CountingOrigin
) -> None:
    """One id for both, and never the client's."""
    client.get(NAME, "/identified", X_Request_Id="mine", X_Forwarded_For="192.0.2.1")
    received = backend.requests[-1]
    assert line(edge, "/identified")["request_id"] == received.header("X-Request-Id")
    assert "127.0.0.1" == received.header("X-Forwarded-For")
    assert NAME == received.header("Host")

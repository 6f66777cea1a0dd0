"""Sizes and times that nobody may exceed, each by its name in the configuration."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from support import certs
from support.client import Answered, Client, Connection
from support.edge import Edge
from support.origin import Answer, CountingOrigin
from support.ports import wait_until
from support.reading import is_cut, line, lines
from support.tables import application, client_ca, host

NAME = "limits.example.com"
SLOW = "slow.example.com"
LIMITS = {
    "request_line": 1024,
    "request_head": 4096,
    "request_headers": 20,
    "request_body": 100,
    "response_head": 2048,
    "origin_idle": 1,
}
TIMEOUTS = {
    "handshake": 2,  # which the good ones here have to do in time as well
    "request_head": 1,
    "request_body": 1,
    "keep_alive": 1,
    "write": 1,
    "origin_keep_alive": 1,
}
MUCH = 32 << 20


@pytest.fixture(scope="module")
def backend() -> Iterator[CountingOrigin]:
    """An origin that counts, and has a long head and a long body."""
    answers = {
        "/long-head": Answer(headers=(("X-Long", "x" * 200_000),)),
        "/much": Answer(body=b"m" * MUCH),
        "/slow": Answer(delay=0.3),
    }
    with CountingOrigin(answers) as running:
        yield running


@pytest.fixture(scope="module")
def edge(backend: CountingOrigin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """A host of small sizes and one of short times."""
    config = {
        "edge": {"timeouts": {"handshake": TIMEOUTS["handshake"]}},
        "host": [
            host(NAME, upstream=backend.url, limits=LIMITS, timeouts={"origin_keep_alive": 2}),
            host(
                SLOW,
                upstream=backend.url,
                timeouts={key: TIMEOUTS[key] for key in TIMEOUTS if key != "handshake"},
            ),
        ],
        "client_ca": [client_ca(NAME, SLOW)],
        "application": [application(NAME), application(SLOW)],
    }
    with Edge(tmp_path_factory.mktemp("limits"), config) as running:
        yield running


def connect(edge: Edge, name: str = NAME) -> Connection:
    """A connection with a good certificate."""
    return Client(certs.client()).connect(edge.port, name)


def head(more: str = "", path: str = "/", method: str = "GET", name: str = NAME) -> bytes:
    """A request head."""
    return f"{method} {path} HTTP/1.1\r\nHost: {name}\r\n{more}\r\n".encode()


# -- sizes ---------------------------------------------------------------------------------

CHUNKED = "Transfer-Encoding: chunked\r\n"
TOO_MUCH = {
    "request_line": (414, head(path="/" + "x" * 1100)),
    "request_head": (431, head("".join(f"X-{n}: {'x' * 500}\r\n" for n in range(9)))),
    "request_headers": (431, head("".join(f"X-{n}: x\r\n" for n in range(20)))),
    "request_body by length": (413, head("Content-Length: 101\r\n", method="POST")),
    "request_body by chunks": (
        413,
        head(CHUNKED, method="POST") + b"33\r\n" + b"x" * 51 + b"\r\n32\r\n" + b"x" * 50 + b"\r\n",
    ),
    "trailers": (
        431,
        head(CHUNKED, method="POST") + b"0\r\n" + b"X-Long: " + b"x" * 5000 + b"\r\n\r\n",
    ),
}
JUST_RIGHT = {
    "request_line": head(path="/" + "x" * 1000),
    "request_head": head("".join(f"X-{n}: {'x' * 500}\r\n" for n in range(7))),
    "request_headers": head("".join(f"X-{n}: x\r\n" for n in range(19))),
    "request_body by length": head("Content-Length: 100\r\n", method="POST") + b"x" * 100,
    "request_body by chunks": head(CHUNKED, method="POST")
    + b"64\r\n"
    + b"x" * 100
    + b"\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("what", TOO_MUCH)
def test_more_than_the_limit_is_refused(edge: Edge, what: str) -> None:
    """With its own status; then the connection closes, as the rest has no meaning."""
    status, request = TOO_MUCH[what]
    with connect(edge) as connection:
        answered = connection.request(request)
        assert (status, "close") == (answered.status, answered.header("Connection"))
        assert connection.closed()


@pytest.mark.parametrize("what", JUST_RIGHT)
def test_the_limit_itself_passes(edge: Edge, what: str) -> None:
    """Nothing is refused that the configuration allows."""
    with connect(edge) as connection:
        assert 200 == connection.request(JUST_RIGHT[what]).status


def test_a_body_that_is_too_long_by_its_length_reaches_no_origin(
    edge: Edge, backend: CountingOrigin
) -> None:
    """It is known from the head."""
    before = backend.count
    with connect(edge) as connection:
        connection.request(head("Content-Length: 101\r\n", method="POST"))
    assert before == backend.count


def test_a_head_without_end_is_not_kept(edge: Edge) -> None:
    """The refusal comes while the head is still being sent."""
    with connect(edge) as connection:
        connection.send(b"GET / HTTP/1.1\r\nX: " + b"x" * 5000)
        assert 431 == connection.read().status


def test_a_response_head_that_is_too_long_is_a_502(edge: Edge) -> None:
    """And the log says so."""
    with connect(edge) as connection:
        assert 502 == connection.get(NAME, "/long-head").status
    assert "too large" in line(edge, "/long-head")["reason"]


def test_only_so_many_idle_origin_connections_are_kept(edge: Edge, backend: CountingOrigin) -> None:
    """Four at once need four; one is kept, and that not for ever."""
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(edge)) for _ in range(4)]
        for connection in connections:
            connection.send(head(path="/slow"))
        assert {200} == {connection.read().status for connection in connections}
    wait_until(lambda: backend.open_connections() == 1, 10, "three connections to be closed")
    wait_until(lambda: backend.open_connections() == 0, 10, "the last to be closed for its age")


def test_only_so_many_clients_are_let_in(start_edge: Callable[..., Edge]) -> None:
    """The third waits in the backlog until another leaves."""
    with CountingOrigin() as origin:
        edge = start_edge(
            {
                "edge": {"limits": {"connections": 2}},
                "host": [host(NAME, upstream=origin.url)],
                "client_ca": [client_ca(NAME)],
                "application": [application(NAME)],
            }
        )
        first, second = connect(edge), connect(edge)
        third: list[Answered] = []
        waiting = threading.Thread(target=lambda: third.append(connect(edge).get(NAME, "/third")))
        waiting.start()
        assert 200 == first.get(NAME).status
        assert 200 == second.get(NAME).status
        assert [] == third
        first.close()
        waiting.join(60)
        assert 200 == third[0].status
        second.close()


# -- times ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dawdlers(edge: Edge) -> Iterator[dict[str, Any]]:
    """Clients that are slow in every way, all at once, so that the tests wait only once."""
    with ExitStack() as stack:
        silent = stack.enter_context(socket.create_connection(("127.0.0.1", edge.port), 60))
        begun = {
            "first byte": b"",
            "head": b"GET /half HTTP/1.1\r\nHo",
            "body": head("Content-Length: 9\r\n", "/body", "POST", SLOW) + b"x",
            "chunks": head(CHUNKED, "/chunks", "POST", SLOW) + b"5\r\nhello\r\n",
            "keep-alive": head(name=SLOW),
            "answer": head(path="/much", name=SLOW),
        }
        made = {}
        for name, first in begun.items():  # each says at once what it has to say
            made[name] = stack.enter_context(connect(edge, SLOW))
            made[name].send(first)
        assert 200 == made["keep-alive"].read().status
        yield {**made, "handshake": silent}


def test_a_handshake_that_stalls_is_cut(dawdlers: dict[str, Any]) -> None:
    """``handshake``: not even the ClientHello came."""
    with suppress(ConnectionResetError):
        assert b"" == dawdlers["handshake"].recv(1)


def test_a_connection_without_a_request_is_closed(dawdlers: dict[str, Any]) -> None:
    """``request_head``, before its first byte: there is nothing to answer."""
    assert dawdlers["first byte"].closed()


def test_a_head_that_stalls_is_a_408(dawdlers: dict[str, Any]) -> None:
    """``request_head``, from its first byte."""
    assert 408 == dawdlers["head"].read().status
    assert dawdlers["head"].closed()


@pytest.mark.parametrize("what", ["body", "chunks"])
def test_a_body_that_stalls_is_a_408(edge: Edge, dawdlers: dict[str, Any], what: str) -> None:
    """``request_body``, between two pieces; the origin gets no whole request."""
    assert 408 == dawdlers[what].read("POST").status
    assert dawdlers[what].closed()
    assert 408 == line(edge, f"/{what}")["status"]


def test_an_idle_connection_is_closed(dawdlers: dict[str, Any]) -> None:
    """``keep_alive``, without a word."""
    assert dawdlers["keep-alive"].closed()


def test_a_client_that_takes_nothing_is_cut_off(edge: Edge, dawdlers: dict[str, Any]) -> None:
    """``write``: the log says that it went so."""
    logged = line(edge, "/much")
    assert (200, True) == (logged["status"], "takes nothing" in logged["reason"])
    assert is_cut(dawdlers["answer"])


def test_a_slow_head_is_timed_from_its_first_byte(edge: Edge) -> None:
    """Byte by byte does not help."""
    with connect(edge, SLOW) as connection:
        for byte in b"GET /drip HTTP/1.1\r\nX-Drip: " + b"x" * 40:
            connection.send(bytes([byte]))
            if select.select([connection.sock], [], [], 0.1)[0]:
                break
        assert 408 == connection.read().status


def test_an_origin_that_takes_no_connection_is_a_502(start_edge: Callable[..., Edge]) -> None:
    """``origin_connect``: a listener whose backlog is full answers no SYN."""
    with ExitStack() as stack:
        deaf = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        config = {
            "host": [
                host(
                    NAME,
                    upstream=f"http://127.0.0.1:{deaf.getsockname()[1]}",
                    timeouts={"origin_connect": 1},
                )
            ],
            "client_ca": [client_ca(NAME)],
            "application": [application(NAME)],
        }
        edge = start_edge(config)
        with connect(edge) as connection:
            assert 502 == connection.get(NAME, "/deaf").status
        assert lines(edge, "/deaf")[0]["duration"] < 5

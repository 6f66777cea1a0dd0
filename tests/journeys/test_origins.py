"""Which origin answers: several in turn, healthy ones first, over http, https and unix sockets."""

from __future__ import annotations

import select
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support import certs
from support.client import Answered, Client, Connection
from support.edge import Edge
from support.origin import Answer, CountingOrigin
from support.ports import free_port, wait_until
from support.reading import line
from support.scripted import Line, ScriptedOrigin
from support.tables import application, client_ca, host

Start = Callable[..., Edge]

NAME = "origins.example.com"
ORIGIN_CA = "Test Origin CA"
EDGE_CA = "Test Edge CA"


def config(upstream: str | list[str], **more: Any) -> dict[str, Any]:
    """One host in front of these origins."""
    return {
        "host": [host(NAME, upstream=upstream, **more)],
        "client_ca": [client_ca(NAME)],
        "application": [application(NAME)],
    }


def connect(edge: Edge, name: str = NAME) -> Connection:
    """A connection with a good certificate."""
    return Client(certs.client()).connect(edge.port, name)


@pytest.fixture
def three() -> Iterator[list[CountingOrigin]]:
    """Three origins that say which they are."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(CountingOrigin(default=Answer(body=b"origin %d" % number)))
            for number in range(3)
        ]


# -- several -------------------------------------------------------------------------------


def test_origins_take_turns(start_edge: Start, three: list[CountingOrigin]) -> None:
    """Each gets its share of one connection's requests."""
    edge = start_edge(config([origin.url for origin in three]))
    with connect(edge) as connection:
        answers = Counter(connection.get(NAME).body for _ in range(9))
    assert {b"origin 0": 3, b"origin 1": 3, b"origin 2": 3} == answers


def test_a_dead_origin_is_passed_over_and_comes_back(
    start_edge: Start, origin: CountingOrigin
) -> None:
    """Nobody sees the death, and nobody asks the dead one for a while."""
    port = free_port()
    edge = start_edge(
        config([f"http://127.0.0.1:{port}", origin.url], timeouts={"origin_retry": 2})
    )
    with connect(edge) as connection:
        assert {200} == {connection.get(NAME).status for _ in range(6)}
        assert 6 == origin.count
        assert 1 == edge.log().count(f"origin http://127.0.0.1:{port} failed: ")
        revived = ScriptedOrigin(lambda talk: (talk.head(), talk.answer(b"back")), port=port)
        with revived:
            wait_until(lambda: b"back" == connection.get(NAME).body, 10, "it to be asked again")


def test_a_silent_origin_is_passed_over(start_edge: Start, origin: CountingOrigin) -> None:
    """One client waits in vain; the next ones are not sent there."""
    with ScriptedOrigin(lambda talk: (talk.head(), talk.closed())) as silent:
        times = {"origin_response": 2, "origin_retry": 60}
        edge = start_edge(config([origin.url, silent.url], timeouts=times))
        with connect(edge) as connection:
            answers = [connection.get(NAME).status for _ in range(8)]
    assert {200: 7, 504: 1} == Counter(answers)


def test_when_all_have_failed_one_of_them_is_asked(start_edge: Start) -> None:
    """Passing over is for where there is another."""
    port = free_port()
    edge = start_edge(config(f"http://127.0.0.1:{port}", timeouts={"origin_retry": 60}))
    with connect(edge) as connection:
        assert 502 == connection.get(NAME).status
        with ScriptedOrigin(lambda talk: (talk.head(), talk.answer()), port=port):
            assert 200 == connection.get(NAME).status


# -- the queue -----------------------------------------------------------------------------


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """A gated origin answers while this is set."""
    event = threading.Event()
    yield event
    event.set()


def gated(gate: threading.Event) -> ScriptedOrigin:
    """An origin that answers nothing until the gate is open."""

    def talk(origin: Line) -> None:
        while origin.stream.more():
            origin.head()
            gate.wait(20)
            origin.answer()

    return ScriptedOrigin(talk)


def test_requests_wait_for_a_connection_but_not_for_ever(
    start_edge: Start, gate: threading.Event
) -> None:
    """One connection: of two more requests one waits and is served, one is too much; later one
    waits too long."""
    with gated(gate) as busy:
        narrow = {"origin_connections": 1, "origin_queue": 1}
        edge = start_edge(config(busy.url, limits=narrow, timeouts={"queue": 3}))
        with connect(edge) as first, connect(edge) as second, connect(edge) as third:
            ask(first, "/first")
            wait_until(lambda: busy.heads, 10, "the first request")
            ask(second, "/two")
            ask(third, "/two")
            refused = readable(second, third)[0]
            waiting = third if refused is second else second
            assert_overloaded(refused.read())
            assert "queue is full" in line(edge, "/two")["reason"]
            gate.set()
            assert 200 == first.read().status
            assert 200 == waiting.read().status
            assert 1 == busy.connections
            gate.clear()
            ask(first, "/fourth")
            wait_until(lambda: len(busy.heads) == 3, 10, "the fourth request")
            assert_overloaded(second.get(NAME, "/fifth"))
            assert "no connection came free" in line(edge, "/fifth")["reason"]
            gate.set()
            assert 200 == first.read().status


def test_a_client_that_leaves_the_queue_makes_room(
    start_edge: Start, gate: threading.Event
) -> None:
    """A place in the queue is not held for somebody who has gone."""
    with gated(gate) as busy:
        edge = start_edge(config(busy.url, limits={"origin_connections": 1, "origin_queue": 1}))
        with connect(edge) as first, connect(edge) as third:
            ask(first, "/first")
            wait_until(lambda: busy.heads, 10, "the first request")
            with connect(edge) as second:
                ask(second, "/left")
            assert 499 == line(edge, "/left")["status"]
            ask(third, "/third")
            assert [] == readable(third, timeout=0.3)
            gate.set()
            assert (200, 200) == (first.read().status, third.read().status)
        assert not any(b" /left " in head for head in busy.heads)


def readable(*connections: Connection, timeout: float = 10) -> list[Connection]:
    """Those that get an answer first."""
    socks = {connection.sock: connection for connection in connections}
    return [socks[sock] for sock in select.select(list(socks), [], [], timeout)[0]]


def ask(connection: Connection, path: str) -> None:
    """Send a GET, and read nothing."""
    connection.send(f"GET {path} HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())


def assert_overloaded(answered: Answered) -> None:
    """It is a refusal that says when to come again, once."""
    assert (503, ["5"]) == (answered.status, answered.all("Retry-After"))


# -- https ---------------------------------------------------------------------------------


def origin_context(*names: str, ca: str = ORIGIN_CA, asks: bool = False) -> ssl.SSLContext:
    """An origin's TLS; ``asks``: for a certificate of the edge's CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certs.server(*names, ca=ca).files)
    if asks:
        context.load_verify_locations(certs.ca_file(EDGE_CA))
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def answer_all(talk: Line) -> None:
    """Answer every request."""
    while talk.stream.more():
        talk.head()
        talk.answer(b"secure")


def secure(origin: ScriptedOrigin, name: str, **more: Any) -> dict[str, Any]:
    """Configuration for an https origin that must be ``name``."""
    tls = {"upstream_ca": certs.ca_file(ORIGIN_CA), "upstream_server_name": name}
    return config(origin.url, **{**tls, **more})


def test_an_https_origin_is_asked(start_edge: Start) -> None:
    """By its right name, under its right CA, on one kept connection."""
    with ScriptedOrigin(answer_all, origin_context("origin.test")) as origin:
        edge = start_edge(secure(origin, "origin.test"))
        with connect(edge) as connection:
            assert [b"secure"] * 3 == [connection.get(NAME).body for _ in range(3)]
        assert 1 == origin.connections


@pytest.mark.parametrize(
    "name, ca, word",
    [("other.test", ORIGIN_CA, "other.test"), ("origin.test", "Wrong CA", "verify failed")],
)
def test_an_https_origin_that_is_another_hears_nothing(
    start_edge: Start, name: str, ca: str, word: str
) -> None:
    """A wrong name, a wrong CA: 502, the log says why, and no request was sent."""
    with ScriptedOrigin(answer_all, origin_context("origin.test", ca=ca)) as origin:
        edge = start_edge(secure(origin, name))
        with connect(edge) as connection:
            assert 502 == connection.get(NAME, "/get").status
            post = f"POST /post HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 3\r\n\r\nabc"
            connection.send(post.encode())
            assert 502 == connection.read("POST").status
        assert [] == origin.heads
        assert word in line(edge, "/get")["reason"]
        assert word in line(edge, "/post")["reason"]


def test_an_https_origin_that_stalls_in_the_handshake_is_a_502(start_edge: Start) -> None:
    """``origin_connect`` is for the whole of it, not for TCP alone."""
    with ScriptedOrigin(lambda talk: talk.stream.rest(bytes)) as plain:
        silent = f"https://127.0.0.1:{plain.port}"
        tls = {"upstream_ca": certs.ca_file(ORIGIN_CA), "upstream_server_name": "origin.test"}
        edge = start_edge(config(silent, timeouts={"origin_connect": 1}, **tls))
        with connect(edge) as connection:
            assert 502 == connection.get(NAME, "/stalled").status
        assert "handshake took too long" in line(edge, "/stalled")["reason"]


def test_the_edge_shows_its_own_certificate_to_the_origin(start_edge: Start) -> None:
    """With the intermediate that signed it; without one the origin refuses."""
    context = origin_context("origin.test", asks=True)
    issuer = certs.intermediate("Test Edge Intermediate", EDGE_CA)
    pair = certs.store("edge-as-client", issuer.issue("edge"))
    with ScriptedOrigin(answer_all, context) as origin:
        shown = {"upstream_certificate": pair.certificate, "upstream_key": pair.key}
        edge = start_edge(secure(origin, "origin.test", **shown))
        with connect(edge) as connection:
            assert b"secure" == connection.get(NAME).body
        edge = start_edge(secure(origin, "origin.test"))
        with connect(edge) as connection:
            assert 502 == connection.get(NAME).status


# -- unix sockets, and names ---------------------------------------------------------------


def test_a_unix_socket_is_asked(start_edge: Start, tmp_path: Path) -> None:
    """Also after it was gone for a while."""
    path = str(tmp_path / "app.sock")
    edge = start_edge(config(f"unix:{path}"))
    with connect(edge) as connection:
        assert 502 == connection.get(NAME).status
        with CountingOrigin(unix=path) as origin:
            assert b"origin\n" == connection.get(NAME).body
            assert NAME == origin.requests[0].header("Host")


def test_the_origin_gets_the_clients_host_or_its_own(start_edge: Start) -> None:
    """``preserve_host``, whose default is yes; also where an old client sends none."""
    with CountingOrigin() as origin:
        own = config(origin.url, preserve_host=False)
        for tables, expected in ((config(origin.url), NAME), (own, f"127.0.0.1:{origin.port}")):
            edge = start_edge(tables)
            with connect(edge) as connection:
                connection.get(NAME)
                assert expected == origin.requests[-1].header("Host")
                connection.request(b"GET / HTTP/1.0\r\n\r\n")
                assert expected == origin.requests[-1].header("Host")
                assert NAME == origin.requests[-1].header("X-Forwarded-Host")

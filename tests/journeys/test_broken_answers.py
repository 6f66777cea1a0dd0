"""Origins die and stall, clients leave: nobody takes half an answer for a whole one."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from support import certs
from support.client import Client, Connection
from support.edge import Edge
from support.ports import free_port, wait_until
from support.reading import is_cut, line
from support.scripted import Line, ScriptedOrigin
from support.tables import application, client_ca, host

NAME = "broken.example.com"
DEAD = "dead.example.com"
HEAD = b"HTTP/1.1 200 OK\r\n"


class Scripts:
    """What the origin does, by the first segment of the path; each test names its own.

    ``taken`` says that the client has what was sent of an answer so far.
    """

    def __init__(self) -> None:
        self.taken = threading.Event()

    def __call__(self, talk: Line) -> None:
        while talk.stream.more():
            head = talk.head()
            segment = head.split(b" ")[1].strip(b"/").split(b"/")[0].decode().replace("-", "_")
            if getattr(self, segment)(talk):
                return

    def die(self, talk: Line) -> bool:
        return True

    def reset(self, talk: Line) -> bool:
        talk.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        return True

    def half_head(self, talk: Line) -> bool:
        talk.send(HEAD + b"Content-Le")
        return True

    def half_length(self, talk: Line) -> bool:
        talk.send(HEAD + b"Content-Length: 10\r\n\r\nhalf")
        return True

    def half_chunked(self, talk: Line) -> bool:
        talk.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        return True

    def half_until_close(self, talk: Line) -> bool:
        self.taken.clear()
        talk.send(HEAD + b"\r\nhalf")
        self.taken.wait(60)  # or the reset overtakes the half
        return self.reset(talk)

    def nonsense(self, talk: Line) -> bool:
        talk.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        return not talk.closed()

    def bad_chunk(self, talk: Line) -> bool:
        self.taken.clear()
        talk.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n")
        self.taken.wait(60)  # in one piece it would be a 502, with nothing begun
        talk.send(b"zz\r\nbad\r\n")
        return not talk.closed()

    def stall(self, talk: Line) -> bool:
        talk.closed()
        return True

    def stall_in_body(self, talk: Line) -> bool:
        talk.send(HEAD + b"Content-Length: 10\r\n\r\nhalf")
        talk.closed()
        return True

    def endless(self, talk: Line) -> bool:
        talk.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nmore\r\n")
        talk.closed()
        return True

    def body(self, talk: Line) -> bool:
        talk.body(10)
        talk.answer()
        return False

    def first_only(self, talk: Line) -> bool:
        """A connection that is closed as soon as its second request comes."""
        if talk.heads > 1:
            return True
        with_body = b"Content-Length: 10\r\n" in backend.heads[-1]
        talk.answer(talk.body(10) if with_body else b"first")
        return False

    def good(self, talk: Line) -> bool:
        talk.answer()
        return False


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """One host before the scripts, with short patience, and one before nobody."""
    with ScriptedOrigin(scripts) as origin:
        global backend
        backend = origin
        patience = {"origin_response": 2, "origin_retry": 0, "request_body": 30}
        config = {
            "host": [
                host(NAME, upstream=origin.url, timeouts=patience),
                host(DEAD, upstream=f"http://127.0.0.1:{free_port()}"),
            ],
            "client_ca": [client_ca(NAME, DEAD)],
            "application": [application(NAME), application(DEAD)],
        }
        with Edge(tmp_path_factory.mktemp("broken"), config) as running:
            yield running


backend: ScriptedOrigin
scripts = Scripts()


@contextmanager
def connected(edge: Edge, name: str = NAME) -> Iterator[Connection]:
    """A connection with a good certificate."""
    with Client(certs.client()).connect(edge.port, name) as connection:
        yield connection


def asked(path: str) -> int:
    """How often the origin was asked for a path."""
    return sum(f" {path} ".encode() in head for head in backend.heads)


def send(connection: Connection, path: str, method: str = "GET", more: str = "") -> None:
    """Send a request head."""
    connection.send(f"{method} {path} HTTP/1.1\r\nHost: {NAME}\r\n{more}\r\n".encode())


def test_an_origin_that_refuses_is_a_502(edge: Edge) -> None:
    """The log says that it refused; the client's connection goes on."""
    with connected(edge, DEAD) as connection:
        assert 502 == connection.get(DEAD, "/refused").status
        assert 502 == connection.get(DEAD, "/refused-again").status
    assert "refused" in line(edge, "/refused")["reason"]


@pytest.mark.parametrize("path", ["/die", "/reset"])
def test_an_origin_that_dies_without_a_word_is_a_502(edge: Edge, path: str) -> None:
    """A GET is tried again, three times in all; a POST is not."""
    with connected(edge) as connection:
        assert 502 == connection.get(NAME, f"{path}/get").status
        send(connection, f"{path}/post", "POST", "Content-Length: 0\r\n")
        assert 502 == connection.read("POST").status
    assert (3, 1) == (asked(f"{path}/get"), asked(f"{path}/post"))


@pytest.mark.parametrize("path", ["/half-head", "/nonsense"])
def test_a_begun_answer_is_not_asked_for_again(edge: Edge, path: str) -> None:
    """Not even a GET: something of it was answered."""
    with connected(edge) as connection:
        assert 502 == connection.get(NAME, path).status
        assert 200 == connection.get(NAME, "/good").status
    assert 1 == asked(path)


@pytest.mark.parametrize("path", ["/half-length", "/half-chunked", "/bad-chunk", "/stall-in-body"])
def test_a_broken_answer_is_cut(edge: Edge, path: str) -> None:
    """Never a last chunk, never the whole length; and once is enough."""
    with connected(edge) as connection:
        send(connection, path)
        assert is_cut_after(connection, b"good") if path == "/bad-chunk" else is_cut(connection)
    assert 1 == asked(path)
    logged = line(edge, path)
    assert 200 == logged["status"]
    assert logged["reason"]


def test_an_answer_until_close_that_breaks_is_cut(edge: Edge) -> None:
    """For a client of today it is chunked, and has no last chunk."""
    with connected(edge) as connection:
        send(connection, "/half-until-close")
        assert is_cut_after(connection, b"half")


def is_cut_after(connection: Connection, part: bytes) -> bool:
    """Whether an answer breaks off, of which this part has come."""
    head = connection.stream.until(b"\r\n\r\n")
    begun = connection.stream.until(part)
    scripts.taken.set()
    connection.stream.buffer[:0] = head + begun
    return is_cut(connection)


def test_an_origin_that_stalls_is_a_504(edge: Edge) -> None:
    """It is asked once: it may be working on the request still. Its connection is closed."""
    with connected(edge) as connection:
        assert 504 == connection.get(NAME, "/stall").status
        assert 200 == connection.get(NAME, "/good").status
    assert 1 == asked("/stall")
    assert "too long" in line(edge, "/stall")["reason"]


def test_a_client_that_dawdles_is_not_the_origins_fault(edge: Edge) -> None:
    """The origin's two seconds run from when it has the whole request."""
    with connected(edge) as connection:
        send(connection, "/body", "POST", "Content-Length: 10\r\n")
        for piece in (b"12345", b"67", b"890"):
            time.sleep(1.1)
            connection.send(piece)
        assert 200 == connection.read("POST").status


def test_a_stale_connection_is_replaced_for_get_and_not_for_post(edge: Edge) -> None:
    """A kept connection may close just when it is used again."""
    with connected(edge) as connection:
        assert 200 == connection.get(NAME, "/first-only/1").status
        assert 200 == connection.get(NAME, "/first-only/2").status
        assert 2 == asked("/first-only/2")
        send(connection, "/first-only/3", "POST", "Content-Length: 0\r\n")
        assert 502 == connection.read("POST").status
        assert 1 == asked("/first-only/3")


def test_a_stale_connection_is_replaced_before_a_body_was_sent(edge: Edge) -> None:
    """PUT is idempotent: its body goes to the second connection, and all of it."""
    with connected(edge) as connection:
        assert 200 == connection.get(NAME, "/first-only/4").status
        send(connection, "/first-only/5", "PUT", "Content-Length: 10\r\n")
        wait_for_head("/first-only/5", 2)
        connection.send(b"1234567890")
        assert b"1234567890" == connection.read("PUT").body


def test_a_client_that_leaves_in_its_request(edge: Edge) -> None:
    """The origin's connection is closed, and the log says 499."""
    with connected(edge) as connection:
        send(connection, "/body/left", "POST", "Content-Length: 10\r\n")
        connection.send(b"12345")
        wait_for_head("/body/left")
        ended = backend.ended
    backend.wait_ended(ended + 1)
    assert 499 == line(edge, "/body/left")["status"]


def test_a_client_that_leaves_before_its_answer(edge: Edge) -> None:
    """The same while the origin thinks."""
    with connected(edge) as connection:
        send(connection, "/stall/left")
        wait_for_head("/stall/left")
        ended = backend.ended
    backend.wait_ended(ended + 1)
    logged = line(edge, "/stall/left")
    assert (499, "the client went away") == (logged["status"], logged["reason"])


def test_a_client_that_leaves_in_its_answer(edge: Edge) -> None:
    """The status is what it had begun to read; the reason says that it did not read on."""
    with connected(edge) as connection:
        send(connection, "/endless/left")
        connection.stream.until(b"more\r\n")
        ended = backend.ended
    backend.wait_ended(ended + 1)
    logged = line(edge, "/endless/left")
    assert (200, "the client went away") == (logged["status"], logged["reason"])


def test_the_continue_is_the_origins(edge: Edge, tmp_path: Any) -> None:
    """100 comes when the origin says so; a refusal instead of it spares the body."""

    def talk(origin: Line) -> None:
        head = origin.head()
        assert b"\r\nExpect: 100-continue\r\n" in head
        if b" /no " in head:
            origin.answer(status=417, more="Connection: close\r\n")
            return
        origin.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert b"12345" == origin.body(5)
        origin.answer(b"got it", more="Connection: close\r\n")

    with ExitStack() as stack:
        origin = stack.enter_context(ScriptedOrigin(talk))
        config = {
            "host": [host(NAME, upstream=origin.url)],
            "client_ca": [client_ca(NAME)],
            "application": [application(NAME)],
        }
        own = stack.enter_context(Edge(tmp_path, config))
        more = "Content-Length: 5\r\nExpect: 100-continue\r\n"
        with connected(own) as connection:
            send(connection, "/yes", "POST", more)
            assert b"HTTP/1.1 100 Continue\r\n\r\n" == connection.stream.until(b"\r\n\r\n")
            connection.send(b"12345")
            assert b"got it" == connection.read("POST").body
            send(connection, "/no", "POST", more)
            answered = connection.read("POST")
            assert (417, ()) == (answered.status, answered.interim)
            assert connection.closed()  # whether the body still comes is anybody's guess


def wait_for_head(path: str, count: int = 1) -> None:
    """Wait until the origin was asked for a path."""
    wait_until(lambda: asked(path) >= count, 10, f"{path} to reach the origin")

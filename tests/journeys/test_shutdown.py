"""SIGTERM: what is under way finishes, what is idle closes, and nothing new begins."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from support import certs
from support.client import Client, Connection
from support.edge import Edge
from support.origin import switching
from support.ports import is_listening, wait_until
from support.reading import is_cut, line
from support.scripted import Line, ScriptedOrigin
from support.tables import application, client_ca, host

NAME = "drain.example.com"


def configuration(origin: ScriptedOrigin, drain: float) -> dict[str, Any]:
    """One host, and so many seconds to finish in."""
    return {
        "edge": {"timeouts": {"drain": drain}},
        "host": [host(NAME, upstream=origin.url)],
        "client_ca": [client_ca(NAME)],
        "application": [application(NAME)],
    }


def connect(edge: Edge) -> Connection:
    """A connection with a good certificate."""
    return Client(certs.client()).connect(edge.port, NAME)


def assert_ended(edge: Edge) -> None:
    """The process goes by itself, for the signal that it was sent (as twistd does)."""
    wait_until(lambda: not edge.is_running(), 20, "the edge to end")
    assert -signal.SIGTERM == edge.stop()


def test_what_is_under_way_finishes(start_edge: Callable[..., Edge]) -> None:
    """An upload and a download end whole; idle connections and the listener close at once."""
    go_on = threading.Event()

    def talk(origin: Line) -> None:
        while origin.stream.more():
            if b"POST " in origin.head():
                origin.answer(origin.body(10))
                continue
            origin.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
            go_on.wait(20)
            origin.send(b"later")

    with ScriptedOrigin(talk) as origin, ExitStack() as stack:
        edge = start_edge(configuration(origin, 20))
        idle, new, up, down = (stack.enter_context(connect(edge)) for _ in range(4))
        post = f"POST / HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 10\r\n\r\n"
        assert b"1234567890" == idle.request(post.encode() + b"1234567890", "POST").body
        up.send(post.encode() + b"12345")
        down.send(f"GET /down HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        down.stream.until(b"first")
        wait_until(lambda: len(origin.heads) == 3, 10, "both requests at the origin")
        os.kill(edge.pid, signal.SIGTERM)
        for quiet in (idle, new):
            assert quiet.closed()
            quiet.close()  # or the edge waits a little for what the client still has to say
        wait_until(lambda: not is_listening(edge.port), 10, "the listener to close")
        assert edge.is_running()
        up.send(b"67890")
        answered = up.read("POST")
        assert (b"1234567890", "close") == (answered.body, answered.header("Connection"))
        assert up.closed()
        up.close()
        go_on.set()
        down.stream.until(b"later")
        assert down.closed()
        down.close()
        assert_ended(edge)
    assert 200 == line(edge, "/down")["status"]


def test_the_wait_ends(start_edge: Callable[..., Edge]) -> None:
    """After ``drain`` an endless answer is cut, and looks it; its line is in the log."""

    def talk(origin: Line) -> None:
        origin.head()
        origin.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        origin.closed()

    with ScriptedOrigin(talk) as origin:
        edge = start_edge(configuration(origin, 1))
        with connect(edge) as connection:
            connection.send(f"GET /endless HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
            assert b"first" in connection.stream.until(b"first")
            os.kill(edge.pid, signal.SIGTERM)
            assert is_cut(connection)
        assert_ended(edge)
    assert 200 == line(edge, "/endless")["status"]


def test_tunnels_are_cut_at_the_end_of_the_wait(start_edge: Callable[..., Edge]) -> None:
    """They have no end of their own to wait for."""

    def talk(origin: Line) -> None:
        origin.head()
        origin.send(switching("echo").raw or b"")
        origin.closed()

    with ScriptedOrigin(talk) as origin:
        edge = start_edge(configuration(origin, 1))
        with connect(edge) as connection:
            upgrade = "Connection: upgrade\r\nUpgrade: echo\r\n"
            connection.send(f"GET /t HTTP/1.1\r\nHost: {NAME}\r\n{upgrade}\r\n".encode())
            connection.stream.until(b"\r\n\r\n")
            os.kill(edge.pid, signal.SIGTERM)
            assert connection.closed()
        assert_ended(edge)
    assert "tunnel" == line(edge, "/t")["event"]

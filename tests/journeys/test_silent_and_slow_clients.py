"""Clients who come in crowds and say nothing, or say and take everything slowly.

A good client is served all the while. A thousand silent ones here, ten thousand with
``MTLSEDGE_FUZZ=full``; what they cost a good client in time, ``python -m perf.stress`` measures.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest

from support import certs
from support.busy import Busy
from support.client import Client, Connection
from support.edge import Edge
from support.origin import Answer, CountingOrigin
from support.ports import wait_until
from support.reading import line
from support.stress import FULL, Load, open_descriptors, silent_clients
from support.tables import one_host

NAME = "iot.example.com"
SILENT = 10_000 if FULL else 1_000
SLOW = 500 if FULL else 50
READERS = 20  # this process has to send all that fills their buffers
AT_ONCE = 2.0  # seconds: generous, for machines with much else to do
MUCH = 16 << 20


@pytest.fixture
def edge(start_edge: Callable[..., Edge]) -> Iterator[Edge]:
    """An edge before an origin with a long answer."""
    with CountingOrigin({"/much": Answer(body=b"m" * MUCH)}) as origin:
        timeouts = {"write": 2, "request_body": 2, "request_head": 4}
        config = one_host(NAME, origin.url, timeouts=timeouts)
        yield start_edge({**config, "edge": {"timeouts": {"handshake": 3, "drain": 1}}})


def connect(edge: Edge) -> Connection:
    """A new connection with a good certificate."""
    return Client(certs.client()).connect(edge.port, NAME)


def good(edge: Edge) -> Load:
    """A client that connects again and again, and one that keeps its connection."""
    client = Client(certs.client())
    kept = client.connect(edge.port, NAME)

    def connects() -> None:
        assert 200 == client.get(edge.port, NAME).status

    def keeps() -> None:
        assert 200 == kept.get(NAME).status
        time.sleep(0.01)

    return Load(connects=connects, keeps=keeps)


def judged(load: Load, waited: float) -> None:
    """The good clients were served, and none waited for long, but for ``waited`` for a CPU."""
    print(f"\n{load.done}, longest {load.longest}")
    assert [] == load.failures
    assert all(load.done.values())
    assert max(load.longest.values()) < AT_ONCE + waited


def test_a_crowd_that_says_nothing_keeps_nobody_waiting(edge: Edge) -> None:
    """Neither as it comes, nor as it stays, nor as it is cut off, all in the same second.

    The time for a handshake is for all of it: byte by byte does not help.
    """
    busy = Busy(edge.pid)
    with good(edge) as load, silent_clients(edge.port, SILENT) as silent:
        began = time.monotonic()
        with suppress(OSError):  # one of them begins a handshake, a byte at a time
            for byte in b"\x16\x03\x01\x02\x00\x01" + bytes(200):
                silent[0].send(bytes([byte]))
                time.sleep(0.1)
        assert time.monotonic() - began < 15
        silent[-1].settimeout(60)
        with suppress(ConnectionResetError):
            assert b"" == silent[-1].recv(1)
    judged(load, busy.seconds())


def test_slow_heads_slow_bodies_and_slow_readers_keep_nobody_waiting(edge: Edge) -> None:
    """A byte at a time, and all at once."""
    with ExitStack() as stack:
        heads = [stack.enter_context(connect(edge)) for _ in range(SLOW)]
        bodies = [stack.enter_context(connect(edge)) for _ in range(SLOW)]
        readers = [stack.enter_context(connect(edge)) for _ in range(READERS)]
        busy = Busy(edge.pid)
        with good(edge) as load:
            for one in heads:
                one.send(b"GET /slow HTTP/1.1\r\nX-Drip: ")
            for one in bodies:
                one.send(
                    f"POST /drip HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 99\r\n\r\n".encode()
                )
            for one in readers:
                one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                one.send(f"GET /much HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
            until = time.monotonic() + 2.5
            while time.monotonic() < until:
                for one in (*heads, *bodies):
                    with suppress(OSError):  # it was refused already
                        one.send(b"x")
                for one in readers:
                    one.sock.recv(1)
                time.sleep(0.1)
        judged(load, busy.seconds())


def test_a_body_that_drips_ends_with_a_408(edge: Edge) -> None:
    """``min_request_rate``: however long it goes on, a byte now and then is not enough."""
    with connect(edge) as connection:
        connection.send(
            f"POST /drip HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 99999\r\n\r\n".encode()
        )
        began = time.monotonic()
        while not edge_has(edge, "/drip") and time.monotonic() - began < 10:
            connection.send(b"x")
            time.sleep(0.2)
        assert 408 == connection.read("POST").status
    assert "too slowly" in line(edge, "/drip")["reason"]


def test_a_reader_that_takes_a_byte_now_and_then_is_cut_off(edge: Edge) -> None:
    """``min_response_rate``: it holds neither memory nor a connection to the origin for ever."""
    with connect(edge) as connection:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.send(f"GET /much HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        connection.stream.until(b"\r\n\r\n")
        began = time.monotonic()
        while not edge_has(edge, "/much") and time.monotonic() - began < 15:
            assert connection.sock.recv(1)
            time.sleep(0.2)
        left = 0
        with suppress(OSError):
            while data := connection.sock.recv(1 << 20):
                left += len(data)
        assert left < MUCH // 2
    assert "of its answer" in line(edge, "/much")["reason"]


def test_a_reader_that_is_slow_and_steady_gets_everything(edge: Edge) -> None:
    """The kernel's buffers let the edge write in lumps far apart; that is no reason to cut."""
    with connect(edge) as connection:
        connection.send(f"GET /much HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        connection.stream.until(b"\r\n\r\n")
        taken = len(connection.stream.buffer)
        while taken < MUCH:
            data = connection.sock.recv(16 * 1024)
            assert data
            taken += len(data)
            # About 150 KB a second at first, for longer than `write` allows silence; then the rest.
            # Its kernel tells of what was taken by some 110 KB at a time.
            time.sleep(0.1 if taken < 700_000 else 0)
    assert 200 == line(edge, "/much")["status"]


def edge_has(edge: Edge, path: str) -> bool:
    """Whether a request for this path has ended."""
    return any(each.get("path") == path for each in edge.access_log())


def test_the_edge_forgets_a_crowd(edge: Edge) -> None:
    """However often it comes, what it took is used again."""
    sizes = []
    for _ in range(4):
        with silent_clients(edge.port, SILENT):
            wait_until(lambda: open_descriptors(edge.pid) > SILENT, 20, "all of the crowd")
        wait_until(lambda: open_descriptors(edge.pid) < SILENT // 4, 20, "the end of the crowd")
        assert 200 == Client(certs.client()).get(edge.port, NAME).status
        sizes.append(edge.memory())
    assert max(sizes[2:]) - sizes[1] < 8 << 20, sizes

"""Much goes through in little memory, however slow the reader: invariant 10.

A quarter of a GiB each way; with ``MTLSEDGE_FUZZ=full`` a whole one. What was measured is printed
(``pytest -s`` shows it).
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import certs
from support.client import Client, Connection
from support.edge import Edge
from support.ports import wait_until
from support.scripted import Line, ScriptedOrigin
from support.tables import application, client_ca, host

NAME = "big.example.com"
SECURE = "secure.example.com"
BOTH = pytest.mark.parametrize("name", [NAME, SECURE], ids=["http", "https"])
MEBI = 1 << 20
SIZE = (1024 if os.environ.get("MTLSEDGE_FUZZ") == "full" else 256) * MEBI
BLOCK = os.urandom(MEBI)
ALLOWED = 32 * MEBI
FLOOD = 32 * MEBI


def pieces(size: int = SIZE) -> Iterator[memoryview]:
    """The bytes that are sent: a block that begins one byte later each time."""
    twice = memoryview(BLOCK * 2)
    for number in range(size // MEBI):
        yield twice[number : number + MEBI]


def send_all(send: Callable[[memoryview], object]) -> int:
    """Send everything; gives its CRC."""
    crc = 0
    for piece in pieces():
        send(piece)
        crc = zlib.crc32(piece, crc)
    return crc


def take_slowly(recv_into: Callable[[bytearray], int], size: int = SIZE) -> int:
    """Take so many bytes after a long pause and with many short ones; gives their CRC."""
    buffer, crc, taken, rest = bytearray(256 * 1024), 0, 0, 0
    time.sleep(0.5)
    while taken < size:
        count = recv_into(buffer)
        assert count, f"it ended after {taken} bytes"
        crc = zlib.crc32(memoryview(buffer)[:count], crc)
        taken += count
        if taken - rest > 8 * MEBI:
            rest = taken
            time.sleep(0.02)
    return crc


class Backend:
    """An origin that takes all slowly, gives much quickly, or does nothing at all."""

    def __init__(self) -> None:
        self.took = self.gave = 0
        self.go_on = threading.Event()

    def __call__(self, talk: Line) -> None:
        while talk.stream.more():
            path = talk.head().split(b" ")[1].strip(b"/").decode()
            getattr(self, path)(talk)

    def up(self, talk: Line) -> None:
        """Take an upload, slowly."""
        early = bytes(talk.stream.buffer)
        talk.stream.buffer.clear()
        rest = SIZE - len(early)

        def recv_into(buffer: bytearray) -> int:
            return talk.sock.recv_into(memoryview(buffer)[: min(rest, len(buffer))])

        crc = take_slowly(recv_into, rest)
        self.took = combined(early, crc, rest)
        talk.answer()

    def down(self, talk: Line) -> None:
        """Give a download, as fast as it is taken."""
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
        self.gave = send_all(talk.sock.sendall)

    def unread(self, talk: Line) -> None:
        """Give much that nobody takes."""
        self.down(talk)

    def deaf(self, talk: Line) -> None:
        """Take nothing until it is told to."""
        self.go_on.wait(60)
        talk.body(FLOOD)
        talk.answer()

    def short(self, talk: Line) -> None:
        """A short answer."""
        talk.answer(b"x" * 1000)


def combined(early: bytes, crc: int, rest: int) -> int:
    """The CRC of the early bytes and then the rest, whose own CRC is known.

    It is found by the way round: what the rest should be is known, so it is checked as such.
    """
    whole = zlib.crc32(early)
    expected = skipped = 0
    for piece in pieces():
        cut = min(len(piece), max(0, len(early) - skipped))
        skipped += cut
        expected = zlib.crc32(piece[cut:], expected)
        whole = zlib.crc32(piece[cut:], whole)
    assert expected == crc, f"the last {rest} bytes are not what was sent"
    return whole


@pytest.fixture(scope="module")
def backend() -> Backend:
    """What the origin does."""
    return Backend()


@pytest.fixture(scope="module")
def edge(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """One host before it over http, one over https."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certs.server("origin.test").files)
    with ScriptedOrigin(backend) as origin, ScriptedOrigin(backend, context) as secure:
        tls = {
            "upstream_ca": certs.ca_file(certs.SERVER_CA),
            "upstream_server_name": "origin.test",
        }
        config = {
            "host": [host(NAME, upstream=origin.url), host(SECURE, upstream=secure.url, **tls)],
            "client_ca": [client_ca(NAME, SECURE)],
            "application": [application(NAME), application(SECURE)],
        }
        with Edge(tmp_path_factory.mktemp("big"), config) as running:
            for name in (NAME, SECURE):
                with connect(running, name) as warm:
                    assert 200 == warm.get(name, "/short").status
            yield running


def connect(edge: Edge, name: str = NAME) -> Connection:
    """A connection with a good certificate."""
    return Client(certs.client(), timeout=60).connect(edge.port, name)


def head(path: str, more: str = "", method: str = "GET", name: str = NAME) -> bytes:
    """A request head."""
    return f"{method} {path} HTTP/1.1\r\nHost: {name}\r\n{more}\r\n".encode()


def peak(edge: Edge) -> int:
    """The most memory that the edge ever had resident, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{edge.pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def grown(edge: Edge, before: int, what: str, began: float) -> int:
    """By how much the edge's peak exceeds what it had before; printed."""
    growth = peak(edge) - before
    seconds = time.monotonic() - began
    print(f"{what}: +{growth / MEBI:.1f} MiB over {before / MEBI:.0f} MiB, {seconds:.1f} s")
    return growth


def test_a_big_upload_to_a_slow_origin(edge: Edge, backend: Backend) -> None:
    """All of it arrives, in its order, and the edge hardly grows."""
    before, began = edge.memory(), time.monotonic()
    with connect(edge) as connection:
        connection.send(head("/up", f"Content-Length: {SIZE}\r\n", "POST"))
        sent = send_all(connection.sock.sendall)
        assert 200 == connection.read("POST").status
    assert sent == backend.took
    assert grown(edge, before, f"{SIZE // MEBI} MiB up", began) < ALLOWED


def test_a_big_download_to_a_slow_client(edge: Edge, backend: Backend) -> None:
    """All of it arrives, in its order, and the edge hardly grows."""
    before, began = edge.memory(), time.monotonic()
    with connect(edge) as connection:
        connection.send(head("/down"))
        connection.stream.until(b"\r\n\r\n")
        early = bytes(connection.stream.buffer)
        rest = SIZE - len(early)
        crc = take_slowly(connection.sock.recv_into, rest)
    assert backend.gave == combined(early, crc, rest)
    assert grown(edge, before, f"{SIZE // MEBI} MiB down", began) < ALLOWED


@BOTH
def test_clients_that_never_read(edge: Edge, name: str) -> None:
    """Ten of them, each before an endless answer."""
    before, began = edge.memory(), time.monotonic()
    connections = [connect(edge, name) for _ in range(10)]
    for connection in connections:
        connection.send(head("/unread", name=name))
    come_to_rest(edge)
    assert grown(edge, before, "10 clients that never read", began) < ALLOWED
    for connection in connections:
        connection.close()


@BOTH
def test_an_origin_that_never_reads(edge: Edge, backend: Backend, name: str) -> None:
    """Ten uploads wait, in the clients; later they all go through."""
    backend.go_on.clear()
    before, began = edge.memory(), time.monotonic()
    connections = [connect(edge, name) for _ in range(10)]
    request = head("/deaf", f"Content-Length: {FLOOD}\r\n", "POST", name)
    senders = [
        threading.Thread(target=connection.send, args=(request + bytes(FLOOD),))
        for connection in connections
    ]
    for sender in senders:
        sender.start()
    come_to_rest(edge)
    assert grown(edge, before, "10 uploads that nobody takes", began) < ALLOWED
    assert all(sender.is_alive() for sender in senders)
    backend.go_on.set()
    assert {200} == {connection.read("POST").status for connection in connections}
    for sender, connection in zip(senders, connections, strict=True):
        sender.join(10)
        connection.close()


@pytest.mark.parametrize("path, what", [("/short", "answered"), ("/cdn-cgi/access/x", "refused")])
def test_a_pipelined_flood(edge: Edge, path: str, what: str) -> None:
    """A client that asks and asks and reads nothing: the edge stops listening to it."""
    before, began = edge.memory(), time.monotonic()
    connection = connect(edge)
    requests = head(path) * 1000
    connection.sock.settimeout(2)
    sent = 0
    with pytest.raises((TimeoutError, socket.timeout)):
        while sent < FLOOD:
            sent += connection.sock.send(requests)
    assert grown(edge, before, f"a flood of {what} requests", began) < ALLOWED
    connection.close()


def come_to_rest(edge: Edge) -> None:
    """Wait until the edge uses no more CPU."""

    def used() -> int:
        fields = Path(f"/proc/{edge.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    seen = [-1]

    def still() -> bool:
        seen.append(used())
        time.sleep(0.3)
        return used() == seen[-1] == seen[-2]

    wait_until(still, 30, "the edge to come to rest")

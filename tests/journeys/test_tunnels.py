"""Upgrades become tunnels after the origin's 101, and never before or without it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as websocket
from websockets.sync.server import ServerConnection, serve

from support import certs
from support.client import Client, Connection
from support.edge import Edge
from support.origin import Answer, CountingOrigin, switching
from support.ports import wait_until
from support.reading import is_cut, line, lines
from support.scripted import Line, ScriptedOrigin
from support.tables import application, client_ca, host

NAME = "tunnel.example.com"
QUICK = "quick.example.com"
NONE = "none.example.com"
SOCKETS = "sockets.example.com"
FLOOD = "flood.example.com"
DEAF = "deaf.example.com"
UPGRADE = "Connection: Upgrade\r\nUpgrade: {}\r\n"
ANSWERS = {
    "/echo": switching("echo"),
    "/greets": switching("echo", first=b"welcome"),
    "/no": Answer(403, body=b"not you"),
    "/ok": Answer(200, body=b"plain"),
    "/other": switching("other"),
    "/nameless": Answer(raw=b"HTTP/1.1 101 Switching Protocols\r\n\r\n", echo=True),
    "/silly": Answer(headers=(("Connection", "Upgrade"), ("Upgrade", "echo")), body=b"ok"),
}


@pytest.fixture(scope="module")
def backend() -> Iterator[CountingOrigin]:
    """Says 101 and echoes, or says something else."""
    with CountingOrigin(ANSWERS) as running:
        yield running


@pytest.fixture(scope="module")
def edge(backend: CountingOrigin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """Hosts before tunnels of several kinds."""
    with (
        serve(echo_messages, "127.0.0.1", 0, max_size=None) as websockets,
        ScriptedOrigin(flood) as flooding,
        ScriptedOrigin(deaf) as hearing_nothing,
    ):
        thread = threading.Thread(target=websockets.serve_forever)
        thread.start()
        upstreams = {
            NAME: backend.url,
            QUICK: backend.url,
            NONE: backend.url,
            SOCKETS: f"http://127.0.0.1:{websockets.socket.getsockname()[1]}",
            FLOOD: flooding.url,
            DEAF: hearing_nothing.url,
        }
        more = {QUICK: {"timeouts": {"tunnel": 1}}, NONE: {"upgrades": []}}
        config = {
            "host": [
                host(name, upstream=url, **more.get(name, {})) for name, url in upstreams.items()
            ],
            "client_ca": [client_ca(*upstreams)],
            "application": [application(name) for name in upstreams],
        }
        try:
            with Edge(tmp_path_factory.mktemp("tunnels"), config) as running:
                yield running
        finally:
            websockets.shutdown()
            thread.join(10)


def echo_messages(connection: ServerConnection) -> None:
    """Send every message back."""
    with suppress(ConnectionClosed):
        for message in connection:
            connection.send(message)


def switch(talk: Line) -> None:
    """Say 101."""
    talk.head()
    talk.send(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")


FLOODED = 64 << 20


def flood(talk: Line) -> None:
    """Send much, whether it is read or not."""
    switch(talk)
    for _ in range(FLOODED >> 16):
        talk.send(b"f" * 65536)


def deaf(talk: Line) -> None:
    """Read nothing until a byte says that it is time; then count what comes, and tell."""
    switch(talk)
    started.wait(30)
    taken = 0
    while taken < FLOODED:
        taken += len(talk.stream.some())
    talk.send(b"%d\n" % taken)


started = threading.Event()


def connect(edge: Edge, name: str = NAME) -> Connection:
    """A connection with a good certificate."""
    return Client(certs.client()).connect(edge.port, name)


def upgrade(
    connection: Connection, path: str = "/echo", protocol: str = "echo", name: str = NAME
) -> bytes:
    """Ask for another protocol; gives the answer's head."""
    fields = UPGRADE.format(protocol)
    connection.send(f"GET {path} HTTP/1.1\r\nHost: {name}\r\n{fields}\r\n".encode())
    return connection.stream.until(b"\r\n\r\n")


# -- what opens one ------------------------------------------------------------------------


def test_bytes_pass_both_ways_after_the_101(edge: Edge, backend: CountingOrigin) -> None:
    """The origin hears the upgrade, the client its answer, and then everything goes through."""
    with connect(edge) as connection:
        head = upgrade(connection)
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"\r\nConnection: upgrade\r\nUpgrade: echo\r\n" in head
        connection.send(b"\x00ping\r\n\r\nGET / HTTP/1.1\r\n\r\n")
        assert b"\x00ping\r\n\r\n" == connection.stream.until(b"\r\n\r\n")
        assert b"GET / HTTP/1.1\r\n\r\n" == connection.stream.until(b"\r\n\r\n")
    received = backend.requests[-1]
    assert ("upgrade", "echo") == (received.header("Connection"), received.header("Upgrade"))
    assert "true" == received.header("Cf-Cert-Verified")


def test_what_either_side_says_at_once_is_not_lost(edge: Edge) -> None:
    """Behind the request, before the 101; and in one piece with the 101."""
    with connect(edge) as connection:
        fields = UPGRADE.format("echo")
        request = f"GET /greets HTTP/1.1\r\nHost: {NAME}\r\n{fields}\r\n"
        connection.send(request.encode() + b"early!")
        connection.stream.until(b"\r\n\r\n")
        assert b"welcomeearly!" == connection.stream.until(b"!")


def test_websockets_pass_both_ways(edge: Edge) -> None:
    """Text and binary, small and large."""
    with websocket(
        f"wss://{SOCKETS}:{edge.port}/chat?token",
        sock=socket.create_connection(("127.0.0.1", edge.port), 20),
        ssl=Client(certs.client()).context,
        server_hostname=SOCKETS,
        max_size=None,
        compression=None,
    ) as connection:
        for message in ("hello", b"\x00\xff" * 8, "x" * 3_000_000):
            connection.send(message)
            assert message == connection.recv(timeout=20)
    logged = line(edge, "/chat")
    assert ("tunnel", 101) == (logged["event"], logged["status"])
    assert logged["bytes_in"] > 3_000_000 < logged["bytes_out"]


def test_a_tunnel_has_one_line_when_it_ends(edge: Edge) -> None:
    """With what went through it, and none before."""
    with connect(edge) as connection:
        upgrade(connection, "/echo?counted")
        connection.send(b"12345\r\n\r\n")
        connection.stream.until(b"\r\n\r\n")
        before = [entry for entry in edge.access_log() if entry["path"] == "/echo"]
    after = lines(edge, "/echo", len(before) + 1)
    assert len(before) + 1 == len(after)
    logged = after[-1]
    assert ("tunnel", 101, 9, 9) == (
        logged["event"],
        logged["status"],
        logged["bytes_in"],
        logged["bytes_out"],
    )


# -- what does not -------------------------------------------------------------------------


@pytest.mark.parametrize("path, status, body", [("/no", 403, b"not you"), ("/ok", 200, b"plain")])
def test_an_origin_that_declines_keeps_an_ordinary_connection(
    edge: Edge, backend: CountingOrigin, path: str, status: int, body: bytes
) -> None:
    """What the client sent ahead is a request, decided on like any other."""
    before = backend.count
    with connect(edge) as connection:
        fields = UPGRADE.format("echo")
        request = f"GET {path} HTTP/1.1\r\nHost: {NAME}\r\n{fields}\r\n"
        smuggled = "GET /cdn-cgi/access/nothing HTTP/1.1\r\nHost: " + NAME + "\r\n\r\n"
        connection.send((request + smuggled).encode())
        answered = connection.read()
        assert (status, body) == (answered.status, answered.body)
        assert 404 == connection.read().status
        assert 200 == connection.get(NAME, "/after").status
    assert [path, "/after"] == backend.targets[before:]


def test_a_200_with_an_upgrade_field_is_a_200(edge: Edge) -> None:
    """Only the status opens a tunnel."""
    with connect(edge) as connection:
        assert upgrade(connection, "/silly").startswith(b"HTTP/1.1 200 ")
        connection.stream.exactly(2, bytes)
        assert 200 == connection.get(NAME, "/after").status


@pytest.mark.parametrize("path", ["/other", "/nameless"])
def test_a_101_to_another_protocol_is_a_502(edge: Edge, path: str) -> None:
    """The client asked for echo, and gets that or nothing."""
    with connect(edge) as connection:
        assert upgrade(connection, path).startswith(b"HTTP/1.1 502 ")


def test_a_101_that_nobody_asked_for_is_a_502(edge: Edge, backend: CountingOrigin) -> None:
    """And what follows reaches nobody: the origin's connection is closed."""
    before = backend.count
    with connect(edge) as connection:
        assert 502 == connection.get(NAME, "/echo").status
        assert 200 == connection.get(NAME, "/after").status
    assert ["/echo", "/after"] == backend.targets[before:]
    assert backend.requests[-1].connection != backend.requests[-2].connection


@pytest.mark.parametrize("asked, kept", [("h2c", None), ("h2c, echo, HTTP/2.0", "echo")])
def test_http2_in_the_clear_is_not_offered(
    edge: Edge, backend: CountingOrigin, asked: str, kept: str | None
) -> None:
    """Requests inside it would pass undecided."""
    with connect(edge) as connection:
        fields = (
            f"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {asked}\r\nHTTP2-Settings: AA\r\n"
        )
        connection.request(f"GET /ok HTTP/1.1\r\nHost: {NAME}\r\n{fields}\r\n".encode())
    received = backend.requests[-1]
    assert kept == received.header("Upgrade")
    assert None is received.header("HTTP2-Settings")


def test_upgrades_can_be_turned_off(edge: Edge, backend: CountingOrigin) -> None:
    """``upgrades = []``."""
    with connect(edge, NONE) as connection:
        assert upgrade(connection, "/ok", name=NONE).startswith(b"HTTP/1.1 200 ")
    assert None is backend.requests[-1].header("Upgrade")


def test_a_refused_client_gets_no_tunnel(edge: Edge, backend: CountingOrigin) -> None:
    """The decision comes before the upgrade; the origin hears nothing."""
    before = backend.count
    with Client().connect(edge.port, NAME) as connection:
        assert upgrade(connection).startswith(b"HTTP/1.1 403 ")
    assert before == backend.count


# -- how one ends --------------------------------------------------------------------------


def test_the_origins_end_is_the_clients_end(edge: Edge) -> None:
    """What was said before it arrives."""
    with connect(edge, FLOOD) as connection:
        upgrade(connection, name=FLOOD)
        taken = bytearray()
        connection.stream.rest(taken.extend)
        assert FLOODED == len(taken)


def test_the_clients_end_is_the_origins_end(edge: Edge, backend: CountingOrigin) -> None:
    """Its connection is closed, and not used again."""
    with connect(edge) as connection:
        upgrade(connection)
        number, count = backend.requests[-1].connection, backend.open_connections()
    wait_until(lambda: backend.open_connections() < count, 10, "the tunnel to close")
    with connect(edge) as connection:
        connection.get(NAME, "/after")
    assert number != backend.requests[-1].connection


def test_a_silent_tunnel_is_closed(edge: Edge) -> None:
    """After ``timeouts.tunnel`` without a byte either way."""
    with connect(edge, QUICK) as connection:
        upgrade(connection, "/echo?silent", name=QUICK)
        assert is_cut(connection)
    wait_until(
        lambda: any(entry["reason"].startswith("the tunnel was") for entry in lines(edge, "/echo")),
        10,
        "the line of the silent tunnel",
    )


# -- one side stuck ------------------------------------------------------------------------


def test_a_client_that_reads_nothing_holds_the_origin_back(edge: Edge) -> None:
    """The edge's memory does not grow with what the origin would like to send."""
    with connect(edge, FLOOD) as connection:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        before = edge.memory()
        upgrade(connection, name=FLOOD)
        assert grown(edge, before) < 8 << 20
        taken = 0
        while taken < FLOODED:
            taken += len(connection.stream.some())
        assert FLOODED == taken


def test_an_origin_that_reads_nothing_holds_the_client_back(edge: Edge) -> None:
    """The edge's memory does not grow with what the client would like to send."""
    started.clear()
    with connect(edge, DEAF) as connection:
        before = edge.memory()
        upgrade(connection, name=DEAF)
        connection.sock.settimeout(30)
        sending = threading.Thread(target=connection.send, args=(b"c" * FLOODED,))
        sending.start()
        assert grown(edge, before) < 8 << 20
        assert sending.is_alive()  # or nothing was held back
        started.set()
        sending.join(30)
        assert b"%d\n" % FLOODED == connection.stream.until(b"\n")


def grown(edge: Edge, before: int) -> int:
    """By how many bytes the edge grew, once it has come to rest."""
    sizes = [0, 1, 2]

    def at_rest() -> bool:
        sizes.append(edge.memory())
        threading.Event().wait(0.1)
        return len(set(sizes[-3:])) == 1

    wait_until(at_rest, 20, "the edge to come to rest")
    return sizes[-1] - before

"""Reloads, good and bad, while clients do everything at once: nobody notices.

Ten in four seconds, and sixty for memory; ``MTLSEDGE_FUZZ=full`` has fifty in thirty and two
hundred.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from worker_edges import each_alone

from support import certs
from support.client import Client, Connection
from support.edge import Edge
from support.origin import Answer, CountingOrigin, switching
from support.ports import wait_until
from support.stress import FULL, Load
from support.tables import application, client_ca, host

NAME = "iot.example.com"
PIECE = b"0123456789abcdef" * 512
ANSWERS = {
    "/stream": Answer(
        headers=(("Content-Length", str(len(PIECE) * 40)),), body=b"", pieces=(PIECE,) * 40,
        pause=0.02,
    ),
    "/tunnel": switching("echo"),
}  # fmt: skip
RELOADS, SECONDS = (50, 30.0) if FULL else (10, 4.0)
MANY = 200 if FULL else 60


def configuration(origin: CountingOrigin, number: int, workers: int = 1) -> dict[str, Any]:
    """Never twice the same: one more host and application each time."""
    names = [NAME, f"host-{number}.example.com"]
    return {
        "edge": {"timeouts": {"drain": 1}, "workers": workers},
        "host": [host(name, upstream=origin.url) for name in names],
        "client_ca": [client_ca(*names)],
        "application": [application(name) for name in names],
    }


def start(start_edge: Callable[..., Edge], origin: CountingOrigin, workers: int = 1) -> Edge:
    """An edge that has come up whole."""
    edge = start_edge(configuration(origin, 0, workers))
    wait_until(lambda: "serving generation 1" in edge.log(), 20, "the edge to serve")
    return edge


def reload(edge: Edge, config: dict[str, Any] | str) -> None:
    """Ask for another configuration, and wait until the log says what came of it."""
    expected = "serving generation" if isinstance(config, dict) else "not reloaded"
    before = edge.log().count(expected)
    edge.rewrite(config)
    os.kill(edge.pid, signal.SIGHUP)
    wait_until(lambda: edge.log().count(expected) > before, 20, f"{expected!r} in the log")


def settle(edge: Edge) -> None:
    """Wait until every reload that was asked for is done."""
    quiet_since, log = time.monotonic(), edge.log()
    while time.monotonic() - quiet_since < 1:
        time.sleep(0.05)
        if log != (log := edge.log()):
            quiet_since = time.monotonic()


def serves(edge: Edge, name: str) -> bool:
    """Whether a host is served, by the worker that is met."""
    try:
        return 200 == Client(certs.client()).get(edge.port, name).status
    except OSError:
        return False


def connect(edge: Edge) -> Connection:
    """A new connection with a good certificate."""
    return Client(certs.client()).connect(edge.port, NAME)


# -- what clients do ---------------------------------------------------------------------------


def once(edge: Edge, client: Client) -> None:
    """One request on a connection of its own."""
    assert 200 == client.get(edge.port, NAME).status


def kept(edge: Edge, client: Client) -> None:
    """Requests until the edge says that it closes; it never closes unsaid."""
    with client.connect(edge.port, NAME) as connection:
        for number in range(400):
            answer = connection.get(NAME, f"/{number}")
            assert 200 == answer.status
            if answer.header("Connection") == "close":
                return


def downloaded(edge: Edge, client: Client) -> None:
    """A body that takes most of a second."""
    with client.connect(edge.port, NAME) as connection:
        answer = connection.get(NAME, "/stream")
        assert (200, PIECE * 40) == (answer.status, answer.body)


def uploaded(edge: Edge, client: Client, origin: CountingOrigin) -> None:
    """A body in chunks that takes most of a second; the origin has all of it."""
    mark = os.urandom(8).hex()
    with client.connect(edge.port, NAME) as connection:
        connection.send(
            f"POST /{mark} HTTP/1.1\r\nHost: {NAME}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        for _ in range(40):
            connection.send(b"%x\r\n%b\r\n" % (len(PIECE), PIECE))
            time.sleep(0.02)
        connection.send(b"0\r\n\r\n")
        assert 200 == connection.read().status
    (received,) = [each for each in origin.requests if each.target == f"/{mark}"]
    assert len(PIECE) * 40 == received.body_length


def tunnel(edge: Edge) -> Connection:
    """A connection that speaks another protocol, which echoes."""
    connection = connect(edge)
    upgrade = (
        f"GET /tunnel HTTP/1.1\r\nHost: {NAME}\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
    )
    connection.send(upgrade.encode())
    assert 101 == connection.read().status
    return connection


def echoed(connection: Connection) -> None:
    """There and back through a tunnel."""
    said = os.urandom(16)
    heard = bytearray()
    connection.send(said)
    connection.stream.exactly(len(said), heard.extend)
    assert said == bytes(heard)
    time.sleep(0.02)


# -- the journeys ------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_reloads_under_load_break_nothing(start_edge: Callable[..., Edge], workers: int) -> None:
    """No failed connection, no broken request, whatever is under way; bad ones change nothing."""
    with CountingOrigin(ANSWERS) as origin:
        edge = start(start_edge, origin, workers)
        client = Client(certs.client())
        with tunnel(edge) as connection:
            load = Load(
                connecting=partial(once, edge, client),
                connecting_too=partial(once, edge, Client(certs.client("device-2"))),
                keeping=partial(kept, edge, client),
                keeping_too=partial(kept, edge, client),
                downloading=partial(downloaded, edge, client),
                uploading=partial(uploaded, edge, client, origin),
                tunnelling=partial(echoed, connection),
            )
            with load:
                began = time.monotonic()
                for number in range(1, RELOADS + 1):
                    bad = number % 5 == 3
                    reload(edge, "[[host" if bad else configuration(origin, number, workers))
                    time.sleep(max(0.0, began + number * SECONDS / RELOADS - time.monotonic()))
                took = time.monotonic() - began
    good = RELOADS - len(range(3, RELOADS + 1, 5))
    assert f"serving generation {good + 1}" in edge.log()
    print(f"\n{RELOADS} reloads in {took:.1f} s; {load.done}, longest {load.longest}")
    assert [] == load.failures
    assert all(load.done.values()), load.done
    statuses = {line["status"] for line in edge.access_log() if line["event"] == "request"}
    assert {200} == statuses


def test_reloads_leave_nothing_behind(start_edge: Callable[..., Edge]) -> None:
    """Memory settles, also while connections of the first configuration live on."""
    with CountingOrigin(ANSWERS) as origin:
        edge = start(start_edge, origin)
        with tunnel(edge) as connection, connect(edge) as idle:
            assert 200 == idle.get(NAME).status
            sizes = []
            for number in range(1, MANY + 1):
                reload(edge, configuration(origin, number))
                Client(certs.client()).get(edge.port, NAME)
                sizes.append(edge.memory())
            echoed(connection)
            assert 200 == idle.get(NAME).status
    settled, last = sizes[MANY // 3], sizes[-1]
    print(f"\n{settled >> 10} KiB after {MANY // 3 + 1} reloads, {last >> 10} KiB after {MANY}")
    assert last - settled < 4 << 20


@pytest.mark.parametrize("workers", [1, 2])
def test_a_flurry_of_signals_ends_with_the_last_configuration(
    start_edge: Callable[..., Edge], workers: int
) -> None:
    """More SIGHUPs than there is time for: some are one, and the last file is in force."""
    with CountingOrigin(ANSWERS) as origin:
        edge = start(start_edge, origin, workers)
        ends = threading.Event()

        def hurry() -> None:
            os.kill(edge.pid, signal.SIGHUP)
            time.sleep(0.005)

        with Load(hurrying=hurry, connecting=partial(once, edge, Client(certs.client()))) as load:
            for number in range(1, 20):
                edge.rewrite(configuration(origin, number, workers))
                ends.wait(0.05)
        assert [] == load.failures
        settle(edge)
        reload(edge, configuration(origin, 20, workers))
        # The log may have spoken of an earlier signal's reload.
        for _ in [edge.pid] if workers == 1 else each_alone(edge):
            wait_until(lambda: serves(edge, "host-20.example.com"), 20, "the last configuration")
            with pytest.raises(OSError, match="UNRECOGNIZED_NAME"):
                Client(certs.client()).get(edge.port, "host-19.example.com")

"""Descriptors or places for clients run out: who waits is served within 2 s of room."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from support import certs
from support.busy import Busy
from support.client import Answered, Client, Connection
from support.edge import Edge
from support.origin import CountingOrigin
from support.ports import wait_until
from support.stress import close_all, leave_descriptors, open_descriptors, silent_clients
from support.tables import one_host

NAME = "iot.example.com"
PROMISED = 2.0  # seconds
ROOM = 20


@pytest.fixture
def edge(start_edge: Callable[..., Edge], origin: CountingOrigin) -> Edge:
    """An edge that has come up whole and knows its origin."""
    patient = {"edge": {"timeouts": {"handshake": 60}}}  # with those who say nothing
    running = start_edge({**one_host(NAME, origin.url), **patient})
    wait_until(lambda: "serving generation 1" in running.log(), 20, "the edge to serve")
    assert 200 == connect_and_ask(running)
    return running


def connect(edge: Edge) -> Connection:
    """A new connection with a good certificate."""
    return Client(certs.client()).connect(edge.port, NAME)


def connect_and_ask(edge: Edge) -> int:
    """The status of a request on a connection of its own."""
    return Client(certs.client()).get(edge.port, NAME).status


class Waiting:
    """A client that comes now and is served when there is room. A context manager."""

    def __init__(self, edge: Edge) -> None:
        self.served: list[float] = []
        self.status = 0
        self._edge = edge
        self._thread = threading.Thread(target=self._come)
        self.there_is_room()

    def there_is_room(self) -> None:
        """From now on it should not have to wait for long."""
        self._busy, self._since = Busy(self._edge.pid), time.monotonic()

    def in_time(self) -> bool:
        """Whether it was served as soon as is promised."""
        return self.served[0] - self._since < PROMISED + self._waited

    def _come(self) -> None:
        self.status = connect_and_ask(self._edge)
        self.served.append(time.monotonic())
        self._waited = self._busy.seconds()

    def __enter__(self) -> Waiting:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(120)


@pytest.fixture
def exhausted(edge: Edge) -> Iterator[list[socket.socket]]:
    """Silent clients who hold every descriptor that the edge may have."""
    leave_descriptors(edge.pid, ROOM)
    with silent_clients(edge.port, ROOM + 5) as silent:
        wait_until(lambda: "no client can be accepted" in edge.log(), 10, "the shortage")
        yield silent


def test_descriptors_that_come_free_are_used_at_once(
    edge: Edge, exhausted: list[socket.socket]
) -> None:
    """Clients wait in the backlog, refused by nobody, and are served as soon as some leave."""
    with Waiting(edge) as waiting:
        time.sleep(1)
        assert [] == waiting.served
        waiting.there_is_room()
        close_all(exhausted)
    assert 200 == waiting.status
    assert waiting.in_time()
    assert 1 == edge.log().count("no client can be accepted")  # and not once for each attempt


def test_signals_are_survived_without_a_descriptor(
    edge: Edge, exhausted: list[socket.socket]
) -> None:
    """A reload is refused, a log that cannot be opened anew goes on; both work afterwards."""
    rotated = edge.access_log_path.with_suffix(".1")
    edge.access_log_path.rename(rotated)
    os.kill(edge.pid, signal.SIGUSR1)
    os.kill(edge.pid, signal.SIGHUP)
    wait_until(lambda: "not reloaded" in edge.log(), 10, "the reload to be refused")
    close_all(exhausted)
    assert 200 == connect_and_ask(edge)
    wait_until(lambda: len(rotated.read_bytes().splitlines()) >= 2, 5, "lines in the old log")
    os.kill(edge.pid, signal.SIGUSR1)
    wait_until(edge.access_log_path.exists, 10, "the new log")
    os.kill(edge.pid, signal.SIGHUP)
    wait_until(lambda: "serving generation 2" in edge.log(), 10, "the reload")
    assert 200 == connect_and_ask(edge)
    edge.access_log(1)


def test_an_origin_that_no_descriptor_is_left_for_is_a_503(
    edge: Edge, origin: CountingOrigin
) -> None:
    """It says when to come again, does not blame the origin, and ends with the shortage."""
    with connect(edge) as connection:
        before = open_descriptors(edge.pid)
        origin.drop_connections()
        wait_until(lambda: open_descriptors(edge.pid) < before, 10, "the edge to notice")
        leave_descriptors(edge.pid, 0)
        answer = connection.get(NAME)
        assert 503 == answer.status
        assert answer.header("Retry-After")
        leave_descriptors(edge.pid, 5)
        assert 200 == connection.get(NAME).status
    assert "failed" not in edge.log()


def test_requests_share_the_origin_connections_there_are(
    edge: Edge, origin: CountingOrigin
) -> None:
    """With one connection and no descriptor for another, requests take turns."""
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(edge)) for _ in range(8)]
        leave_descriptors(edge.pid, 0)
        for client in clients:
            client.send(f"GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        assert [200] * 8 == [client.read().status for client in clients]
    assert 1 == origin.connections


# -- idle clients make room ----------------------------------------------------------------------


def idle_clients(stack: ExitStack, edge: Edge, count: int) -> list[Connection]:
    """Clients who asked once, and may ask again."""
    clients = [stack.enter_context(connect(edge)) for _ in range(count)]
    assert {200} == {client.get(NAME).status for client in clients}
    return clients


def test_idle_clients_make_room_for_new_ones(
    start_edge: Callable[..., Edge], origin: CountingOrigin
) -> None:
    """Where ``limits.connections`` are open: those that idled longest go, busy ones stay."""
    config = {**one_host(NAME, origin.url), "edge": {"limits": {"connections": 40}}}
    edge = start_edge(config)
    with ExitStack() as stack:
        idle = idle_clients(stack, edge, 39)
        busy = idle_clients(stack, edge, 1)[0]
        stop = threading.Event()
        answers: list[Answered] = []

        def keep_asking() -> None:
            while not stop.wait(0.1):
                answers.append(busy.get(NAME))

        asking = threading.Thread(target=keep_asking)
        asking.start()
        try:
            time.sleep(1.2)
            with Waiting(edge) as waiting:
                pass
        finally:
            stop.set()
            asking.join(60)
        assert 200 == waiting.status
        assert waiting.in_time()
        assert {200} == {answer.status for answer in answers}
        assert idle[0].closed()
        assert 200 == idle[-1].get(NAME).status


def test_idle_clients_make_room_where_descriptors_are_short(edge: Edge) -> None:
    """The same without a limit that was reached."""
    with ExitStack() as stack:
        idle_clients(stack, edge, 10)
        leave_descriptors(edge.pid, 0)
        before = open_descriptors(edge.pid)
        time.sleep(1.2)
        with Waiting(edge) as waiting:
            pass
        assert 200 == waiting.status
        assert waiting.in_time()
        assert open_descriptors(edge.pid) <= before


def test_nobody_is_parted_with_where_nobody_waits(
    start_edge: Callable[..., Edge], origin: CountingOrigin
) -> None:
    """A full house is no reason to send guests away."""
    config = {**one_host(NAME, origin.url), "edge": {"limits": {"connections": 5}}}
    edge = start_edge(config)
    with ExitStack() as stack:
        clients = idle_clients(stack, edge, 5)
        time.sleep(2)
        assert {200} == {client.get(NAME).status for client in clients}


def test_a_limit_may_change_in_a_full_house(
    start_edge: Callable[..., Edge], origin: CountingOrigin
) -> None:
    """Raised, it lets in those who wait; lowered, the edge does not spin until enough have left."""
    table = one_host(NAME, origin.url, timeouts={"keep_alive": 0})

    def limited(number: int) -> dict[str, object]:
        return {**table, "edge": {"limits": {"connections": number}}}

    edge = start_edge(limited(3))
    with ExitStack() as stack:
        first = [stack.enter_context(connect(edge)) for _ in range(3)]
        with Waiting(edge) as waiting:
            time.sleep(0.3)
            assert [] == waiting.served
            edge.rewrite(limited(20))
            os.kill(edge.pid, signal.SIGHUP)
        assert 200 == waiting.status
        more = [stack.enter_context(connect(edge)) for _ in range(7)]
        edge.rewrite(limited(2))
        os.kill(edge.pid, signal.SIGHUP)
        wait_until(lambda: "serving generation 3" in edge.log(), 10, "the reload")
        with Waiting(edge) as waiting:
            before = cpu_seconds(edge.pid)
            time.sleep(1)
            assert cpu_seconds(edge.pid) - before < 0.5
            for connection in (*first, *more):
                connection.close()
        assert 200 == waiting.status


def cpu_seconds(pid: int) -> float:
    """What a process has used of a processor."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

"""Several workers: who serves, who takes over, and what the log says of it."""

from __future__ import annotations

import os
import random
import re
import signal
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tls_attempts import attempt
from worker_edges import (
    NAME,
    all_gone,
    connect,
    each_alone,
    one_at_each,
    start_workers,
    worker_of,
    worker_pids,
)

from support import certs
from support.client import TLS12, TLS13, Client, Connection
from support.edge import Edge
from support.origin import Answer, CountingOrigin
from support.ports import wait_until
from support.stream import StreamEnded

StartEdge = Callable[..., Edge]


def test_every_worker_serves_and_no_two_give_the_same_request_id(
    start_edge: StartEdge, origin: CountingOrigin
) -> None:
    """Forked processes have their own randomness; the parent serves nobody."""
    edge = start_workers(start_edge, origin, 3)
    assert 3 == len(worker_pids(edge.pid))
    kept = one_at_each(edge, origin, 3)
    for connection in kept.values():
        for _ in range(5):
            assert 200 == connection.get(NAME).status
    ids = [line["request_id"] for line in edge.access_log(15 + 3)]
    assert len(ids) == len(set(ids))


def test_no_number_is_one_worker_per_cpu(start_edge: StartEdge, origin: CountingOrigin) -> None:
    """Of those CPUs that this process may use; a single one needs no parent."""
    cpus = len(os.sched_getaffinity(0))
    edge = start_workers(start_edge, origin, 0)
    assert (cpus if cpus > 1 else 0) == len(worker_pids(edge.pid))
    assert 200 == Client(certs.client()).get(edge.port, NAME).status


def test_all_workers_have_the_same_keys(start_edge: StartEdge, origin: CountingOrigin) -> None:
    """Made by none of them, at the very first start, and published alike by all."""
    edge = start_workers(start_edge, origin, 3)
    published = [
        connection.get(NAME, "/cdn-cgi/access/certs").json()
        for connection in one_at_each(edge, origin, 3).values()
    ]
    assert published[0]["keys"]
    assert all(each == published[0] for each in published)


def test_a_dead_worker_takes_only_its_own_connections(
    start_edge: StartEdge, origin: CountingOrigin
) -> None:
    """The others go on; a successor takes its place; new clients are served all the time."""
    edge = start_workers(start_edge, origin, 2)
    connections = [connect(edge) for _ in each_alone(edge)]  # so that nobody has all of them
    connections += [connect(edge) for _ in range(24)]
    owners = []
    for number, connection in enumerate(connections):
        assert 200 == connection.get(NAME, f"/{number}").status
        owners.append(worker_of(origin, f"/{number}"))
    victim, survivor = worker_pids(edge.pid)
    os.kill(victim, signal.SIGKILL)
    for _ in range(10):
        assert 200 == Client(certs.client()).get(edge.port, NAME).status
    dead = {owner for owner, each in zip(owners, connections, strict=True) if not is_served(each)}
    alive = set(owners) - dead
    assert (1, 1) == (len(dead), len(alive))
    for owner, connection in zip(owners, connections, strict=True):
        assert (owner in alive) == is_served(connection)
    wait_until(lambda: len(worker_pids(edge.pid)) == 2, 10, "the successor")
    assert survivor in worker_pids(edge.pid)
    assert victim not in worker_pids(edge.pid)
    successor = set(one_at_each(edge, origin, 2)) - alive
    assert 1 == len(successor)
    assert f"(process {victim}) was ended by SIGKILL; it is replaced at once" in edge.log()


def is_served(connection: Connection) -> bool:
    """Whether a kept-alive connection is still good for a request."""
    try:
        return connection.get(NAME).status == 200
    except (OSError, StreamEnded):
        return False


def test_killing_workers_under_load_fails_only_their_connections(
    start_edge: StartEdge, origin: CountingOrigin
) -> None:
    """And within two seconds of the last kill nothing fails any more."""
    seconds = 60 if os.environ.get("MTLSEDGE_FUZZ") == "full" else 5
    edge = start_workers(start_edge, origin, 3, clean_log=False)
    load = Load(edge, clients=6)
    kills, until = 0, time.monotonic() + seconds
    chance = random.Random(2026)
    while time.monotonic() < until:
        pids = worker_pids(edge.pid)
        if len(pids) > 1:
            with suppress(ProcessLookupError):
                os.kill(chance.choice(pids), signal.SIGKILL)
                kills += 1
        time.sleep(chance.uniform(0.2, 0.8))
    time.sleep(2)
    last, done = len(load.broken), len(load.served)
    time.sleep(1)
    wait_until(lambda: len(load.served) > done, 10, "somebody to be served")
    load.stop()
    assert not load.wrong
    assert last == len(load.broken), load.broken
    assert not [each for each in load.broken if "Refused" in each]
    # Each of the clients has one connection at a time, so one kill breaks so many at most.
    assert len(load.broken) <= kills * 6
    assert kills >= seconds
    wait_until(lambda: len(worker_pids(edge.pid)) == 3, 10, "the last successor")
    assert "Traceback" not in edge.log()


class Load:
    """Clients that ask all the time, ten requests to a connection.

    Attributes:
        served: statuses.
        broken: errors of connections that ended where they should not.
        wrong: statuses that should not be.
    """

    def __init__(self, edge: Edge, clients: int) -> None:
        self.served: list[int] = []
        self.broken: list[str] = []
        self.wrong: list[int] = []
        self._edge = edge
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        for each in self._threads:
            each.start()

    def stop(self) -> None:
        self._over.set()
        for each in self._threads:
            each.join(30)
            assert not each.is_alive()

    def _ask(self) -> None:
        client = Client(certs.client())
        while not self._over.is_set():
            try:
                with client.connect(self._edge.port, NAME) as connection:
                    for _ in range(10):
                        status = connection.get(NAME).status
                        (self.served if status == 200 else self.wrong).append(status)
            except (OSError, StreamEnded) as error:
                self.broken.append(repr(error))


def test_a_worker_that_cannot_start_is_tried_again_less_and_less_often(
    start_edge: StartEdge, origin: CountingOrigin, tmp_path: Path
) -> None:
    """The reason is in the log, the others serve, and when it can start it does."""
    logs = tmp_path / "logs"
    logs.mkdir()
    edge = start_workers(start_edge, origin, 2, edge={"access_log": str(logs / "access.jsonl")})
    logs.rename(tmp_path / "elsewhere")
    os.kill(worker_pids(edge.pid)[0], signal.SIGKILL)
    wait_until(lambda: "is replaced in 0.5 s" in edge.log(), 20, "the delay to rise")
    log = edge.log()
    assert log.index("replaced at once") < log.index("replaced in 0.25 s") < log.index("in 0.5 s")
    assert "this worker cannot start: the access log" in log
    assert 200 == Client(certs.client()).get(edge.port, NAME).status
    (tmp_path / "elsewhere").rename(logs)
    wait_until(lambda: len(worker_pids(edge.pid)) == 2, 20, "the second worker")
    one_at_each(edge, origin, 2)


VERSIONS = pytest.mark.parametrize("version", [TLS12, TLS13], ids=["tls12", "tls13"])


@VERSIONS
def test_a_session_resumes_at_whichever_worker_its_client_meets(
    start_edge: StartEdge, origin: CountingOrigin, version: ssl.TLSVersion
) -> None:
    """At any of them, at one that was forked later, and after a reload."""
    edge = start_workers(start_edge, origin, 2, host={"resumption": "recheck"})
    client = Client(certs.client(), version=version)
    session = attempt(edge, client, NAME).session

    def everywhere() -> None:
        """The session resumes, and is judged, at every worker there is."""
        met: set[str] = set()
        for _ in each_alone(edge):
            again = attempt(edge, client, NAME, session)
            assert (200, True) == (again.status, again.resumed)
            met.add((origin.requests[-1].header("X-Request-Id") or "")[:16])
        assert 2 == len(met)

    everywhere()
    first, second = worker_pids(edge.pid)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: edge.log().count("serves, process") == 3, 10, "the successor")
    everywhere()
    os.kill(edge.pid, signal.SIGHUP)
    wait_until(lambda: "serving generation 2" in edge.log(), 20, "the reload")
    everywhere()
    os.kill(second, signal.SIGKILL)
    wait_until(lambda: edge.log().count("serves, process") == 4, 10, "another successor")
    everywhere()


def test_workers_go_when_their_parent_is_killed(
    start_edge: StartEdge, origin: CountingOrigin
) -> None:
    """Nobody is left to listen in its name; what is under way finishes."""
    edge = start_workers(start_edge, origin, 2)
    pids = worker_pids(edge.pid)
    origin.answers["/slow"] = slow = Answer(body=b"late", delay=1.0)
    with connect(edge) as connection:
        connection.send(f"GET /slow HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        origin.wait(1)
        os.kill(edge.pid, signal.SIGKILL)
        assert slow.body == connection.read().body
    all_gone(pids)


def test_log_lines_of_workers_arrive_whole_and_with_their_number(
    start_edge: StartEdge, origin: CountingOrigin
) -> None:
    """Whatever two workers log at once, one process writes it."""
    edge = start_workers(start_edge, origin, 2, edge={"limits": {"connections": 10}})
    for pid in worker_pids(edge.pid):
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: edge.log().count("serves, process") == 4, 10, "the successors")
    edge.stop()
    lines = edge.log().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0000 \[[^]]+\] ", each) for each in lines)
    assert {"[worker 0]", "[worker 1]"} <= set(re.findall(r"\[worker \d\]", edge.log()))


def test_a_limit_on_connections_is_shared_out(
    start_edge: StartEdge, origin: CountingOrigin
) -> None:
    """All workers together take as many as the operator wrote, and whoever is beyond waits."""
    edge = start_workers(start_edge, origin, 2, edge={"limits": {"connections": 4}})
    first = [connect(edge) for _ in range(4)]
    assert [200] * 4 == [each.get(NAME).status for each in first]
    waiting = Client(certs.client(), timeout=1)
    with pytest.raises(OSError, match="timed out"):
        waiting.connect(edge.port, NAME)
    for each in first:
        each.close()
    wait_until(lambda: Client(certs.client()).get(edge.port, NAME).status == 200, 10, "room")


def test_a_parent_that_hangs_stops_no_worker(start_edge: StartEdge, origin: CountingOrigin) -> None:
    """What they would log to it is lost at worst, and clients notice nothing."""
    edge = start_workers(start_edge, origin, 2)
    os.kill(edge.pid, signal.SIGSTOP)
    try:
        for _ in range(40):
            assert 200 == Client(certs.client()).get(edge.port, NAME).status
    finally:
        os.kill(edge.pid, signal.SIGCONT)
    os.kill(edge.pid, signal.SIGHUP)
    wait_until(lambda: "serving generation 2" in edge.log(), 20, "the reload")

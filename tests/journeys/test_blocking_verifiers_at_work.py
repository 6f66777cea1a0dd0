"""Verifiers that block a real edge: it goes on, and so do all but those whom they judge."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from support import certs, odd_verifiers, tables
from support.busy import Busy
from support.client import Client
from support.edge import Edge
from support.origin import CountingOrigin
from support.ports import wait_until

FULL = os.environ.get("MTLSEDGE_FUZZ") == "full"
CROWD = 1000 if FULL else 20
TIMEOUT = 8.0 if FULL else 1.5  # seconds
GOOD = "good.example.com"
BOUND = 2.0  # seconds; it is half a second, once
HANGS = ("sleep", "loop", "recv", "lock")
LATE = f"the verifier 'odd' did not answer within {TIMEOUT:g} seconds"
RESTS = "the verifier 'odd' kept everybody waiting"


def host(how: str) -> str:
    return f"{how}.example.com"


def config(origin: CountingOrigin, *ways: str, **edge: Any) -> dict[str, Any]:
    cas = [
        tables.client_ca(host(how), verifier=[f"odd:blocks-{how},timeout={TIMEOUT:g}s"])
        | {"name": how}
        for how in ways
    ]
    names = [*map(host, ways), GOOD]
    return {
        "edge": {"timeouts": {"handshake": 60}, **edge},
        "host": [tables.host(*names, upstream=origin.url)],
        "client_ca": [*cas, tables.client_ca(GOOD)],
        "application": [tables.application(each) for each in names],
    }


@pytest.fixture
def serve(
    start_edge: Callable[..., Edge], origin: CountingOrigin, tmp_path: Path
) -> Callable[..., Edge]:
    """An edge with verifiers that block in these ways."""

    def start(*ways: str, **settings: Any) -> Edge:
        clients()  # made before threads use them
        env = odd_verifiers.install(tmp_path / "plugins")
        edge = start_edge(config(origin, *ways, **settings), env=env, clean_log=False)
        wait_until(lambda: "serving generation 1" in edge.log(), 20, "the edge to serve")
        return edge

    return start


class GoodClient:
    """Asks all the while, on new connections to another host, and never waits for long."""

    def __init__(self, edge: Edge, bound: float = BOUND) -> None:
        self._edge = edge
        self._bound = bound
        self._busy = Busy(*processes(edge))
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self.waits: list[float] = []  # seconds

    def __enter__(self) -> GoodClient:
        self._asking = self._pool.submit(self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._asking.result()
        self._pool.shutdown()
        assert max(self.waits) < self._bound + self._busy.seconds()

    def _ask(self) -> None:
        client = Client(certs.client(), timeout=30)
        while not self._over.wait(0.02):
            begun = time.monotonic()
            assert 200 == client.get(self._edge.port, GOOD).status
            self.waits.append(time.monotonic() - begun)


def processes(edge: Edge) -> list[int]:
    """The edge and its workers."""
    children = Path(f"/proc/{edge.pid}/task/{edge.pid}/children").read_text()
    return [edge.pid, *map(int, children.split())]


def processor_time(edge: Edge) -> float:
    """Seconds that the process has used."""
    fields = Path(f"/proc/{edge.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def blocked(edge: Edge) -> int:
    """How many verifiers were found to block so far."""
    return edge.log().count("verifier odd did not return at once")


def refusals(edge: Edge) -> list[dict[str, Any]]:
    """Their lines in the access log."""
    return [line for line in edge.access_log() if line["host"] != GOOD]


@lru_cache(maxsize=1)
def clients() -> list[Client]:
    """A crowd, with certificates of their own."""
    return [Client(certs.client(f"crowd-{number}"), timeout=60) for number in range(CROWD)]


def crowd(edge: Edge, how: str, size: int) -> list[int]:
    """The status that each of so many gets."""

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(lambda one: one.get(edge.port, host(how)).status, clients()[:size]))


def test_those_that_hang_refuse_their_own_clients_and_hold_up_nobody_else(
    serve: Callable[..., Edge],
) -> None:
    """One client of each, one after the other, then crowds; and what loops is soon gone."""
    edge = serve(*HANGS)
    with ThreadPoolExecutor(2 * len(HANGS)) as pool:
        with GoodClient(edge):
            asking = []
            for count, how in enumerate(HANGS, 1):
                asking.append(pool.submit(crowd, edge, how, 1))
                wait_until(lambda count=count: blocked(edge) == count, 20, f"{how} to be noticed")
        with GoodClient(edge) as good:
            asking += [pool.submit(crowd, edge, how, CROWD) for how in HANGS]
            assert {403} == {status for each in asking for status in each.result()}
    assert len(good.waits) > 5
    assert len(HANGS) == blocked(edge)
    refused = len(HANGS) * (CROWD + 1)
    wait_until(lambda: len(refusals(edge)) == refused, 10, "the log's lines")
    lines = refusals(edge)
    assert [] == [line for line in lines if LATE not in str(line)][:1]
    before = processor_time(edge)
    time.sleep(0.5)
    assert processor_time(edge) - before < 0.25, "one of them still loops"
    edge.stop(timeout=10)


def test_one_that_lets_nothing_else_run_is_not_asked_for_a_while(
    serve: Callable[..., Edge],
) -> None:
    """A regular expression without end keeps all threads waiting, wherever it runs."""
    edge = serve("match")
    with GoodClient(edge, 2 * BOUND):
        assert [403] * CROWD == crowd(edge, "match", CROWD)
    wait_until(lambda: len(refusals(edge)) == CROWD, 10, "the log's lines")
    assert [] == [line for line in refusals(edge) if RESTS not in str(line)][:1]
    edge.stop(timeout=10)


def test_one_that_is_only_slow_is_heard(serve: Callable[..., Edge]) -> None:
    """Its verdict counts, the first as well as the next."""
    edge = serve("slow")
    with GoodClient(edge):
        assert [200] == crowd(edge, "slow", 1)
        assert [200] * 5 == crowd(edge, "slow", 5)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_reload_meanwhile_and_the_end_in_time(serve: Callable[..., Edge], workers: int) -> None:
    """In each worker; another configuration gives a verifier another chance."""
    edge = serve("sleep", "lock", workers=workers)
    with GoodClient(edge), ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(crowd, edge, "sleep", 10)
        wait_until(lambda: blocked(edge) > 0, 10, "the interruption")
        os.kill(edge.pid, signal.SIGHUP)
        wait_until(lambda: "serving generation 2" in edge.log(), 10, "the reload")
        assert {403, 503} >= set(hanging.result())  # 503: judged before, and asked for after
        assert [403] == crowd(edge, "sleep", 1)
        assert blocked(edge) >= 2
    pool = ThreadPoolExecutor(1)
    hanging = pool.submit(crowd, edge, "lock", 3)
    time.sleep(0.1)
    edge.stop(timeout=10)
    with pytest.raises(Exception):  # noqa: B017  # whatever a client gets when it is cut
        hanging.result()
    pool.shutdown()

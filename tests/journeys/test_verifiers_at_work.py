"""Verifiers of every temper in a real edge, and a good client who never waits for them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support import certs, odd_verifiers, tables
from support.client import Client
from support.edge import Edge
from support.origin import CountingOrigin
from support.ports import wait_until

KINDS = ("sync", "deferred", "coroutine")
ANSWERS = {
    "yes": "",
    "no": "the verifier 'odd' says no: not today",
    "raise": "the verifier 'odd' failed: RuntimeError: the database is gone",
    "garbage": "the verifier 'odd' answered str, which is no verdict",
    "hang": "the verifier 'odd' did not answer within ",
}
CASES = [
    (kind, answer) for kind in KINDS for answer in ANSWERS if (kind, answer) != ("sync", "hang")
]  # one that never returns from verify() stops the process, as any code in it would
FULL = os.environ.get("MTLSEDGE_FUZZ") == "full"
CROWD = 1000 if FULL else 100
TIMEOUT = 8.0 if FULL else 1.5  # seconds; so many clients need a while to come
GOOD = "good.example.com"


def name(kind: str, answer: str) -> str:
    """Each temper has a host of its own, in the handshake and in a rule."""
    return f"{kind}-{answer}.example.com"


def spec(kind: str, answer: str) -> str:
    return f"odd:{kind}-{answer},timeout={TIMEOUT:g}s"


def config(origin: CountingOrigin) -> dict[str, Any]:
    """One host for each temper, and one without any verifier."""
    names = [name(*case) for case in CASES]
    hosts = [*names, *(f"rule-{each}" for each in names), GOOD]
    cas = [
        tables.client_ca(
            name(kind, answer),
            name=certs.CLIENT_CA,
            verifier=[spec(kind, answer)],
        )
        | {"name": f"{kind}-{answer}"}
        for kind, answer in CASES
    ]
    plain = tables.client_ca(GOOD, *(f"rule-{each}" for each in names))
    rules = [
        tables.application(
            f"rule-{name(kind, answer)}",
            tables.policy(include=[{"verifier": spec(kind, answer)}]),
        )
        for kind, answer in CASES
    ]
    return {
        "host": [tables.host(*hosts, upstream=origin.url, forward_attributes=["department"])],
        "client_ca": [*cas, plain],
        "application": [*(tables.application(each) for each in (*names, GOOD)), *rules],
    }


@pytest.fixture(scope="module")
def origin() -> Iterator[CountingOrigin]:
    with CountingOrigin() as running:
        yield running


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, origin: CountingOrigin) -> Iterator[Edge]:
    """One edge for all of it."""
    directory = tmp_path_factory.mktemp("verifiers")
    env = odd_verifiers.install(directory / "plugins")
    with Edge(directory / "edge", config(origin), env=env, clean_log=False) as running:
        wait_until(lambda: "serving generation 1" in running.log(), 20, "the edge to serve")
        yield running


@pytest.mark.parametrize("where", ["", "rule-"], ids=["client CA", "rule"])
@pytest.mark.parametrize(("kind", "answer"), CASES, ids=[name(*case) for case in CASES])
def test_only_a_yes_is_a_yes(edge: Edge, kind: str, answer: str, where: str) -> None:
    """One client; the log names the verifier and what it did."""
    host = where + name(kind, answer)
    before = len(edge.access_log())
    got = Client(certs.client()).get(edge.port, host)
    assert (200 if answer == "yes" else 403) == got.status
    line = edge.access_log(before + 1)[-1]
    if answer != "yes" and not where:
        assert ANSWERS[answer] in str(line)
    if answer == "raise":
        assert "verifier odd failed" in edge.log()


@pytest.mark.parametrize(("kind", "answer"), [case for case in CASES if case[0] != "sync"])
def test_many_at_once_get_the_same_and_nobody_else_waits(
    edge: Edge, kind: str, answer: str
) -> None:
    """All that time a good client on another host is served at once."""
    clients = [Client(certs.client(f"crowd-{n}"), timeout=60) for n in range(20)]
    host = name(kind, answer)
    slowest = 0.0
    over = threading.Event()

    def good() -> None:
        nonlocal slowest
        with Client(certs.client()).connect(edge.port, GOOD) as kept:
            while not over.is_set():
                begun = time.monotonic()
                assert 200 == kept.get(GOOD).status
                slowest = max(slowest, time.monotonic() - begun)
                over.wait(0.05)

    def one(number: int) -> int:
        return clients[number % len(clients)].get(edge.port, host).status

    watcher = threading.Thread(target=good)
    watcher.start()
    try:
        with ThreadPoolExecutor(CROWD) as pool:
            statuses = set(pool.map(one, range(CROWD)))
    finally:
        over.set()
        watcher.join()
    assert {200 if answer == "yes" else 403} == statuses
    assert slowest < TIMEOUT * 0.9, "a good client waited for somebody else's verifier"


@pytest.mark.parametrize("where", ["", "rule-"], ids=["client CA", "rule"])
def test_what_a_verifier_attached_reaches_the_origin_and_cannot_be_forged(
    edge: Edge, origin: CountingOrigin, where: str
) -> None:
    """Encoded, since a header holds visible ASCII."""
    host = where + name("coroutine", "yes")
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\nCf_Cert_Attribute-Department: x\r\n\r\n"
    with Client(certs.client()).connect(edge.port, host) as connection:
        assert 200 == connection.request(request.encode()).status
    sent = [value for key, value in origin.requests[-1].fields if "attribute" in key.lower()]
    assert ["radiology %C3%A9%25"] == sent


def test_a_client_that_leaves_cancels(edge: Edge) -> None:
    """Nobody thinks for nobody."""
    before = edge.log().count("odd: cancelled")
    host = "rule-" + name("deferred", "hang")
    with Client(certs.client()).connect(edge.port, host) as left:
        left.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        time.sleep(0.2)
    wait_until(lambda: edge.log().count("odd: cancelled") > before, TIMEOUT - 0.3, "the cancel")


def test_what_comes_while_a_verifier_thinks_is_kept_and_bounded(edge: Edge) -> None:
    """A body that nobody asked for yet stays with the client; of the request nothing is lost."""
    host = "rule-" + name("coroutine", "yes")
    with Client(certs.client()).connect(edge.port, host) as connection:
        body = b"x" * 4_000_000
        connection.send(
            b"POST / HTTP/1.1\r\nHost: %b\r\nContent-Length: %d\r\n\r\n"
            % (host.encode(), len(body))
        )
        connection.send(body)
        assert 200 == connection.read().status


def test_a_reload_stops_the_old_verifiers_and_starts_the_new(
    start_edge: Callable[..., Edge], origin: CountingOrigin, tmp_path: Path
) -> None:
    """And so does the end."""
    env = odd_verifiers.install(tmp_path / "plugins")
    table = tables.one_host(GOOD, origin.url)
    table["client_ca"][0]["verifier"] = "odd:coroutine-yes"
    edge = start_edge(table, env=env)
    wait_until(lambda: "serving generation 1" in edge.log(), 20, "the edge to serve")
    assert (1, 0) == (edge.log().count("odd: started"), edge.log().count("odd: stopped"))
    os.kill(edge.pid, signal.SIGHUP)
    wait_until(lambda: "odd: stopped" in edge.log(), 20, "the first one to stop")
    assert 200 == Client(certs.client()).get(edge.port, GOOD).status
    edge.stop()
    assert (2, 2) == (edge.log().count("odd: started"), edge.log().count("odd: stopped"))


def test_every_worker_has_its_own(
    start_edge: Callable[..., Edge], origin: CountingOrigin, tmp_path: Path
) -> None:
    """And the parent, which serves nobody, has none."""
    env = odd_verifiers.install(tmp_path / "plugins")
    table = {**tables.one_host(GOOD, origin.url), "edge": {"workers": 2}}
    table["client_ca"][0]["verifier"] = "odd:coroutine-yes"
    edge = start_edge(table, env=env)
    wait_until(lambda: "serving generation 1" in edge.log(), 20, "the edge to serve")
    client = Client(certs.client())
    assert {200} == {client.get(edge.port, GOOD).status for _ in range(10)}
    assert 2 == edge.log().count("odd: started")


def test_any_of_several_verifiers(
    start_edge: Callable[..., Edge], origin: CountingOrigin, tmp_path: Path
) -> None:
    """Where the client CA says so; all of them where it does not."""
    env = odd_verifiers.install(tmp_path / "plugins")
    for match, expected in (("any", 200), ("all", 403)):
        table = tables.one_host(GOOD, origin.url)
        table["client_ca"][0] |= {
            "verifiers": ["odd:sync-no", "odd:coroutine-yes"],
            "verifiers_match": match,
        }
        edge = start_edge(table, env=env)
        assert expected == Client(certs.client()).get(edge.port, GOOD).status
        edge.stop()

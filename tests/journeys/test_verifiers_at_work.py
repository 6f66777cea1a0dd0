"""Verifiers of every temper in a real edge, and a good client who never waits for them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from support import certs, odd_verifiers, tables
from support.busy import Busy
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
CASES = [(kind, answer) for kind in KINDS for answer in ANSWERS]
FULL = os.environ.get("MTLSEDGE_FUZZ") == "full"
CROWD = 1000 if FULL else 100
CROWDS_AT_ONCE = 1 if FULL else 6
TIMEOUT = 8.0 if FULL else 1.5  # seconds; so many clients need a while to come
PATIENCE = 30.0  # seconds, for those who answer in the end
GOOD = "good.example.com"
LEFT = "left.example.com"


def name(kind: str, answer: str) -> str:
    """Each temper has a host of its own, in the handshake and in a rule."""
    return f"{kind}-{answer}.example.com"


def spec(kind: str, answer: str) -> str:
    seconds = TIMEOUT if answer == "hang" else PATIENCE
    return f"odd:{kind}-{answer},timeout={seconds:g}s"


def config(origin: CountingOrigin) -> dict[str, Any]:
    """One host for each temper, and one without any verifier."""
    names = [name(*case) for case in CASES]
    hosts = [*names, *(f"rule-{each}" for each in names), GOOD, LEFT]
    cas = [
        tables.client_ca(
            name(kind, answer),
            name=certs.CLIENT_CA,
            verifier=[spec(kind, answer)],
        )
        | {"name": f"{kind}-{answer}"}
        for kind, answer in CASES
    ]
    plain = tables.client_ca(GOOD, LEFT, *(f"rule-{each}" for each in names))
    rules = [
        tables.application(
            f"rule-{name(kind, answer)}",
            tables.policy(include=[{"verifier": spec(kind, answer)}]),
        )
        for kind, answer in CASES
    ]
    patient = {"verifier": f"odd:deferred-hang,timeout={PATIENCE:g}s"}
    rules.append(tables.application(LEFT, tables.policy(include=[patient])))
    return {
        "edge": {"timeouts": {"handshake": 60}},  # a crowd of verifiers' clients takes its time
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
    if answer != "yes":
        assert ANSWERS[answer] in str(line)
    if answer == "raise":
        assert "verifier odd failed" in edge.log()


@pytest.mark.parametrize("answer", ANSWERS)
def test_many_at_once_get_the_same_and_nobody_else_waits(edge: Edge, answer: str) -> None:
    """Of every kind, on a client CA and in a rule; a good client elsewhere is served at once."""
    hosts = [where + name(kind, answer) for kind in KINDS for where in ("", "rule-")]
    clients = [Client(certs.client(f"crowd-{n}"), timeout=60) for n in range(CROWD)]
    busy = Busy(edge.pid)
    with GoodClient(edge) as good, ThreadPoolExecutor(CROWDS_AT_ONCE) as pool:
        found = list(pool.map(lambda host: crowd(edge, host, clients), hosts))
    expected = 200 if answer == "yes" else 403
    assert dict.fromkeys(hosts, [expected] * CROWD) == dict(zip(hosts, found, strict=True))
    assert good.served > 0
    theirs = TIMEOUT if answer == "hang" else PATIENCE
    assert good.slowest < theirs * 0.9 + busy.seconds(), "it waited for somebody else's verifier"
    of_client_cas = {host for host in hosts if not is_rule(host)}

    def lines() -> list[dict[str, Any]]:
        return [line for line in edge.access_log() if line["host"] in of_client_cas]

    wait_until(lambda: len(lines()) >= CROWD * len(of_client_cas), 10, "the log's lines")
    assert [] == [line for line in lines() if ANSWERS[answer] not in str(line)][:1]


def is_rule(host: str) -> bool:
    return host.startswith("rule-")


def crowd(edge: Edge, host: str, clients: list[Client]) -> list[int]:
    """The status that each client gets; they ask when the last of them is connected."""
    everybody = threading.Barrier(len(clients), timeout=60)

    def one(client: Client) -> int:
        with client.connect(edge.port, host) as connection:
            everybody.wait()
            return connection.get(host).status

    with ThreadPoolExecutor(len(clients)) as pool:
        return list(pool.map(one, clients))


class GoodClient:
    """Asks again and again, on a connection that it keeps and on new ones, while others wait."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self.served = 0
        self.slowest = 0.0  # seconds

    def __enter__(self) -> GoodClient:
        self._asking = self._pool.submit(self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._asking.result()
        self._pool.shutdown()

    def _ask(self) -> None:
        client = Client(certs.client())
        with client.connect(self._edge.port, GOOD) as kept:
            while not self._over.wait(0.05):
                self._timed(lambda: kept.get(GOOD).status)
                self._timed(lambda: client.get(self._edge.port, GOOD).status)

    def _timed(self, ask: Callable[[], int]) -> None:
        begun = time.monotonic()
        assert 200 == ask()
        self.slowest = max(self.slowest, time.monotonic() - begun)
        self.served += 1


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
    before = edge.log()
    with Client(certs.client()).connect(edge.port, LEFT) as left:
        left.send(f"GET / HTTP/1.1\r\nHost: {LEFT}\r\n\r\n".encode())
        count = before.count("odd: hangs")
        wait_until(lambda: edge.log().count("odd: hangs") > count, 10, "the verifier to think")
    count = before.count("odd: cancelled")
    # Long before its time would be over.
    wait_until(lambda: edge.log().count("odd: cancelled") > count, PATIENCE / 8, "the cancel")


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


@pytest.mark.parametrize("workers", [1, 2])
def test_a_reload_does_not_bring_back_an_older_crl(
    start_edge: Callable[..., Edge], origin: CountingOrigin, tmp_path: Path, workers: int
) -> None:
    """Of the verifier ``crl``: who was revoked stays so, and the log says what to do."""
    file, revoked, fine = tmp_path / "rule.crl", certs.client("revoked"), certs.client("fine")
    ca = certs.authority(certs.CLIENT_CA)
    older = ca.crl([], number=1, last_update=datetime.now(UTC) - timedelta(hours=1))
    file.write_bytes(ca.crl([revoked.issued.x509.serial_number], number=2))
    table = {**tables.one_host(GOOD, origin.url), "edge": {"workers": workers}}
    rule = tables.policy(include=[{"verifier": f"crl:file={file}"}])
    table["application"] = [tables.application(GOOD, rule)]
    edge = start_edge(table, clean_log=False)
    wait_until(lambda: "serving generation 1" in edge.log(), 20, "the edge to serve")
    for generation in (2, 3):
        put(file, older)
        os.kill(edge.pid, signal.SIGHUP)
        expected = f"serving generation {generation}"
        wait_until(lambda expected=expected: expected in edge.log(), 20, expected)
        for _ in range(4):
            assert 403 == Client(revoked).get(edge.port, GOOD).status
            assert 200 == Client(fine).get(edge.port, GOOD).status
    assert "older than the one of" in edge.log()


def put(path: Path, data: bytes) -> None:
    """Put a file into place as a whole."""
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(data)
    new.rename(path)


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

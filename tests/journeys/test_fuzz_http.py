"""Random and mutated requests, in memory and through the real process.

Whatever arrives: nothing crashes, every byte that an origin gets reads in one way only, as
requests that the log admits one by one, and every byte that a client gets reads as the answers
that the log tells of. ``MTLSEDGE_FUZZ=full`` sends a million requests instead of fifty thousand,
``MTLSEDGE_FUZZ=<seed>`` other ones.
"""

from __future__ import annotations

import itertools
import os
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsedge.identity import ANONYMOUS, Identity
from mtlsedge.session.keys import KeyRing
from support import certs, fuzzing
from support.client import Client
from support.edge import Edge
from support.memory import DAY, MemoryEdge, application, holder
from support.origin import Answer, CountingOrigin
from support.stream import StreamEnded
from support.strict import StrictRequest, StrictResponse, read_requests, read_responses
from support.tables import application as table
from support.tables import client_ca, host, policy

_CHOSEN = os.environ.get("MTLSEDGE_FUZZ", "")
FULL = _CHOSEN == "full"
SEED = int(_CHOSEN) if _CHOSEN.isdigit() else 1
STREAMS = 360_000 if FULL else 19_000  # of two and a half requests each
CONNECTIONS = 45_000 if FULL else 900  # through the process, likewise
BATCH = 1000

NAME = fuzzing.HOST.decode()
ADMITTED = ("service_auth", "bypass", "allow", "unprotected")
Line = dict[str, Any]


# -- in memory ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryEdge]:
    """One edge that everything is thrown at, with an origin that is not always sane."""
    state = tmp_path_factory.mktemp("state")
    ring = KeyRing.open(state, lambda: 1_800_000_000.0, 42 * DAY, DAY)
    made = MemoryEdge(
        ring,
        (
            application("/", "service_auth"),
            application("/open", "bypass"),
            application("/shut", "block"),
        ),
        host={"forward_certificate": frozenset(("cf", "rfc9440", "xfcc"))},
    )
    yield made
    made.close()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("batch", range(STREAMS // BATCH))
def test_streams_of_odd_requests_in_memory(edge: MemoryEdge, batch: int) -> None:
    """Client, connection, exchange, pool and origin, all real but for the sockets."""
    for number in range(batch * BATCH, (batch + 1) * BATCH):
        one_stream(edge, f"{SEED}.{number}")


def one_stream(edge: MemoryEdge, seed: str) -> None:
    """Send one stream on a connection of its own, and look at everything that came of it."""
    random = Random(seed)
    sane = random.random() < 0.5
    edge.origin.answer = ordinary if sane else answering(random)
    identity = holder() if random.random() < 0.9 else ANONYMOUS
    data, _ = fuzzing.stream(random)
    reads = fuzzing.reads(random, data)
    came_of_it = what_comes_of(edge, identity, reads, seed)
    if sane and len(reads) > 1:
        assert came_of_it == what_comes_of(edge, identity, [data], seed), seed


def what_comes_of(
    edge: MemoryEdge, identity: Identity, reads: list[bytes], seed: object
) -> tuple[list[Any], list[Any]]:
    """What the origin got and what the log has, without what differs from time to time."""
    client = edge.connect(identity)
    received = client.send(*reads)
    closed = client.closed
    client.hang_up()
    received += client.taken()
    assert [] == edge.errors, seed
    assert not edge.front.crowd.connections, seed
    lines, requests = edge.lines(), edge.origin.requests[:]
    edge.log.lines.clear()
    edge.origin.requests.clear()
    judge_origin(requests, lines, seed)
    judge_client(received, lines, closed, seed)
    return (
        [(each.method, each.target, each.body, each.trailers) for each in requests],
        [(line["method"], line["path"], line["status"]) for line in lines],
    )


def ordinary(request: StrictRequest) -> bytes:
    """What a sane origin says."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"
    return head if request.method == "HEAD" else head + b"origin\n"


def answering(random: Random):  # type: ignore[no-untyped-def]
    """An origin that answers at random."""
    return lambda request: fuzzing.answer(random)


def judge_origin(requests: list[StrictRequest], lines: list[Line], seed: object) -> None:
    """Each request at the origin is one that the log admits, as the log has it."""
    by_id = {line["request_id"]: line for line in lines}
    assert len(by_id) == len(lines), seed
    asked: set[str] = set()
    for request in requests:
        line = by_id[request.one("X-Request-Id")]
        retried = line["request_id"] in asked
        asked.add(line["request_id"])
        assert not retried or request.method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE"), seed
        assert line["decision"] in ADMITTED, seed
        assert line["origin"], seed
        assert (line["method"], line["path"]) == (
            request.method,
            request.target.partition("?")[0],
        ), seed
        verified = str(line["cert"]["verified"]).lower()
        assert verified == request.one("Cf-Cert-Verified"), seed
        assert NAME == request.one("X-Forwarded-Host"), seed
    admitted_only = [line for line in lines if line["origin"] and line["decision"] not in ADMITTED]
    assert [] == admitted_only, seed


def judge_client(received: bytes, lines: list[Line], closed: bool, seed: object) -> None:
    """The client got the answers that the log tells of, in order, and nothing beside them."""
    responses, rest = read_responses(received, [line["method"] for line in lines])
    final = [response.status for response in responses if response.status >= 200]
    switched = bool(responses) and responses[-1].status == 101
    logged = [line["status"] for line in lines]
    assert final == logged[: len(final)], seed
    if rest and not switched:  # cut short, or the origin never ended it: nothing comes behind it
        assert len(final) == len(lines) - 1, seed
    malformed = [line["status"] in (400, 505) and not line["origin"] for line in lines]
    assert not any(malformed[:-1]), seed  # nothing is served after one
    assert closed or not malformed or not malformed[-1], seed
    assert not any(map(advertises_h3, responses)), seed


def advertises_h3(response: StrictResponse) -> bool:
    """Whether a client could take the answer for an invitation to HTTP/3."""
    return any(re.search(r"(?:^|[\s,])h3[-=]", value) for value in response.all("Alt-Svc"))


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=5))
def test_bytes_of_any_kind_in_memory(edge: MemoryEdge, data: bytes, places: list[int]) -> None:
    """What hypothesis thinks of."""
    edge.origin.answer = ordinary
    edges = [0, *sorted(place for place in places if place < len(data)), len(data)]
    reads = [data[a:b] for a, b in itertools.pairwise(edges) if a < b]
    split = what_comes_of(edge, holder(), reads, data)
    assert split == what_comes_of(edge, holder(), [data], data)


# -- through the process -----------------------------------------------------------------------


class GoodClient(threading.Thread):
    """Somebody who wants nothing but to be served meanwhile."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.served = 0
        self.trouble: list[str] = []
        self._port = port
        self._enough = threading.Event()

    def run(self) -> None:
        client = Client(certs.client("good"))
        try:
            with client.connect(self._port, NAME) as connection:
                while not self._enough.wait(0.01):
                    answered = connection.get(NAME, "/good", X_Number=str(self.served))
                    assert (200, b"origin\n") == (answered.status, answered.body)
                    self.served += 1
        except Exception as error:  # whatever it is, the test tells of it
            self.trouble.append(repr(error))

    def stop(self) -> None:
        self._enough.set()
        self.join(20)


@pytest.mark.timeout(3600)
def test_odd_requests_through_the_process(tmp_path: Path) -> None:
    """Over TLS, on kept connections, among requests of a client that is served throughout."""
    with CountingOrigin({"/sock": Answer(204)}) as origin:
        config = {
            "host": [host(NAME, upstream=origin.url, forward_certificate=["cf"])],
            "client_ca": [client_ca(NAME)],
            "application": [
                table(NAME),
                table(f"{NAME}/open", policy("bypass", include=[{"everyone": True}])),
                table(f"{NAME}/shut", policy("block", include=[{"everyone": True}])),
            ],
        }
        with Edge(tmp_path / "edge", config) as edge:
            good = GoodClient(edge.port)
            good.start()
            client = Client(certs.client(), timeout=20)
            for number in range(CONNECTIONS):
                one_connection(client, edge.port, Random(f"{SEED}.tls.{number}"))
            good.stop()
            assert [] == good.trouble
            assert good.served > CONNECTIONS / 200
            assert edge.is_running()
        judge_process(edge, origin)


def one_connection(client: Client, port: int, random: Random) -> None:
    """Two streams; an answer is awaited between them, if there is one."""
    with client.connect(port, NAME) as connection, suppress(OSError, StreamEnded, ssl.SSLError):
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(2):
            data, _ = fuzzing.stream(random, 3)
            for piece in fuzzing.reads(random, data)[:6]:
                connection.send(piece)
        connection.send(b"GET /open/last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        connection.sock.settimeout(0.02)
        while connection.stream.some():
            pass


def judge_process(edge: Edge, origin: CountingOrigin) -> None:
    """Every request that arrived whole, against the whole log."""
    lines = [line for line in edge.access_log() if line["event"] != "handshake"]
    requests = []
    for received in list(origin.requests):
        found, rest = read_requests(received.head + framed(received))
        assert b"" == rest
        requests += found
    assert len(requests) == len(origin.requests)
    judge_origin(requests, lines, "process")
    assert len(requests) > CONNECTIONS / 2


def framed(received: Any) -> bytes:
    """The body again as it was framed on the wire, as far as that matters for reading it."""
    if not received.all("Transfer-Encoding"):
        return bytes(received.body)
    chunk = b"%x\r\n%b\r\n" % (len(received.body), received.body) if received.body else b""
    return chunk + b"0\r\n" + bytes(received.trailers) + b"\r\n"

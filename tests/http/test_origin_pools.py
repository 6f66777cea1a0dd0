"""Pools, turns and health: every connection is counted once, and a failed origin passed over."""

from __future__ import annotations

from dataclasses import replace
from errno import EADDRNOTAVAIL, EMFILE, ENFILE
from random import Random

import pytest
from http_bench import OK, SETTINGS, Bench, Wire, counts, get, statuses
from OpenSSL import SSL
from pool_bench import ask, one
from service_identity import VerificationError
from service_identity.exceptions import DNSMismatch, IPAddressMismatch
from service_identity.hazmat import DNS_ID, IPAddress_ID
from twisted.internet.error import ConnectBindError
from twisted.python.failure import Failure

from mtlsedge.http.origins import _why

# -- the pool ----------------------------------------------------------------------------------


def test_the_connection_used_last_is_used_next() -> None:
    """The others grow old and go."""
    bench = Bench(settings=replace(SETTINGS, response=100))
    ask(bench, 3)
    for wire in bench.endpoint.wires:
        wire.say(OK)
    assert (3, 3, 0, 0) == counts(bench.origins[0])
    for wire in bench.endpoint.wires:
        wire.taken()
    ask(bench, 1)
    assert [False, False, True] == [bool(wire.sent) for wire in bench.endpoint.wires]
    bench.wait(33)
    assert (1, 0, 0, 0) == counts(bench.origins[0])


def test_only_so_many_are_kept_idle() -> None:
    """``origin_idle``."""
    bench = one(idle=2)
    ask(bench, 5)
    for wire in bench.endpoint.wires:
        wire.say(OK)
    bench.settle()
    assert (2, 2, 0, 0) == counts(bench.origins[0])


def test_an_idle_connection_that_is_lost_is_not_used() -> None:
    """The next request has a new one."""
    bench = Bench()
    ask(bench, 1)
    bench.wire.say(OK)
    bench.wire.lost()
    assert (0, 0, 0, 0) == counts(bench.origins[0])
    ask(bench, 1)
    assert 2 == bench.endpoint.asked


def test_a_second_try_takes_a_new_connection() -> None:
    """If one is stale the others of its age may be, too."""
    bench = Bench()
    ask(bench, 3)
    wires = bench.endpoint.wires[:]
    for wire in wires:
        wire.say(OK)
    (client,) = ask(bench, 1)
    wires[-1].lost()
    assert 4 == bench.endpoint.asked
    bench.wire.say(OK)
    assert [200] == statuses(client.taken())


def test_a_second_try_without_room_takes_an_idle_connection() -> None:
    """Waiting for room that idle ones take up would be waiting for nothing."""
    bench = one(connections=2)
    origin = bench.origins[0]
    ask(bench, 2)
    for wire in bench.endpoint.wires:
        wire.say(OK)
    assert (2, 2, 0, 0) == counts(origin)
    (client,) = ask(bench, 1)
    origin.settings = replace(origin.settings, connections=1)
    bench.endpoint.wires[1].lost()
    bench.endpoint.wires[0].say(OK)
    assert [200] == statuses(client.taken())


def test_closing_the_pool_spares_what_is_under_way() -> None:
    """Idle ones go now, the others when they are released."""
    bench = Bench()
    clients = ask(bench, 2)
    first, second = bench.endpoint.wires
    first.say(OK)
    bench.origins[0].close()
    assert ("lose", "") == (first.closing, second.closing)
    second.say(OK)
    assert "lose" == second.closing
    assert [200] == statuses(clients[1].taken())
    bench.settle()
    assert (0, 0, 0, 0) == counts(bench.origins[0])


# -- several -----------------------------------------------------------------------------------


def test_a_waiter_in_a_queue_goes_on_to_the_next_origin() -> None:
    """As it would have if it had not had to wait."""
    bench = Bench(origins=2, settings=replace(SETTINGS, connections=1))
    clients = ask(bench, 3)
    first, second = bench.endpoints
    first.mode = second.mode = "refuse"
    busy = [endpoint for endpoint in bench.endpoints if endpoint.wires]
    assert 2 == len(busy)
    origin = next(o for o in bench.origins if o._queue)
    place = bench.origins.index(origin)
    bench.endpoints[1 - place].mode = "accept"
    bench.endpoints[1 - place].wires[0].say(OK)
    bench.endpoints[place].wires[0].lost()
    other = bench.endpoints[1 - place].wires[0]
    for _ in range(2):
        if not other.gone:
            other.say(OK)
    assert [[200]] * 3 == [statuses(client.taken()) for client in clients]


def test_an_origin_with_room_comes_before_one_without() -> None:
    """Nobody waits while another origin has nothing to do; and queues grow evenly."""
    bench = Bench(origins=3, settings=replace(SETTINGS, connections=2))
    ask(bench, 6)
    assert [(2, 0, 0, 0)] * 3 == [counts(origin) for origin in bench.origins]
    for wire in bench.endpoints[2].wires:
        wire.say(OK)
    ask(bench, 2)
    assert (2, 0, 0, 0) == counts(bench.origins[2])
    ask(bench, 6)
    assert [2, 2, 2] == [counts(origin)[3] for origin in bench.origins]


def test_a_failed_origin_is_passed_over_for_a_while() -> None:
    """Then it is asked again, and one success makes it whole."""
    bench = Bench(origins=2)
    bench.endpoints[0].mode = "refuse"
    for _ in range(6):
        ask(bench, 1)
        bench.endpoints[1].wires[-1].say(OK)
    assert 1 == bench.endpoints[0].asked
    assert not bench.origins[0].healthy
    bench.endpoints[0].mode = "accept"
    bench.wait(21)
    ask(bench, 2)
    assert 2 == bench.endpoints[0].asked
    assert bench.origins[0].healthy


def test_when_all_are_down_each_is_tried_once() -> None:
    """For every request: one may have come back."""
    bench = Bench(origins=3)
    for endpoint in bench.endpoints:
        endpoint.mode = "refuse"
    clients = ask(bench, 2)
    assert [2, 2, 2] == [endpoint.asked for endpoint in bench.endpoints]
    assert [[502], [502]] == [statuses(client.taken()) for client in clients]


# -- anything ----------------------------------------------------------------------------------


class Chaos:
    """Random things that happen to clients, origins and the connections between them."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        limits = replace(SETTINGS, connections=3, idle=1, queue=4)
        self.bench = Bench(origins=2, settings=limits)
        self.clients: list[Wire] = []

    @property
    def wires(self) -> list[Wire]:
        """The origins' connections that are still there."""
        return [wire for end in self.bench.endpoints for wire in end.wires if not wire.gone]

    def request(self) -> None:
        client = self.bench.client()
        method = self.random.choice(("GET", "POST", "PUT"))
        more, body = self.random.choice((("", b""), ("Content-Length: 4\r\n", b"body")))
        client.say(get("/", more, method) + self.random.choice((body, b"")))
        self.clients.append(client)

    def leave(self) -> None:
        if self.clients:
            self.clients.pop(self.random.randrange(len(self.clients))).lost()

    def answer(self) -> None:
        asked = [wire for wire in self.wires if wire.sent and wire.reading and not wire.closing]
        if asked:
            wire = self.random.choice(asked)
            wire.taken()
            wire.say(self.random.choice((OK, OK, OK[:-1], b"x\r\n\r\n", OK + b"y")))

    def lose(self) -> None:
        if self.wires:
            self.random.choice(self.wires).lost()

    def connect(self) -> None:
        for endpoint in self.bench.endpoints:
            if endpoint.attempts:
                self.random.choice((endpoint.accept, endpoint.accept, endpoint.refuse))()

    def change(self) -> None:
        endpoint = self.random.choice(self.bench.endpoints)
        endpoint.mode = self.random.choice(("accept", "refuse", "wait"))

    def wait(self) -> None:
        self.bench.wait(self.random.choice((0, 0, 0, 1, 6)))

    def happen(self) -> None:
        """Let something happen."""
        often = (self.request, self.answer) * 3
        self.random.choice((*often, self.leave, self.lose, self.connect, self.change, self.wait))()

    def end(self) -> None:
        """Everybody leaves."""
        for client in self.clients:
            client.lost()
        for endpoint in self.bench.endpoints:
            while endpoint.attempts:
                endpoint.refuse()
        self.bench.wait(100)


@pytest.mark.parametrize("seed", range(3))
def test_the_count_never_drifts(seed: int) -> None:
    """Whatever happens; and when all is over nothing is open and nobody waits."""
    chaos = Chaos(seed)
    bench = chaos.bench
    for _ in range(1000):
        chaos.happen()
        for origin in bench.origins:
            opened, idle, attempts, queue = counts(origin)
            assert opened + attempts <= 3
            assert idle <= 1
            assert queue <= 4
            assert not (queue and (idle or opened + attempts < 3)), "somebody waits for nothing"
    chaos.end()
    assert len(bench.lines) > 200
    assert [(0, 0, 0, 0)] * 2 == [counts(origin) for origin in bench.origins]
    assert set() == bench.front.crowd.connections


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            VerificationError([DNSMismatch(DNS_ID("app.test"))]),
            "its certificate is not for app.test; see upstream_server_name",
        ),
        (
            VerificationError([IPAddressMismatch(IPAddress_ID("192.0.2.1"))]),
            "its certificate is not for 192.0.2.1; see upstream_server_name",
        ),
        (
            SSL.Error([("SSL routines", "", "certificate verify failed")]),
            "TLS failed: certificate verify failed; does upstream_ca hold its CA, and is its "
            "certificate within its dates?",
        ),
        (SSL.Error([("SSL routines", "", "no shared cipher")]), "TLS failed: no shared cipher"),
    ],
)
def test_why_an_origin_was_not_reached_is_said_in_words(error: Exception, expected: str) -> None:
    """With the key that mends it."""
    assert expected == _why(Failure(error))


# -- the edge's own shortages ------------------------------------------------------------------


SHORTAGES = [
    OSError(EMFILE, "Too many open files"),
    ConnectBindError(ENFILE, "Too many open files in system"),
    ConnectBindError(EADDRNOTAVAIL, "Cannot assign requested address"),
]


@pytest.mark.parametrize("why", SHORTAGES, ids=lambda why: type(why).__name__)
def test_an_origin_is_not_to_blame_where_the_edge_is_out_of_descriptors(why: Exception) -> None:
    """503, which says when to come again; and it stays the first choice."""
    bench = Bench()
    bench.endpoint.mode, bench.endpoint.why = "refuse", why
    (client,) = ask(bench, 1)
    assert [503] == statuses(client.taken())
    assert bench.origins[0].healthy
    assert (0, 0, 0, 0) == counts(bench.origins[0])


def test_without_a_descriptor_requests_share_the_connections_there_are() -> None:
    """In turn; who was queued and has gone takes nobody's turn."""
    bench = Bench()
    (first,) = ask(bench, 1)
    bench.endpoint.mode, bench.endpoint.why = "refuse", SHORTAGES[0]
    second, third, fourth = ask(bench, 3)
    assert b"" == second.taken() + third.taken() + fourth.taken()
    third.lost()
    for client in (first, second, fourth):
        bench.wire.say(OK)
        assert [200] == statuses(client.taken())
    assert (1, 1, 0, 0) == counts(bench.origins[0])

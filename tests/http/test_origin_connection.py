"""One connection to an origin: asked once at a time, kept only if it is sound."""

from __future__ import annotations

from typing import Any

import pytest
from http_bench import OK, SETTINGS, Wire
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.task import Clock
from zope.interface import directlyProvides

from mtlsedge.http.messages import Headers, ResponseHead
from mtlsedge.http.origin_connection import OriginConnection
from mtlsedge.ops.deadlines import Deadlines


class Pool:
    """What a connection tells its origin."""

    name = "origin"
    settings = SETTINGS

    def __init__(self, clock: Clock) -> None:
        self.deadlines = Deadlines(clock)
        self.told: list[str] = []

    def opened(self, connection: OriginConnection) -> None:
        self.told.append("opened")

    def released(self, connection: OriginConnection) -> None:
        self.told.append("released")

    def forget(self, connection: OriginConnection) -> None:
        self.told.append("forget")

    def gone(self, connection: OriginConnection) -> None:
        self.told.append("gone")

    def failed(self, detail: str) -> None:
        self.told.append("failed")


class Asker:
    """Keeps what it is told; ``then`` is done when the answer is complete."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.then: Any = lambda: None

    def origin_interim(self, head: ResponseHead) -> None:
        self.told.append(head.status)

    def origin_head(self, head: ResponseHead) -> None:
        self.told.append(head.status)

    def origin_answer(self, head: ResponseHead, body: bytes) -> None:
        self.told += [head.status, body] if body else [head.status]
        self.origin_complete([])

    def origin_body(self, data: bytes) -> None:
        self.told.append(data)

    def origin_complete(self, trailers: Headers) -> None:
        self.told.append("complete")
        self.then()

    def origin_turn_over(self) -> None:
        pass

    def origin_tunnelled(self, data: bytes) -> None:
        self.told.append(data)

    def origin_lost(self, detail: str, *, slow: bool = False, answered: bool = False) -> None:
        self.told.append(("lost", slow, answered))

    def origin_full(self) -> None:
        self.told.append("full")

    def origin_drained(self) -> None:
        self.told.append("drained")


class Table:
    """A connection, its wire, its pool, somebody who asks, and a clock."""

    def __init__(self, *, secure: bool = False) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.pool = Pool(self.clock)
        pool: Any = self.pool
        self.connection = OriginConnection(pool)
        self.wire = Wire(self.clock, self.connection)
        if secure:
            directlyProvides(self.wire, ISSLTransport)
        wire: Any = self.wire
        self.connection.makeConnection(wire)
        self.asker = Asker()
        self.asker.then = self.connection.release

    def ask(self, method: str = "GET", *, body: bool = False, upgrade: bool = False) -> None:
        """Ask, with nothing to follow unless there is a body."""
        self.connection.ask(self.asker, method, b"HEAD", chunked=False, upgrade=upgrade)
        if not body:
            self.connection.end_body([])

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(int(seconds * 10) + 1):
            self.clock.advance(0.1)


@pytest.fixture
def table() -> Table:
    """An idle connection."""
    return Table()


# -- what becomes of it --------------------------------------------------------------------


def test_a_sound_connection_is_released_again_and_again(table: Table) -> None:
    """Ask, answer, release; three times."""
    for _ in range(3):
        table.ask()
        table.wire.say(OK)
    assert [200, b"ok", "complete"] * 3 == table.asker.told
    assert ["opened", *["released"] * 3] == table.pool.told


@pytest.mark.parametrize(
    "answer",
    [
        OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        OK.replace(b"1.1", b"1.0"),
        OK + b"more",
        OK + OK,
        OK + b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_an_unsound_connection_is_closed(table: Table, answer: bytes) -> None:
    """It said that it closes, or it said more than it was asked."""
    table.ask()
    table.wire.say(answer)
    assert [200, b"ok", "complete"] == table.asker.told
    assert ("lose", ["opened"]) == (table.wire.closing, table.pool.told)


def test_an_answer_to_head_leaves_a_sound_connection(table: Table) -> None:
    """Though its length speaks of a body."""
    table.ask("HEAD")
    table.wire.say(OK[:-2])
    table.ask()
    table.wire.say(OK)
    assert [200, "complete", 200, b"ok", "complete"] == table.asker.told
    assert ["opened", "released", "released"] == table.pool.told


def test_a_connection_that_speaks_unasked_is_cut(table: Table) -> None:
    """What it says might be taken for the answer to whoever comes next."""
    table.ask()
    table.wire.say(OK)
    table.wire.say(OK)
    assert "abort" == table.wire.closing
    assert ["opened", "released", "forget"] == table.pool.told


def test_releasing_and_abandoning_twice_is_harmless(table: Table) -> None:
    """In any order, before and after it is gone."""
    table.ask(body=True)
    for _ in range(2):
        table.connection.abandon()
        table.connection.release()
        table.connection.close()
    table.wait(1)
    table.connection.abandon()
    table.connection.release()
    table.connection.close()
    table.wait(20)
    assert ["opened", "gone"] == table.pool.told
    assert [] == table.asker.told


def test_a_request_that_was_not_sent_in_full_spoils_the_connection(table: Table) -> None:
    """The rest of it would be the beginning of the next."""
    table.ask(body=True)
    table.wire.say(OK)
    assert "abort" == table.wire.closing
    assert ["opened"] == table.pool.told


# -- how an answer breaks ------------------------------------------------------------------


@pytest.mark.parametrize(
    "said, answered, blamed",
    [(b"", False, True), (b"H", True, False), (OK[:-1], True, False)],
)
def test_a_lost_connection_says_whether_anything_was_answered(
    table: Table, said: bytes, answered: bool, blamed: bool
) -> None:
    """If only a byte. An origin that said nothing at all has failed."""
    table.ask()
    if said:
        table.wire.say(said)
    table.wire.lost()
    assert ("lost", False, answered) == table.asker.told[-1]
    assert blamed == ("failed" in table.pool.told)


def test_a_kept_connection_may_be_stale(table: Table) -> None:
    """That is nobody's fault, and nothing was answered."""
    table.ask()
    table.wire.say(OK)
    table.ask()
    table.wire.lost()
    assert ("lost", False, False) == table.asker.told[-1]
    assert "failed" not in table.pool.told


def test_an_answer_until_close_ends_with_a_clean_close_only(table: Table) -> None:
    """A reset, or TLS without its goodbye, may have cut it short."""
    table.ask()
    table.wire.say(b"HTTP/1.1 200 OK\r\n\r\nall")
    table.wire.lost()
    assert [200, b"all", "complete"] == table.asker.told
    other = Table()
    other.ask()
    other.wire.say(b"HTTP/1.1 200 OK\r\n\r\nhal")
    other.wire.lost(ConnectionLost())
    assert ("lost", False, True) == other.asker.told[-1]


def test_an_answer_of_known_length_does_not_end_with_the_connection(table: Table) -> None:
    """Nor does a chunked one."""
    for begun in (OK[:-1], b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"):
        other = Table()
        other.ask()
        other.wire.say(begun)
        other.wire.lost()
        assert "complete" not in other.asker.told


def test_nonsense_is_not_blamed_on_the_origins_health(table: Table) -> None:
    """It answered, badly: a 502, not tried again, and others may still go there."""
    table.ask()
    table.wire.say(b"nonsense\r\n\r\n")
    assert [("lost", False, True)] == table.asker.told
    assert ("abort", ["opened"]) == (table.wire.closing, table.pool.told)


def test_whoever_hears_the_end_may_ask_again_at_once() -> None:
    """The next request of a waiter goes out while the answer before it is still being told."""
    table = Table()
    second = Asker()
    second.then = table.connection.release

    def then() -> None:
        table.connection.release()
        table.connection.ask(second, "GET", b"SECOND", chunked=False, upgrade=False)
        table.connection.end_body([])

    table.asker.then = then
    table.ask()
    table.wire.say(OK)
    table.wire.say(OK)
    assert [200, b"ok", "complete"] == table.asker.told == second.told
    assert "" == table.wire.closing


# -- patience ------------------------------------------------------------------------------


def test_the_origin_has_its_time_once_it_was_asked_in_full(table: Table) -> None:
    """Not while the client is still sending."""
    table.ask(body=True)
    table.wait(100)
    table.connection.send_body(b"x")
    table.wait(100)
    table.connection.end_body([])
    table.wait(9)
    assert [] == table.asker.told
    table.wait(4)
    assert [("lost", True, True)] == table.asker.told
    assert ["opened", "failed", "gone"] == table.pool.told


def test_the_origin_has_its_time_between_two_pieces(table: Table) -> None:
    """A stall in the middle is a time-out, and no sign that the origin is dead."""
    table.ask()
    for piece in (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"one", b"two"):
        table.wait(9)
        table.wire.say(piece)
    table.wait(12)
    assert [200, b"one", b"two", ("lost", True, True)] == table.asker.told
    assert "failed" not in table.pool.told


def test_a_held_answer_is_not_the_origins_fault(table: Table) -> None:
    """While its receiver takes nothing nobody waits for the origin."""
    table.ask()
    table.wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    table.connection.pause()
    table.wait(100)
    assert [200] == table.asker.told
    table.connection.resume()
    table.wait(12)
    assert [200, ("lost", True, True)] == table.asker.told


def test_an_origin_that_does_not_take_the_body_has_its_time(table: Table) -> None:
    """A full socket is its turn, too."""
    table.ask(body=True)
    table.wire.producer.pauseProducing()
    table.wait(9)
    table.wire.producer.resumeProducing()
    table.wait(100)
    assert ["full", "drained"] == table.asker.told
    table.wire.producer.pauseProducing()
    table.wait(12)
    assert ("lost", True, True) == table.asker.told[-1]


def test_an_idle_connection_has_its_age(table: Table) -> None:
    """``origin_keep_alive``."""
    table.ask()
    table.wire.say(OK)
    table.wait(29)
    assert "" == table.wire.closing
    table.wait(3)
    assert ["opened", "released", "forget", "gone"] == table.pool.told


def test_a_tunnel_has_no_time_of_the_origins(table: Table) -> None:
    """Its end is the client's to say, and its bytes are the other protocol's."""
    table.asker.then = lambda: None
    table.ask(upgrade=True)
    table.wire.say(b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nfirst")
    assert b"first" == table.connection.tunnel()
    table.wait(100)
    table.wire.say(b"HTTP/1.1 200 OK\r\n\r\n")
    assert [101, b"HTTP/1.1 200 OK\r\n\r\n"] == table.asker.told


# -- TLS -----------------------------------------------------------------------------------


def test_a_connection_without_tls_is_ready_at_once(table: Table) -> None:
    """It is its own answer."""
    assert table.connection is table.connection.when_secure()


def test_a_connection_is_ready_when_its_handshake_is_done() -> None:
    """Not before; and if it was done already, at once."""
    table = Table(secure=True)
    ready: list[Any] = []
    waiting: Any = table.connection.when_secure()
    waiting.addCallback(ready.append)
    assert [] == ready
    table.connection.handshakeCompleted()
    assert [table.connection] == ready
    assert table.connection is table.connection.when_secure()
    table.wait(10)
    assert "" == table.wire.closing


@pytest.mark.parametrize("how", ["lost", "slow"])
def test_a_handshake_that_fails_or_stalls_is_a_failure(how: str) -> None:
    """Once, whatever comes of the connection afterwards."""
    table = Table(secure=True)
    failures: list[str] = []
    waiting: Any = table.connection.when_secure()
    waiting.addErrback(lambda failure: failures.append(failure.getErrorMessage()))
    if how == "lost":
        table.wire.lost(ValueError("wrong name"))
    table.wait(5)
    expected = {"lost": "wrong name", "slow": "the TLS handshake took too long"}
    assert [expected[how]] == failures
    assert ["opened", "gone"] == table.pool.told

"""One request, one answer, one line: whatever order things happen in."""

from __future__ import annotations

from typing import Any

import pytest
from http_bench import NAME, OK, Bench, counts, get, statuses

from mtlsedge import model

# -- deciding ----------------------------------------------------------------------------------


def test_hundreds_of_refusals_in_one_read_are_no_recursion() -> None:
    """A stack that grew with what a client sends would be a way to crash the edge."""
    bench = Bench(unprotected="deny")
    client = bench.client()
    client.say(get() * 3000)
    assert [403] * 3000 == statuses(client.taken())
    assert 3000 == len(bench.lines)
    assert 0 == bench.endpoint.asked


def test_hundreds_of_unreachable_origins_in_one_read_are_no_recursion() -> None:
    """The same where each request finds at once that there is no origin."""
    bench = Bench()
    bench.endpoint.mode = "refuse"
    client = bench.client()
    client.say(get() * 2000)
    assert [502] * 2000 == statuses(client.taken())
    assert (0, 0, 0, 0) == counts(bench.origins[0])


def test_an_error_inside_the_decision_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undecided is refused: 500, closed, logged, and nothing reaches an origin."""

    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("mtlsedge.http.exchange.decide", broken)
    bench = Bench()
    client = bench.client()
    client.say(get())
    assert [500] == statuses(client.taken())
    assert "linger" == client.closing
    assert 0 == bench.endpoint.asked
    assert [500] == [line["status"] for line in bench.lines]


def test_an_error_while_the_request_is_written_is_a_refusal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The connection that it was meant for is not kept: half a request may be on it."""

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("mtlsedge.http.passage.render_request", broken)
    bench = Bench()
    client = bench.client()
    client.say(get())
    bench.settle()
    assert [500] == statuses(client.taken())
    assert (0, 0, 0, 0) == counts(bench.origins[0])


# -- origins that come and go ------------------------------------------------------------------


def test_a_client_that_leaves_while_its_origin_connects() -> None:
    """The connection is kept for the next request, and counted once."""
    bench = Bench()
    bench.endpoint.mode = "wait"
    client = bench.client()
    client.say(get())
    client.lost()
    wire = bench.endpoint.accept()
    assert b"" == wire.sent
    assert (1, 1, 0, 0) == counts(bench.origins[0])
    other = bench.client()
    other.say(get())
    wire.say(OK)
    assert [200] == statuses(other.taken())
    assert 1 == bench.endpoint.asked


def test_a_client_that_leaves_while_its_origin_refuses() -> None:
    """Nobody is told, and the count is right."""
    bench = Bench()
    bench.endpoint.mode = "wait"
    client = bench.client()
    client.say(get())
    client.lost()
    bench.endpoint.refuse()
    assert (0, 0, 0, 0) == counts(bench.origins[0])
    assert [499] == [line["status"] for line in bench.lines]


def test_a_body_is_not_read_while_a_request_is_tried_again() -> None:
    """What was read then would be on no connection at all."""
    bench = Bench()
    client = bench.client()
    client.say(get("/", "Content-Length: 4\r\n", "PUT"))
    bench.endpoint.mode = "wait"
    bench.wire.lost()
    assert not client.reading
    again = bench.endpoint.accept()
    assert client.reading
    client.say(b"body")
    assert again.sent.endswith(b"\r\n\r\nbody")
    again.say(OK)
    assert [200] == statuses(client.taken())


@pytest.mark.parametrize("body", [b"0\r\n\r\n", b"1\r\nx\r\n"])
def test_a_request_whose_body_has_begun_is_not_tried_again(body: bytes) -> None:
    """Also where the body turned out to be empty: it is gone all the same."""
    bench = Bench()
    client = bench.client()
    client.say(get("/", "Transfer-Encoding: chunked\r\n", "PUT") + body)
    bench.wire.lost()
    assert [502] == statuses(client.taken())
    assert 1 == bench.endpoint.asked


@pytest.mark.parametrize(
    "method, attempts", [("GET", 3), ("HEAD", 3), ("OPTIONS", 3), ("DELETE", 3), ("POST", 1)]
)
def test_only_idempotent_methods_are_tried_again(method: str, attempts: int) -> None:
    """RFC 9110 §9.2.2; and not for ever."""
    bench = Bench()
    client = bench.client()
    client.say(get("/", "", method))
    for _ in range(attempts):
        bench.wire.lost()
    assert [502] == statuses(client.taken())
    assert attempts == bench.endpoint.asked


@pytest.mark.parametrize("heard", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n"])
def test_a_request_is_not_tried_again_after_a_byte_of_an_answer(heard: bytes) -> None:
    """The origin may have done what it was asked for."""
    bench = Bench()
    client = bench.client()
    client.say(get())
    bench.wire.say(heard)
    bench.wire.lost()
    assert 502 == statuses(client.taken())[-1]
    assert 1 == bench.endpoint.asked


def test_a_begun_answer_that_breaks_is_aborted() -> None:
    """What was told stays told, nothing is added, and the connection is cut."""
    bench = Bench()
    client = bench.client()
    client.say(get())
    bench.wire.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
    bench.wire.lost()
    assert "abort" == client.closing
    assert client.taken().endswith(b"\r\n\r\n4\r\nhalf\r\n")
    bench.settle()
    assert [200] == [line["status"] for line in bench.lines]


def test_an_answer_before_the_request_is_whole_ends_both_connections() -> None:
    """The origin's is aborted: nobody knows how it takes the rest."""
    bench = Bench()
    client = bench.client()
    client.say(get("/", "Content-Length: 10\r\n", "POST") + b"12345")
    bench.wire.say(OK)
    assert b"\r\nConnection: close\r\n" in client.taken()
    assert ("linger", "abort") == (client.closing, bench.wire.closing)
    bench.settle()
    assert (0, 0, 0, 0) == counts(bench.origins[0])


def test_a_body_over_the_limit_is_cut_off() -> None:
    """Of a chunked body it is known only as it comes; the origin never gets the whole."""
    bench = Bench(limits=model.Limits(request_body=10))
    client = bench.client()
    client.say(get("/", "Transfer-Encoding: chunked\r\n", "POST") + b"6\r\n123456\r\n")
    client.say(b"5\r\n78901\r\n0\r\n\r\n")
    assert [413] == statuses(client.taken())
    assert "abort" == bench.wire.closing
    assert b"78901" not in bench.wire.sent


def test_a_body_over_the_limit_after_the_answer_began_cuts_both() -> None:
    """There is no way to say 413 any more."""
    bench = Bench(limits=model.Limits(request_body=10))
    client = bench.client()
    client.say(get("/", "Transfer-Encoding: chunked\r\n", "POST") + b"6\r\n123456\r\n")
    bench.wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal")
    client.say(b"5\r\n78901\r\n")
    assert ("abort", "abort") == (client.closing, bench.wire.closing)


def test_an_old_client_without_host_gets_the_host_that_was_judged() -> None:
    """Not the origin's address, whose application may be another."""
    bench = Bench()
    client = bench.client()
    client.say(b"GET / HTTP/1.0\r\n\r\n")
    assert f"\r\nHost: {NAME}\r\n".encode() in bench.wire.sent


# -- storms ------------------------------------------------------------------------------------


def test_a_storm_of_pauses_loses_nothing() -> None:
    """Sockets that fill and empty at every turn, both ways, in the middle of everything."""
    bench = Bench()
    client = bench.client()
    client.say(get("/", "Content-Length: 1000\r\n", "POST"))
    wire = bench.wire
    for _ in range(100):
        wire.producer.pauseProducing()
        wire.producer.pauseProducing()
        client.producer.pauseProducing()
        client.producer.resumeProducing()
        wire.producer.resumeProducing()
        client.say(b"0123456789")
    assert wire.taken().endswith(b"0123456789" * 100)
    wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(100):
        client.producer.pauseProducing()
        assert not wire.reading
        wire.producer.pauseProducing()
        wire.producer.resumeProducing()
        client.producer.pauseProducing()
        client.producer.resumeProducing()
        wire.say(b"9876543210")
    assert client.taken().endswith(b"9876543210" * 100)
    client.say(get())
    wire.say(OK)
    assert [200] == statuses(client.taken())
    assert (1, 1, 0, 0) == counts(bench.origins[0])


def test_a_connection_that_is_released_paused_reads_again() -> None:
    """Or its next answer would never be read."""
    bench = Bench()
    client = bench.client()
    client.say(get())
    client.choked = True
    bench.wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 70002\r\n\r\n")
    bench.wire.say(b"x" * 70_000)
    assert not bench.wire.reading
    bench.wire.protocol.dataReceived(b"xx")  # what was on its way already
    assert bench.wire.reading
    other = bench.client()
    other.say(get())
    bench.wire.say(OK)
    assert [200] == statuses(other.taken())

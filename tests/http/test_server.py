"""HTTP/1.1 towards a client: framing, turns, back-pressure and patience."""

from __future__ import annotations

from dataclasses import replace

import pytest
from http_bench import FULL, OK, Bench, Wire, counts, get, statuses

from mtlsedge import model

POST = get("/", "Content-Length: 4\r\n", "POST")


def answered(origin_says: bytes, request: bytes, *, closes: bool = False) -> bytes:
    """What a client gets of an origin's answer."""
    bench = Bench()
    client = bench.client()
    client.say(request)
    bench.wire.say(origin_says)
    if closes:
        bench.wire.lost()
    return client.taken()


# -- framing -------------------------------------------------------------------------------

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n"
LENGTH = b"Content-Length"


@pytest.mark.parametrize(
    "says, request_, framing, body",
    [
        (OK, get(), b"Content-Length: 2\r\n", b"ok"),
        (OK, get(version="1.0"), b"Content-Length: 2\r\nConnection: close\r\n", b"ok"),
        (
            OK,
            get(more="Connection: keep-alive\r\n", version="1.0"),
            b"Content-Length: 2\r\nConnection: keep-alive\r\n",
            b"ok",
        ),
        (
            OK,
            get(more="Connection: close\r\n"),
            b"Content-Length: 2\r\nConnection: close\r\n",
            b"ok",
        ),
        (CHUNKED, get(), b"Transfer-Encoding: chunked\r\n", b"2\r\nok\r\n0\r\nX-T: 1\r\n\r\n"),
        (
            CHUNKED,
            get(more="Connection: keep-alive\r\n", version="1.0"),
            b"Connection: close\r\n",
            b"ok",
        ),
        (OK[:-2], get(method="HEAD"), b"Content-Length: 2\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", get(method="HEAD"), b"", b""),
        (
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            get(),
            LENGTH + b": 9\r\n",
            b"",
        ),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", get(), b"", b""),
        # RFC 9110 §8.6: a 204 has no Content-Length, also not one of nothing.
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", get(), b"", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", get(), LENGTH + b": 0\r\n", b""),
    ],
)
def test_an_answer_is_framed_for_its_client(
    says: bytes, request_: bytes, framing: bytes, body: bytes
) -> None:
    """RFC 9112 §6.3; whatever the origin's own framing was."""
    got = answered(says, request_)
    head, _, rest = got.partition(b"\r\n\r\n")
    assert (framing.rstrip(b"\r\n"), body) == (head.partition(b"\r\n")[2], rest)


def test_the_reason_phrase_is_the_origins_or_the_usual_one() -> None:
    """Empty is allowed, and then is filled in."""
    assert answered(OK.replace(b" OK", b" Fine"), get()).startswith(b"HTTP/1.1 200 Fine\r\n")
    assert answered(OK.replace(b" OK", b" "), get()).startswith(b"HTTP/1.1 200 OK\r\n")


# -- turns ---------------------------------------------------------------------------------


def test_the_next_request_waits_for_the_answer_before_it() -> None:
    """One at a time: the origin sees them in turn, and reading stops in between."""
    bench = Bench()
    client = bench.client()
    client.say(get("/1") + get("/2") + get("/3"))
    for number in (1, 2, 3):
        assert bench.wire.taken().startswith(b"GET /%d " % number)
        assert client.reading is (number == 3)
        bench.wire.say(OK)
    assert [200, 200, 200] == statuses(client.taken())
    assert 1 == bench.endpoint.asked


def test_reading_is_switched_off_and_on_only_where_it_must_be() -> None:
    """Each switch is a system call; an ordinary request needs none, nor does an upload."""
    bench = Bench()
    client = bench.client()
    for _ in range(3):
        client.say(get())
        bench.wire.say(OK)
        client.say(POST + b"body")
        bench.wire.say(OK)
    assert 0 == client.pauses


def test_a_client_that_reads_nothing_gets_no_further_answers() -> None:
    """Its next requests are not begun: the answers would pile up here (invariant 10)."""
    bench = Bench(unprotected="deny")
    client = bench.client()
    client.choked = True
    client.say(get() * 5000)
    assert client._tempDataLen < 2 * FULL
    assert not client.reading
    begun = len(bench.lines)
    client.take()
    client.take()
    assert len(bench.lines) > begun
    while client._tempDataLen or len(bench.lines) < 5000:
        client.choked = False
        client.take()
    assert [403] * 5000 == statuses(client.taken())
    assert client.reading


def test_no_more_than_one_read_of_an_answer_is_kept_for_a_full_client() -> None:
    """Also where it was full before this answer began."""
    bench = Bench()
    client = bench.client()
    client.say(get())
    client.choked = True
    bench.wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
    for _ in range(100):
        if not bench.wire.reading:
            break
        bench.wire.say(b"x" * 1000)
    assert not bench.wire.reading
    assert client._tempDataLen < FULL + 2000


# -- leaving -------------------------------------------------------------------------------


def test_draining_lets_an_answer_end_and_says_that_it_is_the_last() -> None:
    """An idle connection closes at once, one that comes now too."""
    bench = Bench()
    busy, idle = bench.client(), bench.client()
    busy.say(get())
    bench.front.crowd.drain()
    assert ("", "linger") == (busy.closing, idle.closing)
    bench.wire.say(OK)
    assert b"\r\nConnection: close\r\n" in busy.taken()
    assert "linger" == busy.closing
    assert "linger" == bench.client().closing
    bench.settle()
    assert set() == bench.front.crowd.connections


def test_stopping_refuses_or_cuts_what_is_under_way() -> None:
    """Each has its line, and nothing stays open."""
    bench = Bench()
    waiting, reading, idle = bench.client(), bench.client(), bench.client()
    waiting.say(get("/waiting"))
    reading.say(get("/reading"))
    bench.wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    bench.front.crowd.stop()
    assert [503] == statuses(waiting.taken())
    assert ("linger", "abort", "abort") == (waiting.closing, reading.closing, idle.closing)
    bench.settle()
    assert {"/waiting": 503, "/reading": 200} == {
        line["path"]: line["status"] for line in bench.lines
    }
    assert {"the edge is stopping"} == {line["reason"] for line in bench.lines}
    assert (0, 0, 0, 0) == counts(bench.origins[0])


def test_a_client_that_leaves_is_forgotten() -> None:
    """Whenever it does."""
    bench = Bench()
    early, middle = bench.client(), bench.client()
    early.lost()
    middle.say(get())
    middle.lost()
    bench.settle()
    assert set() == bench.front.crowd.connections
    assert (0, 0, 0, 0) == counts(bench.origins[0])
    assert [499] == [line["status"] for line in bench.lines]


# -- patience ------------------------------------------------------------------------------

TIMES = model.Timeouts(
    request_head=20, request_body=40, keep_alive=60, write=80, origin_response=10
)


USUAL = model.Limits()


def patient(limits: model.Limits = USUAL, **more: float) -> tuple[Bench, Wire]:
    """A bench with different times for everything, and a client."""
    bench = Bench(timeouts=replace(TIMES, **more), limits=limits)
    return bench, bench.client()


def test_a_connection_without_a_request_is_closed() -> None:
    """``request_head``; silently, as nothing was asked."""
    bench, client = patient()
    bench.wait(19)
    assert "" == client.closing
    bench.wait(3)
    assert ("linger", b"") == (client.closing, client.taken())


def test_a_head_has_its_time_from_its_first_byte() -> None:
    """However many pieces it comes in; 408."""
    bench, client = patient()
    bench.wait(10)
    for piece in (b"GET / ", b"HTTP/1.1\r\n", b"Host: "):
        client.say(piece)
        bench.wait(6)
    assert "" == client.closing
    bench.wait(4)
    assert [408] == statuses(client.taken())
    assert [(408, "the request head came too slowly")] == [
        (line["status"], line["reason"]) for line in bench.lines
    ]


def test_a_second_head_has_as_much_time() -> None:
    """``keep_alive`` runs until its first byte, ``request_head`` from then on."""
    bench, client = patient()
    client.say(get())
    bench.wire.say(OK)
    client.taken()
    bench.wait(59)
    client.say(b"GET")
    bench.wait(18)
    assert "" == client.closing
    bench.wait(4)
    assert [408] == statuses(client.taken())


def test_an_idle_connection_is_closed() -> None:
    """``keep_alive``, silently."""
    bench, client = patient()
    client.say(get())
    bench.wire.say(OK)
    client.taken()
    bench.wait(58)
    assert "" == client.closing
    bench.wait(4)
    assert ("linger", b"") == (client.closing, client.taken())


def test_a_body_has_its_time_between_two_pieces() -> None:
    """``request_body``; the origin's answer is not waited for meanwhile."""
    bench, client = patient(limits=model.Limits(min_request_rate=0))
    client.say(POST)
    for _ in range(3):
        bench.wait(38)
        client.say(b"x")
    bench.wait(38)
    assert b"" == client.taken()
    bench.wait(4)
    assert [408] == statuses(client.taken())
    assert "abort" == bench.wire.closing


DRIPPED = "Content-Length: 1000000\r\n"


def test_a_body_that_drips_is_refused() -> None:
    """``min_request_rate``, over ``request_body`` seconds: never silent is not enough."""
    bench, client = patient()
    client.say(get("/", DRIPPED, "POST"))
    for _ in range(38):
        bench.wait(0.9)
        client.say(b"x" * 90)
    assert b"" == client.taken()
    bench.wait(4)
    assert [408] == statuses(client.taken())
    assert "the request body came too slowly: 3420 bytes in 40 s" in bench.lines[0]["reason"]
    assert "abort" == bench.wire.closing


def test_a_body_that_is_fast_enough_over_all_may_pause() -> None:
    """Each stretch is judged as a whole, for as long as the body lasts; then nothing is."""
    bench, client = patient()
    bench.origins[0].settings = replace(bench.origins[0].settings, response=1000)
    client.say(get("/", DRIPPED, "POST"))
    for _ in range(20):
        client.say(b"x" * 5_000)
        bench.wait(38)
    assert b"" == client.taken()
    client.say(b"x" * 900_000)
    bench.wait(100)
    bench.wire.say(OK)
    assert [200] == statuses(client.taken())


def test_a_body_that_drips_because_the_origin_takes_no_more_is_not_the_clients_fault() -> None:
    """While it is held back nobody counts; afterwards a new stretch begins."""
    bench, client = patient()
    bench.origins[0].settings = replace(bench.origins[0].settings, response=1000)
    client.say(get("/", DRIPPED, "POST"))
    bench.wait(20)
    bench.wire.choked = True
    client.say(b"x" * 70_000)
    assert not client.reading
    bench.wait(300)
    bench.wire.take()
    assert client.reading
    bench.wait(38)
    assert b"" == client.taken()
    bench.wait(4)
    assert [408] == statuses(client.taken())


def test_a_body_that_the_origin_does_not_take_is_not_the_clients_fault() -> None:
    """It is held back; the origin has ``origin_response`` to take some of it: 504."""
    bench, client = patient()
    bench.origins[0].settings = replace(bench.origins[0].settings, response=100)
    client.say(get("/", "Content-Length: 1000000\r\n", "POST"))
    bench.wire.choked = True
    client.say(b"x" * 70_000)
    assert not client.reading
    bench.wait(95)
    assert b"" == client.taken()
    bench.wait(8)
    assert [504] == statuses(client.taken())


def test_a_body_that_waits_for_a_second_try_is_not_the_clients_fault() -> None:
    """It is held back then, too, with no clock running."""
    bench, client = patient()
    client.say(get("/", "Content-Length: 4\r\n", "PUT"))
    bench.endpoint.mode = "wait"
    bench.wire.lost()
    bench.wait(100)
    assert b"" == client.taken()
    bench.endpoint.accept()
    client.say(b"body")
    bench.wire.say(OK)
    assert [200] == statuses(client.taken())


def test_nobody_is_hurried_while_an_origin_thinks() -> None:
    """The client has done its part."""
    bench, client = patient()
    bench.origins[0].settings = replace(bench.origins[0].settings, response=1000)
    client.say(get())
    bench.wait(500)
    bench.wire.say(OK)
    assert [200] == statuses(client.taken())


def stuck(bench: Bench, client: Wire) -> None:
    """The client asks for much and takes nothing."""
    client.say(get("/much"))
    client.choked = True
    bench.wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 100_000)


def test_a_client_that_takes_nothing_is_cut_off() -> None:
    """``write``; the origin's connection goes, too, and the log says why."""
    bench, client = patient()
    stuck(bench, client)
    bench.wait(78)
    assert "" == client.closing
    bench.wait(4)
    assert ("abort", "abort") == (client.closing, bench.wire.closing)
    assert [(200, "the client takes nothing of its answer")] == [
        (line["status"], line["reason"]) for line in bench.lines
    ]


def test_a_client_that_takes_a_little_is_not_cut_off() -> None:
    """A slow line is no attack as long as it moves."""
    bench, client = patient()
    stuck(bench, client)
    for _ in range(5):
        bench.wait(70)
        client.take(10_000)
    assert "" == client.closing
    bench.wait(170)
    assert "abort" == client.closing


def test_a_client_that_takes_a_byte_now_and_then_is_cut_off() -> None:
    """``min_response_rate``, over ``write`` seconds; 0 asks for any progress at all."""
    for rate, closing in ((100, "abort"), (0, "")):
        bench, client = patient(limits=model.Limits(min_response_rate=rate))
        stuck(bench, client)
        for _ in range(8):
            bench.wait(11)
            client.take(999)
        assert closing == client.closing
        assert [(200, "the client takes too little of its answer")] * bool(closing) == [
            (line["status"], line["reason"]) for line in bench.lines
        ]


def test_what_is_said_meanwhile_does_not_hide_what_was_taken() -> None:
    """Its queue stays as long as it was, and yet the client takes its share."""
    bench, client = patient()
    stuck(bench, client)
    for _ in range(10):
        bench.wait(20)
        client.take(10_000)
        bench.wire.protocol.dataReceived(b"x" * 10_000)  # it was on its way
    assert "" == client.closing


def test_a_last_answer_that_is_not_taken_is_not_kept_for_ever() -> None:
    """The connection is closing already; ``write`` holds all the same."""
    bench, client = patient()
    client.choked = True
    client.say(get("/", "Connection: close\r\n"))
    bench.wire.say(OK)
    assert "linger" == client.closing
    bench.wait(78)
    assert not client.gone
    bench.wait(4)
    assert client.gone


def test_no_patience_at_all_is_for_ever() -> None:
    """0 is no limit, whichever it is."""
    bench, client = patient(request_head=0, request_body=0, keep_alive=0, write=0)
    bench.wait(200)
    client.say(POST)
    bench.wait(200)
    client.say(b"body")
    client.choked = True
    bench.wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000)
    bench.wait(200)
    client.take()
    bench.wait(200)
    assert "" == client.closing

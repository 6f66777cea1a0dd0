"""HTTP/1.1 towards a client: framing, turns, back-pressure, and how connections end."""

from __future__ import annotations

import pytest
from http_bench import FULL, OK, POST, Bench, counts, get, statuses


def answered(origin_says: bytes, request: bytes, *, closes: bool = False) -> bytes:
    """What a client gets of an origin's answer."""
    bench = Bench()
    client = bench.client()
    client.say(request)
    bench.wire.say(origin_says)
    if closes:
        bench.wire.lost()
    return client.taken()


# -- framing -----------------------------------------------------------------------------------


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


# -- turns -------------------------------------------------------------------------------------


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


# -- leaving -----------------------------------------------------------------------------------


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

"""One line for each exchange, whatever became of it."""

from __future__ import annotations

import json

from http_bench import NAME, OK, Bench, get, statuses

from mtlsedge.http.record import Record


def test_an_answered_request_has_its_sizes_and_times() -> None:
    """Of the bodies as they passed the client's side; seconds from the head on."""
    bench = Bench()
    client = bench.client()
    client.say(get("/a/b?secret", "Content-Length: 4\r\n", "POST") + b"body")
    bench.clock.advance(2)
    bench.wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nans")
    bench.clock.advance(3)
    assert [] == bench.lines
    bench.wire.say(b"wer")
    (line,) = bench.lines
    expected = {
        "event": "request",
        "host": NAME,
        "method": "POST",
        "path": "/a/b",
        "status": 200,
        "bytes_in": 4,
        "bytes_out": 6,
        "duration": 5.0,
        "origin_time": 2.0,
        "origin": "origin-0",
        "client": "192.0.2.7",
    }
    assert expected == {key: line[key] for key in expected}


def test_a_request_that_reached_no_origin_says_so() -> None:
    """There is no time to speak of, and a reason."""
    bench = Bench(unprotected="deny")
    client = bench.client()
    client.say(get("/no"))
    (line,) = bench.lines
    assert (403, None, "", "unprotected") == (
        line["status"],
        line["origin_time"],
        line["origin"],
        line["decision"],
    )
    assert line["reason"]
    body = client.taken().partition(b"\r\n\r\n")[2]
    assert line["request_id"] == json.loads(body)["request_id"]


def test_a_request_that_nobody_could_read_has_a_line() -> None:
    """With what is known of it, and nothing that could forge another line."""
    bench = Bench()
    client = bench.client()
    client.say(b'GET /\x01"\n{"forged": true}\r\n\r\n')
    assert [400] == statuses(client.taken())
    (line,) = bench.lines
    assert (400, "-") == (line["status"], line["method"])


def test_a_target_that_nobody_could_read_is_logged_as_it_came() -> None:
    """Without its query."""
    bench = Bench()
    client = bench.client()
    client.say(get("/%zz?secret"))
    (line,) = bench.lines
    assert (400, "/%zz") == (line["status"], line["path"])


def test_the_second_origin_is_the_one_that_is_named() -> None:
    """The time is its own, too."""
    bench = Bench(origins=2)
    client = bench.client()
    client.say(get())
    bench.clock.advance(5)
    first, second = sorted(bench.endpoints, key=lambda endpoint: not endpoint.wires)
    first.wires[0].lost()
    bench.clock.advance(1)
    second.wires[0].say(OK)
    (line,) = bench.lines
    assert (f"origin-{bench.endpoints.index(second)}", 1.0) == (line["origin"], line["origin_time"])


def test_nothing_is_written_where_nobody_wants_it() -> None:
    """No log, no work."""
    bench = Bench()
    bench.log.enabled = False
    client = bench.client()
    client.say(get())
    bench.wire.say(OK)
    assert [] == bench.log.written


def test_request_ids_are_unlike_each_other() -> None:
    """Also over many requests."""
    bench = Bench()
    client = bench.client()
    caller = client.protocol._caller
    client.say(get())
    head = client.protocol._exchange.head
    ids = {Record(caller, head).request_id for _ in range(1000)}
    assert 1000 == len(ids)
    assert {32} == {len(each) for each in ids}

"""How long does the edge wait for a client: between requests, within one, and with an answer?"""

from __future__ import annotations

from dataclasses import replace

from http_bench import OK, POST, Bench, Wire, get, statuses

from mtlsedge import model

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

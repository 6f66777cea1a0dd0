"""Which connections go when others wait to come in."""

from __future__ import annotations

import pytest
from http_bench import OK, Bench, Wire, get

from mtlsedge import model


def served(bench: Bench) -> Wire:
    """A client that got an answer and may ask again."""
    client = bench.client()
    client.say(get())
    bench.wire.say(OK)
    client.taken()
    return client


def closed(clients: list[Wire]) -> list[bool]:
    return [client.closing == "lose" for client in clients]


@pytest.mark.parametrize("keep_alive", [75.0, 0.0])
def test_those_that_idled_longest_go_first(keep_alive: float) -> None:
    """A few at once. Where ``keep_alive`` is for ever, any that idles."""
    bench = Bench(timeouts=model.Timeouts(keep_alive=keep_alive))
    clients = []
    for _ in range(40):
        clients.append(served(bench))
        bench.wait(0.1)
    bench.wait(2)
    bench.front.crowd.make_room()
    assert 32 == sum(closed(clients))
    if keep_alive:
        assert [True] * 32 + [False] * 8 == closed(clients)


def test_who_is_busy_or_new_or_was_served_just_now_stays() -> None:
    """A request is likely on its way, or an answer."""
    bench = Bench()
    new, asking = bench.client(), bench.client()
    begun = served(bench)
    asking.say(get())
    begun.say(b"GET / HT")
    bench.wait(5)
    bench.wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    fresh = served(bench)
    bench.front.crowd.make_room()
    assert [False] * 4 == closed([new, asking, begun, fresh])


def test_one_that_takes_nothing_of_its_last_answer_does_not_count_as_idle() -> None:
    """It has a time of its own."""
    bench = Bench(timeouts=model.Timeouts(write=1000))
    client = bench.client()
    client.say(get())
    client.choked = True
    bench.wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000)
    bench.wait(100)
    bench.front.crowd.make_room()
    assert [False] == closed([client])

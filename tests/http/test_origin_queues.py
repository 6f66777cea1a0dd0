"""Who waits for a connection to an origin: in turn, for so long, and never forgotten."""

from __future__ import annotations

from http_bench import OK, counts, get, statuses
from pool_bench import ask, one


def test_waiters_are_served_in_their_order() -> None:
    """On the one connection there is."""
    bench = one(connections=1)
    ask(bench, 4)
    assert (1, 0, 0, 3) == counts(bench.origins[0])
    for number in range(4):
        assert bench.wire.taken().startswith(b"GET /%d " % number)
        bench.wire.say(OK)
    assert 1 == bench.endpoint.asked
    bench.wait(10)
    assert (1, 1, 0, 0) == counts(bench.origins[0])


def test_a_full_queue_is_a_503() -> None:
    """With ``Retry-After``, once."""
    bench = one(connections=1, queue=2)
    *_, last = ask(bench, 4)
    got = last.taken()
    assert [503] == statuses(got)
    assert 1 == got.count(b"Retry-After: ")


def test_a_wait_that_is_too_long_is_a_503() -> None:
    """And the place is free again."""
    bench = one(connections=1)
    _, second = ask(bench, 2)
    bench.wait(4.5)
    assert b"" == second.taken()
    bench.wait(3)
    assert [503] == statuses(second.taken())
    assert (1, 0, 0, 0) == counts(bench.origins[0])


def test_a_waiter_that_leaves_gives_up_its_place() -> None:
    """At once, not when its time is up."""
    bench = one(connections=1, queue=1)
    _, second = ask(bench, 2)
    second.lost()
    assert (1, 0, 0, 0) == counts(bench.origins[0])
    (third,) = ask(bench, 1)
    bench.wire.say(OK)
    bench.wire.say(OK)
    assert [200] == statuses(third.taken())
    assert b"GET /1 " not in bench.wire.sent


def test_a_lost_connections_place_goes_to_a_waiter() -> None:
    """A POST that fails makes room, too."""
    bench = one(connections=1)
    first = bench.client()
    first.say(get("/", "", "POST"))
    (second,) = ask(bench, 1)
    bench.wire.lost()
    assert [502] == statuses(first.taken())
    assert (1, 0, 0, 0) == counts(bench.origins[0])
    bench.wire.say(OK)
    assert [200] == statuses(second.taken())


def test_a_waiter_whose_connection_comes_too_late_leaves_it_to_the_next() -> None:
    """Made for one client, used by another."""
    bench = one(connections=1)
    bench.endpoint.mode = "wait"
    first, second = ask(bench, 2)
    assert (0, 0, 1, 1) == counts(bench.origins[0])
    first.lost()
    bench.endpoint.accept()
    assert bench.wire.sent.startswith(b"GET /1 ")
    bench.wire.say(OK)
    assert [200] == statuses(second.taken())
    assert (1, 1, 0, 0) == counts(bench.origins[0])


def test_a_thousand_waiters_for_a_dead_origin_are_no_recursion() -> None:
    """Each attempt fails at once and lets the next one try."""
    bench = one(connections=1, queue=2000)
    clients = ask(bench, 1500)
    bench.endpoint.mode = "refuse"
    bench.wire.lost()
    assert {502} == {status for client in clients for status in statuses(client.taken())}
    assert (0, 0, 0, 0) == counts(bench.origins[0])

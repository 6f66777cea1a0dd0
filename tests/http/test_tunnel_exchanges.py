"""What each side of a tunnel says reaches the other at its pace, and no tunnel stays for ever."""

from __future__ import annotations

from http_bench import Bench, Wire, counts, get

from mtlsedge import model

SWITCH = b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"


def tunnelled() -> tuple[Bench, Wire, Wire]:
    """A bench, and the two ends of a tunnel through it."""
    bench = Bench(timeouts=model.Timeouts(tunnel=100, write=10))
    client = bench.client()
    client.say(get("/", "Connection: upgrade\r\nUpgrade: echo\r\n"))
    bench.wire.say(SWITCH)
    client.taken()
    bench.wire.taken()
    return bench, client, bench.wire


def test_a_full_origin_holds_the_client_and_lets_go_again() -> None:
    """Every time."""
    _, client, wire = tunnelled()
    for _ in range(3):
        wire.producer.pauseProducing()
        assert not client.reading
        wire.producer.resumeProducing()
        assert client.reading
    client.say(b"on")
    assert b"on" == wire.taken()


def test_a_full_client_holds_the_origin_and_lets_go_again() -> None:
    """And no further; the other way stays open."""
    _, client, wire = tunnelled()
    client.choked = True
    wire.say(b"x" * 70_000)
    assert not wire.reading
    client.say(b"still")
    assert b"still" == wire.taken()
    client.take()
    assert wire.reading
    wire.say(b"on")
    assert client.taken().endswith(b"on")


def test_a_tunnel_lives_as_long_as_either_side_speaks() -> None:
    """And not longer; its line comes then, once."""
    bench, client, wire = tunnelled()
    for speaker in (client, wire, client):
        bench.wait(90)
        speaker.say(b"!")
    assert [] == bench.lines
    bench.wait(103)
    assert client.gone
    assert wire.gone
    (line,) = bench.lines
    assert ("tunnel", 101, 2, 1) == (
        line["event"],
        line["status"],
        line["bytes_in"],
        line["bytes_out"],
    )


def test_a_tunnels_client_that_takes_nothing_is_cut_off_though_it_talks() -> None:
    """``write`` is for what it should take; what it sends is no excuse."""
    bench, client, wire = tunnelled()
    client.choked = True
    wire.say(b"x" * 70_000)
    for _ in range(4):
        bench.wait(4)
        if not client.gone:
            client.say(b"talk")
    assert client.gone


def test_the_last_words_of_each_side_arrive() -> None:
    """The other's connection is closed when it has taken them."""
    _, client, wire = tunnelled()
    client.say(b"bye")
    client.lost()
    assert (b"bye", "lose") == (wire.taken(), wire.closing)
    _, client, wire = tunnelled()
    wire.say(b"bye")
    wire.lost()
    assert (b"bye", "linger") == (client.taken(), client.closing)


def test_an_origin_that_never_takes_the_last_words_is_cut_off() -> None:
    """Its place among the connections is not held for ever."""
    bench, client, wire = tunnelled()
    wire.choked = True
    client.say(b"bye")
    client.lost()
    assert (1, 0, 0, 0) == counts(bench.origins[0])
    bench.wait(13)
    assert "abort" == wire.closing or wire.gone
    assert (0, 0, 0, 0) == counts(bench.origins[0])

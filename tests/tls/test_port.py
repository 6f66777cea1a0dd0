"""The listening port: how many connections, on which socket, and when there is no room."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import pytest_twisted
from tls_serving import NAME, Scribe, Serve, aside, greet, knock, terminator, tls_host, turns, until
from twisted.internet.error import CannotListenError

from mtlsedge.model import Listen

# -- the limit ---------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_at_the_limit_others_wait_and_are_served_when_one_leaves(serve: Serve) -> None:
    """Nobody is refused: the kernel holds those who wait."""
    serving = serve(limit=2)
    first = await aside(greet, serving.number)
    second = await aside(knock, serving.number)
    await until(lambda: len(serving.protocols) == 2, "the first two")
    third = aside(greet, serving.number)
    fourth = aside(greet, serving.number)
    await turns()
    assert (2, False) == (len(serving.protocols), third.called or fourth.called)
    first.close()
    await until(lambda: len(serving.protocols) == 3, "the third")
    await turns()
    assert 3 == len(serving.protocols)
    second.close()
    served = [await third, await fourth]
    assert 4 == len(serving.protocols)
    for sock in served:
        sock.close()
    await until(lambda: all(each.reasons for each in serving.protocols), "the end of all")
    (await aside(greet, serving.number)).close()


@pytest_twisted.ensureDeferred
async def test_a_limit_that_is_raised_lets_in_those_who_wait(serve: Serve) -> None:
    """At once: nobody has to leave first."""
    serving = serve(limit=1)
    first = await aside(greet, serving.number)
    second = aside(greet, serving.number)
    await turns()
    assert not second.called
    serving.port.limit = 2
    (await second).close()
    first.close()


@pytest_twisted.ensureDeferred
async def test_below_a_limit_that_is_lowered_nobody_is_let_in(serve: Serve) -> None:
    """And the port does not turn idly until enough have left."""
    serving = serve(limit=3)
    made = [await aside(greet, serving.number) for _ in range(3)]
    serving.port.limit = 2
    waiting = aside(greet, serving.number)
    for sock in made:
        await turns()
        assert (3, False) == (len(serving.protocols), waiting.called)
        assert serving.port not in serving.port.reactor.getReaders()
        if sock is made[1]:
            break
        sock.close()
    made[1].close()
    (await waiting).close()
    made[2].close()


@pytest_twisted.ensureDeferred
async def test_room_is_asked_for_where_somebody_waits(serve: Serve) -> None:
    """Again and again, while the port is full; and never where nobody does."""
    asked: list[int] = []
    serving = serve(limit=1, make_room=lambda: asked.append(1))
    sock = await aside(greet, serving.number)
    await aside(time.sleep, 0.6)
    assert [] == asked
    waiting = aside(greet, serving.number)
    await until(lambda: len(asked) >= 2, "the question, twice")
    sock.close()
    (await waiting).close()


@pytest_twisted.ensureDeferred
async def test_a_crowd_never_exceeds_the_limit(serve: Serve) -> None:
    """Many wait when there is room again for few: one turn of accepting takes no more."""
    open_now: list[int] = []

    class Counted(Scribe):
        def connectionMade(self) -> None:
            super().connectionMade()
            open_now.append(sum(not each.reasons for each in serving.protocols))

    serving = serve(Counted, limit=3)
    crowd = [await aside(knock, serving.number) for _ in range(30)]
    for sock in crowd:
        sock.close()
    await until(lambda: len(serving.protocols) == 30, "all of them")
    assert 3 == max(open_now)


@pytest_twisted.ensureDeferred
async def test_a_full_port_that_ran_out_of_descriptors_does_not_turn(serve: Serve) -> None:
    """The retry after a shortage comes when the limit is reached: it must not read then."""
    serving = serve(limit=1)
    sock = await aside(greet, serving.number)
    await until(lambda: serving.protocols, "the connection")
    serving.port._resume()
    assert serving.port not in serving.port.reactor.getReaders()
    sock.close()
    await until(lambda: serving.port in serving.port.reactor.getReaders(), "room")


@pytest_twisted.ensureDeferred
async def test_a_protocol_that_cannot_begin_costs_its_own_client_only(serve: Serve) -> None:
    """Whether it breaks before its transport is made or after: nothing stays registered."""
    broken = ["made", "built"]

    class Broken(Scribe):
        def __init__(self) -> None:
            super().__init__()
            if broken == ["built"]:
                broken.pop()
                raise ZeroDivisionError("on purpose")

        def connectionMade(self) -> None:
            super().connectionMade()
            if len(broken) == 2:
                broken.remove("made")
                raise ZeroDivisionError("on purpose")

    serving = serve(Broken, limit=1)
    for _ in range(2):
        with pytest.raises(OSError):
            await aside(greet, serving.number)
    for _ in range(3):
        sock = await aside(greet, serving.number)
        await aside(sock.send, b"x")
        await until(lambda: serving.protocols[-1].received, "data")
        sock.close()
        await until(lambda: serving.protocols[-1].reasons, "the end")


@pytest_twisted.ensureDeferred
async def test_a_port_that_is_closed_at_its_limit_stays_closed(serve: Serve) -> None:
    """Connections that end later do not make it read again."""
    serving = serve(limit=1)
    sock = await aside(greet, serving.number)
    await until(lambda: serving.protocols, "the connection")
    await serving.port.stopListening()
    sock.close()
    await until(lambda: serving.protocols[0].reasons, "the end")
    assert not serving.port.connected


# -- descriptors -------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, 100])
@pytest_twisted.ensureDeferred
async def test_running_out_of_descriptors_does_not_kill_the_port(serve: Serve, limit: int) -> None:
    """The crowd waits, and when there are descriptors again there is service again."""
    serving = serve(limit=limit)
    (await aside(greet, serving.number)).close()
    crowd: list[socket.socket] = [socket.socket() for _ in range(20)]
    for sock in crowd:
        sock.setblocking(False)
    with few_descriptors(spare=4):
        for sock in crowd:
            sock.connect_ex(("127.0.0.1", serving.number))
        readers = serving.port.reactor.getReaders
        await until(lambda: serving.port not in readers(), "the descriptors to run out")
    for sock in crowd:
        sock.close()
    # Nobody may be left when the port tries again: "none" is not "as many as the limit".
    await until(lambda: all(each.reasons for each in serving.protocols), "the end of all")
    sock = await aside(greet, serving.number)
    await aside(sock.send, b"still here")
    await until(lambda: any(each.received for each in serving.protocols), "data")
    sock.close()


@pytest_twisted.ensureDeferred
async def test_an_inherited_socket_is_served(serve: Serve) -> None:
    """``fd:N``: somebody else bound it and listens; the descriptor stays theirs."""
    with socket.create_server(("127.0.0.1", 0)) as inherited:
        serving = serve(listen=Listen(descriptor=inherited.fileno()))
        assert inherited.getsockname()[1] == serving.number
        sock = await aside(greet, serving.number)
        protocol = await serving.protocol()
        await until(lambda: "handshake" in protocol.events, "the handshake")
        sock.close()
        await serving.port.stopListening()
        waiting = await aside(knock, inherited.getsockname()[1])  # it listens still
        waiting.close()


@pytest_twisted.ensureDeferred
async def test_a_port_that_is_lent_accepts_nobody_and_ends_nothing(serve: Serve) -> None:
    """Other processes have its socket: they accept on it, also when it is closed here."""
    serving = serve()
    number = serving.number
    with serving.port.socket.dup() as elsewhere:
        serving.port.lend()
        for closed_here in (False, True):
            if closed_here:
                await serving.port.stopListening()
            client = await aside(knock, number)
            await turns()
            assert [] == serving.protocols
            elsewhere.accept()[0].close()
            client.close()


@pytest_twisted.ensureDeferred
async def test_an_inherited_socket_of_ipv6_is_served(serve: Serve) -> None:
    """Its family is asked of the kernel."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as inherited:
        serving = serve(listen=Listen(descriptor=inherited.fileno()))
        assert "::1" == serving.port.getHost().host
        sock = await aside(socket.create_connection, ("::1", serving.number))
        await serving.protocol()
        sock.close()


def test_what_is_no_listening_tcp_socket_is_refused() -> None:
    """With a message that names it, and not with a port that can accept nothing."""
    from tls_serving import open_serving

    with socket.socket() as silent, socket.socket(socket.AF_UNIX) as local:
        closed = os.dup(silent.fileno())
        os.close(closed)
        for descriptor, expected in [
            (silent.fileno(), "is not listening"),
            (local.fileno(), "is no TCP socket"),
            (closed, "no socket that a supervisor passed .Bad file descriptor"),
        ]:
            with pytest.raises(OSError, match=expected):
                open_serving(listen=Listen(descriptor=descriptor))


@pytest_twisted.ensureDeferred
async def test_an_address_that_is_taken_is_refused(serve: Serve) -> None:
    """As Twisted's own port refuses it."""
    serving = serve()
    with pytest.raises(CannotListenError):
        serve(listen=Listen("127.0.0.1", serving.number))


# -- reloading ---------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_new_connections_take_the_new_terminator_and_old_ones_keep_theirs(
    serve: Serve,
) -> None:
    """Also one whose handshake had only begun."""
    from twisted.internet import reactor

    serving = serve()
    begun = await aside(knock, serving.number)
    await serving.protocol(0)
    other = "b.example.com"
    serving.port.terminator = terminator({other: tls_host(other)}, lambda _: None, reactor)
    (await aside(greet, serving.number, other)).close()
    with pytest.raises(OSError, match="UNRECOGNIZED_NAME"):
        await aside(greet, serving.number, NAME)

    def finish() -> str:
        from tls_serving import client_context

        sock = client_context().wrap_socket(begun, server_hostname=NAME)
        version = sock.version()
        sock.close()
        return version or ""

    assert "TLSv1.3" == await aside(finish)


@contextmanager
def few_descriptors(spare: int) -> Iterator[None]:
    """Let this process open only so many more files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + spare, hard))
    held: list[int] = []
    try:
        with suppress(OSError):  # when all are taken, those between the others too
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        for _ in range(spare):
            os.close(held.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in held:
            os.close(descriptor)

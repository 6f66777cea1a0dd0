"""However a connection ends, both sides get what was theirs, and it is over once and for all."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
from OpenSSL import SSL
from rough_clients import BIG, reset
from tls_serving import (
    NAME,
    Intercepted,
    Scribe,
    Serve,
    aside,
    greet,
    knock,
    read_all,
    turns,
    until,
)
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.task import Clock
from zope.interface import implementer

from mtlsedge.ops.deadlines import BUCKET


@pytest_twisted.ensureDeferred
async def test_connection_lost_comes_once_whoever_ends_it(serve: Serve) -> None:
    """A goodbye, a bare FIN, a reset, and an error in the protocol right after its abort."""

    class Failing(Scribe):
        def dataReceived(self, data: bytes) -> None:
            self.transport.abortConnection()
            raise ZeroDivisionError("on purpose")

    endings: list[tuple[type[Scribe], Callable[[ssl.SSLSocket], Any], type[Exception]]] = [
        (Scribe, lambda sock: sock.unwrap(), ConnectionDone),  # which waits for the answer to it
        (Scribe, lambda sock: sock.shutdown(socket.SHUT_WR), ConnectionLost),
        (Scribe, reset, ConnectionLost),
        (Failing, lambda sock: sock.send(b"x"), ZeroDivisionError),
    ]
    for protocol_class, end, expected in endings:
        serving = serve(protocol_class)
        sock = await aside(greet, serving.number)
        protocol = await serving.protocol()
        await until(lambda p=protocol: "handshake" in p.events, "the handshake")
        await aside(end, sock)
        await until(lambda p=protocol: p.reasons, "the end")
        await turns()
        assert ["made", "handshake", "lost"] == protocol.events
        assert [expected] == protocol.reasons
        sock.close()


@pytest_twisted.ensureDeferred
async def test_a_client_that_is_still_sending_can_read_the_last_answer(serve: Serve) -> None:
    """Closed with unread bytes, a socket sends a reset; lingering, it does not."""

    class Refusing(Scribe):
        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            self.transport.pauseProducing()
            self.transport.write(b"413 " + BIG[:100_000])
            self.transport.lingerConnection()

    serving = serve(Refusing)

    def client() -> bytes:
        sock = greet(serving.number)
        sock.sendall(BIG[:400_000])
        answer = read_all(sock)
        sock.close()
        return answer

    assert b"413 " + BIG[:100_000] == await aside(client)
    protocol = serving.protocols[0]
    await until(lambda: protocol.reasons, "the end")
    assert [ConnectionDone] == protocol.reasons


@pytest_twisted.ensureDeferred
async def test_lingering_has_an_end(serve: Serve) -> None:
    """In time for one that stays, in bytes for one that goes on sending; and once each."""
    clock = Clock()

    class Leaving(Scribe):
        def handshakeCompleted(self) -> None:
            super().handshakeCompleted()
            self.transport.lingerConnection()
            self.transport.lingerConnection()

    serving = serve(Leaving, clock=clock)
    silent = await aside(greet, serving.number)
    protocol = await serving.protocol(0)
    assert b"" == await aside(silent.recv, 1)
    assert not protocol.reasons
    protocol.transport.write(b"nobody hears it")
    protocol.transport.loseConnection()
    clock.pump([BUCKET] * 13)
    await until(lambda: protocol.reasons, "the end of the silent one")
    loud = await aside(greet, serving.number)
    protocol = await serving.protocol(1)
    with pytest.raises(OSError):
        await aside(loud.sendall, BIG * 4)
    await until(lambda: protocol.reasons, "the end of the loud one")
    assert ["made", "handshake", "lost"] == protocol.events


@pytest.mark.parametrize("takes", [0, 3])
@pytest_twisted.ensureDeferred
async def test_a_client_that_takes_nothing_does_not_keep_the_connection(
    serve: Serve, takes: int
) -> None:
    """``loseConnection`` waits for progress, and ``write_timeout`` for the lack of it."""
    clock = Clock()

    class Generous(Scribe):
        def handshakeCompleted(self) -> None:
            super().handshakeCompleted()
            self.transport.write(BIG * 3)
            self.transport.loseConnection()

    serving = serve(Generous, clock=clock, write_timeout=30.0)
    sock = await aside(lambda: greet(serving.number, small=True))
    protocol = await serving.protocol()
    await until(lambda: "handshake" in protocol.events, "the handshake")
    for _ in range(takes):  # each time a little is taken, so at each look there is progress
        clock.pump([BUCKET] * 20)
        await aside(take, sock, 400_000)
        await turns()
        assert not protocol.reasons
    clock.pump([BUCKET] * 63)  # what was taken last is noticed at the next look
    await until(lambda: protocol.reasons, "the end")
    assert [ConnectionAborted] == protocol.reasons


@pytest_twisted.ensureDeferred
async def test_the_goodbye_waits_for_room_too(serve: Serve) -> None:
    """``WantWriteError`` from ``shutdown``: the connection is not cut off without a word."""

    class Polite(Scribe):
        def handshakeCompleted(self) -> None:
            real, full = self.transport._tls, [True, True]

            def shutdown() -> bool:
                if full:
                    full.pop()
                    raise SSL.WantWriteError
                return bool(real.shutdown())

            self.transport._tls = Intercepted(real, shutdown=shutdown)
            self.transport.write(b"bye")
            self.transport.loseConnection()

    serving = serve(Polite)
    sock = await aside(greet, serving.number)
    assert b"bye" == await aside(read_all, sock)


@pytest_twisted.ensureDeferred
async def test_a_goodbye_that_has_no_room_is_not_waited_for_for_ever(serve: Serve) -> None:
    """Lingering as well: ``write_timeout`` counts from the first try, and nothing is read."""
    clock = Clock()

    class Stuck(Scribe):
        def handshakeCompleted(self) -> None:
            super().handshakeCompleted()

            def shutdown() -> bool:
                raise SSL.WantWriteError

            self.transport._tls = Intercepted(self.transport._tls, shutdown=shutdown)
            self.transport.lingerConnection()

    serving = serve(Stuck, clock=clock, write_timeout=30.0)
    sock = await aside(greet, serving.number)
    await aside(sock.send, b"unheard")
    protocol = await serving.protocol()
    await until(lambda: "handshake" in protocol.events, "the handshake")
    await turns()
    assert ["made", "handshake"] == protocol.events
    for _ in range(33):
        clock.advance(BUCKET)
    await until(lambda: protocol.reasons, "the end")
    assert [ConnectionAborted] == protocol.reasons


@pytest_twisted.ensureDeferred
async def test_half_close_in_both_directions(serve: Serve) -> None:
    """Each side may end its half and go on with the other, and TLS says so."""

    @implementer(IHalfCloseableProtocol)
    class Halves(Scribe):
        def readConnectionLost(self) -> None:
            self.events.append("read lost")
            self.transport.write(b"after your goodbye")
            self.transport.loseWriteConnection()

        def writeConnectionLost(self) -> None:
            self.events.append("write lost")
            self.transport.loseConnection()

    serving = serve(Halves)

    def client() -> bytes:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        sock = knock(serving.number)
        sock.setblocking(True)
        connection = SSL.Connection(context, sock)
        connection.set_connect_state()
        connection.set_tlsext_host_name(NAME.encode())
        connection.do_handshake()
        connection.send(b"mine")
        connection.shutdown()
        answer = connection.recv(100)
        with pytest.raises(SSL.ZeroReturnError):
            connection.recv(1)
        sock.close()
        return bytes(answer)

    assert b"after your goodbye" == await aside(client)
    protocol = serving.protocols[0]
    await until(lambda: protocol.reasons, "the end")
    assert ["made", "handshake", "data", "read lost", "write lost", "lost"] == protocol.story


@pytest_twisted.ensureDeferred
async def test_half_close_before_the_handshake_comes_after_it(serve: Serve) -> None:
    """``loseWriteConnection`` at once: the client reads what was queued, then the end."""

    class Brief(Scribe):
        def connectionMade(self) -> None:
            self.transport.loseWriteConnection()

    serving = serve(Brief)
    sock = await aside(greet, serving.number)
    assert b"" == await aside(read_all, sock)
    await aside(sock.send, b"still here")
    protocol = serving.protocols[0]
    await until(lambda: protocol.received, "data")


@pytest_twisted.ensureDeferred
async def test_losing_the_connection_before_the_handshake_ends_it(serve: Serve) -> None:
    """There is nobody yet that anything may be said to."""

    class Shy(Scribe):
        def connectionMade(self) -> None:
            self.transport.write(b"secret")
            self.transport.loseConnection()

    serving = serve(Shy)
    with pytest.raises((ConnectionError, ssl.SSLError)):
        await aside(greet, serving.number)
    protocol = serving.protocols[0]
    await until(lambda: protocol.reasons, "the end")
    assert ["lost"] == protocol.events


def take(sock: ssl.SSLSocket, count: int) -> None:
    """Read this many bytes."""
    while count > 0:
        count -= len(sock.recv(min(count, 65536)))

"""What Twisted promises of a transport holds for the one whose TLS is on the socket itself."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import pytest_twisted
from OpenSSL import SSL
from tls_serving import (
    NAME,
    Intercepted,
    Scribe,
    Serving,
    aside,
    greet,
    knock,
    read_all,
    tls_host,
    turns,
    until,
)
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IPullProducer,
    IPushProducer,
    ISSLTransport,
    ITransport,
)
from twisted.internet.task import Clock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from mtlsedge.model import Listen
from mtlsedge.openssl import shake_hands
from mtlsedge.ops.deadlines import BUCKET
from mtlsedge.tls import transport as tls_transport
from support import certs

Serve = Callable[..., Serving]
BIG = bytes(range(256)) * 12_000
"""3 MB: more than the kernel's buffers of one connection hold."""


# -- writing ----------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_what_is_written_before_the_handshake_is_sent_after_it(serve: Serve) -> None:
    """Queued at ``connectionMade``, read by the client, in order."""

    class Hasty(Scribe):
        def connectionMade(self) -> None:
            self.transport.write(b"one ")
            self.transport.writeSequence([b"two ", b"three"])

        def handshakeCompleted(self) -> None:
            self.transport.write(b" four")
            self.transport.loseConnection()

    serving = serve(Hasty)
    sock = await aside(greet, serving.number)
    assert b"one two three four" == await aside(read_all, sock)


@pytest_twisted.ensureDeferred
async def test_lose_connection_sends_everything_first_and_says_goodbye(serve: Serve) -> None:
    """Megabytes in one write, in many, and a close_notify at the end."""

    class Generous(Scribe):
        def handshakeCompleted(self) -> None:
            self.transport.write(BIG)
            self.transport.writeSequence([BIG[:7], b"", BIG[7:]])
            self.transport.loseConnection()

    serving = serve(Generous)
    sock = await aside(greet, serving.number)
    assert BIG + BIG == await aside(read_all, sock)
    protocol = serving.protocols[0]
    await until(lambda: protocol.reasons, "the end")
    assert [ConnectionDone] == protocol.reasons


@pytest_twisted.ensureDeferred
async def test_a_push_producer_is_paused_and_resumed(serve: Serve) -> None:
    """What the edge holds for a slow client stays within the buffer size and one piece."""
    piece = 64 * 1024

    @implementer(IPushProducer)
    class Pushing(Scribe):
        held = 0
        pauses = 0

        def connectionMade(self) -> None:
            shrink(self)
            self.paused = False
            self.left = len(BIG)
            self.transport.registerProducer(self, True)
            self.push()  # before the handshake there must be an end to it as well

        def push(self) -> None:
            while self.left and not self.paused:
                at = len(BIG) - self.left
                self.left -= len(BIG[at : at + piece])
                self.transport.write(BIG[at : at + piece])
                queued = len(self.transport.dataBuffer) + self.transport._tempDataLen
                self.held = max(self.held, queued)
            if not self.left:
                self.transport.unregisterProducer()
                self.transport.loseConnection()

        def pauseProducing(self) -> None:
            self.paused = True
            self.pauses += 1

        def resumeProducing(self) -> None:
            self.paused = False
            self.push()

        def stopProducing(self) -> None:
            self.events.append("stop")

    serving = serve(Pushing)
    sock = await aside(greet, serving.number)
    assert BIG == await aside(read_all, sock)
    protocol = serving.protocols[0]
    assert protocol.pauses >= 1
    assert protocol.held <= protocol.transport.bufferSize + piece + 16 * 1024


@pytest_twisted.ensureDeferred
async def test_a_pull_producer_is_asked_whenever_there_is_room(serve: Serve) -> None:
    """One piece per call, registered before the handshake."""

    @implementer(IPullProducer)
    class Pulled(Scribe):
        def connectionMade(self) -> None:
            self.at = 0
            self.transport.registerProducer(self, False)

        def resumeProducing(self) -> None:
            self.transport.write(BIG[self.at : self.at + 50_000])
            self.at += 50_000
            if self.at >= len(BIG):
                self.transport.unregisterProducer()
                self.transport.loseConnection()

        def stopProducing(self) -> None:
            self.events.append("stop")

    serving = serve(Pulled)
    sock = await aside(greet, serving.number)
    assert BIG == await aside(read_all, sock)


@pytest_twisted.ensureDeferred
async def test_a_producer_is_stopped_when_the_client_vanishes_mid_write(serve: Serve) -> None:
    """A reset while megabytes are queued: the producer and the protocol hear of it, once each."""

    @implementer(IPushProducer)
    class Writing(Scribe):
        def handshakeCompleted(self) -> None:
            self.transport.registerProducer(self, True)
            self.transport.write(BIG)

        def pauseProducing(self) -> None:
            self.events.append("pause")

        def resumeProducing(self) -> None:
            self.events.append("resume")

        def stopProducing(self) -> None:
            self.events.append("stop")

    serving = serve(Writing)
    sock = await aside(greet, serving.number)
    protocol = await serving.protocol()
    await until(lambda: "pause" in protocol.events, "a full socket")
    reset(sock)
    await until(lambda: protocol.reasons, "the end")
    await turns()
    assert ["made", "pause", "stop", "lost"] == protocol.events
    assert [ConnectionLost] == protocol.reasons


@pytest_twisted.ensureDeferred
async def test_an_error_without_a_reason_is_a_lost_connection(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL sometimes has nothing to say: ``SSL.Error([])``, while reading and while writing."""

    def nothing(*_: Any) -> Any:
        raise SSL.Error([])

    for method in ("write_some", "read_records"):
        serving = serve()
        sock = await aside(greet, serving.number)
        protocol = await serving.protocol()
        await until(lambda p=protocol: "handshake" in p.events, "the handshake")
        monkeypatch.setattr(tls_transport, method, nothing)
        if method == "write_some":
            protocol.transport.write(b"into the void")
            assert ["made", "handshake"] == protocol.events, "lost in the middle of a write"
        else:
            sock.send(b"x")
        await until(lambda p=protocol: p.reasons, "the end")
        assert [ConnectionLost] == protocol.reasons
        monkeypatch.undo()
        sock.close()


@pytest_twisted.ensureDeferred
async def test_rubbish_behind_a_full_record_is_noticed_at_once(serve: Serve) -> None:
    """The socket has nothing more to wake anybody up with."""
    serving = serve()
    sock = await aside(greet, serving.number)
    protocol = await serving.protocol()
    await until(lambda: "handshake" in protocol.events, "the handshake")
    protocol.transport.pauseProducing()
    await aside(sock.sendall, b"x" * 16 * 1024)
    with socket.socket(fileno=sock.detach()) as plain:
        plain.setblocking(True)
        await aside(plain.sendall, b"\x17\x03\x03\x00\x20" + bytes(32))  # a record, read to its end
        protocol.transport.resumeProducing()
        await until(lambda: protocol.reasons, "the end")
    assert b"x" * 16 * 1024 == protocol.received
    assert [ConnectionLost] == protocol.reasons


@pytest_twisted.ensureDeferred
async def test_a_write_that_must_read_first_goes_on_after_the_read(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``WantReadError`` from ``send``: nothing is lost, and nothing spins meanwhile."""
    serving = serve()
    sock = await aside(greet, serving.number)
    protocol = await serving.protocol()
    await until(lambda: "handshake" in protocol.events, "the handshake")
    real, tries = tls_transport.write_some, []

    def write_some(connection: SSL.Connection, data: Any) -> int:
        tries.append(len(data))
        if not protocol.received:
            raise SSL.WantReadError
        return real(connection, data)

    monkeypatch.setattr(tls_transport, "write_some", write_some)
    protocol.transport.write(b"later")
    await turns()
    assert 1 <= len(tries) <= 2
    await aside(sock.send, b"go on")
    assert b"later" == await aside(sock.recv, 10)


@pytest_twisted.ensureDeferred
async def test_a_handshake_that_must_write_first_waits_for_room(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``WantWriteError`` from a handshake: it goes on as soon as the socket takes bytes."""
    full = [True, True]

    def shake(connection: SSL.Connection) -> bool:
        if full:
            full.pop()
            raise SSL.WantWriteError
        return shake_hands(connection)

    monkeypatch.setattr(tls_transport, "shake_hands", shake)
    serving = serve()
    sock = await aside(greet, serving.number)
    await aside(sock.send, b"hello")
    protocol = serving.protocols[0]
    await until(lambda: protocol.received, "data")
    assert [] == full


@pytest_twisted.ensureDeferred
async def test_what_is_written_after_the_end_goes_nowhere(serve: Serve) -> None:
    """After an abort and after the connection is lost; and no descriptor is touched."""
    serving = serve()
    sock = await aside(greet, serving.number)
    protocol = await serving.protocol()
    await until(lambda: "handshake" in protocol.events, "the handshake")
    transport = protocol.transport
    sent: list[bytes] = []
    transport._tls = Intercepted(transport._tls, send=sent.append)
    transport.abortConnection()
    transport.write(b"too late")
    await until(lambda: protocol.reasons, "the end")
    transport.write(b"much too late")
    transport.loseConnection()
    transport.abortConnection()
    await turns()
    assert ([], ["made", "handshake", "lost"]) == (sent, protocol.events)
    assert [ConnectionAborted] == protocol.reasons
    with pytest.raises((ConnectionError, ssl.SSLError)):
        await aside(read_all, sock)


# -- reading ----------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_pausing_in_the_middle_of_the_data_stops_it_at_once(serve: Serve) -> None:
    """Not one piece more until it is resumed; then the rest, whole."""

    class Careful(Scribe):
        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            self.transport.pauseProducing()

    serving = serve(Careful)
    sock = await aside(greet, serving.number)
    sending = aside(sock.sendall, BIG)
    protocol = await serving.protocol()
    await until(lambda: protocol.received, "data")
    for pieces in (1, 2, 3):
        await turns()
        assert pieces == protocol.events.count("data")
        assert len(protocol.received) <= pieces * 64 * 1024
        protocol.transport.resumeProducing()
        await until(lambda n=pieces: protocol.events.count("data") > n, "the next piece")
    Careful.dataReceived = Scribe.dataReceived  # type: ignore[method-assign]
    protocol.transport.resumeProducing()
    await sending
    await until(lambda: len(protocol.received) == len(BIG), "the rest")
    assert BIG == protocol.received


@pytest_twisted.ensureDeferred
async def test_a_protocol_that_begins_paused_gets_its_handshake_all_the_same(serve: Serve) -> None:
    """But no data before it resumes."""

    class Paused(Scribe):
        def connectionMade(self) -> None:
            super().connectionMade()
            self.transport.pauseProducing()

    serving = serve(Paused)
    sock = await aside(greet, serving.number)
    await aside(sock.send, b"early")
    protocol = await serving.protocol()
    await until(lambda: "handshake" in protocol.events, "the handshake")
    await turns()
    assert ["made", "handshake"] == protocol.events
    protocol.transport.resumeProducing()
    await until(lambda: protocol.received, "data")
    assert b"early" == protocol.received


@pytest_twisted.ensureDeferred
async def test_data_that_comes_with_the_finished_is_not_left_lying(serve: Serve) -> None:
    """A request in the same segment as the client's last handshake message."""
    serving = serve()
    request = b"GET / HTTP/1.1\r\n\r\n"

    def client() -> socket.socket:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        connection = SSL.Connection(context, None)
        connection.set_connect_state()
        connection.set_tlsext_host_name(NAME.encode())
        sock = knock(serving.number)
        while True:
            try:
                connection.do_handshake()
            except SSL.WantReadError:
                sock.sendall(connection.bio_read(65536))
                connection.bio_write(sock.recv(65536))
            else:
                break
        connection.send(request)
        sock.sendall(connection.bio_read(65536))
        return sock

    sock = await aside(client)
    protocol = await serving.protocol()
    await until(lambda: protocol.received, "data")
    assert request == protocol.received
    sock.close()


@pytest_twisted.ensureDeferred
async def test_nothing_is_delivered_after_an_abort_in_the_middle_of_the_data(serve: Serve) -> None:
    """Several full records wait; the first one makes the protocol abort."""

    class Offended(Scribe):
        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            self.transport.abortConnection()

    serving = serve(Offended)
    sock = await aside(greet, serving.number)
    sending = aside(sock.sendall, BIG)
    protocol = await serving.protocol()
    await until(lambda: protocol.reasons, "the end")
    assert ["made", "handshake", "data", "lost"] == protocol.events
    with suppress(OSError):
        await sending


# -- the end ----------------------------------------------------------------------------------


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


# -- what it says of itself -------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_it_knows_both_ends_and_says_that_it_is_tls(serve: Serve) -> None:
    """Addresses, interfaces, and the certificate as it was presented."""
    serving = serve(hosts={NAME: tls_host(NAME)})
    sock = await aside(greet, serving.number)
    protocol = await serving.protocol()
    await until(lambda: "handshake" in protocol.events, "the handshake")
    transport = protocol.transport
    assert IPv4Address("TCP", *sock.getsockname()) == transport.getPeer()
    assert IPv4Address("TCP", "127.0.0.1", serving.number) == transport.getHost()
    assert verifyObject(ISSLTransport, transport)
    assert ITransport.providedBy(transport)
    assert transport.getPeerCertificate() is None
    assert 1 == sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) or True
    assert transport.getTcpNoDelay()
    assert ("TLSv1.3", NAME) == (transport.facts.version, transport.server_name)


@pytest_twisted.ensureDeferred
async def test_ipv6(serve: Serve) -> None:
    """The same on ``[::1]``."""
    serving = serve(listen=Listen("::1", 0))

    def client() -> ssl.SSLSocket:
        raw = socket.create_connection(("::1", serving.number), 10)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(certs.ca_file(certs.SERVER_CA))
        return context.wrap_socket(raw, server_hostname=NAME)

    sock = await aside(client)
    protocol = await serving.protocol()
    await until(lambda: "handshake" in protocol.events, "the handshake")
    assert IPv6Address("TCP", "::1", sock.getsockname()[1]) == protocol.transport.getPeer()
    assert "::1" == protocol.transport.getHost().host


# -- helpers ----------------------------------------------------------------------------------


def reset(sock: ssl.SSLSocket) -> None:
    """Vanish with an RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def shrink(protocol: Scribe) -> None:
    """Let the kernel hold as little of what the edge sends as it can."""
    protocol.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)


def take(sock: ssl.SSLSocket, count: int) -> None:
    """Read this many bytes."""
    while count > 0:
        count -= len(sock.recv(min(count, 65536)))

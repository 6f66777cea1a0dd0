"""What Twisted promises of a transport that writes, kept where TLS is on the socket itself."""

from __future__ import annotations

import socket
import ssl
import sys
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
    read_all,
    tls_host,
    turns,
    until,
)
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPullProducer, IPushProducer, ISSLTransport, ITransport
from zope.interface import implementer
from zope.interface.verify import verifyObject

from mtlsedge.model import Listen
from mtlsedge.openssl import RECORD, shake_hands
from mtlsedge.tls import transport as tls_transport
from support import certs

# -- writing -----------------------------------------------------------------------------------


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
async def test_several_records_leave_in_fewer_segments_and_none_is_held_back(serve: Serve) -> None:
    """Each segment wakes the client; what is left of the last one must not wait for more."""

    def segments(sock: socket.socket) -> int:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
        return int.from_bytes(info[156:160], sys.byteorder)  # tcpi_data_segs_out

    class Generous(Scribe):
        found = 0, 0

        def dataReceived(self, data: bytes) -> None:
            sock = self.transport.socket
            before = segments(sock)
            self.transport.write(bytes(3 * RECORD + 1))
            held = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK)
            self.found = segments(sock) - before, held
            self.transport.loseConnection()

    serving = serve(Generous)
    sock = await aside(greet, serving.number)
    sock.send(b"x")
    assert bytes(3 * RECORD + 1) == await aside(read_all, sock)
    count, held = serving.protocols[0].found
    assert 1 <= count <= 2  # of four records
    assert 0 == held


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


# -- what it says of itself --------------------------------------------------------------------


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


def shrink(protocol: Scribe) -> None:
    """Let the kernel hold as little of what the edge sends as it can."""
    protocol.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)

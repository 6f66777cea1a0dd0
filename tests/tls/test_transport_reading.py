"""What a client says comes to the protocol in its order, and only while it wants to read."""

from __future__ import annotations

import socket
from contextlib import suppress

import pytest_twisted
from OpenSSL import SSL
from rough_clients import BIG
from tls_serving import NAME, Scribe, Serve, aside, greet, knock, turns, until


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

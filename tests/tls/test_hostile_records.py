"""Clients whose handshake was honest and whose records are not."""

from __future__ import annotations

import socket
from collections.abc import Callable
from random import Random

import pytest
import pytest_twisted
from handmade_tls13 import ALERT, APPLICATION_DATA, HANDSHAKE, HandmadeClient
from OpenSSL import SSL
from tls_serving import NAME, Scribe, Serve, aside, greet, knock, turns, until
from twisted.internet.error import ConnectionDone, ConnectionLost


class Counting(Scribe):
    """Counts how often the reactor called its transport to read."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.turns = 0
        read = self.transport.doRead

        def count() -> object:
            self.turns += 1
            return read()

        self.transport.doRead = count


class Echo(Scribe):
    """Sends back what comes."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


@pytest_twisted.ensureDeferred
async def test_data_behind_a_key_update_is_not_left_lying(serve: Serve) -> None:
    """KeyUpdates and data in one segment, and the server's own update when it is asked."""
    serving = serve(Echo)

    def client() -> bytes:
        made = HandmadeClient(knock(serving.number), NAME)
        data = [made.record(APPLICATION_DATA, b"one "), made.key_update()]
        data += [made.record(APPLICATION_DATA, b"two "), made.key_update(ask=True)]
        data += [made.key_update(ask=True), made.record(APPLICATION_DATA, b"three")]
        made.sock.sendall(b"".join(data))
        answer = b""
        while len(answer) < 13:
            answer += made.connection.recv(100)
        made.sock.close()
        return answer

    assert b"one two three" == await aside(client)


@pytest_twisted.ensureDeferred
async def test_a_flood_of_key_updates_leaves_others_their_turn(serve: Serve) -> None:
    """One record each time: a ``recv`` that goes on while there are more has no end."""
    serving = serve(Counting)
    flood = 5_000

    def client() -> socket.socket:
        made = HandmadeClient(knock(serving.number), NAME)
        data = b"".join(made.key_update() for _ in range(flood))
        made.sock.sendall(data + made.record(APPLICATION_DATA, b"done"))
        return made.sock

    sock = await aside(client)
    protocol = await serving.protocol()
    await until(lambda: protocol.received, "the end of the flood")
    assert protocol.turns > flood
    sock.close()


@pytest_twisted.ensureDeferred
async def test_one_that_asks_and_never_reads_does_not_keep_the_process_turning(
    serve: Serve,
) -> None:
    """No room for our KeyUpdate: reading waits until there is some."""

    class Small(Counting):
        def connectionMade(self) -> None:
            super().connectionMade()
            handle = self.transport.getHandle()
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)

    serving = serve(Small)

    def client() -> HandmadeClient:
        made = HandmadeClient(knock(serving.number, small=True), NAME)
        data = b"".join(made.key_update(ask=True) for _ in range(4_000))
        made.sock.setblocking(False)
        made.sock.send(data)  # what fits
        return made

    made = await aside(client)
    protocol = await serving.protocol()

    async def rests() -> int:
        before = protocol.turns
        await turns(30)
        return int(protocol.turns - before)

    for _ in range(200):
        if not await rests():
            break
    assert 0 == await rests()
    assert not protocol.reasons
    assert not protocol.received
    made.sock.setblocking(True)
    made.sock.close()
    await until(lambda: protocol.reasons, "the end")


@pytest_twisted.ensureDeferred
async def test_half_a_key_update_holds_nobody_but_its_sender(serve: Serve) -> None:
    """OpenSSL wants the rest before it writes; nothing spins, and the rest sets it free."""
    serving = serve(Counting)
    made = await aside(lambda: HandmadeClient(knock(serving.number), NAME))
    protocol = await serving.protocol()
    await until(lambda: "handshake" in protocol.events, "the handshake")
    before = protocol.turns
    made.sock.sendall(made.record(HANDSHAKE, b"\x18\0"))
    await until(lambda: protocol.turns > before, "the first half")
    protocol.transport.write(b"waiting")
    before = protocol.turns
    await turns()
    assert before == protocol.turns
    other = await aside(greet, serving.number)
    other.close()
    made.sock.sendall(made.record(HANDSHAKE, b"\0\1\0"))
    assert b"waiting" == await aside(made.connection.recv, 100)
    made.sock.close()


@pytest_twisted.ensureDeferred
async def test_empty_records_come_to_an_end(serve: Serve) -> None:
    """A stream of records without content is refused, not read for ever."""
    serving = serve(Counting)

    def client() -> socket.socket:
        made = HandmadeClient(knock(serving.number), NAME)
        made.sock.sendall(b"".join(made.record(APPLICATION_DATA, b"") for _ in range(1_000)))
        return made.sock

    sock = await aside(client)
    protocol = await serving.protocol()
    await until(lambda: protocol.reasons, "the end")
    assert ([ConnectionLost], b"") == (protocol.reasons, protocol.received)
    sock.close()


@pytest_twisted.ensureDeferred
async def test_garbage_in_place_of_a_record_ends_only_its_own_connection(serve: Serve) -> None:
    """A bad tag, an unknown kind, bytes that are no TLS at all; another client goes on."""
    serving = serve(Echo)
    other = await aside(greet, serving.number)

    def bad_tag(made: HandmadeClient) -> bytes:
        record = made.record(APPLICATION_DATA, b"x")
        return record[:-1] + bytes([record[-1] ^ 1])  # a fixed byte may be the right one

    kinds: list[Callable[[HandmadeClient], bytes]] = [
        bad_tag,
        lambda made: made.record(99, b"x"),
        lambda made: made.record(HANDSHAKE, b"\x01\0\0\0"),  # a ClientHello: no renegotiation
        lambda made: made.record(ALERT, b"\x02\x50"),
        lambda _: b"GET / HTTP/1.1\r\n\r\n",
        lambda _: Random(64).randbytes(64),
    ]
    for place, make in enumerate(kinds, 1):
        made = await aside(lambda: HandmadeClient(knock(serving.number), NAME))
        made.sock.sendall(make(made))
        protocol = await serving.protocol(place)
        await until(lambda p=protocol: p.reasons, "the end")
        assert [ConnectionLost] == protocol.reasons
        assert b"" == protocol.received
        made.sock.close()
        await aside(other.send, b"ping")
        assert b"ping" == await aside(other.recv, 10)
    other.close()


@pytest_twisted.ensureDeferred
async def test_a_goodbye_under_pause_is_heard_after_it(serve: Serve) -> None:
    """What was sent before the client's close_notify comes first, then the end."""

    class Paused(Scribe):
        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            self.transport.pauseProducing()

    serving = serve(Paused)

    def client() -> None:
        sock = greet(serving.number)
        sock.sendall(b"x" * 200_000)
        sock.unwrap()

    leaving = aside(client)
    protocol = await serving.protocol()
    pieces = 0
    while len(protocol.received) < 200_000:
        await until(lambda n=pieces: protocol.events.count("data") > n, "a piece")
        await turns()
        pieces += 1
        assert (pieces, []) == (protocol.events.count("data"), protocol.reasons)
        protocol.transport.resumeProducing()
    assert pieces > 2
    await until(lambda: protocol.reasons, "the end")
    assert ([ConnectionDone], 200_000) == (protocol.reasons, len(protocol.received))
    await leaving


@pytest_twisted.ensureDeferred
async def test_the_edges_own_goodbye_reaches_a_client_that_updates_its_keys(serve: Serve) -> None:
    """The answer, the KeyUpdate that was asked for and the close_notify, in this order."""

    class Leaving(Scribe):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(data)
            self.transport.loseConnection()

    serving = serve(Leaving)

    def client() -> bytes:
        made = HandmadeClient(knock(serving.number), NAME)
        made.sock.sendall(made.key_update(ask=True) + made.record(APPLICATION_DATA, b"last"))
        answer = made.connection.recv(100)
        with pytest.raises(SSL.ZeroReturnError):
            made.connection.recv(1)
        made.sock.close()
        return bytes(answer)

    assert b"last" == await aside(client)

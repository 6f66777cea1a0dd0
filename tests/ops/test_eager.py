"""Eager writes: at once where that is possible, and in order always."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.main import CONNECTION_LOST
from zope.interface import implementer

from mtlsedge.ops.eager import write_eagerly


class Reactor:
    """Remembers who wants to write."""

    def __init__(self) -> None:
        self.writers: set[Any] = set()
        self.addWriter = self.writers.add
        self.removeWriter = self.writers.discard
        self.removeReader = lambda _: None


class Transport(FileDescriptor):
    """A socket that takes ``room`` bytes, then nothing; or fails."""

    connected = 1

    def __init__(self, room: int = 1 << 30) -> None:
        super().__init__(Reactor())  # type: ignore[arg-type]
        self.room = room
        self.taken = b""
        self.calls = 0
        self.error: Exception | None = None

    def writeSomeData(self, data: bytes) -> int | BaseException:
        self.calls += 1
        if self.error:
            return self.error
        piece = bytes(data[: self.room])
        self.room -= len(piece)
        self.taken += piece
        return len(piece)

    @property
    def waits(self) -> bool:
        return self in self.reactor.writers  # type: ignore[attr-defined]


@implementer(IPushProducer)
class Producer:
    """Counts its pauses and resumptions."""

    def __init__(self) -> None:
        self.paused = self.resumed = 0

    def pauseProducing(self) -> None:
        self.paused += 1

    def resumeProducing(self) -> None:
        self.resumed += 1

    def stopProducing(self) -> None:
        pass


def test_what_fits_leaves_at_once() -> None:
    """No turn of the reactor, and nobody waits for one."""
    transport = Transport()
    write_eagerly(transport, b"all of it")
    assert (b"all of it", False) == (transport.taken, transport.waits)


def test_what_does_not_fit_waits_and_the_rest_follows_in_order() -> None:
    """Further writes queue behind it, although the socket might take them."""
    transport = Transport(room=4)
    write_eagerly(transport, b"0123456789")
    transport.room = 100
    write_eagerly(transport, b"abc")
    assert (b"0123", True) == (transport.taken, transport.waits)
    transport.doWrite()
    assert (b"0123456789abc", False) == (transport.taken, transport.waits)


def test_a_full_queue_pauses_the_producer_and_an_empty_one_resumes_it() -> None:
    """Only what could not leave counts."""
    transport, producer = Transport(room=10), Producer()
    transport.registerProducer(producer, True)
    write_eagerly(transport, b"x" * 10)
    assert 0 == producer.paused
    write_eagerly(transport, b"y" * (transport.bufferSize + 1))
    assert 1 == producer.paused
    transport.room = 1 << 30
    while transport.waits:
        transport.doWrite()
    assert 1 == producer.resumed


def test_a_pull_producer_is_served_by_the_queue() -> None:
    """The queue running dry is what asks it for more."""

    @implementer(IPullProducer)
    class Pulled(Producer):
        def resumeProducing(self) -> None:
            self.resumed += 1
            if self.resumed <= 3:
                write_eagerly(transport, b"piece ")

    transport, producer = Transport(), Pulled()
    transport.registerProducer(producer, False)
    for _ in range(3):
        assert transport.waits
        transport.doWrite()
    assert (b"piece " * 3, 4) == (transport.taken, producer.resumed)


def test_an_error_is_left_for_the_reactor() -> None:
    """A connection is never lost in the middle of its protocol's write."""
    transport = Transport()
    transport.error = CONNECTION_LOST
    write_eagerly(transport, b"x")
    assert (1, True) == (transport.connected, transport.waits)
    assert CONNECTION_LOST is transport.doWrite()


@pytest.mark.parametrize("gone", ["connected", "_writeDisconnected"])
def test_nothing_is_sent_where_nothing_may_be(gone: str) -> None:
    """After the connection is lost, and after its writing half was closed."""
    transport = Transport()
    setattr(transport, gone, gone != "connected")
    write_eagerly(transport, b"x")
    assert (0, b"", False) == (transport.calls, transport.taken, transport.waits)


def test_no_bytes_are_no_write() -> None:
    """An empty write leaves no trace."""
    transport = Transport()
    write_eagerly(transport, b"")
    assert (b"", False) == (transport.taken, transport.waits)

"""The epoll loop without log contexts."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.selectreactor import SelectReactor
from twisted.logger import globalLogPublisher
from zope.interface import implementer

from mtlsedge.ops.polling import poll_plainly


@implementer(IReadDescriptor)
class Reader:
    """One end of a socket pair that notes what the reactor says."""

    def __init__(self, sock: socket.socket, fails: bool = False) -> None:
        self.sock = sock
        self.fails = fails
        self.said: list[str] = []

    def fileno(self) -> int:
        return self.sock.fileno()

    def logPrefix(self) -> str:
        raise AssertionError("nobody needs a prefix")

    def doRead(self) -> None:
        self.sock.recv(10)
        self.said.append("read")
        if self.fails:
            raise ValueError("a fault of this connection")

    def connectionLost(self, reason: Any) -> None:
        self.said.append(reason.type.__name__)
        raise RuntimeError("and a fault in hearing of it")


def test_events_reach_their_descriptors_without_a_log_prefix() -> None:
    """And an error ends its own connection only, and is logged."""
    reactor = EPollReactor()
    assert poll_plainly(reactor)
    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)
    pairs = [socket.socketpair() for _ in range(2)]
    try:
        readers = [Reader(pairs[0][0]), Reader(pairs[1][0], fails=True)]
        for reader, (_, other) in zip(readers, pairs, strict=True):
            reactor.addReader(reader)
            other.send(b"x")
        for _ in range(4):
            reactor.doIteration(0.1)
        pairs[0][1].send(b"x")
        reactor.doIteration(0.1)
        assert ["read", "read"] == readers[0].said
        assert ["read", "ValueError"] == readers[1].said
        assert [event for event in events if "failure" in event or "log_failure" in event]
    finally:
        globalLogPublisher.removeObserver(events.append)
        for pair in pairs:
            for sock in pair:
                sock.close()


def test_no_event_is_an_iteration_like_any_other() -> None:
    """The time-out passes and nothing is said."""
    reactor = EPollReactor()
    poll_plainly(reactor)
    reactor.doIteration(0)
    reactor.doIteration(0.01)


def test_another_reactor_is_left_alone() -> None:
    """Its inside is not ours to know."""
    reactor = SelectReactor()
    before = reactor.doIteration
    assert not poll_plainly(reactor)
    assert before == reactor.doIteration

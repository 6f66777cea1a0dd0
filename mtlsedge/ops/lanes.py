"""Who waits for whom? Connections that carry much stand in a lane of their own.

A turn of the reactor serves every descriptor that is ready, and one that moves a full buffer of
somebody's download takes as long as three small requests. Where hundreds of them are ready, each
small request would wait for them all. So they are polled apart, a few in each turn, and go on
for as long as the others took; with nobody else there, nobody waits.
"""

from __future__ import annotations

from collections.abc import Callable
from select import epoll
from time import perf_counter
from typing import Any, ClassVar

from twisted.internet.abstract import FileDescriptor
from twisted.internet.epollreactor import EPollReactor
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure

from mtlsedge.ops.polling import disconnect, poll

MUCH = 128 * 1024
"""Bytes of one message from which its connections give way to others."""

AT_ONCE = 130_700
"""Bytes that are read together of such a message where they are not encrypted.

With TLS's eight records around them they are two segments of the loopback interface, and about as
many elsewhere; and no more than the C library has in stock.
"""

_LARGE = 16 * 1024  # bytes of a tunnel that come at once, from which they may be part of much
_FEW = 2  # events between two looks at the clock
_LEAST, _MOST = 100e-6, 2e-3  # seconds of a turn


class SlowLane(EPollReactor):
    """The descriptors that give way, of one reactor.

    It is a descriptor of the reactor, ready whenever one of its own is; and to its own it is the
    reactor. Of Twisted's epoll reactor it is only the part that keeps descriptors.
    """

    def __init__(self, reactor: Any) -> None:
        self._poller = epoll()
        self._reads: set[int] = set()
        self._writes: set[int] = set()
        self._selectables: dict[int, Any] = {}
        self._continuousPolling = reactor._continuousPolling
        self._over = perf_counter()
        self.slow_lane = self
        self.whole = reactor
        reactor.addReader(self)

    def fileno(self) -> int:
        """That of the kernel's set of them."""
        return int(self._poller.fileno())

    def logPrefix(self) -> str:
        """What old-style log lines begin with."""
        return type(self).__name__

    def callLater(
        self, delay: float, callable: Callable[..., Any], *args: object, **kw: object
    ) -> Any:
        """The reactor's, for what a transport puts off."""
        return self.whole.callLater(delay, callable, *args, **kw)

    def doRead(self) -> None:
        """Serve some. The kernel keeps them in turn: those that were served go to the end."""
        now = perf_counter()
        # As long as the others took: under load, neither waits for the other for ever.
        until = now + min(max(now - self._over, _LEAST), _MOST)
        while now < until and self._selectables and poll(self, _FEW, 0):
            now = perf_counter()
        self._over = now

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends, and with it all that it had."""
        own: Any = self
        for each in list(self._selectables.values()):
            own.removeReader(each)
            own.removeWriter(each)
            each.connectionLost(reason)
        self._poller.close()

    def _disconnectSelectable(
        self, selectable: Any, why: Any, isRead: Any, faildict: Any = None
    ) -> None:
        disconnect(self, selectable, why, isRead)


class Carrier:
    """A protocol that gives way while it carries much, and has its turn again when it rests."""

    transport: Any
    at_once: ClassVar[int | None] = None  # bytes to read while it carries much, if not the usual
    _carried = 0  # bytes of this message

    def carries(self, count: int) -> None:
        """So many bytes more of a body are on their way."""
        before = self._carried
        self._carried = before + count
        if before < MUCH <= self._carried:
            _move(self.transport, self.at_once, slow=True)

    def carries_some(self, count: int) -> None:
        """So many bytes of a tunnel, which may carry much now and a word at a time later."""
        if count >= _LARGE:
            self.carries(count)
        elif self._carried:
            self.rests()

    def rests(self) -> None:
        """The message is over."""
        if self._carried >= MUCH:
            _move(self.transport, self.at_once, slow=False)
        self._carried = 0


def _move(transport: Any, at_once: int | None, *, slow: bool) -> None:
    """Where the reactor is none of the edge's own, or the transport has none, nothing moves."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    if at_once is not None:
        transport.bufferSize = at_once if slow else FileDescriptor.bufferSize
    old: Any = getattr(transport, "reactor", None)
    if not hasattr(old, "slow_lane"):
        return
    new: Any = _lane_of(old) if slow else getattr(old, "whole", old)
    if new is old:
        return
    number = transport.fileno()
    reads, writes = number in old._reads, number in old._writes
    if reads:
        old.removeReader(transport)
    if writes:
        old.removeWriter(transport)
    transport.reactor = new
    if reads:
        new.addReader(transport)
    if writes:
        new.addWriter(transport)


def _lane_of(reactor: Any) -> SlowLane:
    """Made when it is first needed: a process that is forked later must not share it."""
    if reactor.slow_lane is None:
        reactor.slow_lane = SlowLane(reactor)
    lane: SlowLane = reactor.slow_lane
    return lane

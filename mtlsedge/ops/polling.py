"""How does the reactor wait? Twisted's epoll loop without a log context for each event.

Twisted wraps every event in a context that gives old-style log messages a prefix: seven calls,
twice in a request and seven times in a handshake. Nothing here logs in that style.
"""

from __future__ import annotations

from errno import EINTR
from functools import partial
from select import EPOLLIN, EPOLLOUT
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.logger import Logger

_log = Logger()

_MOST = 1024  # events at once: room for one from each of 10,000 connections is dear to make


def poll_plainly(reactor: Any) -> bool:
    """Make a reactor that is exactly Twisted's epoll reactor wait without log contexts.

    Any other is left as it is. Call it before the reactor runs. Whether it was done.
    """
    if type(reactor) is not EPollReactor:
        return False
    loop: Any = reactor
    loop.slow_lane = None  # see `lanes.SlowLane`
    loop.doIteration = partial(poll, loop, _MOST)
    loop._disconnectSelectable = partial(disconnect, loop)
    return True


def poll(reactor: Any, most: int, timeout: float | None) -> int:
    """``EPollReactor.doPoll``, but for the context; errors are handled below it all the same.

    Waits so many seconds for at most so many events; how many there were.
    """
    selectables = reactor._selectables
    try:
        events = reactor._poller.poll(
            -1 if timeout is None else timeout, min(len(selectables), most)
        )
    except OSError as error:
        if error.errno == EINTR:
            return 0
        raise
    read_or_write = reactor._doReadOrWrite
    for descriptor, event in events:
        selectable = selectables.get(descriptor)
        if selectable is None:
            continue  # it went with an event before this one
        try:
            if event & EPOLLIN and not event & EPOLLOUT:
                _read(reactor, selectable)
            else:
                read_or_write(selectable, descriptor, event)
        except Exception:  # of a protocol that is told of its end, say
            _log.failure("an event of {what} failed", what=type(selectable).__name__)
    return len(events)


def disconnect(reactor: Any, selectable: Any, why: Any, is_read: bool) -> None:
    """Tell a descriptor of its end, also one that went to another lane with its last event."""
    home = getattr(selectable, "reactor", reactor)
    if not hasattr(home, "slow_lane"):
        home = reactor
    EPollReactor._disconnectSelectable(home, selectable, why, is_read)


def _read(reactor: Any, selectable: Any) -> None:
    """The most usual event of all: there is something to read, if only the end."""
    try:
        lost = selectable.doRead()
    except Exception as error:
        _log.failure("reading from {what} failed", what=type(selectable).__name__)
        lost = error
    if lost:
        reactor._disconnectSelectable(selectable, lost, True)

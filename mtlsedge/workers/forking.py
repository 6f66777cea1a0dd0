"""How does a worker begin? As a fork of the parent, with an event loop of its own.

Forked and not executed anew: it works in a chroot and after privileges were dropped, with keys
that only root could read, and what the parent has built (client CAs, revocation lists, the keys
of session tickets) is there already, in memory that is shared until somebody changes it.

Of the parent's event loop nothing may be used or left: its epoll set is one and the same in both
processes, and so are the pipes that signals wake it with.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.main import installReactor
from twisted.logger import Logger

from mtlsedge.workers.channel import channel_pair
from mtlsedge.workers.logs import leave_the_log

_log = Logger()

Work = Callable[[socket.socket], int]
"""What a worker does, given its end of the channel: it returns the exit status."""

_TO_ALL = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
"""Signals of which the parent tells its workers what to do: those that a terminal or ``kill``
sends to the whole process group must not do their work twice."""

_BLOCKED = {*_TO_ALL, signal.SIGTERM, signal.SIGCHLD}


def fork_worker(work: Work) -> tuple[int, socket.socket]:
    """Fork. The worker's process id, and the parent's end of its channel.

    Call it where no other thread runs. The worker never returns.

    Raises:
        OSError: there is no memory, no descriptor or no process left.
    """
    here, there = channel_pair()
    # A signal between the fork and the worker's own handlers would be handled as the parent's.
    with _signals_blocked() as unblock:
        try:
            pid = os.fork()
        except OSError:
            here.close()
            there.close()
            raise
        if not pid:
            _be_worker(work, here, there, unblock)
    there.close()
    return pid, here


def _be_worker(
    work: Work, here: socket.socket, there: socket.socket, unblock: Callable[[], None]
) -> None:
    """Work, and end, whatever happens: nothing may return into what the parent was doing."""
    status = 1
    try:
        here.close()
        _forget_signals()
        unblock()
        leave_the_log()
        status = work(there)
    except BaseException:
        with suppress(BaseException):  # an observer that fails
            _log.failure("a worker failed")
    finally:
        os._exit(status)


def fresh_reactor(old: Any) -> Any:
    """The event loop of a process that was just forked, of the same kind as its parent's.

    It becomes the global reactor. The old one is made harmless.
    """
    poller = getattr(old, "_poller", None)
    if poller is not None and hasattr(poller, "close"):
        poller.close()
    for waker in list(getattr(old, "_internalReaders", ())):
        waker.connectionLost(None)
    sys.modules.pop("twisted.internet.reactor", None)
    if isinstance(old, AsyncioSelectorReactor):
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        reactor: Any = AsyncioSelectorReactor(loop)
    else:
        reactor = type(old)()
    installReactor(reactor)
    return reactor


@contextmanager
def _signals_blocked() -> Iterator[Callable[[], None]]:
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)

    def unblock() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)

    try:
        yield unblock
    finally:
        unblock()


def _forget_signals() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number in _TO_ALL:
        # Not SIG_IGN, which programs that a verifier starts would inherit.
        signal.signal(number, lambda *_: None)

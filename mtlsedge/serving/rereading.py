"""How is a configuration read again while clients are served?"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from mtlsedge.model import Configuration

_SLICE = 0.0005  # seconds that clients wait for the reading thread at a time; 5 ms are Python's


class Rereading:
    """Reads a configuration when it is asked to, one reading at a time.

    Ten thousand hosts take seconds, which are the clients' if they are spent in the reactor. Who
    asks while it reads has it read once more: what was changed meanwhile may have been missed.

    Args:
        reactor: has the threads to read in; None reads at once, which a process without clients
            may, and one that forks must.
        read: gives the configuration, or raises.
        take: is called with what was read, in the reactor's own turn.
        fail: is called with what kept it from being read, or taken.
    """

    def __init__(
        self,
        reactor: Any,
        read: Callable[[], Configuration],
        take: Callable[[Configuration], object],
        fail: Callable[[Failure], object],
    ) -> None:
        self._reactor = reactor
        self._read = read
        self._take = take
        self._fail = fail
        self._slice = sys.getswitchinterval()
        self._reading = self._again = False

    def ask(self) -> None:
        """Read what is there from now on."""
        if self._reading:
            self._again = True
            return
        self._reading = True
        reading = self._begin()
        reading.addBoth(self._end)
        reading.addCallback(self._take).addErrback(self._fail)
        reading.addBoth(self._go_on)

    def _begin(self) -> Deferred[Any]:
        if self._reactor is None:
            return maybeDeferred(self._read)
        self._slice = sys.getswitchinterval()
        sys.setswitchinterval(_SLICE)
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), self._read)

    def _end(self, result: Any) -> Any:
        if self._reactor is not None:
            sys.setswitchinterval(self._slice)
        return result

    def _go_on(self, _: object) -> None:
        self._reading = False
        if self._again:
            self._again = False
            self.ask()

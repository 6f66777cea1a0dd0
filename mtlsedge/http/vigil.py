"""Who may stay? Looks after open connections: certificates end, lists and policies change.

What changed a list calls ``look_at_all``; what time ends is found by ``look_for_ends``, every
second. Each connection then asks for itself (``HTTPConnection.reconsider``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from mtlsedge.http.site import Crowd, Live

_log = Logger()

INTERVAL = 1.0
"""Seconds: no certificate is served for longer after its end."""

_AT_ONCE = 200  # connections that are asked before others get their turn


class Vigil:
    """Watches over the connections of one process.

    Args:
        crowd: the connections.
        clock: when to look.
        now: the wall clock, by which certificates end, in seconds since the epoch.
    """

    def __init__(self, crowd: Crowd, clock: IReactorTime, now: Callable[[], float]) -> None:
        self._crowd = crowd
        self._clock = clock
        self._now = now
        self._looking = LoopingCall(self.look_for_ends)
        self._looking.clock = clock

    def start(self) -> None:
        """Begin."""
        self._looking.start(INTERVAL, now=False)

    def stop(self) -> None:
        """End."""
        if self._looking.running:
            self._looking.stop()

    def look_for_ends(self) -> None:
        """Ask the connections for which something ends by now."""
        now = self._now()
        self._ask(iter([each for each in self._crowd.connections if each.holds_until <= now]))

    def look_at_all(self) -> None:
        """Ask every connection: something changed that may concern it."""
        self._ask(iter(list(self._crowd.connections)))

    def _ask(self, rest: Iterator[Live]) -> None:
        some = tuple(islice(rest, _AT_ONCE))
        for connection in some:
            try:
                connection.reconsider()
            except Exception:
                _log.failure("a connection that cannot be judged again is cut")
                connection.stop()
        if len(some) == _AT_ONCE:
            self._clock.callLater(0, self._ask, rest)

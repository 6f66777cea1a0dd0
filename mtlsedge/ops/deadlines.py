"""When is a peer too slow? Deadlines for many connections on txaio's batched timers.

A connection moves its deadline with nearly every event, so moving must cost an attribute and
not a timer. Deadlines of the same second share one timer; each is looked at when its second
comes, and where it has moved meanwhile it is followed. What is left of a connection that ended
early is one entry in a list, until that second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil, inf
from typing import Any

import txaio
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

_txaio: Any = txaio  # what it offers depends on the framework, and is not typed
_log = Logger()

BUCKET = 1.0
"""Seconds. A deadline is noticed at most one bucket late, and never early."""

_NEVER = 1 << 62

# What one turn of the reactor may spend on deadlines: thousands of clients that came together
# and said nothing are late together, and those who did nothing wrong must not wait for all that.
_BUDGET = 1024
_COST_OF_EXPIRY = 192  # of a look that finds a deadline passed; of any other, 1


class Deadlines:
    """The maker of deadlines for one reactor."""

    def __init__(self, clock: IReactorTime) -> None:
        _txaio.use_twisted()
        # txaio knows one loop for the whole process; this is its own way to be told which.
        _txaio.config.loop = clock
        self.seconds: Callable[[], float] = clock.seconds
        self._clock = clock
        self._timer = _txaio.make_batched_timer(BUCKET)
        self._buckets: dict[int, list[Deadline]] = {}

    def deadline(self, expired: Callable[[], None]) -> Deadline:
        """A deadline that is not set yet and calls ``expired`` once whenever it passes."""
        return Deadline(self, expired)

    def enter(self, deadline: Deadline, bucket: int) -> None:
        """Look at a deadline when ``bucket`` buckets have passed on the clock."""
        waiting = self._buckets.get(bucket)
        if waiting is None:
            waiting = self._buckets[bucket] = []
            # txaio rounds down to the bucket; from its middle that is no earlier than its start.
            delay = (bucket + 0.5) * BUCKET - self.seconds()
            self._timer.call_later(delay, self._look, bucket)
        waiting.append(deadline)

    def _look(self, bucket: int) -> None:
        self._look_on(bucket, iter(self._buckets.pop(bucket)))

    def _look_on(self, bucket: int, waiting: Iterator[Deadline]) -> None:
        left = _BUDGET
        for deadline in waiting:
            left -= 1
            try:
                if deadline.look(bucket):
                    left -= _COST_OF_EXPIRY
            except Exception:
                _log.failure("what follows a deadline failed")
            if left <= 0:
                self._clock.callLater(0, self._look_on, bucket, waiting)
                return


class Deadline:
    """One movable moment after which a peer was too slow."""

    __slots__ = ("_at", "_bucket", "_deadlines", "_expired", "_sooner")

    def __init__(self, deadlines: Deadlines, expired: Callable[[], None]) -> None:
        self._deadlines = deadlines
        self._expired: Callable[[], None] | None = expired
        self._at = inf  # when the peer is too slow
        self._bucket = _NEVER  # when it is looked at; entries in other buckets count for nothing
        self._sooner = inf  # what is due by then must be looked at in an earlier bucket

    def set(self, delay: float) -> None:
        """Move the deadline to ``delay`` seconds from now; 0 means there is none."""
        if delay <= 0:
            self._at = inf
            return
        self._at = at = self._deadlines.seconds() + delay
        if at <= self._sooner:
            self._follow()

    @property
    def due(self) -> float:
        """When it passes, on the clock; infinite where there is none."""
        return self._at

    def clear(self) -> None:
        """There is no deadline until it is set again."""
        self._at = inf

    def forget(self) -> None:
        """The peer is gone: let go of everything, whatever entry is still there."""
        self._at = inf
        self._expired = None

    def look(self, bucket: int) -> bool:
        """Expire or be followed, if it is this bucket that the deadline waits for.

        Whether it has expired.
        """
        if bucket != self._bucket:
            return False
        self._bucket, self._sooner = _NEVER, inf
        if self._at == inf or self._expired is None:
            return False
        if self._at > self._deadlines.seconds():
            self._follow()
            return False
        self._at = inf
        self._expired()
        return True

    def _follow(self) -> None:
        bucket = ceil(self._at / BUCKET)
        if bucket < self._bucket:
            self._bucket = bucket
            self._sooner = (bucket - 1) * BUCKET
            self._deadlines.enter(self, bucket)

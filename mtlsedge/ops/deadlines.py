"""When is a peer too slow? Deadlines for many connections on txaio's batched timers.

A connection moves its deadline with nearly every event, so moving must cost an attribute and
not a timer. Each deadline therefore keeps one batched call in flight, which looks, when it
comes, whether the deadline has moved, and follows it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import txaio
from twisted.internet.interfaces import IReactorTime

_txaio: Any = txaio  # what it offers depends on the framework, and is not typed

BUCKET = 1.0
"""Seconds. A deadline is noticed at most two buckets late, and never early."""


class Deadlines:
    """The maker of deadlines for one reactor."""

    def __init__(self, clock: IReactorTime) -> None:
        _txaio.use_twisted()
        # txaio knows one loop for the whole process; this is its own way to be told which.
        _txaio.config.loop = clock
        self.seconds: Callable[[], float] = clock.seconds
        self._timer = _txaio.make_batched_timer(BUCKET)

    def deadline(self, expired: Callable[[], None]) -> Deadline:
        """A deadline that is not set yet and calls ``expired`` once whenever it passes."""
        return Deadline(self, expired)

    def call_later(self, delay: float, call: Callable[[], None]) -> None:
        """Call at or after ``delay`` seconds; txaio rounds down, so a bucket is added."""
        self._timer.call_later(delay + BUCKET, call)


class Deadline:
    """One movable moment after which a peer was too slow."""

    __slots__ = ("_at", "_deadlines", "_due", "_expired")

    def __init__(self, deadlines: Deadlines, expired: Callable[[], None]) -> None:
        self._deadlines = deadlines
        self._expired: Callable[[], None] | None = expired
        self._at = inf  # when the peer is too slow
        self._due = inf  # when the one call looks that counts; others in flight do nothing

    def set(self, delay: float) -> None:
        """Move the deadline to ``delay`` seconds from now; 0 means there is none."""
        if delay <= 0:
            self._at = inf
            return
        self._at = self._deadlines.seconds() + delay
        if self._at < self._due:
            self._look_in(delay)

    def clear(self) -> None:
        """There is no deadline until it is set again."""
        self._at = inf

    def forget(self) -> None:
        """The peer is gone: let go of everything, whatever call is still in flight."""
        self._at = inf
        self._expired = None

    def _look_in(self, delay: float) -> None:
        due = self._due = self._deadlines.seconds() + delay
        self._deadlines.call_later(delay, lambda: self._look(due))

    def _look(self, due: float) -> None:
        if due != self._due:
            return  # one that looks earlier took its place, and follows the deadline from there
        self._due = inf
        if self._at == inf or self._expired is None:
            return
        left = self._at - self._deadlines.seconds()
        if left > 0:
            self._look_in(left)
            return
        self._at = inf
        self._expired()

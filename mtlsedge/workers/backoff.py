"""How soon is a worker replaced that died? At once, unless it keeps dying.

One that never came so far as to serve will hardly do so the next moment: each attempt costs the
time of all. One that served was killed, or by something that a client sent, and that client must
not be able to make others wait: there the delay stays short.
"""

from __future__ import annotations

from dataclasses import dataclass

_STEP = 0.25  # seconds
_LONGEST = 30.0
_LONGEST_SERVED = 1.0
_OLD = 10.0  # seconds of service after which its predecessors are forgotten


@dataclass(slots=True)
class Backoff:
    """The delays of one place among the workers."""

    deaths: int = 0  # in a row, of workers that did not grow old

    def delay(self, served: float | None) -> float:
        """Seconds until the next attempt, after one that served so many seconds; None is never."""
        if served is not None and served >= _OLD:
            self.deaths = 0
        self.deaths += 1
        if self.deaths == 1:
            return 0.0
        longest = _LONGEST if served is None else _LONGEST_SERVED
        return min(_STEP * 2.0 ** min(self.deaths - 2, 10), longest)

    def forget(self) -> None:
        """Something has changed: the next attempt may well succeed."""
        self.deaths = 0

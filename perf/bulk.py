"""Which bytes does a bulk transfer carry, and did they arrive as they were?

The content repeats with a period that no buffer's size divides, so that a piece lost, repeated
or moved by whole buffers shows. Comparing is one ``memcmp`` for each piece: every byte of every
transfer is checked, at a tenth of what a checksum costs.
"""

from __future__ import annotations

import random
from pathlib import Path

PERIOD = 257_003  # a prime
MOST_PIECE = 65536  # no piece that is compared or sent is longer


def content() -> bytes:
    """One period and as much more as a piece that begins at its end needs; always the same."""
    once = random.Random(b"mtlsedge perf").randbytes(PERIOD)  # noise, not a secret
    return once + once[:MOST_PIECE]


def write(path: Path, size: int) -> None:
    """A file of ``size`` bytes of it."""
    once = content()[:PERIOD]
    with open(path, "wb") as file:
        for _ in range(size // PERIOD):
            file.write(once)
        file.write(once[: size % PERIOD])


class Check:
    """Compares what arrives, piece by piece, with what was sent."""

    __slots__ = ("_expected", "_period", "got")

    def __init__(self, expected: bytes, period: int) -> None:
        self._expected = expected
        self._period = period
        self.got = 0

    def take(self, piece: bytes) -> bool:
        """Whether these bytes are the next ones; pieces are ``MOST_PIECE`` long at most."""
        same = self._expected.startswith(piece, self.got % self._period)
        self.got += len(piece)
        return same

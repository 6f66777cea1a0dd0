"""In which unit does a workload speak? Operations, or bytes."""

from __future__ import annotations

from dataclasses import dataclass

from perf.values import Load


@dataclass(frozen=True, slots=True)
class Unit:
    """How figures per operation are shown.

    ``cost_factor`` makes microseconds per operation into ``cost``, ``rate_factor`` operations
    per second into ``rate``.
    """

    cost: str
    rate: str
    cost_factor: float = 1.0
    rate_factor: float = 1.0


OPERATIONS = Unit("µs/op", "ops/s")


def unit_of(load: Load) -> Unit:
    """Of transfers the cost of a byte: nanoseconds per byte are seconds per gigabyte (10⁹)."""
    if not load.size:
        return OPERATIONS
    return Unit("ns/byte", "MB/s", 1000 / load.size, load.size / 1e6)

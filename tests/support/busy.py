"""How long had an edge, and its client, to wait for a CPU? Promises are of seconds beside that.

On a machine with nothing else to do it is next to nothing, and the promise is what it says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


class Busy:
    """Counts from now on, for the processes of an edge and for this one."""

    def __init__(self, *pids: int) -> None:
        self._before = {pid: dict(_delays(pid)) for pid in (os.getpid(), *pids)}
        self._stolen = _stolen()

    def seconds(self) -> float:
        """So long was this process or one of the others ready to run, and on no CPU.

        Of the others the one counts that waited longest, and of this process its one thread that
        did: the rest went on meanwhile. What another guest took of this machine counts as well.
        """
        here, *there = (self._since(pid) for pid in self._before)
        waited = max(here, default=0) + max(map(sum, there), default=0)
        return waited / 1e9 + _stolen() - self._stolen

    def _since(self, pid: int) -> list[int]:
        before = self._before[pid]
        return [delay - before.get(thread, 0) for thread, delay in _delays(pid)]


def _delays(pid: int) -> Iterator[tuple[str, int]]:
    """Of each thread, in nanoseconds (the kernel's Documentation/scheduler/sched-stats)."""
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(OSError):
            yield thread.name, int((thread / "schedstat").read_text().split()[1])


def _stolen() -> float:
    """Seconds in which this machine's CPUs were not its own."""
    return int(Path("/proc/stat").read_text().split("\n", 1)[0].split()[8]) / _TICKS

"""How much CPU time has a server used, and which core does who get?

The figure is the kernel's own CPU clock of each process (``clock_getcpuclockid(3)``): nanoseconds,
all threads, user and system together. ``/proc/PID/stat`` counts in ticks of 10 ms and is only
the fall-back; its error in a round is shown with the results.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def process_tree(root: int) -> tuple[int, ...]:
    """A process and all its descendants, as they are now: a server's master and its workers."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            parent = _parent(entry)
            if parent is not None:
                children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for pid in found:
        found.extend(sorted(children.get(pid, ())))
    return tuple(found)


def cpu_ns(pids: tuple[int, ...]) -> int:
    """CPU time that the processes have used since they began, in nanoseconds.

    Raises:
        ProcessLookupError: one of them is gone, and with it what it used.
    """
    return sum(map(_cpu_of, pids))


def read_clock(pids: tuple[int, ...]) -> int | None:
    """``cpu_ns``, or None for a server whose processes are not ours to know."""
    return cpu_ns(pids) if pids else None


def used_between(start: int | None, end: int | None) -> int | None:
    """The CPU time between two readings, None where there were none."""
    return None if start is None or end is None else end - start


def clock_resolution_ns(pid: int) -> int:
    """The step in which ``cpu_ns`` counts: 1, or a tick where the kernel offers no more."""
    try:
        time.clock_gettime(_clock_id(pid))
    except OSError:
        return _TICK_NS
    return 1


def core_times(cores: frozenset[int], stat: str | None = None) -> tuple[int, int]:
    """Ticks that some cores have had in all, and of these what a hypervisor took, so far."""
    text = Path("/proc/stat").read_text() if stat is None else stat
    wanted = {f"cpu{core}" for core in cores}
    total = stolen = 0
    for line in text.splitlines():
        name, *figures = line.split()
        if name in wanted:
            ticks = [int(figure) for figure in figures[:8]]  # guests' time is in `user` already
            total += sum(ticks)
            stolen += ticks[7]
    return total, stolen


def stolen_share(start: tuple[int, int], end: tuple[int, int]) -> float:
    """The share of the cores' time between two readings that the hypervisor gave to others."""
    total = end[0] - start[0]
    return (end[1] - start[1]) / total if total else 0.0


def _clock_id(pid: int) -> int:
    # MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED) of the kernel's posix-timers.h
    return (~pid << 3) | 2


def _cpu_of(pid: int) -> int:
    try:
        return time.clock_gettime_ns(_clock_id(pid))
    except OSError:
        return _ticks_of(pid) * _TICK_NS


def _ticks_of(pid: int) -> int:
    try:
        fields = _stat(Path("/proc") / str(pid))
    except OSError as error:
        raise ProcessLookupError(f"process {pid} is gone") from error
    return int(fields[11]) + int(fields[12])


def _parent(entry: Path) -> int | None:
    try:
        return int(_stat(entry)[1])
    except OSError:
        return None  # it ended while we looked


def _stat(entry: Path) -> list[str]:
    # The name stands in brackets and may hold anything: what counts comes after the last one.
    return (entry / "stat").read_text().rpartition(")")[2].split()


@dataclass(frozen=True, slots=True)
class Cores:
    """Who runs where. The server has a core to itself wherever there are two."""

    server: frozenset[int]
    load: frozenset[int]
    origin: frozenset[int]


def choose_cores(available: frozenset[int] | None = None, workers: int = 1) -> Cores:
    """Server on the last cores, one for each worker; load on the first, the origin on the next.

    Where there are too few, the origin shares the load's core, and then the server its own.

    Raises:
        ValueError: no core at all.
    """
    cores = sorted(os.sched_getaffinity(0) if available is None else available)
    if not cores:
        raise ValueError("no core to run on")
    origin = cores[1] if len(cores) > workers + 1 else cores[0]
    return Cores(frozenset(cores[-workers:]), frozenset({cores[0]}), frozenset({origin}))

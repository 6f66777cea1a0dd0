"""What does a round cost that another program drives? What ``ab`` and ``s_time`` have in common."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from perf.cpu import read_clock, used_between
from perf.load import SETTLE_SECONDS
from perf.values import Load, Sample

_SHOWN = 200  # characters of what a program that failed said last


@dataclass(frozen=True, slots=True)
class Told:
    """What a program says of its own round; latencies are in nanoseconds, 0 if it does not say."""

    operations: int
    errors: int
    first_error: str
    p50_ns: int = 0
    p99_ns: int = 0


def drive(load: Load, command: Sequence[str], read: Callable[[str, str], Told]) -> Sample:
    """One round; the client's CPU is the program's own.

    ``read`` makes sense of its standard output and error.

    Raises:
        FileNotFoundError: it is not installed.
    """
    server, origin = read_clock(load.server_pids), read_clock(load.origin_pids)
    client, wall = _children_ns(), time.perf_counter_ns()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wall = time.perf_counter_ns() - wall
    time.sleep(SETTLE_SECONDS)
    client = _children_ns() - client
    server_end, origin_end = read_clock(load.server_pids), read_clock(load.origin_pids)
    told = read(done.stdout, done.stderr)
    failed = done.returncode != 0
    return Sample(
        operations=told.operations,
        errors=told.errors + failed,
        first_error=done.stderr.strip()[-_SHOWN:] if failed else told.first_error,
        wall_ns=wall,
        server_cpu_ns=used_between(server, server_end),
        origin_cpu_ns=used_between(origin, origin_end),
        client_cpu_ns=client,
        p50_ns=told.p50_ns,
        p99_ns=told.p99_ns,
    )


def _children_ns() -> int:
    """CPU time of all ended children of this process."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return int((used.ru_utime + used.ru_stime) * 1e9)

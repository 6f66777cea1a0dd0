"""What does one round cost? Runs in a process of its own, pinned to the load's core."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Mapping

from perf.cpu import read_clock, used_between
from perf.loops import FAILURES, HandshakeLoop, Loop, RequestLoop, ResumingLoop, Tally
from perf.stats import percentile
from perf.transfer import DownloadLoop, UploadLoop
from perf.values import Load, Sample

SETTLE_SECONDS = 0.05

LOOPS: Mapping[str, Callable[[Load], Loop]] = {
    "handshakes": HandshakeLoop,
    "requests": RequestLoop,
    "download": DownloadLoop,
    "upload": UploadLoop,
}


def pin(cores: frozenset[int]) -> None:
    """Stay on these cores from now on; the collector is off, as rounds are short."""
    os.sched_setaffinity(0, cores)
    gc.disable()


def run(load: Load) -> Sample:
    """Warm up, then drive the load and read everybody's CPU clocks before and after."""
    gc.collect()
    try:
        loop = ResumingLoop(load) if load.resumed else LOOPS[load.workload](load)
    except FAILURES as error:
        return failed(error)
    try:
        warm = Tally() if load.once else loop.run(load.warm_seconds)
        time.sleep(SETTLE_SECONDS)
        server, origin = read_clock(load.server_pids), read_clock(load.origin_pids)
        client, wall = time.process_time_ns(), time.perf_counter_ns()
        tally = loop.run(load.seconds)
        wall = time.perf_counter_ns() - wall
        client = time.process_time_ns() - client
        time.sleep(SETTLE_SECONDS)  # closing and logging follow the last answer
        server_end, origin_end = read_clock(load.server_pids), read_clock(load.origin_pids)
    finally:
        loop.close()
    tally.latencies.sort()
    return Sample(
        operations=len(tally.latencies),
        errors=warm.errors + tally.errors,  # what failed before has changed what came after
        first_error=warm.first_error or tally.first_error,
        wall_ns=wall,
        server_cpu_ns=used_between(server, server_end),
        origin_cpu_ns=used_between(origin, origin_end),
        client_cpu_ns=client,
        p50_ns=percentile(tally.latencies, 0.50),
        p99_ns=percentile(tally.latencies, 0.99),
    )


def failed(error: Exception) -> Sample:
    """A round that could not even begin."""
    return Sample(0, 1, f"{type(error).__name__}: {error}", 0, None, None, 0, 0, 0)

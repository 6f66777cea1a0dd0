"""What does an independent client find? ``ab -E`` of apache2-utils in our client's place.

It speaks HTTP/1.0, and it leaves Nagle's algorithm on, which holds each request back for a
delayed acknowledgement (some 40 ms): only many connections keep a server busy. What it counts
includes its own connecting, also where connections are kept.
"""

from __future__ import annotations

import re
import resource
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from perf.cpu import read_clock, used_between
from perf.load import SETTLE_SECONDS
from perf.values import Load, Sample

_MOST_PER_SECOND = 200_000  # ab must be told a number; it ends with the time
_NUMBER = re.compile(r"^(?P<what>[A-Za-z0-9 -]+):\s+(?P<number>[0-9.]+)", re.MULTILINE)


def run(load: Load) -> Sample:
    """One round by ``ab``; the client's CPU is ab's own.

    Raises:
        FileNotFoundError: ab is not installed.
    """
    with TemporaryDirectory(prefix="perf-ab-") as directory:
        percentiles = Path(directory) / "percentiles.csv"
        server, origin = read_clock(load.server_pids), read_clock(load.origin_pids)
        client, wall = children_ns(), time.perf_counter_ns()
        done = subprocess.run(
            arguments(load, percentiles), capture_output=True, text=True, check=False
        )
        wall = time.perf_counter_ns() - wall
        time.sleep(SETTLE_SECONDS)
        client = children_ns() - client
        server_end, origin_end = read_clock(load.server_pids), read_clock(load.origin_pids)
        times = read_percentiles(percentiles.read_text()) if percentiles.exists() else {}
    operations, errors, first = read_counts(done.stdout, load)
    if done.returncode:
        errors, first = errors + 1, done.stderr.strip()[-200:]
    return Sample(
        operations=operations,
        errors=errors,
        first_error=first,
        wall_ns=wall,
        server_cpu_ns=used_between(server, server_end),
        origin_cpu_ns=used_between(origin, origin_end),
        client_cpu_ns=client,
        p50_ns=times.get(50, 0),
        p99_ns=times.get(99, 0),
    )


def arguments(load: Load, percentiles: Path) -> list[str]:
    """The command line. The server's name must resolve to where it listens."""
    found = ["ab", "-q", "-d", "-S", "-e", str(percentiles)]
    seconds = max(1, round(load.seconds))
    found += ["-t", str(seconds), "-n", str(seconds * _MOST_PER_SECOND)]
    found += ["-c", str(load.connections), "-f", f"TLS{load.tls}"]
    if load.client_pem:
        found += ["-E", load.client_pem]
    if load.workload == "requests":
        found.append("-k")
    if load.cookie:
        found += ["-H", f"Cookie: {load.cookie}"]
    return [*found, f"https://{load.name}:{load.address[1]}{load.path}"]


def read_counts(output: str, load: Load) -> tuple[int, int, str]:
    """Successes, failures and what the first kind of failure was, from ab's report."""
    numbers = {match["what"].strip(): match["number"] for match in _NUMBER.finditer(output)}
    complete = int(numbers.get("Complete requests", 0))
    failures = {
        "Failed requests": int(numbers.get("Failed requests", 0)),
        "Non-2xx responses": int(numbers.get("Non-2xx responses", 0)),
        "connections not kept": 0,
        "wrong length": 0,
    }
    if load.workload == "requests":
        failures["connections not kept"] = complete - int(numbers.get("Keep-Alive requests", 0))
    if complete and int(numbers.get("Document Length", -1)) != len(load.body):
        failures["wrong length"] = complete
    first = next((f"ab: {n} {what}" for what, n in failures.items() if n), "")
    errors = max(failures.values())
    return complete - min(errors, complete), errors, first


def read_percentiles(csv: str) -> dict[int, int]:
    """Nanoseconds by per cent, from what ``ab -e`` wrote in milliseconds."""
    found = {}
    for line in csv.splitlines()[1:]:
        percent, _, milliseconds = line.partition(",")
        found[int(percent)] = int(float(milliseconds) * 1e6)
    return found


def children_ns() -> int:
    """CPU time of all ended children of this process, in nanoseconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return int((used.ru_utime + used.ru_stime) * 1e9)

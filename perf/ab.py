"""What does an independent client find? ``ab -E`` of apache2-utils in our client's place.

It speaks HTTP/1.0, and it leaves Nagle's algorithm on, which holds each request back for a
delayed acknowledgement (some 40 ms): only many connections keep a server busy. What it counts
includes its own connecting, also where connections are kept.
"""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from perf.programs import Told, drive
from perf.values import Load, Sample

_MOST_PER_SECOND = 200_000  # ab must be told a number; it ends with the time
_NUMBER = re.compile(r"^(?P<what>[A-Za-z0-9 -]+):\s+(?P<number>[0-9.]+)", re.MULTILINE)


def run(load: Load) -> Sample:
    """One round by ``ab``.

    Raises:
        FileNotFoundError: ab is not installed.
    """
    with TemporaryDirectory(prefix="perf-ab-") as directory:
        percentiles = Path(directory) / "percentiles.csv"

        def read(output: str, _: str) -> Told:
            times = read_percentiles(percentiles.read_text()) if percentiles.exists() else {}
            return Told(*read_counts(output, load), times.get(50, 0), times.get(99, 0))

        return drive(load, arguments(load, percentiles), read)


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

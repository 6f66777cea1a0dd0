"""On what was it measured? The machine, the libraries and the commit."""

from __future__ import annotations

import os
import platform
import ssl
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from OpenSSL import SSL

from perf.catalogue import ROOT
from perf.cpu import choose_cores


def environment(workers: int = 1) -> dict[str, Any]:
    """The machine, the client's libraries and the commit: what a figure depends on."""
    cores = choose_cores(workers=workers)
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "server_core": sorted(cores.server),
        "load_core": sorted(cores.load),
        "origin_core": sorted(cores.origin),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "client_openssl": SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode("ascii"),
        "system_openssl": ssl.OPENSSL_VERSION,
        "load_average": os.getloadavg()[0],
        "stolen_share": 0.0,
    }


def place(around: dict[str, Any]) -> str:
    """The same in a line."""
    return (
        f"{around['cpu']} · server on core {_cores(around['server_core'])}, load on "
        f"{_cores(around['load_core'])}, origin on {_cores(around['origin_core'])} · "
        f"commit {around['commit']}"
    )


def _cores(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def mood(around: dict[str, Any]) -> str:
    """What else went on, in a line."""
    return (
        f"load average at the start {around['load_average']:.2f}, time that the hypervisor took "
        f"from the server's core {around['stolen_share']:.1%}"
    )


def _commit() -> str:
    def git(*arguments: str) -> str:
        try:
            done = subprocess.run(
                ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False
            )
        except FileNotFoundError:
            return ""
        return done.stdout.strip()

    commit = git("rev-parse", "--short", "HEAD")
    if not commit:
        return "unknown"
    return f"{commit}+changes" if git("status", "--porcelain", "mtlsedge") else commit


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()

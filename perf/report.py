"""How are the figures shown? A table for people, JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import ssl
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from OpenSSL import SSL

from perf.catalogue import ROOT, Kind
from perf.cpu import choose_cores
from perf.plan import Plan, Target
from perf.rounds import Measured
from perf.stats import Spread, ratios, spread
from perf.values import Sample

_COARSE = 0.01  # a clock's step beyond this share of what it measured is told


def environment() -> dict[str, Any]:
    """The machine, the client's libraries and the commit: what a figure depends on."""
    cores = choose_cores()
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


def table(plan: Plan, measured: Sequence[Measured], around: dict[str, Any]) -> str:
    """The whole result as text."""
    return "\n".join([*_heading(plan, around), "", *_rows(measured), "", *_ratio_rows(measured)])


def as_json(plan: Plan, measured: Sequence[Measured], around: dict[str, Any]) -> str:
    """The whole result, every sample included; times in nanoseconds unless named otherwise."""
    said = {
        "environment": around,
        "plan": _plan(plan),
        "servers": [_server(one) for one in measured],
        "cpu_ratios": {
            f"{measured[0].title}/{peer.title}": _ratio_json(measured[0], peer)
            for peer in measured[1:]
        },
    }
    return json.dumps(said, indent=1) + "\n"


def problems(measured: Sequence[Measured]) -> list[str]:
    """Everything that makes figures worth less, in sentences."""
    found = []
    for one in measured:
        if one.problem:
            found.append(f"{one.title}: {one.problem}")
        void = [sample for sample in one.samples if sample.void]
        if void:
            why = void[0].first_error or "no operation ended"
            found.append(f"{one.title}: {len(void)} of {len(one.samples)} rounds are void: {why}")
        if any(_coarse(one, sample) for sample in one.samples):
            step = one.resolution_ns / 1e6
            found.append(f"{one.title}: the CPU clock's step of {step:g} ms is over 1 % of a round")
    return found


def notes(measured: Sequence[Measured]) -> list[str]:
    """What a reader should know of the servers."""
    return [
        f"{one.title} sends session tickets that it does not redeem, to its own cost"
        for one in measured
        if one.facts.idle_tickets
    ]


def _heading(plan: Plan, around: dict[str, Any]) -> list[str]:
    place = (
        f"server on core {around['server_core']}, load on {around['load_core']}, "
        f"origin on {around['origin_core']}"
    )
    return [
        f"{plan.workload} · TLS {plan.tls} · {plan.algorithm} · {plan.group} · "
        f"{plan.rounds} rounds of {plan.seconds:g} s · {plan.connections} connections · "
        f"client {plan.client} · peers' log {plan.log_style}",
        f"{around['cpu']} · {place} · commit {around['commit']}",
        f"load average at the start {around['load_average']:.2f}, time that the hypervisor took "
        f"from the server's core {around['stolen_share']:.1%}",
    ]


_COLUMNS = "{:<9}{:>12}{:>19}{:>10}{:>9}{:>9}{:>8}{:>7}{:>11}{:>11}"


def _rows(measured: Sequence[Measured]) -> list[str]:
    rows = [
        _COLUMNS.format(
            "server", "CPU µs/op", "(least..most)", "ops/s", "p50 ms", "p99 ms", "errors", "busy",
            "client µs", "origin µs",
        )
    ]  # fmt: skip
    for one in measured:
        good = [sample for sample in one.samples if not sample.void]
        cpu = spread([us for s in good if (us := s.server_us) is not None])
        rows.append(
            _COLUMNS.format(
                one.title,
                f"{cpu.median:.1f}" if cpu else "-",
                f"({cpu.low:.1f}..{cpu.high:.1f})" if cpu else "-",
                _middle([s.rate for s in good], ".0f"),
                _middle([s.p50_ns / 1e6 for s in good], ".2f"),
                _middle([s.p99_ns / 1e6 for s in good], ".2f"),
                sum(s.errors for s in one.samples),
                _middle([busy for s in good if (busy := s.server_busy) is not None], ".0%"),
                _middle([us for s in good if (us := s.client_us) is not None], ".1f"),
                _middle([us for s in good if (us := s.origin_us) is not None], ".1f"),
            )
        )
    return rows


def _ratio_rows(measured: Sequence[Measured]) -> list[str]:
    rows = ["server CPU per operation, round by round"]
    for peer in measured[1:]:
        found = _ratio(measured[0], peer)
        if found is not None:
            rows.append(
                f"  {measured[0].title} / {peer.title:<8} {found.median:6.2f}  "
                f"({found.low:.2f}..{found.high:.2f})  {found.count} rounds"
            )
    return rows if len(rows) > 1 else []


def _ratio(one: Measured, peer: Measured) -> Spread | None:
    return spread(ratios(_figures(one), _figures(peer)))


def _figures(one: Measured) -> list[float | None]:
    return [None if sample.void else sample.server_us for sample in one.samples]


def _middle(figures: Sequence[float], form: str) -> str:
    found = spread(figures)
    return format(found.median, form) if found else "-"


def _coarse(one: Measured, sample: Sample) -> bool:
    used = sample.server_cpu_ns
    return used is not None and one.resolution_ns > _COARSE * used


def _server(one: Measured) -> dict[str, Any]:
    good = [sample for sample in one.samples if not sample.void]
    cpu = spread([us for s in good if (us := s.server_us) is not None])
    return {
        "name": one.title,
        "version": one.version,
        "tls": one.facts.version,
        "cipher": one.facts.cipher,
        "idle_tickets": one.facts.idle_tickets,
        "cpu_clock_step_ns": one.resolution_ns,
        "cpu_us_per_operation": dataclasses.asdict(cpu) if cpu else None,
        "problem": one.problem,
        "samples": [dataclasses.asdict(sample) for sample in one.samples],
    }


def _ratio_json(one: Measured, peer: Measured) -> dict[str, Any] | None:
    found = _ratio(one, peer)
    if found is None:
        return None
    return {**dataclasses.asdict(found), "rounds": ratios(_figures(one), _figures(peer))}


def _plan(plan: Plan) -> dict[str, Any]:
    subject = plan.subject
    titles = {
        "subject": subject.name if isinstance(subject, Kind | Target) else None,
        "peers": [kind.name for kind in plan.peers],
    }
    rest = {
        item.name: getattr(plan, item.name)
        for item in dataclasses.fields(plan)
        if item.name not in ("subject", "peers", "directory")
    }
    return {**titles, **rest}


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

"""What does a command measure, and what comes of it?"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from perf import agreement, connections, machine, report, scale, verifiers
from perf.charts import page
from perf.cpu import choose_cores, core_times, stolen_share
from perf.options import plans_from, sizes_from
from perf.outcome import Outcome
from perf.plan import Plan
from perf.progress import Progress
from perf.rounds import measure


def measured(options: argparse.Namespace, scratch: Path, progress: Progress) -> dict[str, Outcome]:
    """What was asked for, by workload: a transfer has two directions.

    Raises:
        ValueError: options that do not go together.
        Unavailable, ServerFailed, NotComparable: as ``perf.rounds.measure`` does.
    """
    outcomes: dict[str, Outcome] = {}
    for plan in plans_from(options, scratch):
        around = machine.environment(plan.workers)
        cores = choose_cores(workers=plan.workers)
        before = core_times(cores.server)
        make = _run(options, plan, progress)
        around["stolen_share"] = stolen_share(before, core_times(cores.server))
        outcomes[plan.workload] = make(around)
    return outcomes


def write(outcomes: Mapping[str, Outcome], title: str, json_file: str, html_file: str) -> None:
    """As JSON and as a page, where a file is named."""
    if json_file:
        said = {name: one.said for name, one in outcomes.items()}
        whole = said if len(said) > 1 else next(iter(said.values()))
        Path(json_file).write_text(json.dumps(whole, indent=1) + "\n")
    if html_file:
        text = "\n\n".join(one.text for one in outcomes.values())
        charts = [chart for one in outcomes.values() for chart in one.charts]
        found = [problem for one in outcomes.values() for problem in one.problems]
        whole_page = page(f"mtlsedge perf: {title}", text, charts, found)
        Path(html_file).write_text(whole_page, encoding="utf-8")


def _run(
    options: argparse.Namespace, plan: Plan, progress: Progress
) -> Callable[[dict[str, Any]], Outcome]:
    """Measure a plan; what comes back shows it."""
    if options.command == "connections":
        footprints = connections.measure(plan, progress)
        return lambda around: connections.outcome(plan, footprints, around)
    if options.command == "scale":
        sized = scale.measure(plan, sizes_from(options), progress)
        return lambda around: scale.outcome(plan, sized, around)
    if options.command == "client-check":
        checked = agreement.measure(plan, progress)
        return lambda around: agreement.outcome(plan, checked, around)
    run = measure(plan, progress)
    if options.command == "verifiers":
        return lambda around: verifiers.outcome(plan, run, around)
    return lambda around: report.outcome(plan, run, around)

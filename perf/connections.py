"""What does an idle connection cost in memory? Every server afresh for every round."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

from perf import idle
from perf.catalogue import Kind
from perf.charts import Chart, bar
from perf.cpu import Cores, choose_cores
from perf.idle import Idle
from perf.load import pin
from perf.machine import mood, place
from perf.outcome import Outcome
from perf.plan import Plan
from perf.process import new_directory
from perf.rounds import Progress, run_directory, start
from perf.stats import ratios, spread

_KIB = 1024


@dataclass(slots=True)
class Footprint:
    """One server's part of a run."""

    title: str
    version: str
    rounds: list[Idle] = field(default_factory=list)

    def each(self) -> list[float | None]:
        """KiB per connection (PSS), round by round; None of a void round."""
        return [one.pss_each and one.pss_each / _KIB for one in self.rounds]


def measure(plan: Plan, progress: Progress) -> list[Footprint]:
    """Go round; nobody's second round finds memory that its first one left behind.

    Raises:
        ValueError: more connections than descriptors allow.
        Unavailable, ServerFailed, NotComparable: as ``perf.rounds.measure`` does.
    """
    if plan.connections > idle.room():
        raise ValueError(f"the descriptors here allow {idle.room()} connections")
    kinds = [plan.subject] if isinstance(plan.subject, Kind) else []
    kinds.extend(plan.peers)
    found = [Footprint(kind.name, kind.version()) for kind in kinds]
    cores = choose_cores()
    with run_directory(plan) as directory:
        for number in range(1, plan.rounds + 1):
            for kind, one in zip(kinds, found, strict=True):
                alone = dataclasses.replace(
                    plan,
                    subject=kind,
                    peers=(),
                    directory=new_directory(directory, f"{kind.name}-{number}"),
                )
                one.rounds.append(_round(alone, cores))
                progress(f"round {number}/{plan.rounds}  {one.title:<8} {_brief(one.rounds[-1])}")
    return found


def _round(plan: Plan, cores: Cores) -> Idle:
    with ExitStack() as stack:
        assert plan.directory is not None
        (one,) = start(plan, cores, plan.directory, stack, lambda _: None)
        pool = stack.enter_context(ProcessPoolExecutor(1, get_context("spawn"), pin, (cores.load,)))
        return pool.submit(idle.run, one.load).result()


def outcome(plan: Plan, found: Sequence[Footprint], around: dict[str, Any]) -> Outcome:
    """The table, JSON and charts."""
    first = found[0]
    charts = [
        Chart("PSS per idle connection, KiB", tuple(bar(o.title, _known(o.each())) for o in found)),
        Chart(
            f"PSS per idle connection, {first.title} / peer",
            tuple(bar(o.title, ratios(first.each(), o.each())) for o in found[1:]),
            mark=1.0,
        ),
    ]
    return Outcome(
        text="\n".join([*_heading(plan, around), "", *_rows(found), "", *_ratio_rows(found)]),
        said={
            "environment": around,
            "connections": plan.connections,
            "servers": [
                {
                    "name": one.title,
                    "version": one.version,
                    "pss_bytes_per_connection": [r.pss_each for r in one.rounds],
                    "rss_bytes_per_connection": [r.rss_each for r in one.rounds],
                    "rounds": [dataclasses.asdict(r) for r in one.rounds],
                }
                for one in found
            ],
        },
        charts=tuple(chart for chart in charts if chart.bars),
        problems=tuple(_problems(found)),
    )


def _heading(plan: Plan, around: dict[str, Any]) -> list[str]:
    return [
        f"{plan.connections} idle kept-alive connections · TLS {plan.tls} · {plan.algorithm} · "
        f"{plan.rounds} rounds, servers started afresh for each",
        place(around),
        mood(around),
    ]


_COLUMNS = "{:<9}{:>14}{:>19}{:>14}{:>12}{:>12}{:>8}"


def _rows(found: Sequence[Footprint]) -> list[str]:
    rows = [
        _COLUMNS.format(
            "server", "PSS KiB/conn", "(least..most)", "RSS KiB/conn", "before MiB", "after MiB",
            "errors",
        )
    ]  # fmt: skip
    for one in found:
        pss = spread(_known(one.each()))
        good = [r for r in one.rounds if not r.void]
        rows.append(
            _COLUMNS.format(
                one.title,
                f"{pss.median:.1f}" if pss else "-",
                f"({pss.low:.1f}..{pss.high:.1f})" if pss else "-",
                _middle([r.rss_each / _KIB for r in good if r.rss_each is not None]),
                _middle([r.before.pss / _KIB**2 for r in good if r.before]),
                _middle([r.after.pss / _KIB**2 for r in good if r.after]),
                sum(r.errors for r in one.rounds),
            )
        )
    return rows


def _ratio_rows(found: Sequence[Footprint]) -> list[str]:
    rows = ["PSS per connection, round by round"]
    for peer in found[1:]:
        ratio = spread(ratios(found[0].each(), peer.each()))
        if ratio is not None:
            rows.append(
                f"  {found[0].title} / {peer.title:<8} {ratio.median:6.2f}  "
                f"({ratio.low:.2f}..{ratio.high:.2f})  {ratio.count} rounds"
            )
    return rows if len(rows) > 1 else []


def _problems(found: Sequence[Footprint]) -> list[str]:
    problems = []
    for one in found:
        void = [r for r in one.rounds if r.void]
        if void:
            problems.append(
                f"{one.title}: {len(void)} of {len(one.rounds)} rounds are void: "
                f"{void[0].first_error}"
            )
    return problems


def _known(figures: Sequence[float | None]) -> list[float]:
    return [figure for figure in figures if figure is not None]


def _middle(figures: Sequence[float]) -> str:
    found = spread(figures)
    return f"{found.median:.1f}" if found else "-"


def _brief(one: Idle) -> str:
    if one.pss_each is None:
        return f"VOID: {one.errors} errors, first: {one.first_error}"
    return f"{one.pss_each / _KIB:8.1f} KiB per connection"

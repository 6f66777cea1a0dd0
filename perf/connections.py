"""What does an idle connection cost in memory? Every server afresh for every round."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from perf import idle
from perf.catalogue import Kind, Unavailable
from perf.charts import Chart, Curves, bar
from perf.cpu import Cores, choose_cores
from perf.idle import Idle
from perf.machine import mood, place
from perf.outcome import Outcome, known
from perf.plan import Plan
from perf.process import new_directory
from perf.progress import Progress
from perf.report import ratio_curves, ratio_rows
from perf.rounds import load_process, run_directory, start
from perf.stats import by_round, ratios, spread

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


@dataclass(slots=True)
class Run:
    """All servers of a run; ``left_out`` says of each that could not be measured, why."""

    found: list[Footprint] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def measure(plan: Plan, progress: Progress) -> Run:
    """Go round; nobody's second round finds memory that its first one left behind.

    Raises:
        ValueError: more connections than descriptors allow.
        Unavailable, ServerFailed, NotComparable: as ``perf.rounds.measure`` does.
    """
    most = room(plan.peers)
    if plan.connections > most:
        raise ValueError(f"the descriptors here (ulimit -Hn) allow {most} connections")
    run, kinds = Run(), _present(plan)
    cores = choose_cores(workers=plan.workers)
    with run_directory(plan) as directory:
        progress.begin(plan.rounds * len(kinds))
        for number in range(1, plan.rounds + 1):
            for kind in list(kinds):
                home = new_directory(directory, f"{kind.name}-{number}")
                alone = dataclasses.replace(plan, subject=kind, peers=(), directory=home)
                try:
                    sample = _round(alone, cores)
                except Unavailable as error:
                    kinds.remove(kind)
                    run.left_out.append(str(error))
                    progress.step(f"left out: {error}")
                    continue
                _of(run, kind).rounds.append(sample)
                progress.step(f"round {number}/{plan.rounds}  {kind.name:<13} {_brief(sample)}")
    if not run.found:
        raise Unavailable("; ".join(run.left_out))
    return run


def room(peers: Sequence[Kind]) -> int:
    """The most connections that everybody's descriptors allow: ours, and theirs.

    HAProxy reserves two for each connection, and hitch has one to the origin for each.
    """
    doubled = any(kind.name in ("haproxy", "hitch") for kind in peers)
    return idle.room() // 2 if doubled else idle.room()


def _present(plan: Plan) -> list[Kind]:
    kinds = [plan.subject] if isinstance(plan.subject, Kind) else []
    return [*kinds, *plan.peers]


def _of(run: Run, kind: Kind) -> Footprint:
    for one in run.found:
        if one.title == kind.name:
            return one
    run.found.append(Footprint(kind.name, kind.version()))
    return run.found[-1]


def _round(plan: Plan, cores: Cores) -> Idle:
    with ExitStack() as stack:
        assert plan.directory is not None
        (one,) = start(plan, cores, plan.directory, stack, Progress()).measured
        pool = stack.enter_context(load_process(cores))
        return pool.submit(idle.run, one.load).result()


def outcome(plan: Plan, run: Run, around: dict[str, Any]) -> Outcome:
    """The table, JSON and charts."""
    found = run.found
    first = found[0]
    series = [(one.title, by_round(first.each(), one.each())) for one in found[1:]]
    charts: list[Chart | Curves] = [
        Chart(
            "PSS per idle connection, KiB",
            tuple(bar(o.title, _known(o.each())) for o in found),
            "KiB",
        ),
        ratio_curves(f"PSS per idle connection, {first.title} / peer, round by round", series),
    ]
    rows = ratio_rows(
        "PSS per connection: median of the rounds' ratios, and each",
        [(f"{first.title} / {title}", values) for title, values in series],
    )
    return Outcome(
        text="\n".join([*_heading(plan, around), "", *_rows(found), "", *rows]),
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
            "pss_ratios": {f"{first.title}/{name}": values for name, values in series},
            "left_out": run.left_out,
        },
        charts=tuple(chart for chart in charts if chart.drawable),
        notes=tuple(f"left out: {why}" for why in run.left_out),
        problems=tuple(_problems(found)),
        ratios=known({one.title: spread(ratios(first.each(), one.each())) for one in found[1:]}),
        figure=spread(_known(first.each())),
    )


def _heading(plan: Plan, around: dict[str, Any]) -> list[str]:
    return [
        f"{plan.connections} idle kept-alive connections · TLS {plan.tls} · {plan.algorithm} · "
        f"{plan.rounds} rounds, servers started afresh for each",
        place(around),
        mood(around),
    ]


_COLUMNS = "{:<14}{:>14}{:>17}{:>14}{:>12}{:>11}{:>10}{:>8}"


def _rows(found: Sequence[Footprint]) -> list[str]:
    rows = [
        _COLUMNS.format(
            "server", "PSS KiB/conn", "(least..most)", "RSS KiB/conn", "before MiB", "after MiB",
            "client s", "errors",
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
                _middle([r.client_seconds for r in good]),
                sum(r.errors for r in one.rounds),
            )
        )
    return rows


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

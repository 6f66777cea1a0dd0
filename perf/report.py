"""How are the figures shown? A table for people, JSON for programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from perf.catalogue import Kind
from perf.charts import Chart, Curve, Curves, bar
from perf.machine import mood, place
from perf.outcome import Outcome, known
from perf.plan import Plan, Target
from perf.rounds import Measured, Run
from perf.stats import Spread, by_round, in_rounds, in_words, ratios, spread
from perf.units import unit_of
from perf.values import Sample

_DIGITS = 1  # after the point, of microseconds
_BUSY = 0.9  # of a core: load and origin share one where there are only two
_COARSE = 0.01  # a clock's step beyond this share of what it measured is told


def table(plan: Plan, measured: Sequence[Measured], around: dict[str, Any]) -> str:
    """The whole result as text."""
    return "\n".join(
        [*_heading(plan, around), "", *_rows(measured), "", *_ratio_rows(plan, measured)]
    )


def as_values(plan: Plan, measured: Sequence[Measured], around: dict[str, Any]) -> dict[str, Any]:
    """The whole result, every sample included; times in nanoseconds unless named otherwise."""
    return {
        "environment": around,
        "plan": _plan(plan),
        "servers": [_server(one) for one in measured],
        "cpu_ratios": {
            f"{one.title}/{other.title}": _ratio_json(one, other)
            for one, other in _compared(plan, measured)
        },
    }


def outcome(plan: Plan, run: Run, around: dict[str, Any]) -> Outcome:
    """All of it."""
    measured = run.measured
    return Outcome(
        text=table(plan, measured, around),
        said={**as_values(plan, measured, around), "left_out": run.left_out},
        charts=tuple(sections(plan, measured)),
        notes=(*(f"left out: {why}" for why in run.left_out), *notes(measured)),
        problems=tuple(problems(measured)),
        ratios=known(
            {
                peer.title: _ratio(*pair)
                for peer, pair in zip(measured[1:], _compared(plan, measured), strict=True)
            }
        ),
        figure=spread(costs(measured[0])),
    )


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
    found = [
        f"{one.title} sends session tickets that it does not redeem, to its own cost"
        for one in measured
        if one.facts.idle_tickets and not one.load.resumed
    ]
    for one in measured:
        slow = sum(one.load.size > 0 and _load_is_busy(sample) for sample in one.samples)
        if slow:
            found.append(
                f"{one.title}: in {slow} of {len(one.samples)} rounds client and origin had no "
                "time left; a server that waits for them writes more cheaply"
            )
    return found


def _heading(plan: Plan, around: dict[str, Any]) -> list[str]:
    kind = "resumed " if plan.resumed else "full " if plan.workload == "handshakes" else ""
    servers = "one worker" if plan.workers == 1 else f"{plan.workers} workers"
    return [
        f"{kind}{plan.workload} · TLS {plan.tls} · {plan.algorithm} · {plan.group} · "
        f"{plan.rounds} rounds of {plan.seconds:g} s · {plan.connections} connections · "
        f"{_many(plan.paths, 'path')} · {_many(plan.clients, 'client certificate')} · "
        f"{servers} · client {plan.client} · peers' log {plan.log_style}",
        place(around),
        mood(around),
    ]


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' if count > 1 else ''}"


_COLUMNS = "{:<14}{:>12}{:>19}{:>10}{:>9}{:>9}{:>8}{:>7}{:>11}{:>11}"


def _rows(measured: Sequence[Measured]) -> list[str]:
    unit = unit_of(measured[0].load)
    short = unit.cost.partition("/")[0]
    cost = f".{_DIGITS if unit.cost_factor == 1 else _DIGITS + 2}f"
    rows = [
        _COLUMNS.format(
            "server", f"CPU {unit.cost}", "(least..most)", unit.rate, "p50 ms", "p99 ms", "errors",
            "busy", f"client {short}", f"origin {short}",
        )
    ]  # fmt: skip
    for one in measured:
        good = [sample for sample in one.samples if not sample.void]
        cpu = spread(costs(one))
        rows.append(
            _COLUMNS.format(
                one.title,
                f"{cpu.median:{cost}}" if cpu else "-",
                f"({cpu.low:{cost}}..{cpu.high:{cost}})" if cpu else "-",
                _middle([s.rate * unit.rate_factor for s in good], ".0f"),
                _middle([s.p50_ns / 1e6 for s in good], ".2f"),
                _middle([s.p99_ns / 1e6 for s in good], ".2f"),
                sum(s.errors for s in one.samples),
                _middle([busy for s in good if (busy := s.server_busy) is not None], ".0%"),
                _middle([us * unit.cost_factor for s in good if (us := s.client_us)], cost),
                _middle([us * unit.cost_factor for s in good if (us := s.origin_us)], cost),
            )
        )
    return rows


def costs(one: Measured) -> list[float]:
    """Server CPU in the workload's unit, of each round that counts."""
    factor = unit_of(one.load).cost_factor
    return [figure * factor for figure in figures(one) if figure is not None]


def sections(plan: Plan, measured: Sequence[Measured]) -> list[Chart | Curves]:
    """The same as charts: cost, ratio, rate and latency."""
    unit = unit_of(measured[0].load)
    good = [(one.title, [s for s in one.samples if not s.void]) for one in measured]
    what = f"resumed {plan.workload}" if plan.resumed else plan.workload
    charts: list[Chart | Curves] = [
        Chart(
            f"{what}: server CPU, {unit.cost}",
            tuple(bar(one.title, costs(one)) for one in measured),
            unit.cost,
        ),
        ratio_curves(
            f"{what}: server CPU, ratios round by round",
            [(_names(*pair), _by_round(*pair)) for pair in _compared(plan, measured)],
        ),
        Chart(
            f"{what}: {unit.rate}",
            tuple(bar(title, [s.rate * unit.rate_factor for s in some]) for title, some in good),
            unit.rate,
        ),
    ]
    for name, read in (("p50", _p50), ("p99", _p99)):
        bars = tuple(bar(title, [read(s) for s in some]) for title, some in good)
        charts.append(Chart(f"{what}: latency, {name}, ms", bars, "ms"))
    return [chart for chart in charts if chart.drawable]


def ratio_curves(title: str, series: Sequence[tuple[str, Sequence[float | None]]]) -> Curves:
    """Ratios by round, with a line where both cost the same."""
    return Curves(title, tuple(Curve(name, tuple(values)) for name, values in series), mark=1.0)


def _p50(sample: Sample) -> float:
    return sample.p50_ns / 1e6


def _p99(sample: Sample) -> float:
    return sample.p99_ns / 1e6


def _ratio_rows(plan: Plan, measured: Sequence[Measured]) -> list[str]:
    return ratio_rows(
        "server CPU per operation: median of the rounds' ratios, and each of them",
        [(_names(*pair), _by_round(*pair)) for pair in _compared(plan, measured)],
        ".3f" if plan.baseline else ".2f",
    )


def ratio_rows(
    title: str, series: Sequence[tuple[str, Sequence[float | None]]], form: str = ".2f"
) -> list[str]:
    """For each two the median of the ratios, their spread, how many, and each of them."""
    rows = [title]
    for names, values in series:
        found = spread([value for value in values if value is not None])
        if found is not None:
            rows.append(
                f"  {names:<20} {in_words(found, form)}  {found.count} rounds: "
                f"{in_rounds(values, form)}"
            )
    return rows if len(rows) > 1 else []


def _compared(plan: Plan, measured: Sequence[Measured]) -> list[tuple[Measured, Measured]]:
    """Whose cost is divided by whose, for each but the first."""
    first, *others = measured
    return [(one, first) if plan.baseline else (first, one) for one in others]


def _names(one: Measured, other: Measured) -> str:
    return f"{one.title} / {other.title}"


def _by_round(one: Measured, peer: Measured) -> list[float | None]:
    return by_round(figures(one), figures(peer))


def _ratio(one: Measured, peer: Measured) -> Spread | None:
    return spread(ratios(figures(one), figures(peer)))


def figures(one: Measured) -> list[float | None]:
    """Server CPU per operation in microseconds, round by round; None of a void round."""
    return [None if sample.void else sample.server_us for sample in one.samples]


def _middle(figures: Sequence[float], form: str) -> str:
    found = spread(figures)
    return format(found.median, form) if found else "-"


def _load_is_busy(sample: Sample) -> bool:
    used = sample.client_cpu_ns + (sample.origin_cpu_ns or 0)
    return used > _BUSY * sample.wall_ns


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
    return {**dataclasses.asdict(found), "rounds": _by_round(one, peer)}


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

"""Does a handshake cost the same in a large configuration? The edge against itself."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from perf import estate, load
from perf.catalogue import EDGE, Setting, prepare
from perf.charts import Chart, bar
from perf.cpu import Cores, choose_cores
from perf.estate import Estate, Part
from perf.keys import KeyFiles, make_keys
from perf.loops import HandshakeLoop
from perf.machine import mood, place
from perf.memory import Usage, usage
from perf.outcome import Outcome, known
from perf.plan import Plan
from perf.process import Server, ServerFailed, free_port, new_directory, raise_descriptors
from perf.progress import Progress
from perf.report import figures, problems, ratio_curves
from perf.rounds import (
    BODY,
    Measured,
    check_log,
    load_of,
    load_process,
    once,
    proved,
    run_directory,
    start_origin,
)
from perf.stats import by_round, in_rounds, ratios, spread

Sizes = Sequence[tuple[Part, int]]

_PATIENCE = 600.0  # seconds that a large configuration may take to start
_MIB = 1024 * 1024


@dataclass(slots=True)
class Sized:
    """One configuration's part of a run.

    Attributes:
        start_seconds: from the command to the first answer; a socket may listen before that.
        memory, memory_after: after the first answer, and after the last round.
        names: server names that nobody has asked for yet; every round takes its share of them.
        first: the same edge, its handshakes at hosts that nobody had asked for before.
    """

    measured: Measured
    start_seconds: float
    memory: Usage
    memory_after: Usage
    names: list[str] = field(default_factory=list)
    first: Measured | None = None

    @property
    def rows(self) -> list[Measured]:
        """What is shown of it."""
        return [self.measured] if self.first is None else [self.measured, self.first]


def measure(plan: Plan, sizes: Sizes, progress: Progress) -> list[Sized]:
    """Start the edge with one of everything and with each of these, and go round.

    Raises:
        Unavailable, ServerFailed, NotComparable: as ``perf.rounds.measure`` does.
    """
    cores = choose_cores(workers=plan.workers)
    raise_descriptors()
    with ExitStack() as stack:
        directory = stack.enter_context(run_directory(plan))
        keys = make_keys(new_directory(directory, "keys"), plan.algorithm, plan.name)
        origin = stack.enter_context(start_origin(plan, cores, directory))
        found = []
        for number, (title, build) in enumerate(_builds(sizes, keys)):
            home = new_directory(directory, f"edge-{number}")
            progress.say(f"{title}: writing keys and configuration")
            made = build(new_directory(home, "estate"))
            server = stack.enter_context(_server(plan, keys, origin, cores, home, made))
            found.append(_sized(plan, keys, origin, server, title, made))
            seconds, pss = found[-1].start_seconds, found[-1].memory.pss / _MIB
            progress.say(f"{title}: serves after {seconds:.1f} s, with {pss:.0f} MiB")
        pool = stack.enter_context(load_process(cores))
        progress.begin(plan.rounds * len(found))
        for number in range(1, plan.rounds + 1):
            for one in found if number % 2 else reversed(found):
                _round(plan, one, number, pool, progress)
        for one in found:
            check_log(one.measured)
            one.memory_after = usage(one.measured.load.server_pids)
    return found


def _round(
    plan: Plan, one: Sized, number: int, pool: ProcessPoolExecutor, progress: Progress
) -> None:
    """Hosts that this round is the first to ask for come alone, and then again and again."""
    if one.first is not None:
        share = len(one.names) // (plan.rounds - number + 1)
        names, one.names = tuple(one.names[:share]), one.names[share:]
        one.first.load = dataclasses.replace(one.first.load, names=names, once=True)
        one.first.samples.append(once(one.first, pool, load.run))
        pids = one.first.load.server_pids
        one.measured.load = dataclasses.replace(one.measured.load, names=names, server_pids=pids)
    sample = once(one.measured, pool, load.run)
    one.measured.samples.append(sample)
    cost = "VOID" if sample.void else f"{sample.server_us:8.1f} µs"
    progress.step(f"round {number}/{plan.rounds}  {one.measured.title:<26} {cost}")


def _builds(sizes: Sizes, keys: KeyFiles) -> Sequence[tuple[str, Any]]:
    found: list[tuple[str, Any]] = [("1 of each", lambda home: estate.one(home, keys))]
    for part, count in sizes:
        found.append(
            (f"{count:,} {part.title}", lambda home, p=part, n=count: p.build(home, keys, n))
        )
    return found


def _server(
    plan: Plan, keys: KeyFiles, origin: Server, cores: Cores, home: Path, made: Estate
) -> Server:
    kind = dataclasses.replace(EDGE, template=str(made.template))
    setting = Setting(home, free_port(), origin.port, plan.name, keys, workers=plan.workers)
    return Server("edge", prepare(kind, setting), setting.port, cores.server, _PATIENCE)


def _sized(
    plan: Plan, keys: KeyFiles, origin: Server, server: Server, title: str, made: Estate
) -> Sized:
    seconds = _first_answer(plan, keys, server)
    memory = usage(server.pids())
    one = proved(plan, EDGE, server, origin, keys)
    one.title = title
    one.load = dataclasses.replace(one.load, path=made.path or one.load.path)
    found = Sized(one, seconds, memory, memory, list(made.names))
    if len(found.names) >= plan.rounds:
        first = f"{title}, first use"
        found.first = dataclasses.replace(one, title=first, samples=[])
    return found


def _first_answer(plan: Plan, keys: KeyFiles, server: Server) -> float:
    asked = dataclasses.replace(
        load_of(plan),
        address=("127.0.0.1", server.port),
        name=plan.name,
        client_pem=str(keys.client_pem),
        body=BODY,
        connections=1,
    )
    error = ""
    while (waited := time.monotonic() - server.begun) < _PATIENCE:
        loop = HandshakeLoop(asked)
        tally = loop.run(0)
        loop.close()
        if tally.latencies:
            return time.monotonic() - server.begun
        error = tally.first_error
        time.sleep(0.05)
    raise ServerFailed(f"no answer after {waited:.0f} s: {error}\n{server.said()}")


def outcome(plan: Plan, found: Sequence[Sized], around: dict[str, Any]) -> Outcome:
    """The table, JSON and charts."""
    titles = [one.measured.title for one in found]
    base = found[0].measured
    rows = [row for one in found for row in one.rows]
    charts = (
        Chart(
            "server CPU per handshake and request, against 1 of each",
            tuple(bar(row.title, _against(base, row)) for row in rows[1:]),
            "ratio",
            mark=1.0,
        ),
        ratio_curves(
            "server CPU per handshake and request, against 1 of each, round by round",
            [(row.title, by_round(figures(row), figures(base))) for row in rows[1:]],
        ),
        Chart(
            "start, seconds",
            tuple(bar(t, [o.start_seconds]) for t, o in zip(titles, found, strict=True)),
            "s",
        ),
        Chart(
            "memory after the start, and after the rounds, MiB (PSS)",
            tuple(
                bar(f"{t}{when}", [memory.pss / _MIB])
                for t, o in zip(titles, found, strict=True)
                for when, memory in (("", o.memory), (", after", o.memory_after))
            ),
            "MiB",
        ),
    )
    return Outcome(
        text="\n".join([*_heading(plan, around), "", *_rows(found), "", *_ratio_rows(rows)]),
        said={"environment": around, "configurations": [_values(base, one) for one in found]},
        charts=tuple(chart for chart in charts if chart.drawable),
        problems=tuple(problems(rows)),
        ratios=known({row.title: spread(_against(base, row)) for row in rows[1:]}),
    )


def _against(base: Measured, one: Measured) -> list[float]:
    return ratios(figures(one), figures(base))


def _ratio_rows(rows: Sequence[Measured]) -> list[str]:
    found = ["against 1 of each, every round"]
    for row in rows[1:]:
        ratios_by_round = by_round(figures(row), figures(rows[0]))
        found.append(f"  {row.title:<30} {in_rounds(ratios_by_round)}")
    return found


def _heading(plan: Plan, around: dict[str, Any]) -> list[str]:
    return [
        f"handshakes of the edge · TLS {plan.tls} · {plan.algorithm} · {plan.rounds} rounds of "
        f"{plan.seconds:g} s · {plan.connections} connections",
        place(around),
        mood(around),
    ]


_COLUMNS = "{:<31}{:>8}{:>9}{:>8}{:>11}{:>19}{:>7}{:>14}{:>8}"


def _rows(found: Sequence[Sized]) -> list[str]:
    rows = [
        _COLUMNS.format(
            "configuration", "start s", "PSS MiB", "at end", "CPU µs/op", "(least..most)", "ratio",
            "(rounds)", "errors",
        )
    ]  # fmt: skip
    base = found[0].measured
    for one in found:
        around = (
            f"{one.start_seconds:.1f}",
            f"{one.memory.pss / _MIB:.0f}",
            f"{one.memory_after.pss / _MIB:.0f}",
        )
        rows.append(_row(base, one.measured, around))
        if one.first is not None:
            rows.append(_row(base, one.first, ("", "", "")))
    return rows


def _row(base: Measured, one: Measured, around: tuple[str, str, str]) -> str:
    cpu = spread([us for us in figures(one) if us is not None])
    ratio = spread(_against(base, one))
    return _COLUMNS.format(
        one.title,
        *around,
        f"{cpu.median:.1f}" if cpu else "-",
        f"({cpu.low:.1f}..{cpu.high:.1f})" if cpu else "-",
        f"{ratio.median:.2f}" if ratio else "-",
        f"({ratio.low:.2f}..{ratio.high:.2f})" if ratio else "-",
        sum(sample.errors for sample in one.samples),
    )


def _values(base: Measured, one: Sized) -> dict[str, Any]:
    said = {
        "name": one.measured.title,
        "start_seconds": one.start_seconds,
        "memory": dataclasses.asdict(one.memory),
        "memory_after": dataclasses.asdict(one.memory_after),
        "problem": one.measured.problem,
        "ratios": by_round(figures(one.measured), figures(base)),
        "samples": [dataclasses.asdict(sample) for sample in one.measured.samples],
    }
    if one.first is not None:
        said["first_use_ratios"] = by_round(figures(one.first), figures(base))
        said["first_use_samples"] = [dataclasses.asdict(sample) for sample in one.first.samples]
    return said

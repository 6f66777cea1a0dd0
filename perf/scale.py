"""Does a handshake cost the same in a large configuration? The edge against itself."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
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
from perf.outcome import Outcome
from perf.plan import Plan
from perf.process import Server, ServerFailed, free_port, new_directory
from perf.report import figures, problems
from perf.rounds import (
    BODY,
    Measured,
    Progress,
    check_log,
    load_of,
    once,
    proved,
    run_directory,
    start_origin,
)
from perf.stats import ratios, spread

Sizes = Sequence[tuple[Part, int]]

_PATIENCE = 600.0  # seconds that a large configuration may take to start
_MIB = 1024 * 1024


@dataclass(slots=True)
class Sized:
    """One configuration's part of a run.

    Attributes:
        start_seconds: from the command to the first answer; a socket may listen before that.
        memory, memory_after: after the first answer, and after the last round.
    """

    measured: Measured
    start_seconds: float
    memory: Usage
    memory_after: Usage


def measure(plan: Plan, sizes: Sizes, progress: Progress) -> list[Sized]:
    """Start the edge with one of everything and with each of these, and go round.

    Raises:
        Unavailable, ServerFailed, NotComparable: as ``perf.rounds.measure`` does.
    """
    cores = choose_cores()
    with ExitStack() as stack:
        directory = stack.enter_context(run_directory(plan))
        keys = make_keys(new_directory(directory, "keys"), plan.algorithm, plan.name)
        origin = stack.enter_context(start_origin(plan, cores, directory))
        found = []
        for number, (title, build) in enumerate(_builds(sizes, keys)):
            home = new_directory(directory, f"edge-{number}")
            progress(f"{title}: writing keys and configuration")
            made = build(new_directory(home, "estate"))
            server = stack.enter_context(_server(plan, keys, origin, cores, home, made))
            found.append(_sized(plan, keys, origin, server, title, made))
            seconds, pss = found[-1].start_seconds, found[-1].memory.pss / _MIB
            progress(f"{title}: serves after {seconds:.1f} s, with {pss:.0f} MiB")
        pool = stack.enter_context(
            ProcessPoolExecutor(1, get_context("spawn"), load.pin, (cores.load,))
        )
        for number in range(1, plan.rounds + 1):
            for one in found:
                sample = once(one.measured, pool, load.run)
                one.measured.samples.append(sample)
                cost = "VOID" if sample.void else f"{sample.server_us:8.1f} µs"
                progress(f"round {number}/{plan.rounds}  {one.measured.title:<26} {cost}")
        for one in found:
            check_log(one.measured)
            one.memory_after = usage(one.measured.load.server_pids)
    return found


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
    setting = Setting(home, free_port(), origin.port, plan.name, keys)
    return Server("edge", prepare(kind, setting), setting.port, cores.server, _PATIENCE)


def _sized(
    plan: Plan, keys: KeyFiles, origin: Server, server: Server, title: str, made: Estate
) -> Sized:
    seconds = _first_answer(plan, keys, server)
    memory = usage(server.pids())
    one = proved(plan, EDGE, server, origin, keys)
    one.title = title
    one.load = dataclasses.replace(one.load, names=made.names, path=made.path or one.load.path)
    return Sized(one, seconds, memory, memory)


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
    return Outcome(
        text="\n".join([*_heading(plan, around), "", *_rows(found)]),
        said={"environment": around, "configurations": [_values(found[0], one) for one in found]},
        charts=(
            Chart(
                "server CPU per handshake and request, against 1 of each, round by round",
                tuple(bar(one.measured.title, _against(found[0], one)) for one in found[1:]),
                mark=1.0,
            ),
            Chart(
                "start, seconds",
                tuple(bar(t, [o.start_seconds]) for t, o in zip(titles, found, strict=True)),
            ),
            Chart(
                "memory after the start, and after the rounds, MiB (PSS)",
                tuple(
                    bar(f"{t}{when}", [memory.pss / _MIB])
                    for t, o in zip(titles, found, strict=True)
                    for when, memory in (("", o.memory), (", after", o.memory_after))
                ),
            ),
        ),
        problems=tuple(problems([one.measured for one in found])),
    )


def _against(base: Sized, one: Sized) -> list[float]:
    return ratios(figures(one.measured), figures(base.measured))


def _heading(plan: Plan, around: dict[str, Any]) -> list[str]:
    return [
        f"handshakes of the edge · TLS {plan.tls} · {plan.algorithm} · {plan.rounds} rounds of "
        f"{plan.seconds:g} s · {plan.connections} connections",
        place(around),
        mood(around),
    ]


_COLUMNS = "{:<27}{:>9}{:>10}{:>10}{:>12}{:>19}{:>8}{:>14}{:>8}"


def _rows(found: Sequence[Sized]) -> list[str]:
    rows = [
        _COLUMNS.format(
            "configuration", "start s", "PSS MiB", "at end", "CPU µs/op", "(least..most)", "ratio",
            "(rounds)", "errors",
        )
    ]  # fmt: skip
    for one in found:
        cpu = spread([us for us in figures(one.measured) if us is not None])
        ratio = spread(_against(found[0], one))
        rows.append(
            _COLUMNS.format(
                one.measured.title,
                f"{one.start_seconds:.1f}",
                f"{one.memory.pss / _MIB:.0f}",
                f"{one.memory_after.pss / _MIB:.0f}",
                f"{cpu.median:.1f}" if cpu else "-",
                f"({cpu.low:.1f}..{cpu.high:.1f})" if cpu else "-",
                f"{ratio.median:.2f}" if ratio else "-",
                f"({ratio.low:.2f}..{ratio.high:.2f})" if ratio else "-",
                sum(sample.errors for sample in one.measured.samples),
            )
        )
    return rows


def _values(base: Sized, one: Sized) -> dict[str, Any]:
    return {
        "name": one.measured.title,
        "start_seconds": one.start_seconds,
        "memory": dataclasses.asdict(one.memory),
        "memory_after": dataclasses.asdict(one.memory_after),
        "problem": one.measured.problem,
        "ratios": _against(base, one),
        "samples": [dataclasses.asdict(sample) for sample in one.measured.samples],
    }

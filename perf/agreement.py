"""Does our load client tell the truth? The same servers, asked by it and by independent clients.

A client cannot change what a handshake costs a server, but it can be the bottleneck, or behave so
oddly that the server does other work. What counts is the server's CPU per operation, and whether
the comparison of two servers comes out alike.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from perf.charts import Chart, Curves, bar
from perf.cpu import choose_cores
from perf.machine import mood, place
from perf.options import usual_connections
from perf.outcome import Outcome
from perf.plan import Client, Plan
from perf.progress import Progress
from perf.report import ratio_curves
from perf.rounds import DRIVERS, Measured, load_process, once, run_directory, start
from perf.stats import by_round, in_rounds, in_words, ratios, spread

_WITHIN = 0.10  # of the server's CPU per operation: as good as the same
_PROGRAMS: dict[Client, tuple[str, str]] = {
    "ab": ("ab", "Debian's apache2-utils"),
    "s_time": ("openssl", "Debian's openssl"),
}
_KNOWS: dict[str, tuple[Client, ...]] = {"handshakes": ("ab", "s_time"), "requests": ("ab",)}
_OWN = "own"
_ALONE = "own, 1"  # one connection at a time, as s_time has it: a server that sleeps costs more
_LIKE: dict[Client, str] = {"ab": _OWN, "s_time": _ALONE}


@dataclass(slots=True)
class Seen:
    """One server, through the eyes of each client: other programs, and ours as like each of them
    as it can be.
    """

    title: str
    by: dict[str, Measured]

    def costs(self, client: str) -> list[float | None]:
        """Server CPU in µs per operation, round by round."""
        return [None if one.void else one.server_us for one in self.by[client].samples]

    def others(self) -> list[tuple[Client, str]]:
        """Other programs that could ask this server, and what of ours they are held against."""
        return [(client, like) for client, like in _LIKE.items() if client in self.by]


@dataclass(slots=True)
class Checked:
    """A whole run; ``left_out`` tells of servers and clients that had no part in it, and why."""

    seen: list[Seen] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def measure(plan: Plan, progress: Progress) -> Checked:
    """Go round; in each round every client has its turn at every server.

    Raises:
        Unavailable, ServerFailed, NotComparable: as ``perf.rounds.measure`` does.
    """
    found = Checked()
    clients = _clients(plan, found)
    cores = choose_cores(workers=plan.workers)
    with ExitStack() as stack:
        directory = stack.enter_context(run_directory(plan))
        run = start(plan, cores, directory, stack, progress)
        found.left_out.extend(run.left_out)
        found.seen = [_seen(plan, one, clients) for one in run.measured]
        pool = stack.enter_context(load_process(cores))
        progress.begin(plan.rounds * sum(len(seen.by) for seen in found.seen))
        for number in range(1, plan.rounds + 1):
            for seen in found.seen if number % 2 else reversed(found.seen):
                for client, one in list(seen.by.items()):
                    driver = DRIVERS.get(client, DRIVERS["own"])  # type: ignore[call-overload]
                    sample = once(one, pool, driver)
                    one.samples.append(sample)
                    progress.step(f"round {number}/{plan.rounds}  {seen.title} by {client}")
                    if number == 1 and sample.void and client in _LIKE:
                        del seen.by[client]
                        why = f"{client} cannot ask {seen.title}: {sample.first_error}"
                        found.left_out.append(" ".join(why.split()))
    return found


def _clients(plan: Plan, found: Checked) -> list[Client]:
    clients: list[Client] = []
    for client in _KNOWS[plan.workload]:
        program, package = _PROGRAMS[client]
        if shutil.which(program):
            clients.append(client)
        else:
            found.left_out.append(f"{client}: no {program} here; install {package}")
    return clients


def _seen(plan: Plan, one: Measured, clients: Sequence[Client]) -> Seen:
    many: dict[str, int] = {_OWN: plan.connections}
    for client in clients:
        if _LIKE[client] == _ALONE:
            many[_ALONE] = 1
        many[client] = usual_connections(plan.workload, client)
    by = {}
    for name, connections in many.items():
        load = dataclasses.replace(one.load, connections=connections)
        by[name] = dataclasses.replace(one, load=load, samples=[])
    return Seen(one.title, by)


def outcome(plan: Plan, found: Checked, around: dict[str, Any]) -> Outcome:
    """The table, the verdict, JSON and charts."""
    pairs = [(one, client) for one in found.seen for client in one.by]
    verdicts, problems = _verdicts(found.seen)
    series = [
        (f"{one.title}, {client}", by_round(one.costs(client), one.costs(like)))
        for one in found.seen
        for client, like in one.others()
    ]
    charts: list[Chart | Curves] = [
        Chart(
            f"{plan.workload}: server CPU, µs/op, by client",
            tuple(bar(f"{o.title}, {c}", _known(o.costs(c))) for o, c in pairs),
            "µs/op",
        ),
        ratio_curves(f"{plan.workload}: server CPU as another client sees it / as ours", series),
    ]
    heading = [
        f"{plan.workload} by our client and by others · TLS {plan.tls} · {plan.algorithm} · "
        f"{plan.rounds} rounds of {plan.seconds:g} s",
        place(around),
        mood(around),
    ]
    return Outcome(
        text="\n".join([*heading, "", *_rows(found.seen), "", *verdicts]),
        said={
            "environment": around,
            "workload": plan.workload,
            "samples": {
                f"{one.title}/{client}": [dataclasses.asdict(s) for s in one.by[client].samples]
                for one, client in pairs
            },
            "ratios_to_own": dict(series),
            "verdicts": verdicts,
            "left_out": found.left_out,
        },
        charts=tuple(chart for chart in charts if chart.drawable),
        notes=tuple(f"left out: {why}" for why in found.left_out),
        problems=tuple(problems),
    )


_COLUMNS = "{:<14}{:<8}{:>11}{:>19}{:>9}{:>7}{:>11}{:>8}"


def _rows(seen: Sequence[Seen]) -> list[str]:
    rows = [
        _COLUMNS.format(
            "server", "client", "CPU µs/op", "(least..most)", "ops/s", "busy", "client µs", "errors"
        )
    ]
    for one in seen:
        for client, measured in one.by.items():
            good = [sample for sample in measured.samples if not sample.void]
            cpu = spread(_known(one.costs(client)))
            rows.append(
                _COLUMNS.format(
                    one.title,
                    client,
                    f"{cpu.median:.1f}" if cpu else "-",
                    f"({cpu.low:.1f}..{cpu.high:.1f})" if cpu else "-",
                    _middle([s.rate for s in good], ".0f"),
                    _middle(_known([s.server_busy for s in good]), ".0%"),
                    _middle(_known([s.client_us for s in good]), ".1f"),
                    sum(s.errors for s in measured.samples),
                )
            )
    return rows


def _verdicts(seen: Sequence[Seen]) -> tuple[list[str], list[str]]:
    """What the clients make of each server, and of the servers' ratios.

    A client of another kind may well cost a server more or less; a ratio of two servers that
    depends on the client is a problem.
    """
    said, problems = [], []
    for one in seen:
        for client, like in one.others():
            ratio = spread(ratios(one.costs(client), one.costs(like)))
            if ratio:
                each = in_rounds(by_round(one.costs(client), one.costs(like)))
                word = "agrees" if abs(ratio.median - 1) <= _WITHIN else "DIFFERS"
                pair = f"{one.title}, by {client} / by ours ({like})"
                said.append(f"{pair:<40} {in_words(ratio)}  {word:<8} {each}")
    for peer in seen[1:]:
        for client, like in peer.others():
            if client not in seen[0].by:
                continue
            own = spread(ratios(seen[0].costs(like), peer.costs(like)))
            other = spread(ratios(seen[0].costs(client), peer.costs(client)))
            if not own or not other:
                continue
            line = (
                f"{seen[0].title} / {peer.title}: {own.median:.2f} by ours, "
                f"{other.median:.2f} by {client}"
            )
            if abs(other.median / own.median - 1) <= _WITHIN:
                said.append(f"{line}  agrees")
            else:
                said.append(f"{line}  DIFFERS")
                problems.append(f"the comparison depends on the client: {line}")
    return said, problems


def _known(figures: Sequence[float | None]) -> list[float]:
    return [figure for figure in figures if figure is not None]


def _middle(figures: Sequence[float], form: str) -> str:
    found = spread(figures)
    return format(found.median, form) if found else "-"

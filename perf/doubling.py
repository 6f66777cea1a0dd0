"""Do two workers serve twice what one does? ``python -m perf.doubling``.

Where load, origin and two workers have two cores between them, nobody can tell: whatever a second
worker gains, it takes from those who keep it busy. So each worker gets a share of a core and no
more, from the kernel (the ``cpu`` controller of control groups, for which it takes root), and the
others have room. What is served in a second is then the workers' doing alone.

Edges of each number of workers run at once and have their rounds in turn.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from perf.catalogue import EDGE, Unavailable
from perf.cpu import Cores
from perf.plan import Plan
from perf.process import ServerFailed, new_directory
from perf.progress import Progress, progress_on
from perf.proofs import NotComparable
from perf.rounds import DRIVERS, Measured, load_process, once, start, turn
from perf.stats import in_rounds, in_words, ratios, spread
from perf.values import Workload

GROUPS = Path("/sys/fs/cgroup")
PERIOD = 10_000  # microseconds
_MEMBERS = "cgroup.procs"
_CONNECTIONS = 64  # so that each worker always has some
_WORKLOADS: tuple[Workload, ...] = ("handshakes", "requests")


class NoQuotas(Exception):
    """This machine's control groups cannot be used, and why."""


@contextmanager
def quota(pid: int, share: float, groups: Path = GROUPS) -> Iterator[Path]:
    """Give a process such a share of one core, and no more; 0.2 is a fifth.

    Raises:
        NoQuotas: it takes root, and a ``cpu`` controller of version 1 or 2.
    """
    old = groups / "cpu" / "cpu.cfs_quota_us"
    base = old.parent if old.exists() else groups
    group = base / f"mtlsedge-perf-{pid}"
    allowed = int(PERIOD * share)
    try:
        before = _group_of(pid, base)
        if old.exists():
            limits = {"cpu.cfs_period_us": f"{PERIOD}", "cpu.cfs_quota_us": f"{allowed}"}
        else:
            (base / "cgroup.subtree_control").write_text("+cpu")
            limits = {"cpu.max": f"{allowed} {PERIOD}"}
        group.mkdir()
        for name, value in {**limits, _MEMBERS: f"{pid}"}.items():
            (group / name).write_text(value)
    except OSError as error:
        raise NoQuotas(f"shares of a core cannot be given out here: {error}") from error
    try:
        yield group
    finally:
        with suppress(OSError):  # it may have ended
            (before / _MEMBERS).write_text(f"{pid}")
        with suppress(OSError):
            group.rmdir()


def _group_of(pid: int, base: Path) -> Path:
    """Where a process is now, in version 1's ``cpu`` or else in version 2 (cgroups(7))."""
    found = base
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if base.name in controllers.split(","):
            return base / path.lstrip("/")
        if not controllers:
            found = base / path.lstrip("/")
    return found


@dataclass(frozen=True, slots=True)
class Rates:
    """What edges of so many workers served in a second, round by round."""

    workload: str
    by_workers: dict[int, list[float]]

    def text(self) -> str:
        """A line for each number of workers, against one."""
        lines = [f"{self.workload:<12}  workers   each second  against one"]
        alone = self.by_workers[1]
        for workers, rates in self.by_workers.items():
            found, against = spread(rates), spread(ratios(rates, alone))
            assert found is not None
            assert against is not None
            rounds = in_rounds(ratios(rates, alone))
            lines.append(f"{workers:21}   {found.median:11,.0f} {in_words(against)}  {rounds}")
        return "\n".join(lines)


def measure(plan: Plan, share: float, numbers: Sequence[int], progress: Progress) -> Rates:
    """Let edges of so many workers, each with its share, serve in turn.

    Raises:
        NoQuotas: shares cannot be given out.
        Unavailable, ServerFailed, NotComparable: as ``perf.rounds.measure`` does.
    """
    every = sorted(os.sched_getaffinity(0))
    cores = Cores(frozenset(every), frozenset(every[-1:]), frozenset(every[:1]))
    rates: dict[int, list[float]] = {number: [] for number in numbers}
    with tempfile.TemporaryDirectory(prefix="perf-") as name, ExitStack() as stack:
        edges: dict[str, int] = {}
        servers: list[Measured] = []
        for number in numbers:
            directory = new_directory(Path(name), str(number))
            wanted = replace(plan, workers=number)
            (one,) = start(wanted, cores, directory, stack, progress).measured
            one.title = f"workers = {number}"
            edges[one.title] = number
            servers.append(one)
            pids = one.load.server_pids
            for pid in pids if number == 1 else pids[1:]:  # the parent serves nobody
                stack.enter_context(quota(pid, share))
        pool = stack.enter_context(load_process(cores))
        progress.begin(plan.rounds * len(servers))
        for round_number in range(1, plan.rounds + 1):
            for one in turn(servers, round_number):
                sample = once(one, pool, DRIVERS["own"])
                if sample.void:
                    raise ServerFailed(f"{one.title}: {sample.errors}, {sample.first_error}")
                rates[edges[one.title]].append(sample.rate)
                progress.step(f"round {round_number}  {one.title}  {sample.rate:9.0f}/s")
    progress.end()
    return Rates(plan.workload, rates)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 2 where it cannot be measured."""
    parser = argparse.ArgumentParser(prog="python -m perf.doubling", description=__doc__)
    parser.add_argument("--share", type=float, default=0.15, help="of a core, for each worker")
    parser.add_argument("--workers", default="1,2", help="numbers of workers, with commas")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each round")
    options = parser.parse_args(arguments)
    numbers = sorted({1, *map(int, options.workers.split(","))})
    for workload in _WORKLOADS:
        plan = Plan(
            workload=workload,
            subject=EDGE,
            peers=(),
            rounds=options.rounds,
            seconds=options.seconds,
            connections=_CONNECTIONS,
        )
        try:
            found = measure(plan, options.share, numbers, progress_on(sys.stderr))
        except (NoQuotas, Unavailable, ServerFailed, NotComparable) as error:
            print(f"perf: {error}", file=sys.stderr)
            return 2
        print(found.text(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

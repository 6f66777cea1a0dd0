"""What the operating system says of processes, their cores and their time."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from perf.cpu import Cores, choose_cores, core_times, cpu_ns, process_tree, stolen_share


def test_cpu_time_counts_what_a_process_has_used() -> None:
    """The clock of a process moves with its work."""
    before = cpu_ns((os.getpid(),))
    begun = time.process_time_ns()
    while time.process_time_ns() < begun + 20_000_000:
        pass
    assert cpu_ns((os.getpid(),)) - before >= 20_000_000


def test_cpu_time_of_a_process_that_is_gone_is_an_error() -> None:
    """A worker's death loses what it used: no figure is better than a wrong one."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    with pytest.raises(ProcessLookupError):
        cpu_ns((process.pid,))


def test_a_process_tree_has_the_children_of_children() -> None:
    """Masters, workers and what those start all belong to a server."""
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as process:
        deadline = time.monotonic() + 20
        while len(process_tree(process.pid)) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert 2 == len(process_tree(process.pid))
        process.communicate(b"\n")


@pytest.mark.parametrize(
    ("cores", "expected"),
    [
        ({3}, Cores(frozenset({3}), frozenset({3}), frozenset({3}))),
        ({0, 1}, Cores(frozenset({1}), frozenset({0}), frozenset({0}))),
        ({0, 1, 2, 3}, Cores(frozenset({3}), frozenset({0}), frozenset({1}))),
    ],
)
def test_the_server_shares_its_core_only_when_there_is_one(
    cores: set[int], expected: Cores
) -> None:
    """Load and origin keep off the measured core."""
    chosen = choose_cores(frozenset(cores))
    assert expected == chosen
    assert (len(cores) > 1) == chosen.server.isdisjoint(chosen.load | chosen.origin)


def test_what_the_hypervisor_took_is_a_share_of_the_cores_own_time() -> None:
    """Only the cores asked for count, and none of it twice."""
    first = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\ncpu1 10 0 0 10 0 0 0 0 5 0\n"
    second = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 0 0 0 0 0 0 0 50 0 0\ncpu1 40 0 0 50 0 0 0 30 9 0\n"
    core = frozenset({1})
    assert 0.3 == stolen_share(core_times(core, first), core_times(core, second))
    assert 0.0 == stolen_share(core_times(core, first), core_times(core, first))


def test_workers_get_a_core_each_where_there_are_enough() -> None:
    """The load keeps its own for as long as it can; one that is left over is the origin's."""
    assert Cores(frozenset({2, 3}), frozenset({0}), frozenset({1})) == choose_cores(
        frozenset(range(4)), 2
    )
    assert Cores(frozenset({1, 2}), frozenset({0}), frozenset({0})) == choose_cores(
        frozenset(range(3)), 2
    )
    two = choose_cores(frozenset(range(2)), 2)
    assert two.server >= two.load

"""Whether two workers serve twice what one does, on a machine with too few cores to see it."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from perf import doubling
from perf.doubling import PERIOD, NoQuotas, Rates, main, quota


@pytest.mark.parametrize("version", [1, 2])
def test_a_process_gets_its_share_and_is_let_go_again(tmp_path: Path, version: int) -> None:
    """As either version of control groups has it."""
    base = tmp_path / "cpu" if version == 1 else tmp_path
    base.mkdir(exist_ok=True)
    if version == 1:
        (base / "cpu.cfs_quota_us").touch()
    home = doubling._group_of(os.getpid(), base)
    home.mkdir(parents=True, exist_ok=True)
    with quota(os.getpid(), 0.25, tmp_path) as group:
        assert f"{os.getpid()}" == (group / "cgroup.procs").read_text()
        found = {each.name: each.read_text() for each in group.iterdir()}
    if version == 1:
        assert (f"{PERIOD}", f"{PERIOD // 4}") == (
            found["cpu.cfs_period_us"],
            found["cpu.cfs_quota_us"],
        )
    else:
        assert f"{PERIOD // 4} {PERIOD}" == found["cpu.max"]
        assert "+cpu" == (tmp_path / "cgroup.subtree_control").read_text()
    assert f"{os.getpid()}" == (home / "cgroup.procs").read_text()


def test_where_shares_cannot_be_given_nothing_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says so, rather than measure what it cannot."""
    with pytest.raises(NoQuotas, match="cannot be given out here"):
        quota(os.getpid(), 0.1, tmp_path / "nowhere").__enter__()

    def refused(pid: int, share: float) -> object:
        raise NoQuotas("only root may")

    monkeypatch.setattr(doubling, "quota", refused)
    assert 2 == main(["--rounds", "1", "--seconds", "0.1"])
    out, err = capsys.readouterr()
    assert ("", "perf: only root may\n") == (out, err)


def test_rates_are_compared_round_by_round() -> None:
    """Medians, and the ratio of each round."""
    text = Rates("requests", {1: [100.0, 200.0, 100.0], 2: [200.0, 420.0, 190.0]}).text()
    assert ["2", "200", "2.00", "(1.90..2.10)", "2.00", "2.10", "1.90"] == text.splitlines()[
        -1
    ].split()


def test_edges_of_one_and_of_two_workers_are_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Really run; every process that serves has a share, and the parent of workers has not."""
    given: list[int] = []

    def noted(pid: int, share: float) -> nullcontext[None]:
        assert share == 0.5
        given.append(pid)
        return nullcontext()

    monkeypatch.setattr(doubling, "quota", noted)
    assert 0 == main(["--rounds", "1", "--seconds", "0.2", "--share", "0.5"])
    assert (6, 6) == (len(given), len(set(given)))
    lines = capsys.readouterr().out.splitlines()
    assert ["handshakes", "requests"] == [line.split()[0] for line in lines[::3]]
    for line in (*lines[1:3], *lines[4:]):
        assert int(line.split()[1].replace(",", "")) > 0

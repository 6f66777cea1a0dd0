"""All runs at once: which targets are met, and what is written where one run fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perf import cli, everything
from perf.charts import Chart, bar
from perf.everything import AIMS, RUNS, Result, command, results_of, table
from perf.options import parser
from perf.outcome import Outcome
from perf.process import ServerFailed
from perf.stats import Spread


def _outcome(figure: float = 0.0, **ratios: float) -> Outcome:
    return Outcome(
        text="a table",
        said={"figure": figure},
        charts=(Chart("cost", (bar("edge", [figure]),)),),
        ratios={name: Spread(value, value, value, 7) for name, value in ratios.items()},
        figure=Spread(figure, figure, figure, 7),
    )


def test_a_target_is_met_up_to_its_last_hundredth() -> None:
    """What is shown is what is compared; what was not measured is not met."""

    def verdict(found: float | None, at_most: float | None = 1.1) -> str:
        ratio = None if found is None else Spread(found, found, found, 7)
        return Result("t", "nginx", at_most, ratio).verdict

    assert ["met", "NOT MET"] == [verdict(1.1049), verdict(1.106)]
    assert ["not measured", ""] == [verdict(None), verdict(3.0, None)]


def test_every_target_has_its_figure() -> None:
    """Of the peers that took part; first uses are told without a target."""
    done = {
        "requests": {"requests": _outcome(nginx=1.9, haproxy=1.7)},
        "connections": {"requests": _outcome(figure=30.0, caddy=0.8)},
        "scale": {"handshakes": _outcome(**{"9 hosts": 1.05, "9 hosts, first use": 2.0})},
    }
    results = results_of(done, ("nginx", "haproxy"), ("requests", "connections", "scale"))
    assert [
        ("nginx", "met"),
        ("haproxy", "NOT MET"),
        ("", "met"),
        ("1 of each", "met"),
        ("1 of each", ""),
    ] == [(one.against, one.verdict) for one in results]
    assert "3 of 4 targets are met" == table(results)[-1]
    assert "32 KiB" in "\n".join(table(results))


def test_the_targets_name_runs_and_peers_that_exist() -> None:
    """Each run's words are a command line."""
    options = parser().parse_args(["all", "--out", "x", "--rounds", "2", "--seconds", "0.5"])
    for name in RUNS:
        said = parser().parse_args(command(name, options))
        assert (2, 0.5) == (said.rounds, said.seconds)
    assert {aim.run for aim in AIMS} | {"scale", "verifiers"} == set(RUNS)
    assert {aim.against for aim in AIMS} == {"", "nginx", "haproxy", "caddy"}


def test_a_run_that_fails_does_not_end_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its targets are not measured; what was measured is written."""

    def measured(options: object, place: Path, progress: object) -> dict[str, Outcome]:
        if place.name == "scale":
            raise ServerFailed("it died")
        return {"requests": _outcome(nginx=1.0, haproxy=1.0, caddy=0.4)}

    monkeypatch.setattr(everything, "measured", measured)
    out = tmp_path / "out"
    words = ("all", "--out", str(out), "--only", "requests,scale", "--quick")
    assert 1 == cli.main(words)
    said = capsys.readouterr().out
    assert "PROBLEM: scale: it died" in said
    assert "3 of 4 targets are met" in said
    assert ["all.html", "all.json", "requests.html", "requests.json"] == sorted(
        file.name for file in out.iterdir()
    )
    assert 4 == len(json.loads((out / "all.json").read_text())["targets"])
    assert "a table" in (out / "all.html").read_text()
    assert 2 == cli.main(words)
    assert "not empty" in capsys.readouterr().err
    assert 2 == cli.main(("all", "--out", str(tmp_path / "new"), "--only", "walk"))
    assert "handshakes-p256" in capsys.readouterr().err

"""Our client against independent ones: what is compared with what, and what a verdict says."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from perf import agreement, cli, s_time
from perf.agreement import Checked, Seen
from perf.machine import environment
from perf.options import parser, plan_from
from perf.proofs import Facts
from perf.rounds import Measured
from perf.values import Load, Sample
from support.needs import needs

LOAD = Load("handshakes", ("127.0.0.1", 1), "localhost", "1.3", "X25519", "c.pem", 8, 1.0, 0.0,
            "/perf", "", b"ok\n")  # fmt: skip
SAMPLE = Sample(1000, 0, "", 10**9, 500_000_000, None, 400_000_000, 1, 1)


def _by(us: int) -> Measured:
    facts = Facts("TLSv1.3", "", (), b"ok\n", idle_tickets=False)
    sample = dataclasses.replace(SAMPLE, server_cpu_ns=us * 1_000_000)
    return Measured("it", "1", LOAD, facts, 1, None, [sample])


def test_a_comparison_that_depends_on_the_client_is_a_problem() -> None:
    """A client that costs every server more is only told of."""
    plan = plan_from(parser().parse_args(["client-check"]), Path("/nowhere"))
    edge = Seen("edge", {"own": _by(500), "ab": _by(600)})
    for nginx, problems in ((600, 0), (500, 1)):
        other = Seen("nginx", {"own": _by(500), "ab": _by(nginx)})
        said = agreement.outcome(plan, Checked([edge, other]), environment())
        assert problems == len(said.problems)
        assert "edge, by ab / by ours (own)" in said.text
        assert "DIFFERS" in said.text


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("120 connections in 2 real seconds, 158 bytes read per connection\n", (120, 0)),
        ("120 connections in 2 real seconds, 0 bytes read per connection\n", (0, 120)),
        ("unable to connect\n", (0, 1)),
    ],
)
def test_s_time_is_believed_only_where_it_read_an_answer(
    output: str, expected: tuple[int, int]
) -> None:
    """It counts a connection that was cut off as a connection."""
    assert expected == s_time.read_counts(output, LOAD)[:2]


def test_a_client_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its package."""
    monkeypatch.setattr("perf.agreement.shutil.which", lambda program: None)
    found = Checked()
    plan = plan_from(parser().parse_args(["client-check"]), Path("/nowhere"))
    assert [] == agreement._clients(plan, found)
    assert "ab: no ab here; install Debian's apache2-utils" == found.left_out[0]


@pytest.mark.usefixtures("nginx")
def test_nginx_costs_the_same_whoever_asks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every client gets its answers; s_time is held against ours with one connection."""
    needs("ab")
    needs("openssl")
    written = tmp_path / "check.json"
    short = ("--rounds", "1", "--seconds", "1", "--workloads", "handshakes")
    status = cli.main(
        ("client-check", "--no-edge", "--against", "nginx", *short, "--json", str(written))
    )
    said = capsys.readouterr()
    assert 0 == status, said
    samples = json.loads(written.read_text())["samples"]
    assert {"nginx/own", "nginx/own, 1", "nginx/ab", "nginx/s_time"} == set(samples)
    assert all(one["errors"] == 0 and one["operations"] for (one,) in samples.values())
    assert "by s_time / by ours (own, 1)" in said.out

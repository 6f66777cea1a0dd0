"""Memory of idle connections: what the kernel says, and whom it is counted for."""

from __future__ import annotations

import dataclasses
import json
import mmap
import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from perf import cli, connections, idle
from perf.catalogue import PEERS
from perf.charts import Chart
from perf.connections import Footprint, Run
from perf.cpu import choose_cores
from perf.idle import Idle
from perf.machine import environment
from perf.memory import Usage, parse, usage
from perf.options import parser, plan_from
from perf.plan import Plan
from perf.progress import Progress
from perf.rounds import start

ROLLUP = """\
55d0c8a00000-7ffd3a7d2000 ---p 00000000 00:00 0                          [rollup]
Rss:                8192 kB
Pss:                4096 kB
Pss_Anon:           1024 kB
Shared_Clean:       2048 kB
"""
BEFORE, AFTER = Usage(8 << 20, 4 << 20), Usage(11 << 20, 6 << 20)

needs_nginx = pytest.mark.usefixtures("nginx")


def test_the_kernels_sums_are_read_in_bytes() -> None:
    """The lines that begin alike are others."""
    assert Usage(8 << 20, 4 << 20) == parse(ROLLUP)
    with pytest.raises(KeyError):
        parse("Rss: 1 kB\n")


def test_a_process_holds_what_it_has_touched() -> None:
    """Of our own, and of one that is not there."""
    before = usage((os.getpid(),))
    with mmap.mmap(-1, 32 << 20) as held:  # pages that nothing was in before
        held.write(b"x" * (32 << 20))
        after = usage((os.getpid(),))
    assert after.rss - before.rss > 24 << 20
    with pytest.raises(ProcessLookupError):
        usage((2**22 + 1,))


def test_memory_is_by_connection_and_only_of_those_that_live() -> None:
    """One that did not answer afterwards makes the round void."""
    good = Idle(1024, 0, "", BEFORE, AFTER)
    assert (2048.0, 3072.0) == (good.pss_each, good.rss_each)
    for bad in (Idle(1024, 1, "gone", BEFORE, AFTER), Idle(1024, 1, "refused")):
        assert bad.void
        assert (None, None) == (bad.pss_each, bad.rss_each)


def test_the_report_leaves_void_rounds_out() -> None:
    """They are a problem, with their first error."""
    good, bad = Idle(1024, 0, "", BEFORE, AFTER), Idle(1024, 3, "gone", BEFORE, AFTER)
    plan = plan_from(parser().parse_args(["connections"]), Path("/nowhere"))
    found = [Footprint("edge", "1", [good, bad]), Footprint("nginx", "2", [good, good])]
    said = connections.outcome(plan, Run(found), environment())
    assert ("edge: 1 of 2 rounds are void: gone",) == said.problems
    assert "1.00  (1.00..1.00)  1 rounds: 1.00 -" in said.text
    assert 1.0 == said.ratios["nginx"].median
    chart = said.charts[0]
    assert isinstance(chart, Chart)
    assert (2.0,) == chart.bars[0].figures


def test_count_is_limited_by_descriptors(capsys: pytest.CaptureFixture[str]) -> None:
    """Said before anything is started."""
    assert 2 == cli.main(["connections", "--count", str(idle.room() + 1)])
    assert "descriptors" in capsys.readouterr().err
    assert 2 == cli.main(["connections", "--target", "localhost:1"])


@needs_nginx
def test_a_connection_that_does_not_answer_after_the_reading_is_an_error(tmp_path: Path) -> None:
    """A server that closes after one answer holds no idle connections."""
    usual = (Path(cli.__file__).parent / "peers" / "nginx.conf").read_text()
    template = tmp_path / "doctored.conf"
    template.write_text(usual.replace("keepalive_requests 1000000000", "keepalive_requests 1"))
    kind = dataclasses.replace(PEERS["nginx"], template=str(template))
    plan = Plan("requests", kind, (), connections=8)
    with ExitStack() as stack:
        (one,) = start(plan, choose_cores(), tmp_path, stack, Progress()).measured
        found = idle.run(one.load)
    assert found.void
    assert 8 + idle.WARM == found.errors
    assert found.pss_each is None


@needs_nginx
def test_idle_connections_of_the_edge_and_nginx_are_weighed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A few, once."""
    written, page = tmp_path / "all.json", tmp_path / "page.html"
    files = ("--json", str(written), "--html", str(page))
    status = cli.main(
        ("connections", "--against", "nginx", "--count", "40", "--rounds", "1", *files)
    )
    said = capsys.readouterr()
    assert 0 == status, said
    edge, nginx = json.loads(written.read_text())["servers"]
    assert ("edge", "nginx", 0) == (edge["name"], nginx["name"], edge["rounds"][0]["errors"])
    assert edge["rounds"][0]["after"]["pss"] > edge["rounds"][0]["before"]["pss"]
    assert "PSS per idle connection" in page.read_text()

"""Peers: each is what it is said to be, and one that is missing or cannot keeps nobody waiting."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from perf import cli, rounds
from perf.catalogue import EDGE, PEERS, Kind, Unavailable
from perf.cpu import choose_cores
from perf.load import run
from perf.options import parser, plan_from
from perf.plan import Plan
from perf.progress import Progress
from perf.proofs import NotComparable
from perf.rounds import Measured, start
from perf.values import TlsVersion
from support.needs import needs

pytestmark = pytest.mark.usefixtures("nginx")
EVERYBODY = {"edge": EDGE, **PEERS}


@contextmanager
def _started(kind: Kind, directory: Path, plan: Plan) -> Iterator[Measured]:
    directory.mkdir(exist_ok=True)
    plan = dataclasses.replace(plan, subject=kind, seconds=0.1, warm_seconds=0.0, connections=4)
    with ExitStack() as stack:
        cores = choose_cores(workers=plan.workers)
        (one,) = start(plan, cores, directory, stack, Progress()).measured
        yield one


@pytest.mark.parametrize("name", EVERYBODY)
@pytest.mark.parametrize("resumed", [False, True], ids=["full", "resumed"])
def test_everybody_proves_itself_and_bears_the_load(
    name: str, resumed: bool, tmp_path: Path
) -> None:
    """Certificates demanded and verified, sessions resumed or not as asked for, answers right."""
    if name in ("haproxy", "caddy", "hitch"):
        needs(name)
    plan = Plan("handshakes", None, (), resumed=resumed)
    with _started(EVERYBODY[name], tmp_path, plan) as one:
        sample = run(one.load)
    assert (0, "") == (sample.errors, sample.first_error)
    assert sample.operations >= 4
    assert sample.server_cpu_ns
    assert not (one.facts.idle_tickets and not resumed)


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
def test_a_full_handshake_is_no_resumed_one(tls: TlsVersion, tmp_path: Path) -> None:
    """Where the server resumes nothing, every operation of the resuming client fails."""
    plan = Plan("handshakes", None, (), tls=tls)
    with _started(PEERS["nginx"], tmp_path, plan) as one:
        sample = run(dataclasses.replace(one.load, resumed=True))
    assert 0 == sample.operations
    assert sample.errors
    assert "Failed" in sample.first_error


def test_a_server_that_should_resume_and_does_not_is_found_out(tmp_path: Path) -> None:
    """Tickets left off in its configuration."""
    text = (Path(cli.__file__).parent / "peers" / "nginx.conf").read_text()
    (tmp_path / "doctored.conf").write_text(text.replace("tickets @tickets@", "tickets off"))
    kind = dataclasses.replace(PEERS["nginx"], template=str(tmp_path / "doctored.conf"))
    plan = Plan("handshakes", None, (), resumed=True)
    with (
        pytest.raises(NotComparable, match="resume"),
        _started(kind, tmp_path / "run", plan),
    ):
        pass


def test_who_cannot_do_a_post_quantum_exchange_is_left_out_and_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The edge can; a server that has only X25519 and P-256 is no failure of the run."""
    written = tmp_path / "all.json"
    short = ("--rounds", "1", "--seconds", "0.1", "--json", str(written))
    group = ("--group", "X25519MLKEM768", "--against", "nginx")
    assert 0 == cli.main(("handshakes", *group, *short)), capsys.readouterr()
    assert "NOTE: left out: nginx: it cannot do key exchange" in capsys.readouterr().out
    said = json.loads(written.read_text())
    assert ["edge"] == [server["name"] for server in said["servers"]]
    assert 1 == len(said["left_out"])


def test_a_peer_that_is_not_installed_is_told_and_the_others_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the package that has it."""
    missing = dataclasses.replace(PEERS["caddy"], program="no-such-program")
    monkeypatch.setitem(PEERS, "caddy", missing)
    short = ("--rounds", "1", "--seconds", "0.1", "--no-edge")
    assert 0 == cli.main(("handshakes", "--against", "caddy,nginx", *short))
    said = capsys.readouterr().out
    assert "left out: caddy: no no-such-program here; install Debian's caddy" in said
    assert "nginx " in said
    count = ("connections", "--count", "4", "--against", "caddy,nginx")
    assert 0 == cli.main((*count, *short[:2], "--no-edge"))
    assert "left out: caddy" in capsys.readouterr().out
    assert 2 == cli.main(("handshakes", "--against", "caddy", *short))
    assert "install Debian's caddy" in capsys.readouterr().err


def test_workers_are_all_counted(tmp_path: Path) -> None:
    """nginx's master and two workers; the one-process server says that it has one."""
    with _started(PEERS["nginx"], tmp_path, Plan("handshakes", None, (), workers=2)) as one:
        assert 3 == len(one.load.server_pids)
    plan = Plan("handshakes", None, (), workers=2)
    with (
        pytest.raises(Unavailable, match="one process"),
        _started(PEERS["stock-twisted"], tmp_path / "stock", plan),
    ):
        pass


def test_options_of_resumption_groups_and_workers_are_checked(tmp_path: Path) -> None:
    """Before anything is started."""
    for words in (
        ("handshakes", "--group", "X25519MLKEM768", "--tls", "1.2"),
        ("handshakes", "--resumed", "--client", "ab"),
        ("requests", "--client", "s_time"),
        ("requests", "--workers", "0"),
    ):
        with pytest.raises(ValueError, match="--"):
            plan_from(parser().parse_args(words), tmp_path)
    plan = plan_from(parser().parse_args(["handshakes", "--resumed", "--workers", "2"]), tmp_path)
    assert (True, 2) == (plan.resumed, plan.workers)


def test_as_many_connections_as_descriptors_allow(tmp_path: Path) -> None:
    """Half of them where a peer needs two for each."""
    parse = parser().parse_args
    most = plan_from(parse(["connections", "--count", "max"]), tmp_path).connections
    shared = ["connections", "--count", "max", "--against", "nginx,haproxy"]
    assert most // 2 == plan_from(parse(shared), tmp_path).connections
    assert rounds.room_for(plan_from(parse(shared), tmp_path)) > most

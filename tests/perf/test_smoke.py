"""The load-test harness as it is used: its command line, its reports, and one short run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from perf_samples import LOAD, SAMPLE

from perf import cli, machine, report
from perf.catalogue import EDGE, ORIGIN, PEERS, Kind, Setting, prepare, render
from perf.cpu import choose_cores
from perf.keys import KeyFiles, make_keys
from perf.load import run
from perf.options import parser, plan_from
from perf.plan import Plan, Target
from perf.process import Server, free_port, new_directory
from perf.progress import Progress
from perf.proofs import Claim, Facts, NotComparable, prove
from perf.rounds import Measured, Run, measure
from perf.values import Load, Workload

NGINX = PEERS["nginx"]
needs_nginx = pytest.mark.usefixtures("nginx")


# -- the command line, templates and reports ---------------------------------------------------


def _plan(*arguments: str, scratch: Path = Path("/nowhere")) -> Plan:
    return plan_from(parser().parse_args(arguments), scratch)


def test_a_plain_command_measures_the_edge_alone() -> None:
    """Seven rounds of three seconds."""
    plan = _plan("handshakes")
    assert (EDGE, (), 7, 3.0, 8) == (
        plan.subject,
        plan.peers,
        plan.rounds,
        plan.seconds,
        plan.connections,
    )


def test_options_find_their_way_into_the_plan() -> None:
    """Peers in the order given; --quick gives way to a number."""
    plan = _plan("requests", "--against", "haproxy,nginx", "--quick", "--rounds", "2", "--no-edge")
    assert (None, ("haproxy", "nginx"), 2, 0.7, 32) == (
        plan.subject,
        tuple(kind.name for kind in plan.peers),
        plan.rounds,
        plan.seconds,
        plan.connections,
    )


def test_a_target_takes_the_place_of_the_edge(tmp_path: Path) -> None:
    """Its certificate and key become one file that only we can read."""
    (tmp_path / "c.pem").write_text("certificate")
    (tmp_path / "k.pem").write_text("key")
    files = ("--cert", str(tmp_path / "c.pem"), "--key", str(tmp_path / "k.pem"))
    plan = _plan("handshakes", "--target", "[::1]:8443", *files, scratch=tmp_path)
    joined = tmp_path / "target-client.pem"
    assert Target(("::1", 8443), "::1", str(joined), "") == plan.subject
    assert "certificate\nkey" == joined.read_text()
    assert 0o600 == joined.stat().st_mode & 0o777


@pytest.mark.parametrize(
    "arguments",
    [
        ("--target", "no-port"),
        ("--target", "a:1", "--cert", "c.pem"),
        ("--no-edge",),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments: tuple[str, ...]) -> None:
    """Before anything is started."""
    with pytest.raises(ValueError, match=r"."):
        _plan("handshakes", *arguments)


def test_a_template_with_an_unknown_place_is_an_error() -> None:
    """A setting that silently stayed unset would be measured."""
    assert "port 1;" == render("port @port@;", {"port": "1"})
    with pytest.raises(KeyError):
        render("@prot@", {"port": "1"})


def test_the_report_shows_void_rounds_and_leaves_them_out() -> None:
    """A void round is a problem with its first error, and no part of a ratio."""
    facts = Facts("TLSv1.3", "TLS_AES_128_GCM_SHA256", (), b"ok\n", idle_tickets=True)
    void = dataclasses.replace(SAMPLE, errors=3, first_error="alert")
    edge = Measured("edge", "1", LOAD, facts, 1, None, [SAMPLE, void, SAMPLE])
    other = Measured("nginx", "2", LOAD, facts, 10_000_000, None, [SAMPLE, SAMPLE, SAMPLE])
    plan = _plan("handshakes", "--against", "nginx")
    around = machine.environment()

    said = report.table(plan, [edge, other], around)
    assert "(1.00..1.00)  2 rounds: 1.00 - 1.00" in said
    assert ["edge: 1 of 3 rounds are void: alert",
            "nginx: the CPU clock's step of 10 ms is over 1 % of a round"] == report.problems(
        [edge, other])  # fmt: skip
    assert 2 == len(report.notes([edge, other]))
    outcome = report.outcome(plan, Run([edge, other], ["caddy: not here"]), around)
    assert "left out: caddy: not here" in outcome.notes
    assert 1.0 == outcome.ratios["nginx"].median
    written = json.loads(json.dumps(outcome.said))
    assert ["caddy: not here"] == written["left_out"]
    assert [1.0, None, 1.0] == written["cpu_ratios"]["edge/nginx"]["rounds"]
    assert 3 == len(written["servers"][0]["samples"])


# -- the real thing, briefly -------------------------------------------------------------------


@contextmanager
def _running(kind: Kind, directory: Path) -> Iterator[tuple[Server, KeyFiles]]:
    keys = make_keys(new_directory(directory, "keys"), "p256", "localhost")
    cores = choose_cores()
    origin_port, port = free_port(), free_port()
    with ExitStack() as stack:
        setting = Setting(new_directory(directory, "origin"), origin_port, 0, "localhost")
        stack.enter_context(Server("origin", prepare(ORIGIN, setting), origin_port, cores.origin))
        setting = Setting(new_directory(directory, "it"), port, origin_port, "localhost", keys)
        yield stack.enter_context(Server("it", prepare(kind, setting), port, cores.server)), keys


def _load_on(server: Server, keys: KeyFiles) -> Load:
    return dataclasses.replace(
        LOAD, address=("127.0.0.1", server.port), client_pem=str(keys.client_pem)
    )


@needs_nginx
@pytest.mark.parametrize("workload", ["handshakes", "requests"])
def test_a_refused_or_wrong_operation_is_an_error(workload: Workload, tmp_path: Path) -> None:
    """Nothing that fails is counted, neither a refusal nor another body."""
    with _running(NGINX, tmp_path) as (server, keys):
        good = dataclasses.replace(
            _load_on(server, keys), workload=workload, server_pids=server.pids()
        )
        sample = run(good)
        assert (False, 0) == (sample.void, sample.errors)
        assert sample.server_cpu_ns and sample.operations >= LOAD.connections
        for bad in (
            dataclasses.replace(good, client_pem=""),
            dataclasses.replace(good, body=b"no\n"),
        ):
            sample = run(bad)
            assert 0 == sample.operations
            assert sample.errors > 0
            assert sample.first_error


@needs_nginx
@pytest.mark.parametrize(
    ("setting", "instead", "complaint"),
    [
        ("ssl_verify_client on", "ssl_verify_client off", "without a certificate is not refused"),
        ("ssl_verify_client on", "ssl_verify_client optional_no_ca", "is not refused"),
        ("@log_style@ buffer=64k flush=1s", "@log_style@ if=$arg_none", "access log"),
        ("ssl_session_cache off", "ssl_session_cache shared:s:1m", "resumes sessions"),
        ("return 200", "return 201", "not answered"),
    ],
)
def test_a_server_that_is_not_comparable_is_found_out(
    setting: str, instead: str, complaint: str, tmp_path: Path
) -> None:
    """One that lets anyone in, resumes, keeps no log, or answers otherwise."""
    text = (Path(cli.__file__).parent / "peers" / "nginx.conf").read_text()
    if setting == "return 200":
        text = text.replace("proxy_pass http://origin;", f"{instead};")
    text = text.replace(setting, instead)
    if "cache" in setting:
        text = text.replace("ssl_session_tickets @tickets@", "ssl_session_tickets on")
        text = text.replace("@number_of_tickets@", "")
    (tmp_path / "doctored.conf").write_text(text)
    kind = dataclasses.replace(NGINX, template=str(tmp_path / "doctored.conf"))
    with _running(kind, tmp_path) as (server, keys):
        claim = Claim(
            _load_on(server, keys), str(keys.server_ca), str(keys.stranger_pem), server.log
        )
        with pytest.raises(NotComparable, match=complaint):
            prove(claim)


@needs_nginx
@pytest.mark.parametrize("workload", ["handshakes", "requests"])
def test_the_edge_and_nginx_are_measured_in_turn(
    workload: Workload, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run of two short rounds ends well, with a ratio and every sample written."""
    written = tmp_path / "all.json"
    short = ("--rounds", "2", "--seconds", "0.2", "--connections", "4")
    told = ("--progress", "lines", "--json", str(written))
    status = cli.main((workload, "--against", "nginx", *short, *told))
    said = capsys.readouterr()
    assert 0 == status, said
    assert "edge / nginx" in said.out
    assert said.err.index("round 1/2  nginx") < said.err.index("round 2/2  edge")
    result = json.loads(written.read_text())
    assert ["edge", "nginx"] == [server["name"] for server in result["servers"]]
    assert 2 == len(result["cpu_ratios"]["edge/nginx"]["rounds"])


@needs_nginx
def test_a_target_is_measured_with_certificate_key_and_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the command line, against nginx; its CPU is that of its whole process tree."""
    written = tmp_path / "target.json"
    with _running(NGINX, tmp_path) as (server, keys):
        pem = str(keys.client_pem)
        files = ("--cert", pem, "--key", pem, "--ca", str(keys.server_ca), "--name", "localhost")
        words = ("--target", f"127.0.0.1:{server.port}", "--pid", str(server.pids()[0]))
        short = ("--against", "nginx", "--rounds", "1", "--seconds", "0.2", "--json", str(written))
        assert 0 == cli.main(("handshakes", *words, *files, *short)), capsys.readouterr()
    assert "target / nginx" in capsys.readouterr().out
    target, _ = json.loads(written.read_text())["servers"]
    assert target["samples"][0]["server_cpu_ns"] > 0
    assert "" == capsys.readouterr().err


@needs_nginx
def test_a_target_is_measured_without_knowing_its_processes(tmp_path: Path) -> None:
    """No CPU then, but rates and times."""
    with _running(NGINX, tmp_path) as (server, keys):
        target = Target(
            ("127.0.0.1", server.port), "localhost", str(keys.client_pem), str(keys.server_ca)
        )
        plan = Plan("handshakes", target, (), rounds=1, seconds=0.1, warm_seconds=0.0)
        (measured,) = measure(plan, Progress()).measured
    (sample,) = measured.samples
    assert (0, None) == (sample.errors, sample.server_cpu_ns)
    assert sample.operations > 0

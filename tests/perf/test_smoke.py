"""The load-test harness: its arithmetic, its eyes, and one short run. Nothing here is timed."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from perf import ab, cli, machine, report
from perf.catalogue import EDGE, ORIGIN, PEERS, Kind, Setting, prepare, render
from perf.client import Failed, check_begun, check_whole
from perf.cpu import Cores, choose_cores, core_times, cpu_ns, process_tree, stolen_share
from perf.keys import KeyFiles, make_keys
from perf.load import run
from perf.options import parser, plan_from
from perf.plan import Plan, Target
from perf.process import Server, free_port, new_directory
from perf.progress import Progress
from perf.proofs import Claim, Facts, NotComparable, prove
from perf.rounds import Measured, Run, measure, turn
from perf.stats import Spread, by_round, in_rounds, percentile, ratios, spread
from perf.values import Load, Sample, Workload

NGINX = PEERS["nginx"]
LOAD = Load(
    workload="handshakes",
    address=("127.0.0.1", 1),
    name="localhost",
    tls="1.3",
    group="X25519",
    client_pem="",
    connections=4,
    seconds=0.1,
    warm_seconds=0.0,
    path="/perf",
    cookie="",
    body=b"ok\n",
)
SAMPLE = Sample(
    operations=1000,
    errors=0,
    first_error="",
    wall_ns=1_000_000_000,
    server_cpu_ns=500_000_000,
    origin_cpu_ns=50_000_000,
    client_cpu_ns=400_000_000,
    p50_ns=4_000_000,
    p99_ns=9_000_000,
)


needs_nginx = pytest.mark.usefixtures("nginx")


# --- arithmetic


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.5, 0),
        ([7], 0.99, 7),
        ([1, 2, 3, 4], 0.5, 2),
        (list(range(1, 101)), 0.99, 99),
        (list(range(1, 102)), 0.99, 100),
        ([1, 2], 1.0, 2),
    ],
)
def test_percentile_is_the_nearest_rank(values: list[int], share: float, expected: int) -> None:
    """The least value that at least this share of all values does not exceed."""
    assert expected == percentile(values, share)


def test_ratios_are_taken_round_by_round_and_leave_void_rounds_out() -> None:
    """A machine that halves its speed for one round changes no ratio."""
    ours = [100.0, 200.0, None, 90.0]
    theirs = [50.0, 100.0, 50.0, None]
    assert [2.0, 2.0] == ratios(ours, theirs)
    assert [2.0, 2.0, None, None] == by_round(ours, theirs)
    assert "2.00 2.00 - -" == in_rounds(by_round(ours, theirs))
    assert Spread(2.0, 1.0, 9.0, 3) == spread([9.0, 1.0, 2.0])
    assert spread([]) is None


def test_a_sample_with_one_error_is_void_whatever_else_it_counted() -> None:
    """No figure may come of a round in which something failed."""
    assert not SAMPLE.void
    assert dataclasses.replace(SAMPLE, errors=1).void
    assert dataclasses.replace(SAMPLE, operations=0).void


def test_a_sample_speaks_per_operation() -> None:
    """Microseconds of CPU by operation, and the share of the time spent on the core."""
    assert (500.0, 400.0, 50.0) == (SAMPLE.server_us, SAMPLE.client_us, SAMPLE.origin_us)
    assert (1000.0, 0.5) == (SAMPLE.rate, SAMPLE.server_busy)


# --- what the operating system says


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
    assert (len(cores) > 1) == chosen.apart


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
    assert not choose_cores(frozenset(range(2)), 2).apart


def test_every_second_round_goes_the_other_way() -> None:
    """A machine that slows down favours nobody."""
    facts = Facts("TLSv1.3", "", (), b"", idle_tickets=False)
    servers = [Measured(title, "", LOAD, facts, 1, None) for title in ("a", "b", "c")]
    assert "abc" == "".join(one.title for one in turn(servers, 1))
    assert "cba" == "".join(one.title for one in turn(servers, 2))


# --- what counts as a success

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"


def test_a_good_answer_counts_in_whole_and_in_part() -> None:
    """Every beginning of a good answer may become one."""
    check_whole(GOOD, b"ok\n")
    for end in range(1, len(GOOD)):
        check_begun(GOOD[:end], b"ok\n")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 403 Forbidden\r\n\r\nok\n",
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok\nand more",
    ],
)
def test_no_other_answer_counts(answer: bytes) -> None:
    """Refusals, cut answers and other bodies are errors."""
    with pytest.raises(Failed):
        check_whole(answer, b"ok\n")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 5", b"HTTP/1.1 200 OK\r\n\r\nno"])
def test_a_wrong_answer_is_known_from_its_beginning(answer: bytes) -> None:
    """A kept-alive connection does not wait for the rest of it."""
    with pytest.raises(Failed):
        check_begun(answer, b"ok\n")


def test_a_request_is_whole_and_closes_only_where_each_operation_connects() -> None:
    """The bytes that go out, once per workload."""
    closing = dataclasses.replace(LOAD, cookie="a=b").request()
    expected = (
        b"GET /perf HTTP/1.1\r\nHost: localhost\r\nUser-Agent: perf\r\nAccept: */*\r\n"
        b"Cookie: a=b\r\nConnection: close\r\n\r\n"
    )
    assert expected == closing
    assert b"Connection" not in dataclasses.replace(LOAD, workload="requests").request()


AB_SAYS = """
Document Path:          /perf
Document Length:        3 bytes
Concurrency Level:      4
Time taken for tests:   2.025 seconds
Complete requests:      354
Failed requests:        {failed}
{more}
Requests per second:    174.84 [#/sec] (mean)
"""


@pytest.mark.parametrize(
    ("failed", "more", "workload", "expected"),
    [
        (0, "", "handshakes", (354, 0)),
        (4, "", "handshakes", (350, 4)),
        (0, "Non-2xx responses:      354", "handshakes", (0, 354)),
        (0, "Keep-Alive requests:    354", "requests", (354, 0)),
        (0, "Keep-Alive requests:    300", "requests", (300, 54)),
    ],
)
def test_ab_is_believed_only_where_it_saw_successes(
    failed: int, more: str, workload: Workload, expected: tuple[int, int]
) -> None:
    """ab calls a 403 of constant length a complete request."""
    load = dataclasses.replace(LOAD, workload=workload)
    operations, errors, first = ab.read_counts(AB_SAYS.format(failed=failed, more=more), load)
    assert expected == (operations, errors)
    assert bool(errors) == bool(first)


def test_ab_that_got_another_body_saw_no_success() -> None:
    """Its only word on the body is the length."""
    load = dataclasses.replace(LOAD, body=b"four")
    operations, errors, _ = ab.read_counts(AB_SAYS.format(failed=0, more=""), load)
    assert (0, 354) == (operations, errors)


def test_the_percentiles_of_ab_are_milliseconds() -> None:
    """They come as a table with a heading."""
    said = "Percentage served,Time in ms\n0,1.5\n50,2.25\n99,40.0\n"
    assert {0: 1_500_000, 50: 2_250_000, 99: 40_000_000} == ab.read_percentiles(said)


# --- the command line, templates and reports


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


# --- the real thing, briefly


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

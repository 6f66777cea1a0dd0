"""Many paths and many clients: that each has its turn, and that a server takes all of them."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from perf_samples import LOAD

from perf import cli
from perf.catalogue import EDGE, PEERS, TEMPLATES, Kind, Setting
from perf.cpu import choose_cores
from perf.keys import client_names, make_keys
from perf.load import run
from perf.loops import HandshakeLoop
from perf.options import parser, plan_from
from perf.plan import Plan
from perf.progress import Progress
from perf.proofs import NotComparable
from perf.rounds import Measured, start
from perf.turns import contexts_in_turn, requests_in_turn, targets_in_turn
from perf.values import Workload

NGINX = PEERS["nginx"]
needs_nginx = pytest.mark.usefixtures("nginx")


@contextmanager
def _started(kind: Kind, directory: Path, plan: Plan) -> Iterator[Measured]:
    plan = dataclasses.replace(plan, subject=kind, seconds=0.1, warm_seconds=0.0, connections=4)
    directory.mkdir(exist_ok=True)
    with ExitStack() as stack:
        (one,) = start(plan, choose_cores(), directory, stack, Progress()).measured
        yield one


@dataclasses.dataclass
class _Log:
    """What a server logs of those who come behind the proofs, the last of which has its line."""

    one: Measured
    proofs: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.proofs = len(self._read())

    def lines(self) -> list[dict[str, Any]]:
        """All of them; once the server has ended, which writes what it still has."""
        return [json.loads(line) for line in self._read()[self.proofs :]]

    def _read(self) -> list[str]:
        assert self.one.server is not None
        assert self.one.server.log is not None
        return self.one.server.log.read_text().splitlines()


# --- turns


def test_one_path_is_asked_for_itself_and_many_below_it() -> None:
    """The rest of the bytes is the same, and as long."""
    assert [LOAD.request()] == LOAD.requests()
    first, second, third = dataclasses.replace(LOAD, paths=3).requests()
    assert LOAD.request().replace(b"/perf ", b"/perf/000000 ") == first
    assert LOAD.request().replace(b"/perf ", b"/perf/000002 ") == third
    assert 1 == len({len(first), len(second), len(third)})
    assert "/000001" == dataclasses.replace(LOAD, path="/", paths=2).path_at(1)


def test_turns_go_on_from_round_to_round_and_are_each_servers_own() -> None:
    """A round that began with the first again would find what the last one left."""
    load = dataclasses.replace(LOAD, paths=3, address=("127.0.0.1", 2))
    other = dataclasses.replace(load, address=("127.0.0.1", 3))
    asked = requests_in_turn(load)
    got = [next(asked), next(asked), next(requests_in_turn(other))]
    next_round = requests_in_turn(dataclasses.replace(load, server_pids=(7,)))
    got += [next(next_round), next(next_round)]
    numbers = [int(one.split()[1].rpartition(b"/")[2]) for one in got]
    assert [0, 1, 0, 2, 0] == numbers


def test_clients_come_in_turn_each_with_settings_built_once(tmp_path: Path) -> None:
    """For all servers the same; each server has its own turns."""
    keys = make_keys(tmp_path, "p256", "localhost", 3)
    load = dataclasses.replace(LOAD, client_pems=tuple(map(str, keys.client_pems)))
    turns = contexts_in_turn(load)
    got = [next(turns) for _ in range(6)]
    assert got[:3] == got[3:]
    assert 3 == len(set(map(id, got)))
    assert got[0] is next(contexts_in_turn(dataclasses.replace(load, address=("127.0.0.1", 9))))


def test_names_are_still_gone_round_and_once_where_they_are_to_be() -> None:
    """As large estates are asked."""
    load = dataclasses.replace(LOAD, names=("a.test", "b.test"))
    turns = targets_in_turn(load)
    assert ["a.test", "b.test", "a.test"] == [next(turns)[0].name for _ in range(3)]
    assert 2 == len(list(targets_in_turn(dataclasses.replace(load, once=True))))


# --- clients


def test_clients_have_names_and_keys_of_their_own_and_one_issuer(tmp_path: Path) -> None:
    """The first is the one that a run with one client has."""
    keys = make_keys(tmp_path, "p256", "localhost", 4)
    read = [x509.load_pem_x509_certificate(pem.read_bytes()) for pem in keys.client_pems]
    ca = x509.load_pem_x509_certificate(keys.client_ca.read_bytes())
    for one in read:
        one.verify_directly_issued_by(ca)
    named = [one.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value for one in read]
    assert list(client_names(4)) == named
    assert keys.client_pems[0] == keys.client_pem
    assert 4 == len({one.public_key().public_numbers() for one in read})  # type: ignore[union-attr]


def test_the_edges_policy_names_every_client_and_no_other(tmp_path: Path) -> None:
    """No wildcard, and not the certificate that the proof is refused with."""
    keys = make_keys(tmp_path, "p256", "localhost", 3)
    places = Setting(tmp_path, 1, 2, "localhost", keys).places()
    written = (TEMPLATES / EDGE.template).read_text()
    text = written.replace("@client_names@", places["client_names"]).replace("@workers@", "1")
    (policy,) = tomllib.loads(text)["application"][0]["policy"]
    assert [{"common_name": list(client_names(3))}] == policy["require"]


# --- the command line


def test_senseless_combinations_are_refused(tmp_path: Path) -> None:
    """Before anything is started, with the option's name."""
    for words in (
        ("requests", "--paths", "0"),
        ("requests", "--paths", "1000001"),
        ("handshakes", "--clients", "0"),
        ("handshakes", "--clients", "2", "--resumed"),
        ("handshakes", "--clients", "2", "--cookies"),
        ("handshakes", "--clients", "2", "--client", "ab"),
        ("handshakes", "--paths", "2", "--client", "s_time"),
        ("handshakes", "--clients", "2", "--target", "localhost:1"),
        ("requests", "--paths", "2", "--target", "localhost:1"),
        ("requests", "--paths", "2", "--path", "/x?y=1"),
        ("requests", "--clients", "33"),
        ("handshakes", "--clients", "101", "--algorithm", "rsa4096"),
    ):
        with pytest.raises(ValueError, match="--"):
            plan_from(parser().parse_args(words), tmp_path)
    for words in (("transfer", "--paths", "2"), ("connections", "--clients", "2")):
        with pytest.raises(SystemExit):
            parser().parse_args(words)


def test_sensible_ones_make_a_plan(tmp_path: Path) -> None:
    """Cookies and resumed sessions go with many paths."""
    words = ("requests", "--clients", "32", "--paths", "100000")
    plan = plan_from(parser().parse_args(words), tmp_path)
    assert (100_000, 32) == (plan.paths, plan.clients)
    plan_from(parser().parse_args(("requests", "--paths", "2", "--cookies")), tmp_path)
    plan_from(parser().parse_args(("handshakes", "--paths", "2", "--resumed")), tmp_path)
    plan = plan_from(parser().parse_args(("transfer",)), tmp_path)
    assert (1, 1) == (plan.paths, plan.clients)


# --- the real thing, briefly


@needs_nginx
@pytest.mark.parametrize("kind", [EDGE, NGINX], ids=["edge", "nginx"])
def test_a_server_sees_every_client_and_every_path_in_turn(kind: Kind, tmp_path: Path) -> None:
    """Its log tells of all of them about equally often, over two rounds."""
    with _started(kind, tmp_path, Plan("handshakes", None, (), clients=5, paths=3)) as one:
        log = _Log(one)
        samples = [run(one.load), run(one.load)]
    lines = log.lines()
    assert len(lines) >= sum(sample.operations for sample in samples)
    assert [(0, ""), (0, "")] == [(s.errors, s.first_error) for s in samples]
    paths = Counter(line["path"] for line in lines)
    assert {"/perf/000000", "/perf/000001", "/perf/000002"} == set(paths)
    clients = Counter(line["cert"]["subject"] for line in lines)
    assert {f"CN={name}" for name in client_names(5)} == set(clients)
    for often in (paths, clients):
        assert max(often.values()) - min(often.values()) <= 1


@needs_nginx
def test_each_kept_connection_has_a_client_of_its_own_and_asks_for_path_after_path(
    tmp_path: Path,
) -> None:
    """Four connections, four clients; many more requests than connections."""
    workload: Workload = "requests"
    with _started(NGINX, tmp_path, Plan(workload, None, (), clients=4, paths=7)) as one:
        log = _Log(one)
        sample = run(one.load)
    lines = log.lines()
    assert len(lines) >= sample.operations
    assert 0 == sample.errors
    assert 4 == len({line["cert"]["subject"] for line in lines})
    assert {f"/perf/{n:06d}" for n in range(7)} == {line["path"] for line in lines}


@needs_nginx
def test_a_path_or_a_client_that_is_answered_otherwise_is_found_out(tmp_path: Path) -> None:
    """By the proof, which looks at the last of many."""
    nginx = (TEMPLATES / NGINX.template).read_text()
    edge = (TEMPLATES / EDGE.template).read_text()
    other = "location = /perf/000004 { return 404; } location / {"
    for number, (kind, text, why) in enumerate(
        (
            (NGINX, nginx.replace("location / {", other), "last of many"),
            (EDGE, edge.replace("@client_names@", "perf-client"), "last of many"),
            (EDGE, edge[: edge.index("require")], "that it does not name is not refused"),
        )
    ):
        template = tmp_path / f"doctored-{number}.{kind.template.rpartition('.')[2]}"
        template.write_text(text)
        doctored = dataclasses.replace(kind, template=str(template))
        plan = Plan("handshakes", None, (), clients=3, paths=5)
        with (
            pytest.raises(NotComparable, match=why),
            _started(doctored, tmp_path / str(number), plan),
        ):
            pass


@needs_nginx
def test_one_refused_client_among_many_makes_a_round_void(tmp_path: Path) -> None:
    """It is an error, and not an operation that is left out."""
    with _started(EDGE, tmp_path, Plan("handshakes", None, (), clients=3)) as one:
        unlisted = str(tmp_path / "keys" / "perf-outsider-both.pem")
        bad = dataclasses.replace(one.load, client_pems=(*one.load.client_pems, unlisted))
        loop = HandshakeLoop(bad)
        tally = loop.run(0.1)
        loop.close()
    assert "403" in tally.first_error
    assert tally.errors
    assert tally.latencies


@needs_nginx
def test_heading_and_json_tell_of_paths_and_clients(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the command line."""
    written = tmp_path / "all.json"
    short = ("--rounds", "1", "--seconds", "0.1", "--connections", "4", "--json", str(written))
    many = ("--paths", "1000", "--clients", "20", "--no-edge", "--against", "nginx")
    assert 0 == cli.main(("handshakes", *many, *short)), capsys.readouterr()
    assert "1,000 paths · 20 client certificates" in capsys.readouterr().out
    plan = json.loads(written.read_text())["plan"]
    assert (1000, 20) == (plan["paths"], plan["clients"])

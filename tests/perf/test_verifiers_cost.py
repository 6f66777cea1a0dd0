"""The edge with a verifier against the edge without: each is what it says, and is measured."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from mtlsedge.config.load import load_file
from mtlsedge.errors import BadVerifier
from perf import cli
from perf.catalogue import Setting, prepare
from perf.everything import results_of
from perf.keys import CLIENT_NAME, KeyFiles, fingerprint, make_keys
from perf.options import parser, plan_from, plans_from
from perf.outcome import Outcome
from perf.peers.at_once import AtOnceFactory
from perf.plan import Plan
from perf.process import new_directory
from perf.progress import Progress
from perf.proofs import NotComparable
from perf.rounds import measure
from perf.stats import Spread
from perf.verifiers import CASES, Case, cases_from, edges

needs_nginx = pytest.mark.usefixtures("nginx")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyFiles:
    """The keys of one run."""
    return make_keys(tmp_path_factory.mktemp("keys"), "p256", "localhost")


def _asked(case: Case, keys: KeyFiles, directory: Path) -> tuple[list[str], list[str]]:
    """The verifiers that a case's configuration names: on client CAs, and in rules."""
    kinds = {kind.name: kind for kind in edges(directory, [case])}
    setting = Setting(directory, 8443, 8080, "localhost", keys)
    launch = prepare(kinds[case.name], setting)
    read = load_file(Path(launch.argv[-1]), check_verifier=lambda spec, _: spec, now=time.time())
    (application,) = read.applications
    (policy,) = application.policies
    of_cas = [spec for ca in read.client_cas for spec in ca.verifiers]
    named = [rule for rule in policy.rules.require if rule.selector == "verifier"]
    return of_cas, [value for rule in named for value in rule.values]


def test_each_case_asks_the_verifier_that_it_tells_of(keys: KeyFiles, tmp_path: Path) -> None:
    """Where it says, and nobody else."""
    pin = f"pin:sha256={fingerprint(keys.client_pem)}"
    expected = {
        "again": ([], []),
        "client-ca": (["at-once:3600"], []),
        "rule": ([], ["at-once:3600"]),
        "rule-each": ([], ["at-once:0"]),
        "san": ([], [f"san:dns={CLIENT_NAME}"]),
        "pin": ([], [pin]),
    }
    found = {
        name: _asked(case, keys, new_directory(tmp_path, name)) for name, case in CASES.items()
    }
    assert expected == found


def test_the_verifier_answers_as_it_is_told() -> None:
    """Yes for so many seconds, or no; anything else is refused with the configuration."""
    make = AtOnceFactory().makeVerifier
    given = [make(spec)._verdict for spec in ("0", "60", "no")]
    assert [(True, 0.0), (True, 60.0), (False, 3600.0)] == [
        (verdict.accepted, verdict.cache_for) for verdict in given
    ]
    with pytest.raises(BadVerifier):
        make("maybe")


def test_cases_are_chosen_once_each_and_the_edge_alone_is_measured(tmp_path: Path) -> None:
    """Handshakes and requests, each with the edge without a verifier at first."""
    assert ["pin", "rule"] == [case.name for case in cases_from("pin,rule,pin")]
    options = parser().parse_args(["verifiers", "--cases", "pin", "--quick"])
    plans = plans_from(options, tmp_path)
    assert ["handshakes", "requests"] == [plan.workload for plan in plans]
    assert [8, 32] == [plan.connections for plan in plans]
    assert [("without", "pin")] * 2 == [
        (kind_of(plan), *(kind.name for kind in plan.peers)) for plan in plans
    ]
    with pytest.raises(ValueError, match="--cases"):
        cases_from("rule,rules")
    with pytest.raises(ValueError, match="against itself"):
        plan_from(parser().parse_args(["verifiers", "--against", "nginx"]), tmp_path)


def kind_of(plan: Plan) -> str:
    """The name of a plan's subject."""
    assert plan.subject is not None
    return plan.subject.name


def test_every_case_has_its_target_but_the_control() -> None:
    """Told to three places, as 2 % is little."""
    ratios = {name: Spread(1.0204, 1.0, 1.1, 7) for name in CASES}
    done = {"verifiers": {"requests": Outcome("", {}, (), ratios=ratios)}}
    results = results_of(done, (), ("verifiers",))
    assert 2 * len(CASES) == len(results)
    verdicts = {one.title: one.verdict for one in results}
    assert "met" == verdicts["requests, verifier: rule"]
    assert "" == verdicts["requests, verifier: again"]
    assert "not measured" == verdicts["handshakes, verifier: rule"]
    ratios["rule"] = Spread(1.0206, 1.0, 1.1, 7)
    assert "NOT MET" in {one.verdict for one in results_of(done, (), ("verifiers",))}


@needs_nginx
def test_a_verifier_is_measured_against_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both workloads in turn, with each case's ratio to the edge without, and a page."""
    written, page = tmp_path / "all.json", tmp_path / "page.html"
    short = ("--rounds", "1", "--seconds", "0.1", "--connections", "2")
    files = ("--json", str(written), "--html", str(page))
    status = cli.main(("verifiers", "--cases", "client-ca,rule-each", *short, *files))
    said = capsys.readouterr()
    assert 0 == status, said
    assert "rule-each / without" in said.out
    assert "its verdict is for one request" in said.out
    found = json.loads(written.read_text())
    assert ["handshakes", "requests"] == list(found)
    for workload in found.values():
        assert ["without", "client-ca", "rule-each"] == [s["name"] for s in workload["servers"]]
        assert {"client-ca/without", "rule-each/without"} == set(workload["cpu_ratios"])
    assert "rule-each" in page.read_text()


@needs_nginx
@pytest.mark.parametrize(
    "case", [Case("ca", "", on_ca="at-once:no"), Case("rule", "", in_rule="at-once:no")]
)
def test_the_verifier_is_really_asked(case: Case, tmp_path: Path) -> None:
    """One that says no lets nobody in, so that nothing is measured."""
    subject, *others = edges(tmp_path, [case])
    plan = Plan("handshakes", subject, tuple(others), rounds=1, seconds=0.1, baseline=True)
    with pytest.raises(NotComparable, match="not answered as it should be"):
        measure(plan, Progress())

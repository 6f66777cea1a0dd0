"""What ``mtlsedge replay`` finds in a log, prints, and ends with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mtlsedge.cli import main
from support import certs, tables, toml

NAME = "iot.example.com"


class Bench:
    """A log, a new configuration, and the command."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._directory = directory
        self._capsys = capsys
        self.lines: list[str] = []

    def log(self, **changes: Any) -> None:
        """One more line; of an admitted device unless said otherwise."""
        cert = {**CERT, **changes.pop("cert", {})}
        self.lines.append(json.dumps({**LINE, **changes, "cert": cert}))

    def configuration(self, *policies: dict[str, Any], name: str = "new", **more: Any) -> str:
        """A configuration with these policies for the whole host."""
        config = tables.one_host(NAME, "http://127.0.0.1:1")
        config |= {"application": [tables.application(NAME, *policies)], **more}
        edge = {"listen": ["127.0.0.1:8443"], "access_log": "access.jsonl"}
        file = self._directory / f"{name}.toml"
        file.write_text(toml.dumps({"edge": edge, **config}))
        return str(file)

    def replay(self, new: str, *more: str) -> tuple[int, Any]:
        """The exit status, and what JSON says."""
        (self._directory / "access.jsonl").write_text("".join(f"{each}\n" for each in self.lines))
        status = main(["replay", "--config", new, "--json", *more])
        printed = self._capsys.readouterr()
        return status, json.loads(printed.out) if printed.out else printed.err

    def told(self, new: str, *more: str) -> str:
        """What people read."""
        self.replay(new)
        main(["replay", "--config", new, *more])
        return self._capsys.readouterr().out


PAIR = certs.client("device-1", hosts=("device-1.example.com",))
CERT: dict[str, Any] = {
    "presented": True,
    "verified": True,
    "reason": "",
    "detail": "",
    "subject": "CN=device-1",
    "issuer": f"CN={certs.CLIENT_CA}",
    "serial": PAIR.serial,
    "fingerprint_sha256": PAIR.fingerprint,
    "client_cas": [certs.CLIENT_CA],
}
NO_CERT = {"presented": False, "verified": False, "reason": "no_certificate", "subject": ""}
LINE: dict[str, Any] = {
    "time": "2026-11-23T14:00:00.000Z",
    "event": "request",
    "request_id": "f1",
    "client": "192.0.2.7",
    "host": NAME,
    "method": "GET",
    "path": "/ingest",
    "status": 200,
    "origin": "http://127.0.0.1:1",
    "decision": "service_auth",
    "application": NAME,
    "policy": "policy-1",
    "reason": "policy 'policy-1' admits",
}
USUAL = tables.policy(include=[{"certificate": True}])
REFUSED = {"status": 403, "origin": "", "decision": "block", "policy": ""}


@pytest.fixture
def bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Bench:
    """A bench in a directory of its own."""
    return Bench(tmp_path, capsys)


def test_where_nothing_changes_the_status_is_0(bench: Bench) -> None:
    """Whoever was admitted is, and whoever was refused is."""
    bench.log()
    bench.log(**REFUSED, cert=NO_CERT)
    status, found = bench.replay(bench.configuration(USUAL))
    assert (0, 2, 2, []) == (status, found["requests"], found["unchanged"], found["groups"])


def test_who_would_be_refused_is_listed_in_groups(bench: Bench) -> None:
    """With how many, from how many addresses, and a few to look at."""
    for number in range(5):
        bench.log(client=f"192.0.2.{number % 2}", request_id=f"r{number}")
    bench.log(path="/other", cert={"subject": "CN=device-2"})
    new = bench.configuration(tables.policy(include=[{"common_name": "device-2"}]))
    status, found = bench.replay(new)
    (group,) = found["groups"]
    assert (3, 5, 1) == (status, found["changed"], found["unchanged"])
    assert ("refused", 5, 2) == (group["kind"], group["count"], group["clients"])
    assert ["r0", "r1", "r2"] == [sample["request_id"] for sample in group["samples"]]
    told = bench.told(new)
    assert "admitted then, refused now: 5 requests" in told
    assert f"{NAME}: service_auth by 'policy-1' -> {NAME}: no policy matches  (2 clients)" in told


def test_who_would_be_admitted_is_told_apart(bench: Bench) -> None:
    """The dearer mistake of the two."""
    bench.log(**REFUSED, cert=NO_CERT)
    status, found = bench.replay(
        bench.configuration(tables.policy("bypass", include=[{"everyone": True}]))
    )
    assert (3, ["admitted"]) == (status, [group["kind"] for group in found["groups"]])


def test_another_decision_with_the_same_end_is_a_change(bench: Bench) -> None:
    """A bypass has no token for the origin. Another policy's name alone is none."""
    bench.log()
    bypass = tables.policy("bypass", include=[{"certificate": True}])
    status, found = bench.replay(bench.configuration(bypass))
    assert (3, ["otherwise"]) == (status, [group["kind"] for group in found["groups"]])
    renamed = tables.policy(name="renamed", include=[{"certificate": True}])
    status, found = bench.replay(bench.configuration(renamed))
    assert (0, 1) == (status, found["by_another_policy"])


def test_what_the_log_does_not_say_is_not_guessed(bench: Bench) -> None:
    """Alternative names; unless the certificate is at hand, or they make no difference."""
    bench.log()
    sans = tables.policy(include=[{"san_dns": "device-1.example.com"}])
    status, found = bench.replay(bench.configuration(sans))
    (group,) = found["groups"]
    assert (4, "cannot_tell", ["san_dns"]) == (status, group["kind"], group["depends_on"])
    assert 0 == bench.replay(bench.configuration(sans), "--certs", str(PAIR.certificate))[0]
    assert 0 == bench.replay(bench.configuration(sans), "--certs", str(certs.directory()))[0]
    either = tables.policy(include=[{"san_dns": "x.example.com"}, {"serial": PAIR.serial}])
    assert 0 == bench.replay(bench.configuration(either))[0]
    both = tables.policy(include=[{"serial": "AB12"}], require=[{"san_dns": "x.example.com"}])
    assert 3 == bench.replay(bench.configuration(both))[0]


def test_the_old_configuration_tells_whether_client_cas_are_the_same(bench: Bench) -> None:
    """A bundle may be another under the same name."""
    bench.log()
    old = bench.configuration(USUAL, name="old")
    other = {**tables.client_ca(NAME), "certificate": certs.ca_file(certs.OTHER_CA)}
    new = bench.configuration(USUAL, client_ca=[other])
    assert 0 == bench.replay(new)[0]
    assert 4 == bench.replay(new, "--old", old)[0]
    assert 0 == bench.replay(old, "--old", old)[0]


def test_hosts_and_handshakes_that_refuse_are_found(bench: Bench) -> None:
    """A host that is gone; one that comes to require certificates."""
    bench.log(host="gone.example.com")
    bench.log(decision="unprotected", application="", policy="", cert=NO_CERT)
    host = tables.host(NAME, upstream="http://127.0.0.1:1", handshake="require")
    told = bench.told(bench.configuration(USUAL, host=[host]))
    assert "-> no such host" in told
    assert "unprotected, passed -> refused in the handshake" in told


def test_a_path_may_become_ambiguous_or_cease_to_be(bench: Bench) -> None:
    """Where applications begin has moved."""
    bench.log(path="/a/..%2Fb")
    bench.log(path="/c/..%2Fb", status=400, decision="ambiguous", application="", policy="")
    more = [tables.application(NAME, USUAL), tables.application(f"{NAME}/a", USUAL)]
    _, found = bench.replay(bench.configuration(USUAL, application=more))
    assert {("refused", "ambiguous"), ("admitted", "service_auth")} == {
        (group["kind"], group["after"][0]["word"]) for group in found["groups"]
    }


def test_service_tokens_are_known_by_name(bench: Bench) -> None:
    """One that is gone, or had ended by then, proves nothing."""
    bench.log(service_token="robot", cert=NO_CERT)
    token = {"name": "robot", "client_id": "r.access", "secret_sha256": "0" * 64}
    policy = tables.policy(include=[{"any_valid_service_token": True}])
    assert 0 == bench.replay(bench.configuration(policy, service_token=[token]))[0]
    ended = {**token, "expires": "2026-01-01T00:00:00Z"}
    assert 3 == bench.replay(bench.configuration(policy, service_token=[ended]))[0]
    assert 3 == bench.replay(bench.configuration(policy))[0]


def test_nobody_looked_at_the_token_of_an_ambiguous_path(bench: Bench) -> None:
    """So that it may have been a good one."""
    bench.log(path="/a/..%2Fb", status=400, decision="ambiguous", application="", cert=NO_CERT)
    policy = tables.policy(include=[{"any_valid_service_token": True}])
    status, found = bench.replay(bench.configuration(policy))
    assert (4, ["any_valid_service_token"]) == (status, found["groups"][0]["depends_on"])


def test_lines_that_are_no_requests_are_counted(bench: Bench) -> None:
    """Handshakes, requests that no policy saw, cut lines, damage, lines of something else."""
    bench.log()
    bench.log(event="handshake")
    bench.log(event="cut")
    bench.log(decision="", status=421)
    bench.lines += ['{"event":"request"}', '{"event":"request","deci', "[]"]
    bench.log(client="nobody")
    status, found = bench.replay(bench.configuration(USUAL))
    assert 0 == status
    counts = ("requests", "not_judged", "failed_handshakes", "incomplete", "damaged")
    assert (1, 2, 1, 2, 2) == tuple(found[count] for count in counts)


def test_errors_have_their_own_status(bench: Bench, tmp_path: Path) -> None:
    """No log, no configuration, no question."""
    new = bench.configuration(USUAL)
    assert 1 == main(["replay", "--config", new, "--log", str(tmp_path / "none")])
    assert 1 == main(["replay", "--config", str(tmp_path / "none.toml")])
    assert 1 == main(["replay", "--config", new, "--certs", str(tmp_path / "none")])
    assert 2 == main(["replay"])

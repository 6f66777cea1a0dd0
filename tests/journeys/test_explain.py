"""``mtlsedge explain`` as its users run it: a command, beside an edge that serves or without."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from cryptography.x509 import ocsp

from support import certs, tables
from support.client import Client
from support.edge import Edge
from support.origin import CountingOrigin
from support.responder import ScriptedResponder, reply, sign

NAME = "iot.example.com"
PLUGIN = """
    from twisted.internet import defer, task
    from twisted.plugin import IPlugin
    from zope.interface import implementer

    from mtlsedge.identity import Verdict
    from mtlsedge.interfaces import IVerifier, IVerifierFactory


    @implementer(IVerifier)
    class Later:
        def __init__(self, word):
            self.word = word

        async def verify(self, peer, host):
            from twisted.internet import reactor

            await task.deferLater(reactor, 0.05)
            if self.word == "never":
                await defer.Deferred()
            return Verdict(self.word == "yes", "not today", {"shift": "night"})


    @implementer(IPlugin, IVerifierFactory)
    class Factory:
        name = "later"
        syntax = "later:WORD"
        help = "Thinks for a while."

        def makeVerifier(self, spec):
            return Later(spec)


    factory = Factory()
"""


def command(*arguments: str, plugins: Path | None = None) -> tuple[int, str]:
    """Run it in a process of its own; gives its exit status and what it printed."""
    env = {**os.environ, "PYTHONPATH": str(plugins)} if plugins else dict(os.environ)
    done = subprocess.run(
        [sys.executable, "-m", "mtlsedge.cli", "explain", *arguments],
        capture_output=True,
        text=True,
        env=env,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_request_of_the_log_is_explained_by_its_id(tmp_path: Path) -> None:
    """A client has a request id from its refusal; the operator learns why, and what is missing."""
    pair, other = certs.client("device-2"), certs.client("device-1")
    with CountingOrigin() as origin:
        config = tables.one_host(NAME, origin.url)
        policy = tables.policy(include=[{"common_name": "device-1"}])
        config["application"] = [tables.application(f"{NAME}/ingest", policy)]
        with Edge(tmp_path, config) as edge:
            request_id = Client(pair).get(edge.port, NAME, "/ingest/7?q=1").json()["request_id"]
            edge.access_log(1)
            asked = ("--config", str(edge.config_path), "--request-id", request_id)
            bare = command(*asked)
            files = [f"--cert={each.certificate}" for each in (other, pair)]
            status, out = command(*asked, *files)
            unknown = command("--config", str(edge.config_path), "--request-id", "none")
    assert (3, True) == (bare[0], "which the log does not hold" in bare[1])
    assert f"SHA-256 {pair.fingerprint}" in bare[1]
    assert 3 == status
    assert "GET https://iot.example.com/ingest/7  from 127.0.0.1" in out
    assert "refused: 403 policy_denied" in out
    assert "false include  common_name = device-1" in out
    assert "which the log does not hold" not in out
    assert (2, True) == (unknown[0], "no request 'none'" in unknown[1])


def test_verifiers_that_think_are_waited_for(tmp_path: Path) -> None:
    """On a client CA and in a rule; what they say is told, with who hangs."""
    plugins = tmp_path / "plugins"
    (plugins / "twisted" / "plugins").mkdir(parents=True)
    (plugins / "twisted" / "plugins" / "later.py").write_text(dedent(PLUGIN))
    config = tables.one_host(NAME, "http://127.0.0.1:1", timeouts={"verifier": "300ms"})
    config["client_ca"][0]["verifier"] = ["later:yes"]
    rules = [{"verifier": "later:no"}, {"verifier": "later:never"}]
    config["application"] = [tables.application(NAME, tables.policy(include=rules))]
    with Edge(tmp_path / "edge", config, env={"PYTHONPATH": str(plugins)}) as edge:
        pair = certs.client()
        live = Client(pair).get(edge.port, NAME).status
        (line,) = edge.access_log(1)
        asked = ("--config", str(edge.config_path), "--url", edge.url(NAME))
        asked = (*asked, "--cert", str(pair.certificate), "--json")
        status, out = command(*asked, plugins=plugins)
    account: dict[str, Any] = json.loads(out)
    assert (403, 3) == (live, status)
    assert line["reason"] == account["answer"]["reason"]
    assert {"shift": "night"} == account["certificate"]["attributes"]
    (attempt,) = account["certificate"]["attempts"]
    assert [("later:yes", True)] == [(v["verifier"], v["accepted"]) for v in attempt["verifiers"]]
    said = {each["verifier"]: each["reason"] for each in account["rule_verifiers"]}
    assert {"later:no", "later:never"} == set(said)
    assert "not today" in said["later:no"] and "0.3 seconds" in said["later:never"]


def test_another_moment_is_another_answer(tmp_path: Path) -> None:
    """The certificate has ended by then, and so has the list."""
    config = tables.one_host(NAME, "http://127.0.0.1:1")
    config["client_ca"][0]["crl"] = [certs.crl_file("moment.crl")]
    with Edge(tmp_path, config) as edge:
        asked = ("--config", str(edge.config_path), "--url", edge.url(NAME, "/"))
        asked = (*asked, "--cert", str(certs.client().certificate))
        now, stale, ended = (
            command(*asked, *at)
            for at in ((), ("--at", later(days=20)), ("--at", later(days=2000)))
        )
    assert (0, 3, 3) == (now[0], stale[0], ended[0])
    assert "refused: 403 revocation_unknown" in stale[1]
    assert "stale since" in stale[1]
    assert "refused: 403 certificate_expired" in ended[1]


OCSP_CA = "Explained OCSP CA"
ANSWERED = {
    "fine": (200, 0, "", ""),
    "lost": (403, 3, "is revoked by OCSP", "certificate_revoked"),
    "gone": (403, 3, "no usable OCSP answer about", "revocation_unknown"),
}


@pytest.mark.parametrize("policy", ["require", "warn"])
def test_what_ocsp_responders_say_is_told(tmp_path: Path, policy: str) -> None:
    """Good, revoked, and not to be had: asked as the edge asks, and concluded what it concludes.

    An answer that is no condition, and cannot be had, is told as well.
    """
    pairs = {word: certs.client(word, OCSP_CA) for word in ANSWERED}
    known = {pair.issued.x509.serial_number: word for word, pair in pairs.items()}

    def answers(handler: BaseHTTPRequestHandler, request: bytes) -> None:
        word = known[ocsp.load_der_ocsp_request(request).serial_number]
        if word == "gone":
            reply(handler, b"", status=503)
            return
        about, issuer = pairs[word].issued.x509, certs.authority(OCSP_CA)
        reply(handler, sign(request, about, issuer, revoked=word == "lost"))

    with CountingOrigin() as origin, ScriptedResponder(answers) as responder:
        config = tables.one_host(NAME, origin.url)
        more = {"ocsp": responder.url, "ocsp_policy": policy}
        config["client_ca"] = [tables.client_ca(NAME, name=OCSP_CA, **more)]
        with Edge(tmp_path, config) as edge:
            live = {word: Client(pair).get(edge.port, NAME).status for word, pair in pairs.items()}
            logged = {line["cert"]["subject"]: line["cert"] for line in edge.access_log(3)}
            asked = ("--config", str(edge.config_path), "--url", edge.url(NAME), "--json")
            told = {
                word: command(*asked, "--cert", str(pair.certificate))
                for word, pair in pairs.items()
            }
    assert 6 == len(responder.asked), "the edge asks, and each explanation does"
    for word, (http, exit_status, words, reason) in ANSWERED.items():
        if (word, policy) == ("gone", "warn"):
            http, exit_status, words, reason = 200, 0, '(let pass, as ocsp_policy is "warn")', ""
        status, out = told[word]
        account: dict[str, Any] = json.loads(out)
        (attempt,) = account["certificate"]["attempts"]
        assert (http, exit_status) == (live[word], status)
        assert words in attempt["ocsp"]
        assert reason == account["certificate"]["reason"]
        assert reason == logged[f"CN={word}"].get("reason", "")


def later(days: int) -> str:
    """A moment so many days from now."""
    from datetime import UTC, datetime, timedelta

    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_nothing_is_written_and_no_token_is_shown(tmp_path: Path) -> None:
    """An edge that never ran has no keys, and gets none; what is printed opens no door."""
    config = tables.one_host(NAME, "http://127.0.0.1:1")
    edge = Edge(tmp_path, config)
    edge.config_path.write_text(edge._toml())
    before = sorted(tmp_path.rglob("*"))
    asked = ("--config", str(edge.config_path), "--url", f"https://{NAME}/x")
    status, out = command(*asked, "--cert", str(certs.client().certificate))
    assert 0 == status
    assert before == sorted(tmp_path.rglob("*"))
    assert '"common_name":"device-1"' in out and "eyJ" not in out

"""The options of twistd mtlsedge say what a file says, and their mistakes are told by option."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from config_making import NOW, check_verifier
from twisted.python.usage import UsageError

from mtlsedge.config.load import load_file
from mtlsedge.config.options import ServeOptions, option_of
from mtlsedge.errors import ConfigurationError
from mtlsedge.model import Configuration, Rule

ONE_HOST = [
    *("--listen", "127.0.0.1:8443", "--host", "iot.example.com"),
    *("--certificate", "server.pem", "--key", "server-key.pem"),
    *("--upstream", "http://127.0.0.1:8080"),
]
CA = ["--client-ca", "ca.pem"]

SAME_AS_TOML = """
[edge]
listen = ["127.0.0.1:8443", "[::1]:8443"]
workers = 2
state = "keys"
access_log = "-"
[[host]]
names = ["iot.example.com", "b.example.com"]
certificate = "server.pem"
key = "server-key.pem"
upstream = ["https://a.example.com", "https://b.example.com"]
upstream_ca = "system"
handshake = "require"
unprotected = "pass"
advertise_cas = "never"
forward_certificate = ["cf", "xfcc"]
[[client_ca]]
name = "client CA"
certificate = "ca.pem"
hosts = ["iot.example.com", "b.example.com"]
crl = ["ca.crl", "ca-der.crl"]
verifiers = ["good"]
[[application]]
name = "iot.example.com"
domain = ["iot.example.com/ingest", "b.example.com/ingest"]
session_duration = "6h"
[[application.policy]]
name = "command line"
decision = "service_auth"
include = [{ common_name = "device-1" }, { ip = ["192.0.2.0/24", "::1"] }]
require = [{ certificate = true }]
exclude = [{ serial = "0x10" }]
"""

SAME_AS_OPTIONS = [
    *("--listen", "127.0.0.1:8443", "--listen", "[::1]:8443", "--workers", "2"),
    *("--state", "keys", "--access-log", "-"),
    *("--host", "iot.example.com", "--host", "b.example.com"),
    *("--certificate", "server.pem", "--key", "server-key.pem"),
    *("--upstream", "https://a.example.com", "--upstream", "https://b.example.com"),
    *("--upstream-ca", "system", "--handshake", "require", "--unprotected", "pass"),
    *("--advertise-cas", "never"),
    *("--forward-certificate", "cf", "--forward-certificate", "xfcc"),
    *CA,
    *("--crl", "ca.crl", "--crl", "ca-der.crl", "--verifier", "good"),
    *("--path", "/ingest", "--session-duration", "6h"),
    *("--include", "common_name=device-1", "--include", 'ip=["192.0.2.0/24", "::1"]'),
    *("--require", "certificate", "--exclude", "serial=0x10"),
]


def parsed(arguments: list[str]) -> ServeOptions:
    """The options after these arguments."""
    options = ServeOptions()
    options.parseOptions(arguments)  # type: ignore[no-untyped-call]
    return options


def configured(arguments: list[str]) -> Configuration:
    """What these arguments mean."""
    return parsed(arguments).configuration(check_verifier, NOW.timestamp())


@pytest.fixture(autouse=True)
def _beside_the_pki(pki: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pki)


def test_options_and_toml_say_the_same(pki: Path) -> None:
    """One configuration, said both ways, is one value."""
    file = pki / "same.toml"
    file.write_text(SAME_AS_TOML)
    by_file = load_file(file, check_verifier=check_verifier, now=NOW.timestamp())
    assert by_file == configured(SAME_AS_OPTIONS)
    assert by_file == configured(["--config", str(file)])


def test_the_mapping_of_a_file_is_what_the_file_says(pki: Path) -> None:
    """``mapping`` reads the TOML and judges nothing."""
    (pki / "odd.toml").write_text("x = 1\n")
    assert {"x": 1} == parsed(["--config", "odd.toml"]).mapping()


def test_a_client_ca_alone_lets_its_certificates_in() -> None:
    """Without a rule, the whole host wants a verified certificate."""
    (application,) = configured(ONE_HOST + CA).applications
    assert ["iot.example.com"] == [str(domain) for domain in application.domains]
    (policy,) = application.policies
    assert ("service_auth", (Rule("certificate"),)) == (policy.decision, policy.rules.include)


def test_a_requirement_narrows_what_the_client_ca_lets_in() -> None:
    """--require without --include still begins with the certificate."""
    options = [*ONE_HOST, *CA, "--require", "common_name=device-1"]
    rules = configured(options).applications[0].policies[0].rules
    assert (Rule("certificate"),) == rules.include
    assert (Rule("common_name", ("device-1",)),) == rules.require


def test_a_host_for_everybody_has_to_be_asked_for() -> None:
    """--unprotected pass, with nothing else, is an open proxy for that host."""
    configuration = configured([*ONE_HOST, "--unprotected", "pass"])
    assert ((), "pass") == (configuration.applications, configuration.hosts[0].unprotected)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "--config"),
        (["--config", "x.toml", "--listen", ":1", "--host", "a"], "leave out --host, --listen"),
        ([*ONE_HOST, *CA, "x.toml"], "'x.toml'"),
        (ONE_HOST, "nobody could pass"),
        ([*ONE_HOST, "--unprotected", "pass", "--path", "/x"], "--client-ca or --include"),
        ([*ONE_HOST, *CA, "--path", "x"], "must begin with '/'"),
        ([*ONE_HOST, "--include", "everyone", "--crl", "ca.crl"], "--client-ca"),
        ([*ONE_HOST, "--include", "common_name"], "not a rule"),
        ([*ONE_HOST, "--include", "=x"], "not a rule"),
        ([*ONE_HOST, "--include", "common_name=[x"], "array"),
        ([*ONE_HOST, "--no-such-option"], "no-such-option"),
    ],
)
def test_usage_errors(arguments: list[str], word: str) -> None:
    """Combinations that leave open what was meant are refused before anything is read."""
    with pytest.raises(UsageError, match=word.replace("[", r"\[")):
        parsed(arguments)


@pytest.mark.parametrize(
    ("arguments", "option", "word"),
    [
        (["--listen", "udp://:1"], "--listen", "QUIC"),
        (["--host", "a b"], "--host", "not a host name"),
        (["--upstream", "ftp://a"], "--upstream", "http://"),
        (["--upstream", "https://a"], "--upstream-ca", "system"),
        (["--handshake", "x"], "--handshake", "not one of"),
        (["--workers", "x"], "--workers", "whole number"),
        (["--crl", "no.crl"], "--crl", "No such file"),
        (["--verifier", "odd"], "--verifier", "no such verifier"),
        (["--include", "ip=x"], "--include ip", "not an IP"),
        (["--exclude", "certificate=false"], "--exclude certificate", "'exclude'"),
        (["--path", "/a*b*"], "--path", "at most one"),
        (["--session-duration", "24"], "--session-duration", "duration"),
        (["--forward-certificate", "der"], "--forward-certificate", "not one of"),
        (["--key", "other-key.pem"], "--key", "does not fit"),
    ],
)
def test_problems_name_the_option(arguments: list[str], option: str, word: str) -> None:
    """Nobody who wrote options reads about TOML keys."""
    with pytest.raises(ConfigurationError) as caught:
        configured([*ONE_HOST, *CA, *arguments])
    found = {problem.where: problem.message for problem in caught.value.problems}
    assert word in found[option]
    assert all(where.startswith("--") for where in found)


def test_what_is_missing_is_named_by_its_option() -> None:
    """Everything that one host needs is asked for at once."""
    with pytest.raises(ConfigurationError) as caught:
        configured(CA)
    found = {problem.where for problem in caught.value.problems}
    assert {"--listen", "--host", "--certificate", "--key", "--upstream"} <= found


def test_problems_of_a_file_keep_their_key_paths(pki: Path) -> None:
    """With --config the operator wrote keys."""
    (pki / "bad.toml").write_text("[edge]\nlisten = 5\n")
    with pytest.raises(ConfigurationError) as caught:
        configured(["--config", "bad.toml"])
    assert "edge.listen" == caught.value.problems[0].where


def test_a_key_without_an_option_keeps_its_path() -> None:
    """The table from keys to options goes by the longest known beginning."""
    assert "edge.key_rotation" == option_of("edge.key_rotation")
    assert "--include ip" == option_of("application[0].policy[0].include[3].ip[1]")


def test_help_verifiers_prints_what_was_injected_and_exits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The callable is the wiring's; this room knows no verifier."""
    called: list[Any] = []
    monkeypatch.setattr(ServeOptions, "print_verifiers", staticmethod(lambda: called.append(1)))
    with pytest.raises(SystemExit) as caught:
        parsed(["--help-verifiers"])
    assert (0, [1]) == (caught.value.code, called)


def test_help_verifier_prints_the_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name."""
    called: list[str] = []
    monkeypatch.setattr(ServeOptions, "print_verifiers", staticmethod(called.append))
    with pytest.raises(SystemExit) as caught:
        parsed(["--help-verifier", "pin"])
    assert (0, ["pin"]) == (caught.value.code, called)


def test_every_option_is_in_the_help() -> None:
    """--help shows synopsis, description and each option with a text."""
    text = str(ServeOptions())
    for option in ("--config=", "--listen=", "--include=", "--help-verifiers", "--upstream-ca="):
        assert option in text
    assert "--client-ca and no rule" in " ".join(text.split())

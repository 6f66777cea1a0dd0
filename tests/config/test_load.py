"""What the loader makes of configurations that are right, and how it reads files of TOML."""

from __future__ import annotations

import hashlib
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from config_making import NOW, at, broken, check_verifier, load, problems, right

from mtlsedge.config.edge import _LIMITS
from mtlsedge.config.load import load_file, load_mapping
from mtlsedge.errors import ConfigurationError
from mtlsedge.model import (
    Domain,
    Limits,
    Listen,
    Policy,
    Rule,
    RuleSet,
    Timeouts,
    Upstream,
    UpstreamTLS,
)

WHOLE = """
[edge]
listen = ["127.0.0.1:8443", "[::1]:8443", ":9443", "fd:3"]
workers = 0
state = "keys"
admin = "127.0.0.1:9901"
access_log = "access.jsonl"
default_host = "IOT.example.com."
key_rotation = "7d"
protocols = ["http/1.1"]
limits.request_head = "16 KiB"
timeouts = { handshake = "2s", origin_connect = 1.5 }

[[host]]
names = ["iot.example.com", "*.iot.example.com"]
certificate = "server.pem"
key = "server-key.pem"
upstream = ["https://Origin.example.com", "https://[::1]:8444/", "unix:app.sock"]
upstream_ca = "ca.pem"
upstream_server_name = "Origin.Internal"
upstream_certificate = "other.pem"
upstream_key = "other-key.pem"
handshake = "record"
unprotected = "pass"
resumption = "recheck"
forward_certificate = ["cf", "rfc9440"]
preserve_host = false
upgrades = ["WebSocket"]
limits = { request_body = "1g" }
timeouts = { keep_alive = "1h30m" }

[[client_ca]]
name = "Access Testing CA"
certificate = "ca.pem"
hosts = ["iot.example.com"]
crl = ["ca.crl", "ca-der.crl", "two.crl"]
crl_policy = "warn"
crl_check = "leaf"
crl_grace = "1h"
crl_issuer = "ca.pem"
required_policies = ["1.2.3", "2.5.29.32.0"]
verifier = "good"

[[application]]
name = "ingest"
domain = ["iot.example.com/ingest/", "*.iot.example.com/v*/x"]
session_duration = "6h"
aud = "chosen"

[[application.policy]]
name = "devices"
decision = "non_identity"
include = [{ group = "staff" }, { service_token = ["robot"] }, { any_valid_service_token = true }]
require = [{ client_ca = "Access Testing CA" }, { method = "get" }, { verifier = "good" }]
exclude = [{ ip = ["192.0.2.0/24", "2001:db8::1"] }]

[[group]]
name = "staff"
include = [{ organization = "Example" }]

[[service_token]]
name = "robot"
client_id = "abc.access"
secret_sha256 = "ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB"
expires = 2031-01-01T00:00:00Z
"""


def whole(pki: Path) -> Any:
    """The configuration above, from a file beside the PKI."""
    file = pki / "whole.toml"
    file.write_text(WHOLE)
    return load_file(file, check_verifier=check_verifier, now=NOW.timestamp(), generation=7)


def test_the_edge_table_is_read_whole(pki: Path) -> None:
    """Every key of [edge] arrives as the model has it."""
    edge = whole(pki).edge
    listens = (
        Listen("127.0.0.1", 8443),
        Listen("::1", 8443),
        Listen("", 9443),
        Listen(descriptor=3),
    )
    assert listens == edge.listen
    assert (0, pki / "keys", "127.0.0.1:9901") == (edge.workers, edge.state, edge.admin)
    assert (str(pki / "access.jsonl"), "iot.example.com") == (edge.access_log, edge.default_host)
    assert (7 * 86400.0, 16384, 2.0) == (
        edge.key_rotation,
        edge.limits.request_head,
        edge.timeouts.handshake,
    )


def test_a_host_is_read_whole_and_inherits_from_the_edge(pki: Path) -> None:
    """Every key of [[host]] arrives; limits and timeouts fall back to the edge's."""
    (host,) = whole(pki).hosts
    upstream = (
        Upstream("https", "origin.example.com", 443),
        Upstream("https", "::1", 8444),
        Upstream("unix", path=str(pki / "app.sock")),
    )
    assert upstream == host.upstream
    assert ("iot.example.com", "*.iot.example.com") == host.names
    assert (pki / "server.pem").read_bytes() == host.key_pair.certificate
    assert (pki / "server-key.pem").read_bytes() == host.key_pair.key
    assert (pki / "ca.pem").read_bytes() == host.upstream_tls.ca
    assert "origin.internal" == host.upstream_tls.server_name
    assert (pki / "other-key.pem").read_bytes() == host.upstream_tls.client.key
    assert ("pass", "recheck", False) == (host.unprotected, host.resumption, host.preserve_host)
    assert frozenset({"cf", "rfc9440"}) == host.forward_certificate
    assert ("websocket",) == host.upgrades
    assert Limits(request_head=16384, request_body=2**30) == host.limits
    assert Timeouts(handshake=2.0, origin_connect=1.5, keep_alive=5400.0) == host.timeouts


def test_clients_and_tokens_are_read_whole(pki: Path) -> None:
    """CAs carry the bytes of their files; token hashes come out in lower case."""
    configuration = whole(pki)
    (ca,), (token,) = configuration.client_cas, configuration.service_tokens
    assert ("Access Testing CA", ("iot.example.com",)) == (ca.name, ca.hosts)
    assert (pki / "ca.pem").read_bytes() == ca.certificates
    assert [str(pki / f) for f in ("ca.crl", "ca-der.crl", "two.crl")] == [c.place for c in ca.crls]
    assert (pki / "ca-der.crl").read_bytes() == ca.crls[1].data
    assert ("warn", "leaf", 3600.0) == (ca.crl_policy, ca.crl_check, ca.crl_grace)
    assert (pki / "ca.pem").read_bytes() == ca.crl_issuers
    assert (("1.2.3", "2.5.29.32.0"), ("good",)) == (ca.required_policies, ca.verifiers)
    assert ("ab" * 32, 1924992000.0) == (token.secret_sha256, token.expires)


def test_an_application_is_read_whole(pki: Path) -> None:
    """Domains and rule values come out canonical, decisions in our words."""
    (application,) = whole(pki).applications
    assert (
        Domain("iot.example.com", "/ingest"),
        Domain("*.iot.example.com", "/v*/x"),
    ) == application.domains
    assert ("chosen", 21600.0) == (application.aud, application.session_duration)
    rules = RuleSet(
        include=(
            Rule("group", ("staff",)),
            Rule("service_token", ("robot",)),
            Rule("any_valid_service_token"),
        ),
        require=(
            Rule("client_ca", ("Access Testing CA",)),
            Rule("method", ("GET",)),
            Rule("verifier", ("good",)),
        ),
        exclude=(Rule("ip", networks=(ip_network("192.0.2.0/24"), ip_network("2001:db8::1/128"))),),
    )
    assert (Policy("devices", "service_auth", rules),) == application.policies


def test_a_generation_is_carried(pki: Path) -> None:
    """The caller's generation number is the configuration's."""
    assert 7 == whole(pki).generation


def test_the_least_configuration_loads_with_defaults_and_no_warning(pki: Path) -> None:
    """What is left out is the model's default."""
    mapping = right()
    configuration = load({"edge": mapping["edge"], "host": mapping["host"]}, pki)
    assert () == configuration.warnings
    assert pki / "state" == configuration.edge.state
    assert ("record", "deny", "off") == (
        configuration.hosts[0].handshake,
        configuration.hosts[0].unprotected,
        configuration.hosts[0].resumption,
    )
    assert UpstreamTLS() == configuration.hosts[0].upstream_tls


def test_a_right_configuration_has_no_warnings(pki: Path) -> None:
    """The mapping that the tests break says nothing as it is."""
    assert () == load(right(), pki).warnings


def test_the_systems_store_is_used_only_when_asked_for(pki: Path) -> None:
    """``upstream_ca = "system"`` is the one way to it."""
    change = {"upstream": "https://origin.example.com", "upstream_ca": "system"}
    configuration = load(broken(lambda m: at(m, "host", 0).update(change)), pki)
    assert b"" == configuration.hosts[0].upstream_tls.ca


def test_an_audience_is_made_from_name_and_domains(pki: Path) -> None:
    """Without ``aud`` it is a hash that does not depend on the order of the domains."""
    domains = ["iot.example.com/b", "iot.example.com/a"]

    def aud(ordered: list[str]) -> str:
        mapping = broken(lambda m: at(m, "application", 0).update(domain=ordered))
        return load(mapping, pki).applications[0].aud

    expected = hashlib.sha256(b"ingest\0iot.example.com/a\0iot.example.com/b").hexdigest()
    assert expected == aud(domains) == aud(domains[::-1])
    assert expected != load(right(), pki).applications[0].aud


def test_every_limit_and_timeout_of_the_model_can_be_said(pki: Path) -> None:
    """The tables of keys and the model's fields are the same."""
    assert set(Limits.__dataclass_fields__) == set(_LIMITS)
    limits = dict.fromkeys(Limits.__dataclass_fields__, 300)
    timeouts = dict.fromkeys(Timeouts.__dataclass_fields__, "5s")
    mapping = broken(lambda m: m["edge"].update(limits=limits, timeouts=timeouts))
    configuration = load(mapping, pki)
    assert Limits(**limits) == configuration.hosts[0].limits == configuration.edge.limits
    assert Timeouts(**dict.fromkeys(timeouts, 5.0)) == configuration.hosts[0].timeouts


def test_groups_in_groups_are_allowed_without_a_circle(pki: Path) -> None:
    """A chain of groups loads, in whatever order it is written."""
    extra = [
        {"name": "all", "include": [{"group": ["staff", "guests"]}]},
        {"name": "guests", "include": [{"group": "staff"}]},
    ]
    assert {} == problems(broken(lambda m: m["group"].extend(extra)), pki)


def test_an_application_may_stand_for_many_hosts(pki: Path) -> None:
    """A wildcard domain over concrete hosts, and a concrete one under a wildcard host."""
    mapping = broken(lambda m: at(m, "application", 0).update(domain="*.example.com/x"))
    assert {} == problems(mapping, pki)
    at(mapping, "host", 0)["names"] = ["*.example.com"]
    at(mapping, "client_ca", 0)["hosts"] = ["*.example.com"]
    at(mapping, "application", 0)["domain"] = "any.example.com"
    assert {} == problems(mapping, pki)


@pytest.mark.parametrize(
    ("text", "where", "word"),
    [
        (b"[edge\n", "edge.toml:1:6", "TOML"),
        (b'[edge]\nlisten = "a" "b"\n', "edge.toml:2:14", "TOML"),
        (b"# \xff\n", "edge.toml:1", "UTF-8"),
        (b"a = 1\na = 2\n", "edge.toml:2:6", "TOML"),
        (b"x = " + b"[" * 5000, "edge.toml", "TOML"),
        (b"x = " + b"9" * 5000, "edge.toml", "TOML"),
    ],
)
def test_bad_toml_is_told_with_line_and_column(
    tmp_path: Path, text: bytes, where: str, word: str
) -> None:
    """A syntax error names file, line and column."""
    file = tmp_path / "edge.toml"
    file.write_bytes(text)
    with pytest.raises(ConfigurationError) as caught:
        load_file(file, check_verifier=check_verifier, now=0)
    (problem,) = caught.value.problems
    assert str(tmp_path / where) == problem.where
    assert word in problem.message


def test_a_missing_file_is_told_by_its_name(tmp_path: Path) -> None:
    """No traceback for a file that is not there, or is a directory."""
    for path, word in ((tmp_path / "no.toml", "No such file"), (tmp_path, "regular file")):
        with pytest.raises(ConfigurationError, match=word) as caught:
            load_file(path, check_verifier=check_verifier, now=0)
        assert str(path) == caught.value.problems[0].where


def test_relative_paths_start_at_the_file_whatever_the_current_directory(
    pki: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path to the file itself still gives absolute paths in the configuration."""
    (pki / "rel.toml").write_text(WHOLE)
    monkeypatch.chdir(pki.parent)
    file = Path(pki.name) / "rel.toml"
    configuration = load_file(file, check_verifier=check_verifier, now=NOW.timestamp())
    assert pki / "keys" == configuration.edge.state
    assert str(pki / "server.pem") == configuration.hosts[0].key_pair.place


def test_a_crl_in_base64_without_armour_is_taken(pki: Path) -> None:
    """It is what `cfssl gencrl` writes."""
    mapping = right()
    mapping["client_ca"][0]["crl"] = ["base64.crl"]
    configuration = load(mapping, pki)
    assert (pki / "base64.crl").read_bytes() == configuration.client_cas[0].crls[0].data
    assert () == configuration.warnings


def test_verifiers_and_what_they_attach_are_read(pki: Path) -> None:
    """The product's own selector becomes a verifier, whose paths the verifiers' room settles."""
    mapping = right()
    mapping["host"][0]["forward_attributes"] = ["department", "floor"]
    mapping["client_ca"][0] |= {"verifiers": ["a", "b"], "verifiers_match": "any"}
    urls = {"evaluate_url": 'https://e.example.com/"x"', "keys_url": "https://e.example.com/k"}
    rules = [{"external_evaluation": urls}, {"attribute": ["department=radiology", "a=b=c"]}]
    mapping["application"][0]["policy"][0]["include"] = rules
    asked: list[tuple[str, Path]] = []

    def settle(spec: str, directory: Path) -> str:
        asked.append((spec, directory))
        return f"settled {len(asked)}"

    loaded = load_mapping(mapping, pki, check_verifier=settle, now=NOW.timestamp())
    external = (
        'external:evaluate_url="https://e.example.com/\\"x\\"",keys_url="https://e.example.com/k"'
    )
    assert [("a", pki), ("b", pki), (external, pki)] == asked
    assert ("department", "floor") == loaded.hosts[0].forward_attributes
    ca = loaded.client_cas[0]
    assert (("settled 1", "settled 2"), "any") == (ca.verifiers, ca.verifiers_match)
    assert (
        Rule("external_evaluation", ("settled 3",)),
        Rule("attribute", ("department=radiology", "a=b=c")),
    ) == loaded.applications[0].policies[0].rules.include

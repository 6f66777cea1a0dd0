"""Every mistake that the loader knows: one change, one problem at its key path, with its word."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from config_making import at, broken, load, problems, right

from mtlsedge.config.rules import SELECTORS
from support import long_names

POLICY = ("application", 0, "policy", 0)
POLICY_AT = "application[0].policy[0]"
SECOND_CA = {"name": "Access Testing CA", "certificate": "ca.pem", "hosts": ["iot.example.com"]}
SECOND_APPLICATION = {"name": "ingest", "domain": "iot.example.com/x", "policy": []}
HTTPS = {"upstream": "https://origin.example.com", "upstream_ca": "ca.pem"}


def put(*path: Any, **values: Any) -> Callable[[dict[str, Any]], object]:
    """A change: these keys into the table at a path."""
    return lambda mapping: at(mapping, *path).update(values)


def drop(*path: Any) -> Callable[[dict[str, Any]], object]:
    """A change: take the last key of the path out."""
    return lambda mapping: at(mapping, *path[:-1]).pop(path[-1])


def add(key: str, table: Any) -> Callable[[dict[str, Any]], object]:
    """A change: one more table in an array."""
    return lambda mapping: mapping.setdefault(key, []).append(table)


def rule(**selectors: Any) -> Callable[[dict[str, Any]], object]:
    """A change: the policy's only include."""
    return put(*POLICY, include=[selectors])


def second_host(names: Any) -> Callable[[dict[str, Any]], object]:
    """A change: one more host, right but for its names; None leaves them out."""

    def change(mapping: dict[str, Any]) -> None:
        host = {**mapping["host"][0], "names": names}
        mapping["host"].append({key: value for key, value in host.items() if value is not None})

    return change


STRUCTURE = [
    (drop("edge"), "edge.listen", "missing"),
    (second_host(names=None), "host[1].names", "missing"),
    (drop("host", 0, "certificate"), "host[0].certificate", "missing"),
    (drop("host", 0, "key"), "host[0].key", "missing"),
    (drop("host", 0, "upstream"), "host[0].upstream", "missing"),
    (drop("client_ca", 0, "certificate"), "client_ca[0].certificate", "missing"),
    (drop("client_ca", 0, "hosts"), "client_ca[0].hosts", "missing"),
    (drop("application", 0, "name"), "application[0].name", "missing"),
    (drop("application", 0, "domain"), "application[0].domain", "missing"),
    (drop(*POLICY, "name"), f"{POLICY_AT}.name", "missing"),
    (drop(*POLICY, "decision"), f"{POLICY_AT}.decision", "missing"),
    (drop("group", 0, "name"), "group[0].name", "missing"),
    (drop("group", 0, "include"), "group[0].include", "missing"),
    (drop("service_token", 0, "secret_sha256"), "service_token[0].secret_sha256", "missing"),
    (put("host", 0, certficate="x"), "host[0].certficate", "'certificate'"),
    (put("edge", limits={"request_lines": 1}), "edge.limits.request_lines", "'request_line'"),
    (put("host", 0, **{"a key\n": 1}), 'host[0]."a key\\n"', "'key'"),
    (put(*POLICY, precedence=1), f"{POLICY_AT}.precedence", "not a key"),
    (lambda m: m.update(hosts=[]), "hosts", "'host'"),
    (lambda m: m.update(edge=[]), "edge", "array"),
    (lambda m: m.update(group={"name": "x"}), "group", "[[group]]"),
    (lambda m: m.update(group="x"), "group", "a string"),
    (lambda m: m["group"].insert(0, 5), "group[0]", "an integer"),
    (put("application", 0, policy={}), "application[0].policy", "[[application.policy]]"),
    (second_host(names=[]), "host[1].names", "empty"),
    (second_host(names=[5]), "host[1].names[0]", "an integer"),
    (put("host", 0, preserve_host="yes"), "host[0].preserve_host", "true or false"),
    (put("host", 0, handshake="demand"), "host[0].handshake", "not one of"),
    (put("host", 0, advertise_cas="all"), "host[0].advertise_cas", "not one of"),
    (put("host", 0, resumption="on"), "host[0].resumption", "recheck"),
    (put("host", 0, unprotected="open"), "host[0].unprotected", "deny"),
    (put("host", 0, forward_certificate="der"), "host[0].forward_certificate", "cf"),
    (put("client_ca", 0, crl_policy="soft"), "client_ca[0].crl_policy", "warn"),
    (put(*POLICY, decision="permit"), f"{POLICY_AT}.decision", "allow"),
    (put("host", 0, upgrades=["h2c"]), "host[0].upgrades[0]", "h2c"),
    (put("host", 0, upgrades=["a b"]), "host[0].upgrades[0]", "token"),
]

EDGE = [
    (put("edge", listen="localhost:8443"), "edge.listen", "address"),
    (put("edge", listen=["127.0.0.1"]), "edge.listen[0]", "must be like"),
    (put("edge", listen=["127.0.0.1:99999"]), "edge.listen[0]", "must be like"),
    (put("edge", listen=["::1:8443"]), "edge.listen[0]", "must be like"),
    (put("edge", listen=["[127.0.0.1]:1"]), "edge.listen[0]", "brackets"),
    (put("edge", listen=["fd:0"]), "edge.listen[0]", "fd:3"),
    (put("edge", listen=["fd:x"]), "edge.listen[0]", "fd:3"),
    (put("edge", listen=["127.0.0.1:1", "127.0.0.1:1"]), "edge.listen", "twice"),
    (put("edge", listen=["udp://127.0.0.1:8443"]), "edge.listen[0]", "skip the client cert"),
    (put("edge", listen=["quic:8443"]), "edge.listen[0]", "QUIC"),
    (put("edge", protocols=["h3"]), "edge.protocols[0]", "QUIC"),
    (put("host", 0, protocols="HTTP/3"), "host[0].protocols", "QUIC"),
    (put("edge", http3=True), "edge.http3", "QUIC"),
    (put("edge", protocols=["http/1.1", "h2"]), "edge.protocols[1]", "not yet served"),
    (put("edge", protocols="spdy"), "edge.protocols", "http/1.1"),
    (put("edge", workers=-1), "edge.workers", "between 0"),
    (put("edge", workers="two"), "edge.workers", "whole number"),
    (put("edge", workers=True), "edge.workers", "a boolean"),
    (put("edge", state="text.txt"), "edge.state", "not a directory"),
    (put("edge", access_log="."), "edge.access_log", "directory"),
    (put("edge", admin="fd:3"), "edge.admin", "inherited"),
    (put("edge", default_host="other.example.com"), "edge.default_host", "no [[host]]"),
    (put("edge", default_host="*.example.com"), "edge.default_host", "host name"),
    (put("edge", key_rotation="1s"), "edge.key_rotation", "between 1h"),
    (put("edge", limits={"request_head": "8 kB"}), "edge.limits.request_head", "8k"),
    (put("edge", limits={"request_head": "1 GiB"}), "edge.limits.request_head", "between"),
    (put("edge", limits={"request_headers": 1.5}), "edge.limits.request_headers", "whole number"),
    (put("edge", timeouts={"write": "1 fortnight"}), "edge.timeouts.write", "duration"),
    (put("edge", timeouts={"write": "1h1h"}), "edge.timeouts.write", "duration"),
    (put("edge", timeouts={"write": float("nan")}), "edge.timeouts.write", "finite"),
    (put("edge", timeouts={"write": -1}), "edge.timeouts.write", "between"),
    (put("edge", timeouts={"write": True}), "edge.timeouts.write", "boolean"),
    (put("host", 0, limits={"connections": 5}), "host[0].limits.connections", "[edge.limits]"),
    (put("host", 0, timeouts={"drain": 5}), "host[0].timeouts.drain", "[edge.timeouts]"),
]

HOSTS = [
    (
        put("host", 0, forward_attributes=["a b"]),
        "host[0].forward_attributes[0]",
        "HTTP token",
    ),
    (
        put("host", 0, forward_attributes=["a.b"]),
        "host[0].forward_attributes[0]",
        "goes into a header's name",
    ),
    (second_host(names="*"), "host[1].names", "whole first label"),
    (
        put("host", 0, names=["iot.example.com", "a.*.example.com"]),
        "host[0].names[1]",
        "first label",
    ),
    (put("host", 0, names=["iot.example.com", "a:443"]), "host[0].names[1]", "bare host name"),
    (put("host", 0, names=["iot.example.com", "a b"]), "host[0].names[1]", "not a host name"),
    (
        put("host", 0, names=["iot.example.com", "IOT.example.com."]),
        "host[0].names[1]",
        "claimed by host[0].names[0]",
    ),
    (lambda m: m["host"].append(dict(m["host"][0])), "host[1].names[0]", "host[0].names[0]"),
    (put("host", 0, certificate="no.pem"), "host[0].certificate", "No such file"),
    (put("host", 0, certificate="."), "host[0].certificate", "regular file"),
    (put("host", 0, certificate="a\0b"), "host[0].certificate", "control character"),
    (put("host", 0, certificate="text.txt"), "host[0].certificate", "no PEM certificate"),
    (put("host", 0, certificate="ca.der"), "host[0].certificate", "DER"),
    (put("host", 0, certificate="cut.pem"), "host[0].certificate", "cut short"),
    (put("host", 0, certificate="damaged.pem"), "host[0].certificate", "cannot be read"),
    (put("host", 0, key="server.pem"), "host[0].key", "no PEM private key"),
    (put("host", 0, key="other-key.pem"), "host[0].key", "does not fit"),
    (put("host", 0, key="encrypted-key.pem"), "host[0].key", "encrypted"),
    (put("host", 0, key="small-key.pem"), "host[0].key", "1024 bits"),
    (put("host", 0, key="exchange-key.pem"), "host[0].key", "cannot serve TLS"),
    (put("host", 0, certificate="server-wrong-order.pem"), "host[0].key", "put that one first"),
    (put("host", 0, upstream="127.0.0.1:8080"), "host[0].upstream", "http://"),
    (put("host", 0, upstream="h2c://127.0.0.1"), "host[0].upstream", "http://"),
    (put("host", 0, upstream="http:127.0.0.1"), "host[0].upstream", "//"),
    (put("host", 0, upstream=["http://a/b"]), "host[0].upstream[0]", "path"),
    (put("host", 0, upstream="http://a?x"), "host[0].upstream", "query"),
    (put("host", 0, upstream="http://u:p@a"), "host[0].upstream", "user name"),
    (put("host", 0, upstream="http://a:0"), "host[0].upstream", "port 0"),
    (put("host", 0, upstream="http://a:70000"), "host[0].upstream", "port"),
    (put("host", 0, upstream="http://"), "host[0].upstream", "names no origin"),
    (put("host", 0, upstream="unix:"), "host[0].upstream", "names no socket"),
    (put("host", 0, upstream="unix://host/x"), "host[0].upstream", "without a host"),
    (put("host", 0, upstream="unix:/" + "x" * 120), "host[0].upstream", "107"),
    (put("host", 0, upstream=["http://a", "http://A:80"]), "host[0].upstream", "twice"),
    (put("host", 0, upstream="https://a"), "host[0].upstream_ca", "system"),
    (put("host", 0, upstream_ca="ca.pem"), "host[0].upstream_ca", "https://"),
    (put("host", 0, upstream_server_name="a"), "host[0].upstream_server_name", "https://"),
    (put("host", 0, **HTTPS, upstream_key="other-key.pem"), "host[0].upstream_certificate", "miss"),
    (put("host", 0, **HTTPS, upstream_certificate="other.pem"), "host[0].upstream_key", "missing"),
    (
        put("host", 0, **HTTPS, upstream_certificate="other.pem", upstream_key="server-key.pem"),
        "host[0].upstream_key",
        "does not fit",
    ),
    (put("host", 0, **{**HTTPS, "upstream_ca": "text.txt"}), "host[0].upstream_ca", "no PEM"),
    (
        put("host", 0, **{**HTTPS, "upstream_ca": "ca-with-key.pem"}),
        "host[0].upstream_ca",
        "take it",
    ),
    (
        lambda m: (m.pop("client_ca"), m["host"][0].update(handshake="require")),
        "host[0].handshake",
        "no [[client_ca]]",
    ),
    (
        put("host", 0, names=["iot.example.com", "b.example.com"], handshake="require"),
        "host[0].handshake",
        "b.example.com",
    ),
]

CLIENTS = [
    (put("client_ca", 0, verifiers_match="any"), "client_ca[0].verifiers_match", "without verif"),
    *(
        (
            put("client_ca", 0, verifiers=[], verifiers_match=match),
            "client_ca[0].verifiers_match",
            "name one, or take this out",
        )
        for match in ("any", "all")
    ),
    (
        put("client_ca", 0, verifiers=["good"], verifiers_match="most"),
        "client_ca[0].verifiers_match",
        "known are: all, any",
    ),
    (put("client_ca", 0, hosts=["else.example.com"]), "client_ca[0].hosts[0]", "no [[host]]"),
    (
        lambda m: (
            m["host"][0].update(names=["iot.example.com", "*.example.com"]),
            m["client_ca"][0].update(hosts=["iot.example.com", "any.example.com"]),
        ),
        "client_ca[0].hosts[1]",
        "word for word",
    ),
    (add("client_ca", SECOND_CA), "client_ca[1].name", "client_ca[0].name"),
    (put("client_ca", 0, certificate="text.txt"), "client_ca[0].certificate", "no PEM"),
    (put("client_ca", 0, certificate="cut.pem"), "client_ca[0].certificate", "cut short"),
    (put("client_ca", 0, certificate="leaf-as-ca.pem"), "client_ca[0].certificate", "CA:TRUE"),
    (put("client_ca", 0, certificate="no-constraints.pem"), "client_ca[0].certificate", "CA:TRUE"),
    (put("client_ca", 0, certificate="ca-with-key.pem"), "client_ca[0].certificate", "take it out"),
    (put("client_ca", 0, crl_check="leaves"), "client_ca[0].crl_check", "leaf"),
    (put("client_ca", 0, crl_grace="31d"), "client_ca[0].crl_grace", "30d"),
    (put("client_ca", 0, crl_issuer="no-crls.pem"), "client_ca[0].crl_issuer", "cRLSign"),
    (put("client_ca", 0, required_policies="P1"), "client_ca[0].required_policies", "identifier"),
    (put("client_ca", 0, crl="no.crl"), "client_ca[0].crl", "No such file"),
    (
        lambda m: (m["client_ca"][0].pop("crl"), m["client_ca"][0].update(crl_policy="warn")),
        "client_ca[0].crl_policy",
        "without a crl",
    ),
    (put("client_ca", 0, verifier="odd"), "client_ca[0].verifier", "no such verifier"),
    (put("client_ca", 0, verifiers=["good", "odd"]), "client_ca[0].verifiers[1]", "no such"),
    (put("client_ca", 0, verifier="broken"), "client_ca[0].verifier", "RuntimeError"),
    (
        put("client_ca", 0, verifier="good", verifiers=["good"]),
        "client_ca[0].verifier",
        "write one",
    ),
    (
        lambda m: m["service_token"].append({**m["service_token"][0], "client_id": "x"}),
        "service_token[1].name",
        "service_token[0].name",
    ),
    (
        lambda m: m["service_token"].append({**m["service_token"][0], "name": "x"}),
        "service_token[1].client_id",
        "service_token[0].client_id",
    ),
    (put("service_token", 0, client_id="a b"), "service_token[0].client_id", "visible ASCII"),
    (put("service_token", 0, secret_sha256="ab"), "service_token[0].secret_sha256", "64 hex"),
    (
        put(
            "service_token",
            0,
            secret_sha256="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        "service_token[0].secret_sha256",
        "hash of nothing",
    ),
    (put("service_token", 0, secret="hush"), "service_token[0].secret", "never written"),
    (put("service_token", 0, expires="soon"), "service_token[0].expires", "not a time"),
    (
        put("service_token", 0, expires="2031-01-01T00:00:00"),
        "service_token[0].expires",
        "time zone",
    ),
    (put("service_token", 0, expires=True), "service_token[0].expires", "a boolean"),
]

DOMAINS = [
    ("/ingest", "lacks its host"),
    ("https://iot.example.com/x", "scheme"),
    ("iot.example.com:8443/x", "port"),
    ("iot.example.com/x?y", "query"),
    ("iot.example.com/x#y", "fragment"),
    ("iot.example.com/a*b*c", "at most one '*'"),
    ("iot.*.com/a", "first label"),
    ("else.example.com/a", "no [[host]]"),
    ("iot.example.com/a//b", "empty segment"),
    ("iot.example.com/a/../b", "'..'"),
    ("iot.example.com/a/%2e%2E", "'..'"),
    ("iot.example.com/a%2fb", "several ways"),
    ("iot.example.com/a;b", "several ways"),
    ("iot.example.com/a\\b", "several ways"),
    ("iot.example.com/100%", "two hexadecimal digits"),
    ("iot.example.com/a%00", "control character"),
    ("iot.example.com/a b", "%20"),
]

APPLICATIONS = [
    *((put("application", 0, domain=d), "application[0].domain", word) for d, word in DOMAINS),
    (add("application", SECOND_APPLICATION), "application[1].name", "application[0].name"),
    (
        add("application", {"name": "b", "domain": ["IOT.example.com/ingest/"], "policy": []}),
        "application[1].domain[0]",
        "application[0].domain",
    ),
    (
        put("application", 0, domain=["iot.example.com", "iot.example.com/"]),
        "application[0].domain[1]",
        "application[0].domain[0]",
    ),
    (put("application", 0, session_duration="24"), "application[0].session_duration", "duration"),
    (put("application", 0, session_duration=0), "application[0].session_duration", "between 1s"),
    (put("application", 0, aud="a b"), "application[0].aud", "visible ASCII"),
    (
        lambda m: (
            m["application"][0].update(aud="x"),
            m["application"].append({**SECOND_APPLICATION, "name": "b", "aud": "x"}),
        ),
        "application[1].aud",
        "application[0].aud",
    ),
    (
        lambda m: at(m, "application", 0, "policy").append(at(m, *POLICY)),
        "application[0].policy[1].name",
        "policy[0].name",
    ),
]

HEX = "ab" * 32
RULES = [
    (put(*POLICY, include=[]), f"{POLICY_AT}.include", "matches nobody"),
    (put(*POLICY, include={"certificate": True}), f"{POLICY_AT}.include", "array of rules"),
    (put(*POLICY, include=["certificate"]), f"{POLICY_AT}.include[0]", "must be a rule"),
    (rule(), f"{POLICY_AT}.include[0]", "empty rule"),
    (rule(certificate=True, everyone=True), f"{POLICY_AT}.include[0]", "split it in two"),
    (rule(common_nam="x"), f"{POLICY_AT}.include[0].common_nam", "'common_name'"),
    (
        rule(external_evaluation={"evaluate": "x"}),
        f"{POLICY_AT}.include[0].external_evaluation",
        "'evaluate_url'",
    ),
    (
        rule(external_evaluation="https://decide.example.com"),
        f"{POLICY_AT}.include[0].external_evaluation",
        "must be a table",
    ),
    (rule(attribute="department"), f"{POLICY_AT}.include[0].attribute", "NAME=VALUE"),
    (
        rule(external_evaluation={"evaluate_url": "https://a", "keys_url": 1}),
        f"{POLICY_AT}.include[0].external_evaluation",
        "holds keys_url, which must be a string",
    ),
    (
        rule(external_evaluation={"evaluate_url": "https://a"}),
        f"{POLICY_AT}.include[0].external_evaluation",
        "there is no such verifier",  # as the tests' own knows only one
    ),
    (rule(attribute="=radiology"), f"{POLICY_AT}.include[0].attribute", "NAME=VALUE"),
    (rule(email="a@example.com"), f"{POLICY_AT}.include[0].email", "logged in"),
    (rule(geo="NO"), f"{POLICY_AT}.include[0].geo", "'ip'"),
    *(
        (rule(**{flag: False}), f"{POLICY_AT}.include[0].{flag}", "'exclude'")
        for flag in ("certificate", "everyone", "any_valid_service_token")
    ),
    (rule(certificate="true"), f"{POLICY_AT}.include[0].certificate", "without quotes"),
    *(
        (rule(**{selector: 5.5}), f"{POLICY_AT}.include[0].{selector}", "a float")
        for selector in sorted(SELECTORS)
    ),
    (rule(common_name=[]), f"{POLICY_AT}.include[0].common_name", "empty array"),
    (rule(common_name=["a", 5]), f"{POLICY_AT}.include[0].common_name[1]", "an integer"),
    (rule(common_name=" "), f"{POLICY_AT}.include[0].common_name", "empty"),
    (rule(group="nobody"), f"{POLICY_AT}.include[0].group", "no [[group]]"),
    (rule(service_token="robt"), f"{POLICY_AT}.include[0].service_token", "'robot'"),
    (rule(client_ca="Other CA"), f"{POLICY_AT}.include[0].client_ca", "no [[client_ca]]"),
    (rule(verifier="odd"), f"{POLICY_AT}.include[0].verifier", "no such verifier"),
    (rule(ip="192.0.2.1/24"), f"{POLICY_AT}.include[0].ip", "'192.0.2.0/24'"),
    (rule(ip=["192.0.2.1", "x"]), f"{POLICY_AT}.include[0].ip[1]", "not an IP"),
    (rule(ip="::ffff:192.0.2.1"), f"{POLICY_AT}.include[0].ip", "IPv4"),
    (rule(san_ip="x"), f"{POLICY_AT}.include[0].san_ip", "not an IP"),
    (rule(san_dns="a/b"), f"{POLICY_AT}.include[0].san_dns", "bare host name"),
    (rule(san_uri="nothing"), f"{POLICY_AT}.include[0].san_uri", "not a URI"),
    (rule(san_uri="spiffe://a*"), f"{POLICY_AT}.include[0].san_uri", "whole host"),
    (rule(san_uri="spiffe://a/*/b"), f"{POLICY_AT}.include[0].san_uri", "at its end"),
    (rule(san_uri="spiffe:*"), f"{POLICY_AT}.include[0].san_uri", "whole host"),
    (rule(san_email="example.com"), f"{POLICY_AT}.include[0].san_email", "mail address"),
    (rule(issuer="Example CA"), f"{POLICY_AT}.include[0].issuer", "distinguished name"),
    (rule(method="GET POST"), f"{POLICY_AT}.include[0].method", "token"),
    (rule(fingerprint_sha256="ab:cd"), f"{POLICY_AT}.include[0].fingerprint_sha256", "64 hex"),
    (rule(spki_sha256="x" * 64), f"{POLICY_AT}.include[0].spki_sha256", "64 hex"),
    (rule(serial="1234"), f"{POLICY_AT}.include[0].serial", "decimal or hexadecimal"),
    (rule(serial=1234), f"{POLICY_AT}.include[0].serial", "string"),
    (rule(serial="xyz"), f"{POLICY_AT}.include[0].serial", "not a serial"),
    (rule(serial="0x00"), f"{POLICY_AT}.include[0].serial", "above 0"),
    (rule(serial="f" * 41), f"{POLICY_AT}.include[0].serial", "20 octets"),
    (add("group", {"name": "staff", "include": [{"everyone": True}]}), "group[1].name", "group[0]"),
    (put("group", 0, include=[{"group": "staff"}]), "group[0].include[0].group", "contain itself"),
]


@pytest.mark.parametrize(
    ("change", "where", "word"), STRUCTURE + EDGE + HOSTS + CLIENTS + APPLICATIONS + RULES
)
def test_a_mistake_is_told_at_its_key_path(
    pki: Path, change: Callable[[dict[str, Any]], object], where: str, word: str
) -> None:
    """One mistake gives exactly one problem, where it is, and says what it is about."""
    found = problems(broken(change), pki)
    assert [where] == list(found)
    assert word in found[where]


def test_all_mistakes_are_told_at_once(pki: Path) -> None:
    """Mistakes in every table come together, each with its path."""
    mapping = right()
    for change in (
        put("edge", workers=-1),
        put("host", 0, key="other-key.pem", handshake="x"),
        put("client_ca", 0, crl=["no.crl", "none.crl"], hosts=["a.example.com"]),
        put("application", 0, domain="iot.example.com/a*b*"),
        put(*POLICY, include=[{"ip": "x"}, {"group": "x"}], decision="maybe"),
        put("group", 0, include=[]),
        put("service_token", 0, secret_sha256="x"),
        put(extra=1),
    ):
        change(mapping)
    expected = {
        "edge.workers",
        "host[0].key",
        "host[0].handshake",
        "client_ca[0].crl[0]",
        "client_ca[0].crl[1]",
        "client_ca[0].hosts[0]",
        "application[0].domain",
        f"{POLICY_AT}.include[0].ip",
        f"{POLICY_AT}.include[1].group",
        f"{POLICY_AT}.decision",
        "group[0].include",
        "service_token[0].secret_sha256",
        "extra",
    }
    assert expected == set(problems(mapping, pki))


def test_no_host_at_all_is_a_mistake(pki: Path) -> None:
    """An edge with nothing to serve does not start."""
    assert "missing" in problems({"edge": {"listen": ":1"}}, pki)["host"]
    assert "missing" in problems({"edge": {"listen": ":1"}, "host": []}, pki)["host"]


def test_every_circle_of_groups_is_told(pki: Path) -> None:
    """Two circles, two problems; what only points at a circle is not one."""
    include = {"a": "b", "b": "a", "c": "d", "d": "c", "e": "a"}
    groups = [{"name": n, "include": [{"group": g}]} for n, g in include.items()]
    found = problems(broken(lambda m: m.update(group=groups)), pki)
    assert 2 == len(found)
    assert {"contain itself"} == {m[14:28] for m in found.values()}
    assert not any(where.startswith("group[4]") for where in found)


def test_groups_nested_too_deep_are_told(pki: Path) -> None:
    """A chain of 32 groups is the longest."""

    def chain(length: int) -> list[Any]:
        links = [{"name": f"g{n}", "include": [{"group": f"g{n + 1}"}]} for n in range(length - 1)]
        return [*links, {"name": f"g{length - 1}", "include": [{"everyone": True}]}]

    assert {} == problems(broken(lambda m: m.update(group=chain(32))), pki)
    found = problems(broken(lambda m: m.update(group=chain(2000))), pki)
    assert 1 == len(found)
    assert "nests more than 32" in next(iter(found.values()))


def test_a_broken_table_is_still_known_by_its_name(pki: Path) -> None:
    """A CA whose file is wrong is one mistake, not one more for each rule that names it."""
    mapping = broken(rule(client_ca="Access Testing CA"))
    at(mapping, "client_ca", 0)["certificate"] = "no.pem"
    at(mapping, "host", 0)["handshake"] = "require"
    assert ["client_ca[0].certificate"] == list(problems(mapping, pki))


def test_a_fifo_does_not_hang_the_start(pki: Path, tmp_path: Path) -> None:
    """A named pipe that nobody writes to is refused at once."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found = problems(broken(put("host", 0, certificate=str(pipe))), pki)
    assert "not a regular file" in found["host[0].certificate"]


def test_an_endless_file_is_not_read(pki: Path, tmp_path: Path) -> None:
    """Devices are refused, and files past the limit too; a sparse one costs no disk."""
    huge = tmp_path / "huge.pem"
    with huge.open("wb") as file:
        file.truncate(65 * 2**20)
    for path, word in ((str(huge), "longer than 64 MiB"), ("/dev/zero", "regular file")):
        found = problems(broken(put("host", 0, certificate=path)), pki)
        assert word in found["host[0].certificate"]


def test_more_ca_names_than_a_handshake_carries_are_refused(pki: Path) -> None:
    """Said for the host that asks for them, and counted once where CAs overlap."""
    for number in (0, 1):
        pem = long_names.bundle(40, 30 * number)
        (pki / f"long-{number}.pem").write_bytes(pem)
    mapping = right()
    at(mapping, "host", 0)["advertise_cas"] = "always"
    name = at(mapping, "host", 0)["names"]
    mapping["client_ca"] += [
        {"name": f"long {n}", "certificate": f"long-{n}.pem", "hosts": name} for n in (0, 1)
    ]
    found = problems(mapping, pki)
    assert ["host[0].advertise_cas"] == list(found)
    assert "the names of its 71 CAs take" in found["host[0].advertise_cas"]
    mapping["client_ca"].pop()
    assert "always" == load(mapping, pki).hosts[0].advertise_cas

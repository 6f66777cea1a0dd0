"""What ``mtlsedge explain`` prints and with which status it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mtlsedge.cli import main
from support import certs, tables, toml

NAME = "iot.example.com"


def written(directory: Path, **config: Any) -> str:
    """A configuration file with these tables."""
    file = directory / "edge.toml"
    tables_of = {**tables.one_host(NAME, "http://127.0.0.1:1"), **config}
    file.write_text(toml.dumps({"edge": {"listen": ["127.0.0.1:8443"]}, **tables_of}))
    return str(file)


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Any:
    """Ask, and give the status and what was printed."""

    def asked(*arguments: str) -> tuple[int, str]:
        status = main(["explain", *arguments])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return asked


def test_who_is_admitted_and_why_is_told_from_end_to_end(tmp_path: Path, ask: Any) -> None:
    """Host, handshake, chain, path, application, policy, decision, what the origin gets."""
    cert = str(certs.client().certificate)
    status, out = ask("--config", written(tmp_path), "--url", f"https://{NAME}/a", "--cert", cert)
    assert 0 == status
    for said in (
        "admitted",
        "asks for a certificate of 'Test Client CA'",
        "1  CN=Test Client CA",
        "revocation  it names no crl",
        "verified, by 'Test Client CA'",
        "the most specific domain that covers the path",
        "1. policy-1 (service_auth)  matches; decides",
        "true  include  certificate",
        "service_auth: policy 'policy-1' admits",
        "Cf-Cert-Verified: true",
    ):
        assert said in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--url", f"https://{NAME}/a"), "refused: 403 no_certificate"),
        (("--url", "https://other.example.com/"), "refused in the TLS handshake"),
        (("--url", "https://127.0.0.1/"), "no server name was sent"),
        (("--url", f"https://{NAME}/", "-H", "Host: b.c"), "refused: 421 misdirected"),
        (("--url", f"https://{NAME}/%zz"), "refused: 400 malformed"),
        (("--url", f"https://{NAME}/", "-X", "TRACE"), "refused: 405 malformed"),
        (("--url", f"https://{NAME}/cdn-cgi/access/none"), "answered by the edge itself: 404"),
        (("--url", f"https://{NAME}/{'a' * 9000}"), "refused: 414 too_large"),
    ],
)
def test_a_refusal_is_status_3(
    tmp_path: Path, ask: Any, arguments: tuple[str, ...], said: str
) -> None:
    """Wherever it comes from."""
    status, out = ask("--config", written(tmp_path), *arguments)
    assert (3, True) == (status, said in out), out


def test_the_edge_s_own_pages_are_no_refusal(tmp_path: Path, ask: Any) -> None:
    """They need no certificate."""
    url = f"https://{NAME}/cdn-cgi/access/certs"
    status, out = ask("--config", written(tmp_path), "--url", url)
    assert (0, True) == (status, "answered by the edge itself: 200" in out)


def test_an_ambiguous_path_is_told_with_what_origins_may_read(tmp_path: Path, ask: Any) -> None:
    """And whose that would be."""
    application = tables.application(f"{NAME}/open", tables.policy("bypass", include=[EVERYONE]))
    config = written(tmp_path, application=[application])
    status, out = ask("--config", config, "--url", f"https://{NAME}/open/..%2fx")
    assert 3 == status
    assert "refused: 400 ambiguous_path" in out
    assert "an origin may read /x: no application" in out


EVERYONE = {"everyone": True}


def test_the_application_that_governs_is_told_with_those_that_do_not(
    tmp_path: Path, ask: Any
) -> None:
    """A wildcard's is shut out by the name's own, whatever the paths."""
    config = written(
        tmp_path,
        application=[
            tables.application(NAME),
            tables.application(f"{NAME}/a/*"),
            tables.application("*.example.com/a/b"),
        ],
    )
    _, out = ask("--config", config, "--url", f"https://{NAME}/a/b/c")
    assert f"{NAME}/a/*  ({NAME}/a/*)  the most specific domain" in out
    assert f"{NAME}  ({NAME})  less specific; nothing is inherited" in out
    assert "*.example.com/a/b  (*.example.com/a/b)  a wildcard, and iot.example.com has" in out


def test_json_has_all_of_it(tmp_path: Path, ask: Any) -> None:
    """For programs, which want no prose."""
    status, out = ask("--config", written(tmp_path), "--url", f"https://{NAME}/", "--json")
    account = json.loads(out)
    assert 3 == status
    assert ("refusal", 403, "no_certificate") == (
        account["answer"]["by"],
        account["answer"]["status"],
        account["answer"]["reason_class"],
    )
    assert [False] == [rule["true"] for rule in account["policies"][0]["rules"]]


def test_what_is_in_doubt_is_told_with_what_it_counts_as(tmp_path: Path, ask: Any) -> None:
    """For people and for programs: a list of somebody else's tells nothing of this client."""
    spec = f"crl:file={certs.crl_file('others.crl', ca=certs.OTHER_CA)}"
    policy = tables.policy("allow", include=[EVERYONE], exclude=[{"verifier": spec}])
    twin = {**tables.client_ca(NAME), "name": "twin", "verifier": spec}
    config = written(
        tmp_path,
        application=[tables.application(NAME, policy)],
        client_ca=[tables.client_ca(NAME), twin],
    )
    asked = ("--config", config, "--url", f"https://{NAME}/", "--cert")
    asked = (*asked, str(certs.client().certificate))
    status, out = ask(*asked)
    why = "the verifier 'crl' cannot tell: no usable CRL of CN=Test Client CA"
    assert 3 == status
    assert f"true  exclude  verifier = {spec}\n" in out
    assert f"in doubt, which counts as true: {why}" in out
    assert f"in doubt for client CA 'twin': {why}" in out
    assert f"{spec}  fails: {why}" in out
    account = json.loads(ask(*asked, "--json")[1])
    excluded = account["policies"][0]["rules"][1]
    assert (True, True) == (excluded["true"], excluded["doubts"][0].startswith(why))
    assert account["rule_verifiers"][0]["failed"]
    assert ["twin"] == list(account["certificate"]["in_doubt"])


def test_a_bad_configuration_is_status_1_and_a_bad_question_2(tmp_path: Path, ask: Any) -> None:
    """Each with what is wrong."""
    assert 1 == ask("--config", str(tmp_path / "none.toml"), "--url", f"https://{NAME}/")[0]
    config = written(tmp_path)
    assert 1 == ask("--config", config, "--url", f"https://{NAME}/", "--cert", "/nowhere")[0]
    for arguments in (
        (),
        ("--url", "https://a.b/", "--request-id", "x"),
        ("--url", "ftp://a.b/"),
        ("--url", f"https://{NAME}/", "--at", "soon"),
        ("--url", f"https://{NAME}/", "--ip", "nobody"),
        ("--url", f"https://{NAME}/", "--cert", "a.pem", "--cert", "b.pem"),
        ("--request-id", "x"),  # and no access log
    ):
        assert 2 == ask("--config", config, *arguments)[0], arguments


def test_a_certificate_that_nobody_asks_for_is_not_shown(tmp_path: Path, ask: Any) -> None:
    """As no client shows one unasked."""
    config = written(tmp_path, client_ca=[])
    cert = str(certs.client().certificate)
    _, out = ask("--config", config, "--url", f"https://{NAME}/", "--cert", cert)
    assert "asks for no certificate" in out
    assert "so the client shows none" in out


def test_a_host_that_requires_certificates_refuses_in_the_handshake(
    tmp_path: Path, ask: Any
) -> None:
    """With OpenSSL's own words, and before any path is looked at."""
    host = tables.host(NAME, upstream="http://127.0.0.1:1", handshake="require")
    config = written(tmp_path, host=[host])
    for cert, said in (
        (None, "shows no certificate"),
        (certs.client("x", certs.OTHER_CA), "depth 0: unable to get local issuer certificate"),
        (certs.expired_client(), "depth 0: certificate has expired"),
    ):
        files = () if cert is None else ("--cert", str(cert.certificate))
        status, out = ask("--config", config, "--url", f"https://{NAME}/", *files)
        assert (3, True, True) == (status, "in the TLS handshake" in out, said in out), out
        assert "policies" not in out

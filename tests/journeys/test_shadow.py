"""``shadow = true``: what a policy would do, in the log, before it does it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtlsedge.cli import main
from support import certs, tables
from support.client import Client
from support.edge import Edge
from support.origin import CountingOrigin

NAME = "iot.example.com"


def test_a_shadow_policy_is_logged_and_not_enforced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only where it would have had the last word; made real, it does what it said."""
    strict = tables.policy("block", name="only device-1", shadow=True)
    strict |= {"include": [{"certificate": True}], "exclude": [{"common_name": "device-1"}]}
    usual = tables.policy("allow", name="any", include=[{"certificate": True}])
    with CountingOrigin() as origin:
        config = tables.one_host(NAME, origin.url)
        config["application"] = [tables.application(NAME, strict, usual)]
        with Edge(tmp_path, config) as edge:
            clients = [Client(certs.client(name)) for name in ("device-1", "device-2")]
            answers = [each.get(edge.port, NAME).status for each in clients]
            with clients[1].connect(edge.port, NAME) as kept:
                answers += [kept.get(NAME).status for _ in range(3)]
            lines = edge.access_log(5)
            assert 0 == main(["check", str(edge.config_path)])
    assert [200] * 5 == answers
    said = {"policy": "only device-1", "decision": "block"}
    assert [None, [said], [said], [said], [said]] == [line.get("shadow") for line in lines]
    assert {"any"} == {line["policy"] for line in lines}
    out = capsys.readouterr().out
    assert "shadow policy 'only device-1' (block): logged, not enforced" in out


def test_a_refusal_says_which_shadow_would_have_admitted(tmp_path: Path) -> None:
    """The other way round: a policy that is yet to open a door."""
    opened = tables.policy("bypass", name="open", shadow=True, include=[{"method": "GET"}])
    with CountingOrigin() as origin:
        config = tables.one_host(NAME, origin.url)
        config["application"][0]["policy"].append(opened)
        with Edge(tmp_path, config) as edge:
            assert 403 == Client().get(edge.port, NAME).status
            (line,) = edge.access_log(1)
    assert ("block", [{"policy": "open", "decision": "bypass"}]) == (
        line["decision"],
        line["shadow"],
    )


def test_the_log_names_a_service_token_that_was_proved(tmp_path: Path) -> None:
    """And none that was not."""
    import hashlib

    token = {"name": "robot", "client_id": "robot.access"}
    token["secret_sha256"] = hashlib.sha256(b"sesame").hexdigest()
    policy = tables.policy("service_auth", include=[{"service_token": "robot"}])
    with CountingOrigin() as origin:
        config = tables.one_host(NAME, origin.url)
        config |= {"service_token": [token], "application": [tables.application(NAME, policy)]}
        with Edge(tmp_path, config) as edge:
            for secret in ("sesame", "wrong"):
                Client().get(
                    edge.port,
                    NAME,
                    Cf_Access_Client_Id="robot.access",
                    Cf_Access_Client_Secret=secret,
                )
            lines = edge.access_log(2)
    assert ["robot", None] == [line.get("service_token") for line in lines]

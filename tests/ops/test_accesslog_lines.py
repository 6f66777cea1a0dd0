"""What a line of the access log says, and that nobody can forge one."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsedge.identity import ANONYMOUS, Identity, PeerChain, Reason
from mtlsedge.ops.accesslog import (
    asked_fragment,
    certificate_fragment,
    client_fragment,
    handshake_failure_line,
    judged_fragment,
    request_line,
    timestamp,
    tls_fragment,
)

CERT, TLS = certificate_fragment(ANONYMOUS), tls_fragment("TLSv1.3", "AES", "X25519", False)
CLIENT = client_fragment("192.0.2.1", 4711)


def _identity(**leaf: str) -> Identity:
    names = {"subject": "CN=a", "issuer": "CN=b", "serial": "07", "fingerprint_sha256": "ff"}
    chain = PeerChain(SimpleNamespace(**(names | leaf)))  # type: ignore[arg-type]
    return Identity(presented=True, reason=Reason.EXPIRED, detail="since 2020", chain=chain)


def _line(**changes: Any) -> str:
    fields: dict[str, Any] = {
        "time": 1_795_442_400.1239,
        "event": "request",
        "request_id": "id-1",
        "client": CLIENT,
        "cert": CERT,
        "tls": TLS,
        "host": "iot.example.com",
        "method": "GET",
        "path": "/ingest",
        "status": 200,
        "bytes_in": 1,
        "bytes_out": 2,
        "duration": 0.0123456,
        "origin_time": 0.01,
        "origin": "http://127.0.0.1:8080",
        "decision": "allow",
        "application": "ingest",
        "policy": "devices",
        "reason": "matched",
    }
    fields |= changes
    asked = asked_fragment(fields.pop("host"), fields.pop("method"), fields.pop("path"))
    words = [fields.pop(name) for name in ("decision", "application", "policy", "reason")]
    return request_line(**fields, asked=asked, judged=judged_fragment(*words))


def test_a_request_line_has_every_field() -> None:
    """The contract's fields, in one object."""
    expected = {
        "time": "2026-11-23T14:00:00.123Z",
        "event": "request",
        "request_id": "id-1",
        "client": "192.0.2.1",
        "port": 4711,
        "host": "iot.example.com",
        "method": "GET",
        "path": "/ingest",
        "status": 200,
        "bytes_in": 1,
        "bytes_out": 2,
        "duration": 0.012346,
        "origin_time": 0.01,
        "origin": "http://127.0.0.1:8080",
        "decision": "allow",
        "application": "ingest",
        "policy": "devices",
        "reason": "matched",
        "cert": {
            "presented": False,
            "verified": False,
            "reason": "no_certificate",
            "detail": "",
            "subject": "",
            "issuer": "",
            "serial": "",
            "fingerprint_sha256": "",
        },
        "tls": {"version": "TLSv1.3", "cipher": "AES", "group": "X25519", "resumed": False},
    }
    assert expected == json.loads(_line())


def test_no_origin_is_null() -> None:
    """A request that was refused has no origin time."""
    assert json.loads(_line(origin_time=None))["origin_time"] is None


def test_a_handshake_line() -> None:
    """What failed, for which name, and what was presented."""
    line = handshake_failure_line(
        time=0.0, client=CLIENT, server_name="a.test", reason="no shared cipher",
        cert=certificate_fragment(_identity()), tls=TLS,
    )  # fmt: skip
    document = json.loads(line)
    assert ("1970-01-01T00:00:00.000Z", "handshake") == (document["time"], document["event"])
    assert ("a.test", "no shared cipher") == (document["server_name"], document["reason"])
    assert ("certificate_expired", "CN=a") == (
        document["cert"]["reason"],
        document["cert"]["subject"],
    )


@pytest.mark.parametrize("subject", ["x" * 100_000, '"' * 100_000])
def test_a_huge_name_makes_no_huge_line(subject: str) -> None:
    """Each request of the connection would carry it."""
    assert len(certificate_fragment(_identity(subject=subject))) < 5000


def test_timestamps_across_seconds() -> None:
    """The cached second is not taken for another."""
    times = [0.0, 1.5, 1.25, 86_400.0, 1.0, 1_000_000_000.999]
    expected = [
        "1970-01-01T00:00:00.000Z",
        "1970-01-01T00:00:01.500Z",
        "1970-01-01T00:00:01.250Z",
        "1970-01-02T00:00:00.000Z",
        "1970-01-01T00:00:01.000Z",
        "2001-09-09T01:46:40.999Z",
    ]
    assert expected == [timestamp(time) for time in times]


_any_text = st.text(st.characters(exclude_categories=())) | st.binary().map(
    lambda raw: raw.decode("latin-1")
)
_any_number = st.floats() | st.integers(-(2**70), 2**70).map(float)


@given(
    st.fixed_dictionaries(
        dict.fromkeys(("request_id", "host", "method", "path", "origin"), _any_text)
        | dict.fromkeys(("decision", "application", "policy", "event"), _any_text)
        | dict.fromkeys(("duration", "origin_time"), _any_number)
    ),
    _any_text,
    _any_text,
)
def test_no_input_forges_a_line(fields: dict[str, Any], name: str, reason: str) -> None:
    """Exactly one ASCII line, and JSON gives every text back."""
    cert = certificate_fragment(_identity(subject=name, issuer=name, serial=name))
    line = _line(
        **fields,
        reason=reason,
        client=client_fragment(name, 1),
        cert=cert,
        tls=tls_fragment(name, name, name, True),
    )
    assert line.isascii()
    assert line.isprintable()
    document = json.loads(line, parse_constant=pytest.fail)
    for key in fields.keys() - {"duration", "origin_time"}:
        assert fields[key] == document[key]
    assert 0 <= document["duration"] < 1e12
    assert name == document["client"] == document["cert"]["subject"] == document["tls"]["group"]
    assert reason == document["reason"]


@given(_any_text, _any_text)
def test_no_handshake_forges_a_line(server_name: str, reason: str) -> None:
    """Server names come from anybody."""
    line = handshake_failure_line(
        time=1.0, client=CLIENT, server_name=server_name, reason=reason, cert=CERT, tls=TLS
    )
    assert line.isprintable()
    assert (server_name, reason) == (json.loads(line)["server_name"], json.loads(line)["reason"])

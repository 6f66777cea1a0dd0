"""Different client CAs for different paths of one host: the handshake names all of them, and each
application is held to its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mtlsedge.cli import main
from support import certs, tables
from support.client import Client
from support.edge import Edge
from support.origin import CountingOrigin

NAME = "iot.example.com"
STAFF, DEVICES = "Staff CA", "Devices CA"


def configuration(upstream: str) -> dict[str, Any]:
    """``/staff`` for one CA, ``/ingest`` for the other, ``/both`` for either."""

    def of(path: str, *cas: str) -> dict[str, Any]:
        return tables.application(
            f"{NAME}{path}", tables.policy(include=[{"client_ca": list(cas)}])
        )

    return {
        "host": [tables.host(NAME, upstream=upstream)],
        "client_ca": [tables.client_ca(NAME, name=STAFF), tables.client_ca(NAME, name=DEVICES)],
        "application": [
            of("/staff", STAFF),
            of("/ingest", DEVICES),
            of("/both", STAFF, DEVICES),
        ],
    }


def test_each_path_takes_the_certificates_of_its_own_ca(tmp_path: Path) -> None:
    """Both verify, on one host, in the same kind of handshake; who goes where policy says."""
    with CountingOrigin() as origin, Edge(tmp_path, configuration(origin.url)) as edge:
        found = {
            ca: [
                Client(certs.client("anna", ca)).get(edge.port, NAME, path).status
                for path in ("/staff", "/ingest", "/both")
            ]
            for ca in (STAFF, DEVICES, certs.OTHER_CA)
        }
        lines = edge.access_log(9)
    assert {
        STAFF: [200, 403, 200],
        DEVICES: [403, 200, 200],
        certs.OTHER_CA: [403, 403, 403],
    } == found
    assert [[STAFF], [DEVICES]] == [lines[0]["cert"]["client_cas"], lines[4]["cert"]["client_cas"]]
    assert "requires" not in lines[1]["reason"] and "client_ca" in lines[1]["reason"]


def test_the_handshake_names_the_cas_of_all_paths(tmp_path: Path) -> None:
    """So that a browser offers the certificates of either."""
    import socket

    from OpenSSL import SSL

    with (
        CountingOrigin() as origin,
        Edge(tmp_path, configuration(origin.url)) as edge,
        socket.create_connection(("127.0.0.1", edge.port)) as sock,
    ):
        connection = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), sock)
        connection.set_tlsext_host_name(NAME.encode())
        connection.set_connect_state()
        connection.do_handshake()
        named = {str(dict(name.get_components())[b"CN"], "utf-8") for name in
                 connection.get_client_ca_list()}  # fmt: skip
    assert {STAFF, DEVICES} == named


def test_check_tells_for_each_path_whose_certificates_are_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where it differs from CA to CA, there is a line for each."""
    with CountingOrigin() as origin, Edge(tmp_path, configuration(origin.url)) as edge:
        assert 0 == main(["check", str(edge.config_path)])
    lines = capsys.readouterr().out.splitlines()
    at = next(i for i, line in enumerate(lines) if f"{NAME}/staff" in line)
    assert f"      of {STAFF!r}: admitted (policy 'policy-1' admits)" == lines[at + 3]
    assert f"      of {DEVICES!r}: refused (no policy matched)" == lines[at + 4]
    assert not [line for line in lines if f"of {STAFF!r}: admitted" in line][2:]

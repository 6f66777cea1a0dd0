"""Handshakes with the real process: who is refused, with which alert, and what the log says."""

from __future__ import annotations

import resource
import socket
import ssl
from collections.abc import Iterator

import pytest
from OpenSSL import SSL
from tls_attempts import attempt, connect, line_of

from support import certs
from support.client import TLS12, TLS13, Client
from support.edge import Edge
from support.origin import CountingOrigin
from support.ports import wait_until
from support.tables import application, client_ca, host

DEFAULT, RECORD, REQUIRE = "open.example.com", "record.example.com", "require.example.com"
VERSIONS = pytest.mark.parametrize("version", [TLS12, TLS13], ids=["tls12", "tls13"])


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """A default host that asks for nothing, one that records, one that requires."""
    crl = certs.crl_file("tls-journey.crl", certs.client("revoked"))
    with CountingOrigin() as origin:
        config = {
            "edge": {"default_host": DEFAULT},
            "host": [
                host(DEFAULT, upstream=origin.url, unprotected="pass"),
                host(RECORD, upstream=origin.url),
                host(REQUIRE, upstream=origin.url, handshake="require"),
            ],
            "client_ca": [client_ca(RECORD, REQUIRE, crl=[crl])],
            "application": [application(RECORD), application(REQUIRE)],
        }
        with Edge(tmp_path_factory.mktemp("tls") / "edge", config) as running:
            yield running


@VERSIONS
def test_an_unknown_name_is_refused_by_an_alert(edge: Edge, version: ssl.TLSVersion) -> None:
    """``unrecognized_name``, and a line that names the name."""
    client = Client(version=version, names_checked=False)
    tried = attempt(edge, client, "Nobody.example.com")
    assert "TLSV1_UNRECOGNIZED_NAME" == tried.error
    line = line_of(edge, tried.client)
    assert ("handshake", "nobody.example.com") == (line["event"], line["server_name"])
    assert "no host answers to the server name 'Nobody.example.com'" == line["reason"]
    assert line["cert"]["presented"] is False


def test_hostile_bytes_in_a_name_forge_no_line(edge: Edge) -> None:
    """A line break and a quote in the server name stay inside one JSON string."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    connection = SSL.Connection(context, None)
    connection.set_connect_state()
    connection.set_tlsext_host_name(b'x"\n{"event":"forged"}\xff.example.com')
    with pytest.raises(SSL.WantReadError):
        connection.do_handshake()
    with connect(edge) as sock:
        sock.sendall(connection.bio_read(65536))
        assert bytes((21, 3, 3, 0, 2, 2, 112)) == sock.recv(100)
        client = sock.getsockname()[0]
    assert "handshake" == line_of(edge, client)["event"]


def test_without_a_name_the_default_host_answers(edge: Edge) -> None:
    """And says so with its certificate; other hosts are not to be had on that connection."""
    with Client(names_checked=False).connect(edge.port, None) as connection:
        certificate = connection.sock.getpeercert(True)
        assert certs.server(DEFAULT).der == certificate
        assert 200 == connection.get(DEFAULT).status
        assert 421 == connection.get(RECORD).status


@VERSIONS
@pytest.mark.parametrize("name", [RECORD, REQUIRE])
def test_a_good_certificate_is_served_and_logged(
    edge: Edge, version: ssl.TLSVersion, name: str
) -> None:
    """Behind a default host that asks for none."""
    tried = attempt(edge, Client(certs.client(), version=version), name)
    assert 200 == tried.status
    line = line_of(edge, tried.client)
    assert (True, True) == (line["cert"]["presented"], line["cert"]["verified"])
    assert certs.client().fingerprint == line["cert"]["fingerprint_sha256"]
    assert ("TLSv1.2" if version is TLS12 else "TLSv1.3") == line["tls"]["version"]
    assert line["tls"]["resumed"] is False
    assert "GCM" in line["tls"]["cipher"]


BAD = {
    "none": (None, "did not return a certificate", "no_certificate"),
    "stranger": (
        lambda: certs.client("x", certs.OTHER_CA),
        "unable to get local issuer certificate",
        "certificate_untrusted",
    ),
    "expired": (certs.expired_client, "certificate has expired", "certificate_expired"),
    "revoked": (lambda: certs.client("revoked"), "revoked", "certificate_revoked"),
    "server's": (lambda: certs.server("x", ca=certs.CLIENT_CA), "purpose", "certificate_unfit"),
}
"""What is presented, what the line says where it is required, and where it is recorded."""


@VERSIONS
@pytest.mark.parametrize("kind", BAD)
def test_a_host_that_requires_refuses_in_the_handshake(
    edge: Edge, version: ssl.TLSVersion, kind: str
) -> None:
    """With an alert, no byte of HTTP, and the reason in the log."""
    make, expected, _ = BAD[kind]
    tried = attempt(edge, Client(make() if make else None, version=version), REQUIRE)
    assert "ALERT" in tried.error
    line = line_of(edge, tried.client)
    assert ("handshake", REQUIRE) == (line["event"], line["server_name"])
    assert expected in line["reason"]


@VERSIONS
@pytest.mark.parametrize("kind", BAD)
def test_a_host_that_records_lets_the_handshake_finish(
    edge: Edge, version: ssl.TLSVersion, kind: str
) -> None:
    """The answer is 403, and the line says what was wrong."""
    make, _, reason = BAD[kind]
    tried = attempt(edge, Client(make() if make else None, version=version), RECORD)
    assert 403 == tried.status
    line = line_of(edge, tried.client)
    assert (make is not None, False) == (line["cert"]["presented"], line["cert"]["verified"])
    assert reason == line["cert"]["reason"]


def test_the_line_names_the_hybrid_group(edge: Edge) -> None:
    """X25519MLKEM768, for a client that offers it."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    with connect(edge) as sock:
        sock.setblocking(True)
        connection = SSL.Connection(context, sock)
        connection.set_connect_state()
        connection.set_tlsext_host_name(DEFAULT.encode())
        connection.do_handshake()
        connection.send(f"GET / HTTP/1.1\r\nHost: {DEFAULT}\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        assert "X25519MLKEM768" == connection.get_group_name()
        client = sock.getsockname()[0]
    tls = line_of(edge, client)["tls"]
    assert ("TLSv1.3", "X25519MLKEM768") == (tls["version"], tls["group"])


def test_plain_http_gets_no_answer_and_one_line(edge: Edge) -> None:
    """The line says what it was."""
    with connect(edge) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: open.example.com\r\n\r\n")
        assert b"HTTP" not in sock.recv(1000)
        client = sock.getsockname()[0]
    assert "http request" == line_of(edge, client)["reason"]


def test_running_out_of_descriptors_is_survived(edge: Edge) -> None:
    """A crowd beyond the limit is turned away; afterwards everybody is served again."""
    soft, hard = resource.prlimit(edge.pid, resource.RLIMIT_NOFILE)
    crowd: list[socket.socket] = []
    try:
        resource.prlimit(edge.pid, resource.RLIMIT_NOFILE, (48, hard))
        for _ in range(80):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", edge.port))
            crowd.append(sock)
        wait_until(lambda: "EMFILE" in edge.log(), 10, "the descriptors to run out")
    finally:
        resource.prlimit(edge.pid, resource.RLIMIT_NOFILE, (soft, hard))
        for sock in crowd:
            sock.close()
    assert 200 == Client(certs.client()).get(edge.port, RECORD).status

"""The helpers must see what they are there to see."""

from __future__ import annotations

import socket
import tomllib
from pathlib import Path

import pytest

from support import certs, toml
from support.edge import Edge, EdgeFailed
from support.origin import Answer, CountingOrigin, chunked, switching
from support.ports import free_port, is_listening
from support.tables import one_host


def exchange(origin: CountingOrigin, data: bytes) -> bytes:
    """Send these bytes, then nothing more, and read everything."""
    with socket.create_connection(("127.0.0.1", origin.port), 5) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def test_a_smuggled_request_is_one_more_at_the_origin() -> None:
    """Whatever follows a message counts as the next one."""
    with CountingOrigin() as origin:
        exchange(
            origin,
            b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /smuggled HTTP/1.1\r\n\r\n",
        )
        assert ["/a", "/smuggled"] == origin.targets
        assert b"abc" == origin.requests[0].body
        assert 1 == origin.connections


def test_chunks_and_trailers_are_read_and_sent() -> None:
    """Both directions know chunked framing."""
    with CountingOrigin({"/c": chunked(b"one", b"two", trailers="X-Sum: 6\r\n")}) as origin:
        request = (
            b"PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nA: b\r\n\r\n"
        )
        answer = exchange(origin, request)
        assert answer.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\nX-Sum: 6\r\n\r\n")
        assert (b"hi", b"A: b\r\n") == (origin.requests[0].body, origin.requests[0].trailers)


def test_an_upgrade_echoes_and_an_early_close_ends() -> None:
    """The odd answers do what their names say."""
    short = Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", close=True)
    with CountingOrigin({"/ws": switching(), "/short": short}) as origin:
        assert exchange(origin, b"GET /ws HTTP/1.1\r\n\r\nping").endswith(b"\r\n\r\nping")
        assert exchange(origin, b"GET /short HTTP/1.1\r\n\r\n").endswith(b"short")


def test_a_configuration_survives_the_toml_writer() -> None:
    """What is written is what is read."""
    document = {
        **one_host("iot.example.com", "http://127.0.0.1:1", limits={"pipelined": 3}),
        "odd": {"text": 'quotes " and \\ and \n', "empty": [], "numbers": [1, 2.5], "no": False},
    }
    again = tomllib.loads(toml.dumps(document))
    assert toml.dumps(again) == toml.dumps(document)
    assert document["odd"] == again["odd"]
    assert {"pipelined": 3} == again["host"][0]["limits"]


def test_a_name_means_one_authority_however_it_is_asked_for() -> None:
    """A second CA of the same name would make every certificate a stranger's."""
    one = certs.authority(certs.SERVER_CA)
    assert one is certs.authority(certs.SERVER_CA, "ec-p256")
    assert one.pem == certs.ca_file(certs.SERVER_CA).read_bytes()
    assert one.certificate.subject == certs.server("a.example.com").issued.x509.issuer


def test_listening_is_seen_without_knocking() -> None:
    """The kernel's table tells."""
    port = free_port()
    assert not is_listening(port)
    with socket.create_server(("127.0.0.1", port)):
        assert is_listening(port)


def test_an_edge_that_cannot_start_fails_the_test_with_its_log(tmp_path: Path) -> None:
    """The reason is in the failure, not in a file somebody has to find."""
    with pytest.raises(EdgeFailed, match="status"):
        Edge(tmp_path, "this is not TOML").start()


def test_an_unhandled_error_in_the_log_fails_the_test(tmp_path: Path) -> None:
    """A crash behind a good answer is still a crash."""
    edge = Edge(tmp_path)
    edge.log_path.write_text("...\nUnhandled Error\nTraceback (most recent call last):\n")
    with pytest.raises(EdgeFailed, match="Unhandled Error"):
        edge.judge_log()

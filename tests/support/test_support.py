"""The helpers must see what they are there to see."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support import certs, toml
from support.busy import Busy
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


def test_a_certificate_is_minted_once_whoever_asks_for_it() -> None:
    """Many threads at a time: two of them would be two certificates, in the same files."""
    with ThreadPoolExecutor(20) as pool:
        made = list(pool.map(certs.client, ["asked-for-at-once"] * 20))
    assert 1 == len(set(map(id, made)))


def test_listening_is_seen_without_knocking() -> None:
    """The kernel's table tells."""
    port = free_port()
    assert not is_listening(port)
    with socket.create_server(("127.0.0.1", port)):
        assert is_listening(port)


def test_no_port_is_given_twice() -> None:
    """Two servers may be started before either of them listens."""
    given = [free_port() for _ in range(200)]
    assert len(given) == len(set(given))


def test_who_waits_for_a_cpu_is_seen_to() -> None:
    """Two who want the same one."""
    work = "import sys, time; sys.stdin.read(1)\nwhile time.process_time() < 0.3: pass"
    cpu = min(os.sched_getaffinity(0))
    two = [subprocess.Popen([sys.executable, "-c", work], stdin=subprocess.PIPE) for _ in "ab"]
    busy = Busy(*(each.pid for each in two))
    longest = 0.0
    for each in two:
        os.sched_setaffinity(each.pid, {cpu})
        assert each.stdin is not None
        each.stdin.write(b"x")
        each.stdin.flush()
    while any(each.poll() is None for each in two):
        longest = max(longest, busy.seconds())
        time.sleep(0.02)
    for each in two:
        each.communicate()
    assert longest > 0.15


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

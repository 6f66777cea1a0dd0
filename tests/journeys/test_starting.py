"""What an operator meets when the edge starts, or will not."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from support import certs, tables, toml
from support.client import Client
from support.edge import TWISTD, Edge
from support.origin import CountingOrigin
from support.ports import wait_until

NAME = "iot.example.com"


def refused(edge: Edge) -> str:
    """Start an edge that must not start; everything it said."""
    with suppress(AssertionError):  # it may listen for a moment before it gives up
        edge.start()
    wait_until(lambda: not edge.is_running(), 20, "the edge to give up")
    return edge.log()


def test_an_address_that_is_taken_is_told_in_one_line(tmp_path: Path) -> None:
    """No traceback: the address, and why."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = {
            "edge": {"listen": [f"127.0.0.1:{port}"]},
            **tables.one_host(NAME, "http://127.0.0.1:1"),
        }
        log = refused(Edge(tmp_path, config))
    assert f"mtlsedge cannot start: Couldn't listen on 127.0.0.1:{port}" in log
    assert "Traceback" not in log


def test_a_daemon_that_cannot_start_says_so_and_ends(tmp_path: Path) -> None:
    """Whoever started it gets a status and the reason, and does not wait for ever."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = {
            "edge": {"listen": [f"127.0.0.1:{port}"]},
            **tables.one_host(NAME, "http://127.0.0.1:1"),
        }
        (tmp_path / "edge.toml").write_text(toml.dumps(config))
        command = [sys.executable, str(TWISTD), "--pidfile=edge.pid", "--logfile=edge.log"]
        command += ["mtlsedge", "--config", "edge.toml"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert 1 == done.returncode
    assert f"Couldn't listen on 127.0.0.1:{port}" in done.stdout + done.stderr
    assert "mtlsedge cannot start" in (tmp_path / "edge.log").read_text()
    # It tells before it takes its pid file away.
    wait_until(lambda: not (tmp_path / "edge.pid").exists(), 10, "the end of its pid file")


def test_signing_keys_that_others_can_read_are_refused(tmp_path: Path) -> None:
    """The message names the file and the remedy."""
    edge = Edge(tmp_path, tables.one_host(NAME, "http://127.0.0.1:1"))
    keys = tmp_path / "state" / "signing-keys.json"
    with edge:
        wait_until(keys.exists, 20, "the keys to be made")
    assert 0o600 == keys.stat().st_mode & 0o777
    keys.chmod(0o644)
    log = refused(edge)
    assert "chmod 0600" in log
    assert "Traceback" not in log


def test_every_mistake_of_a_configuration_is_told_at_once(tmp_path: Path) -> None:
    """And nothing is served."""
    config = tables.one_host(NAME, "http://127.0.0.1:1", handshake="perhaps")
    config["application"][0]["policy"][0]["include"] = [{"common_nam": "x"}]
    log = refused(Edge(tmp_path, config))
    assert "host[0].handshake" in log
    assert "application[0].policy[0].include[0]" in log
    assert "did you mean" in log or "common_name" in log
    assert "Traceback" not in log


def test_a_configuration_that_asks_for_http3_is_refused_with_the_reason(tmp_path: Path) -> None:
    """A client that moved to QUIC would skip client certificates."""
    config = tables.one_host(NAME, "http://127.0.0.1:1", protocols=["h3"])
    log = refused(Edge(tmp_path, config))
    assert "host[0].protocols" in log
    assert "QUIC" in log


def test_one_host_can_be_said_with_options_alone(
    tmp_path: Path, start_edge: Callable[..., Edge], origin: CountingOrigin
) -> None:
    """The same edge as from a file: refused without a certificate, admitted with."""
    server = certs.server(NAME)
    edge = start_edge(
        options=(
            "--listen=127.0.0.1:{port}",
            f"--host={NAME}",
            f"--certificate={server.certificate}",
            f"--key={server.key}",
            f"--upstream={origin.url}",
            f"--client-ca={certs.ca_file()}",
            "--require=common_name=device-1",
            "--verifier=san:dns=device-1.example.com",
        )
    )
    good = certs.client("device-1", hosts=("device-1.example.com",))
    assert 403 == Client().get(edge.port, NAME).status
    assert 200 == Client(good).get(edge.port, NAME).status
    assert 403 == Client(certs.client("device-1")).get(edge.port, NAME).status
    assert 1 == origin.count


def test_the_verifiers_can_be_listed_by_twistd() -> None:
    """``--help-verifiers``, as Twisted's ``--help-auth``."""
    command = [sys.executable, str(TWISTD), "mtlsedge", "--help-verifiers"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert 0 == done.returncode
    assert "san:" in done.stdout


def test_what_this_release_does_not_serve_is_said_at_the_start(
    start_edge: Callable[..., Edge], origin: CountingOrigin
) -> None:
    """Nothing that the operator wrote is silently without effect."""
    config: dict[str, Any] = {
        "edge": {"admin": "127.0.0.1:9901"},
        **tables.one_host(NAME, origin.url),
    }
    edge = start_edge(config)
    wait_until(lambda: "serving generation 1" in edge.log(), 20, "the edge to serve")
    assert "admin = '127.0.0.1:9901'" in edge.log()


def test_a_client_ca_holds_only_for_the_names_it_lists(
    start_edge: Callable[..., Edge], origin: CountingOrigin
) -> None:
    """Two names of one host, one guarded: the other neither asks nor believes."""
    config = {
        "host": [tables.host("a.example.com", "b.example.com", upstream=origin.url)],
        "client_ca": [tables.client_ca("a.example.com")],
        "application": [tables.application("a.example.com"), tables.application("b.example.com")],
    }
    edge = start_edge(config)
    client = Client(certs.client())
    assert 200 == client.get(edge.port, "a.example.com").status
    assert 403 == client.get(edge.port, "b.example.com").status


def test_paths_of_one_host_can_be_held_to_different_cas(
    start_edge: Callable[..., Edge], origin: CountingOrigin
) -> None:
    """The handshake names both CAs; each application is held to its own."""
    config = {
        "host": [tables.host(NAME, upstream=origin.url)],
        "client_ca": [
            tables.client_ca(NAME),
            tables.client_ca(NAME, name=certs.OTHER_CA),
        ],
        "application": [
            tables.application(f"{NAME}/{place}", tables.policy(include=[{"client_ca": authority}]))
            for place, authority in (("mine", certs.CLIENT_CA), ("theirs", certs.OTHER_CA))
        ],
    }
    edge = start_edge(config)
    statuses = {
        (authority, path): Client(certs.client("x", ca=authority)).get(edge.port, NAME, path).status
        for authority in (certs.CLIENT_CA, certs.OTHER_CA)
        for path in ("/mine", "/theirs")
    }
    assert {
        (certs.CLIENT_CA, "/mine"): 200,
        (certs.CLIENT_CA, "/theirs"): 403,
        (certs.OTHER_CA, "/mine"): 403,
        (certs.OTHER_CA, "/theirs"): 200,
    } == statuses


def test_the_identity_page_tells_what_the_edge_knows(
    start_edge: Callable[..., Edge], origin: CountingOrigin
) -> None:
    """Also to those whom no policy admits: it is about them and nobody else."""
    edge = start_edge(tables.one_host(NAME, origin.url))
    pair = certs.client("device-1")
    known = Client(pair).get(edge.port, NAME, "/cdn-cgi/access/get-identity").json()
    assert "device-1" == known["certificate"]["common_name"]
    assert known["certificate"]["verified"]
    assert pair.fingerprint == known["certificate"]["fingerprint_sha256"]
    unknown = json.loads(Client().get(edge.port, NAME, "/cdn-cgi/access/get-identity").body)
    assert not unknown["certificate"]["presented"]
    assert 0 == origin.count

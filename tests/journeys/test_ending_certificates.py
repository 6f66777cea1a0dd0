"""What ends soon is in the log: client certificates as they are seen, and lists."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from worker_edges import NAME, each_alone, worker_of

from support import certs, tables
from support.client import Client
from support.edge import Edge
from support.origin import CountingOrigin
from support.ports import wait_until

StartEdge = Callable[..., Edge]
ENDING = "client certificate ends soon: "


def ending_client(name: str) -> certs.Pair:
    """A client certificate of a year that has three days to go, and half an hour."""
    start = datetime.now(UTC) - timedelta(days=362) + timedelta(minutes=30)
    issued = certs.authority().issue(name, lifetime=timedelta(days=365), not_before=start)
    return certs.store(name, issued)


def started(start_edge: StartEdge, config: dict[str, Any], workers: int) -> Edge:
    edge = start_edge({**config, "edge": {"workers": workers}})
    wait_until(lambda: "serving generation 1" in edge.log(), 20, "all workers to serve")
    return edge


def lines(edge: Edge, text: str) -> list[str]:
    return [line for line in edge.log().splitlines() if text in line]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_client_certificate_with_three_days_left_has_one_line_whoever_serves_it(
    start_edge: StartEdge, origin: CountingOrigin, workers: int
) -> None:
    """At every worker twice, and over a reload; who has long to go has none."""
    edge = started(start_edge, tables.one_host(NAME, origin.url), workers)
    pair = ending_client(f"ending-{workers}")
    met: list[str] = []

    def everywhere() -> None:
        met.clear()
        for _ in [edge.pid] if workers == 1 else each_alone(edge):
            for _ in range(2):
                path = f"/{os.urandom(4).hex()}"
                assert 200 == Client(pair).get(edge.port, NAME, path).status
                assert 200 == Client(certs.client()).get(edge.port, NAME).status
                met.append(worker_of(origin, path))
        assert [2] * workers == list(Counter(met).values())

    everywhere()
    wait_until(lambda: lines(edge, ENDING), 10, "the line")
    os.kill(edge.pid, signal.SIGHUP)
    wait_until(lambda: "serving generation 2" in edge.log(), 20, "the reload")
    everywhere()
    edge.stop()  # whatever is still to be said is said
    line, *more = lines(edge, ENDING)
    days = [each[: len("2026-11-24")] for each in (line, *more)]
    assert len(days) == len(set(days)), "more than one line a day"
    assert " left=3d not_after=" in line
    assert f'subject="CN=ending-{workers}" serial={pair.serial} ' in line
    assert f'fingerprint_sha256={pair.fingerprint} client_ca="{certs.CLIENT_CA}"' in line
    assert f'host="{NAME}"' in line


@pytest.mark.parametrize("workers", [1, 2])
def test_each_list_has_its_line_at_start_after_a_change_and_after_a_reload(
    start_edge: StartEdge, origin: CountingOrigin, tmp_path: Path, workers: int
) -> None:
    """Once, though several processes have it; a spoiled one says so beside what serves on."""
    crl = tmp_path / "ca.crl"
    crl.write_bytes(certs.authority().crl(number=3))
    config = tables.one_host(NAME, origin.url)
    config["client_ca"] = [tables.client_ca(NAME, crl=[crl])]
    edge = started(start_edge, config, workers)
    state = 'client_ca="Test Client CA" issuer="CN=Test Client CA"'
    [first] = lines(edge, f"crl state=good {state}")
    assert " number=3 " in first
    assert " entries=0" in first
    assert 1 == len(lines(edge, "crl summary lists=1 good=1 "))
    put(crl, certs.authority().crl([7], number=4))
    wait_until(lambda: lines(edge, " number=4 age="), 10, "the new list's line")
    put(crl, b"damaged")
    wait_until(lambda: lines(edge, f"crl state=failing {state}"), 10, "the spoiled list's line")
    os.kill(edge.pid, signal.SIGHUP)
    wait_until(lambda: "serving generation 2" in edge.log(), 20, "the reload")
    edge.stop()
    assert 2 == len(lines(edge, f"crl state=good {state} "))
    assert 2 == len(lines(edge, f"crl state=failing {state} "))
    assert 1 == len(lines(edge, "crl summary lists=1 good=0 ending=0 failing=1 "))


def put(path: Path, data: bytes) -> None:
    """In the place of what is there, whole at any moment."""
    new = path.with_suffix(".new")
    new.write_bytes(data)
    new.rename(path)


def test_check_shows_each_list_and_what_ends_soon(tmp_path: Path) -> None:
    """The command as people call it."""
    start = datetime.now(UTC) - timedelta(days=360)
    server = certs.authority(certs.SERVER_CA).issue(
        NAME, (NAME,), lifetime=timedelta(days=365), not_before=start
    )
    pair = certs.store("ending-server", server)
    crl = tmp_path / "ca.crl"
    crl.write_bytes(certs.authority().crl([7], number=12))
    config = tmp_path / "edge.toml"
    config.write_text(
        f"""
[edge]
listen = ["127.0.0.1:8443"]
[[host]]
names = ["{NAME}"]
certificate = "{pair.certificate}"
key = "{pair.key}"
upstream = ["http://127.0.0.1:1"]
[[client_ca]]
name = "Devices"
certificate = "{certs.ca_file()}"
hosts = ["{NAME}"]
crl = ["ca.crl"]
"""
    )
    command = [sys.executable, "-m", "mtlsedge", "check", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = done.stdout.splitlines()
    table = told.index("revocation lists")
    assert "state client CA issuer number age ends in entries from" == " ".join(
        told[table + 1].split()
    )
    row = told[table + 2].split()
    assert ["good", "Devices"] == row[:2]
    assert ["12", "1", str(crl)] == [row[5], row[-2], row[-1]]
    soon = told.index("ends soon")
    assert f"the server certificate of {NAME} (CN={NAME})" in told[soon + 1]
    assert " in 4d23h " in told[soon + 1]

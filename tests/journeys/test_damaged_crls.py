"""A CRL file that is no good, at start and at each SIGHUP: no door opens, the log says which."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support import certs, tables
from support.client import Client
from support.edge import Edge
from support.origin import CountingOrigin
from support.ports import wait_until

NAME = "iot.example.com"


def guarded(origin: CountingOrigin, crl: Path) -> dict[str, Any]:
    """One host whose client CA names a CRL."""
    ca = tables.client_ca(NAME, crl=[crl])
    return {**tables.one_host(NAME, origin.url), "client_ca": [ca]}


def statuses(edge: Edge) -> tuple[int, int]:
    """What a good client gets, and a revoked one."""
    good, bad = certs.client("good"), certs.client("bad")
    return Client(good).get(edge.port, NAME).status, Client(bad).get(edge.port, NAME).status


def reload(edge: Edge, generation: int) -> str:
    """Send SIGHUP; what the log says about it."""
    before = len(edge.log())
    os.kill(edge.pid, signal.SIGHUP)
    expected = f"serving generation {generation}"
    wait_until(lambda: expected in edge.log()[before:], 20, f"{expected!r} in the log")
    return edge.log()[before:]


def test_a_damaged_crl_closes_its_ca_at_start_and_leaves_the_last_good_one_at_a_reload(
    start_edge: Callable[..., Edge], origin: CountingOrigin, tmp_path: Path
) -> None:
    """Put right, it serves; spoiled again in any way, what it revoked stays revoked."""
    revoking = certs.crl_file("revoking.crl", certs.client("bad")).read_bytes()
    other = certs.crl_file("of-another.crl", ca=certs.OTHER_CA).read_bytes()
    crl = tmp_path / "ca.crl"
    crl.write_bytes(revoking[:-40])
    edge = start_edge(guarded(origin, crl))
    wait_until(lambda: "serving generation 1" in edge.log(), 20, "the edge to serve")
    assert "ca.crl is cut short" in edge.log()
    assert (403, 403) == statuses(edge)
    crl.write_bytes(revoking)
    told = reload(edge, 2)
    assert "crl state=good" in told
    assert "cut short" not in told
    assert (200, 403) == statuses(edge)
    spoiled = (b"", revoking[:-40], b"<html>502 Bad Gateway</html>", other)
    for generation, data in enumerate(spoiled, 3):
        crl.write_bytes(data)
        told = reload(edge, generation)
        assert "ca.crl no longer holds a CRL of CN=" in told
        assert "put a new one there" in told
        assert (200, 403) == statuses(edge)

"""Whatever a client is doing when its certificate stops being good, it ends; and nobody else does.

Measured from the rename of the CRL: new handshakes, resumed sessions, the next request of a kept
connection, connections that are idle, answers and uploads in progress, and tunnels.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from staying_clients import (
    ANSWERS,
    KINDS,
    Probe,
    Staying,
    Watch,
    configured,
    crl,
    cuts,
    looked_at,
    new_handshakes,
    next_requests,
    put,
    resumptions,
    serving,
)
from worker_edges import worker_pids

from support import certs
from support.busy import Busy
from support.client import TLS12, TLS13
from support.edge import Edge
from support.origin import CountingOrigin
from support.ports import wait_until

PROMISED = 1.0  # seconds from the file's rename
LIVE = 1000 if os.environ.get("MTLSEDGE_FUZZ") == "full" else 200
EACH = 3  # connections of each busy kind, of revoked clients and of others

StartEdge = Callable[..., Edge]


@pytest.fixture
def origin() -> Iterator[CountingOrigin]:
    with CountingOrigin(ANSWERS) as running:
        yield running


@pytest.mark.parametrize("workers", [1, 4])
def test_revoking_reaches_every_kind_of_connection_and_nobody_else(
    start_edge: StartEdge, origin: CountingOrigin, tmp_path: Path, workers: int
) -> None:
    """Within a second of the rename, among many live connections; each cut is one line."""
    file = tmp_path / "ca.crl"
    put(file, crl(number=1))
    edge = serving(start_edge(configured(origin.url, file, workers)))
    bad = [certs.client(f"bad-{number}") for number in range(4)]
    good = [certs.client(f"good-{number}") for number in range(4)]
    clients = crowd(edge, good, bad)
    probes = probing(edge, bad[0])
    for probe in probes:
        probe.start()
    revoked = [each for each in clients if each.certificate in bad]
    with Watch(clients):
        looked_at()
        busy = Busy(edge.pid, *worker_pids(edge.pid))
        renamed = put(file, crl(*bad))
        wait_until(lambda: all(each.ended for each in revoked), 5, "the end of the revoked")
        wait_until(lambda: all(each.refused_since for each in probes), 5, "their refusal")
        promised = PROMISED + busy.seconds()
        time.sleep(PROMISED)  # for whoever should not end
    for probe in probes:
        probe.stop()
    tell(workers, renamed, revoked, probes, promised)
    assert [] == [each.kind for each in clients if bool(each.ended) != (each in revoked)]
    assert promised > max(each.ended for each in revoked) - renamed
    assert {each.what: True for each in probes} == {
        each.what: each.admitted - renamed < promised and each.refused_since > 0 for each in probes
    }
    assert [] == [each.kind for each in clients if each not in revoked and not each.works()]
    judge_lines(edge, revoked)
    for each in clients:
        each.close()


def crowd(edge: Edge, good: list[certs.Pair], bad: list[certs.Pair]) -> list[Staying]:
    """Many idle connections, of which a tenth are bad ones, and some of each busy kind."""
    busy = [
        Staying(edge, of[number], kind)
        for kind in KINDS[1:]
        for number in range(EACH)
        for of in (good, bad)
    ]
    idle = [
        Staying(edge, (good if number % 10 else bad)[number % 4], "idle")
        for number in range(LIVE - len(busy))
    ]
    return [*busy, *idle]


def probing(edge: Edge, certificate: certs.Pair) -> list[Probe]:
    """Whoever comes anew, or again."""
    return [
        new_handshakes(edge, certificate, TLS13),
        resumptions(edge, certificate, TLS12),
        resumptions(edge, certificate, TLS13),
        next_requests(edge, certificate),
    ]


def judge_lines(edge: Edge, revoked: list[Staying]) -> None:
    """One line of each connection that was cut, which says whose it was and what ended."""
    lines = cuts(edge, len(revoked))
    # The probes' connections may be cut as well, where no request is under way.
    assert set(lines) >= {each.port for each in revoked}
    for each in revoked:
        line = lines[each.port]
        assert each.certificate.serial == line["cert"]["serial"]
        assert "certificate_revoked" == line["cert"]["reason"]
        assert "is revoked by" in line["reason"]
        assert 32 == len(line["request_id"])
        asked = {"idle": "", "upload": "/upload"}.get(each.kind, f"/{each.kind}")
        assert asked == line["path"].rstrip("-"), line
        statuses = {"idle": 0, "download": 200, "upload": 403, "tunnel": 101}
        assert statuses[each.kind] == line["status"]


def tell(
    workers: int, renamed: float, revoked: list[Staying], probes: list[Probe], promised: float
) -> None:
    """The figures, for whoever runs this with ``-s``."""
    print(f"{workers} workers, promised: {promised:.3f} s")
    for kind in KINDS:
        took = [each.ended - renamed for each in revoked if each.kind == kind and each.ended]
        if took:
            median = statistics.median(took)
            print(f"{workers} workers, {kind}: median {median:.3f} s, most {max(took):.3f} s")
    for probe in probes:
        print(f"{workers} workers, {probe.what}: last let in {probe.admitted - renamed:.3f} s")

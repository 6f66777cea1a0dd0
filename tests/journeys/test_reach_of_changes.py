"""What was let in ends when it would not be let in any more: by a reload, by time, by an issuer."""

from __future__ import annotations

import os
import signal
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from staying_clients import (
    ANSWERS,
    KINDS,
    NAME,
    Staying,
    Watch,
    all_kinds,
    configured,
    crl,
    cuts,
    kinds_that_ended,
    kinds_that_work,
    looked_at,
    put,
    reload,
    serving,
    status,
)
from worker_edges import worker_pids

from support import certs, tables
from support.busy import Busy
from support.client import Client
from support.edge import Edge
from support.origin import CountingOrigin
from support.ports import wait_until

BUSY = list(KINDS[1:])
ALL = list(KINDS)
OTHER = "other.example.com"
WORKERS = pytest.mark.parametrize("workers", [1, 2])

StartEdge = Callable[..., Edge]


@pytest.fixture
def origin() -> Iterator[CountingOrigin]:
    with CountingOrigin(ANSWERS) as running:
        yield running


def reasons(edge: Edge, clients: list[Staying]) -> set[str]:
    """Why these connections were cut, as the log has it; each must have its line."""
    lines = cuts(edge, len(clients))
    return {lines[each.port]["reason"] for each in clients}


@WORKERS
def test_a_reload_ends_what_todays_policy_would_not_begin(
    start_edge: StartEdge, origin: CountingOrigin, workers: int
) -> None:
    """Idle connections stay: they have done nothing yet that policy forbids."""
    config = {**tables.one_host(NAME, origin.url), "edge": {"workers": workers}}
    edge = serving(start_edge(config))
    alices = all_kinds(edge, certs.client("alice"))
    bobs = all_kinds(edge, certs.client("bob"))
    only = tables.policy(include=[{"certificate": True}], require=[{"common_name": ["alice"]}])
    edge.rewrite({**config, "application": [tables.application(NAME, only)]})
    with Watch(alices + bobs):
        looked_at()
        reloaded = reload(edge, 2)
        busy = Busy(edge.pid, *worker_pids(edge.pid))
        wait_until(lambda: len(kinds_that_ended(bobs)) == 3, 5, "the end of what bob does")
        promised = 1.0 + busy.seconds()
        time.sleep(0.3)
    assert ([], BUSY) == (kinds_that_ended(alices), kinds_that_ended(bobs))
    assert promised > max(each.ended for each in bobs) - reloaded
    assert ALL == kinds_that_work(alices)
    assert 403 == bobs[0].connection.get(NAME).status
    lines = cuts(edge, 3)
    assert {"block"} == {line["decision"] for line in lines.values()}
    assert {each.port for each in bobs[1:]} == set(lines)


def test_a_client_ca_that_a_reload_takes_away_takes_its_clients_along(
    start_edge: StartEdge, origin: CountingOrigin
) -> None:
    cas = [tables.client_ca(NAME), tables.client_ca(NAME, name=certs.OTHER_CA)]
    config = {**tables.one_host(NAME, origin.url), "client_ca": cas, "edge": {"workers": 2}}
    edge = serving(start_edge(config))
    staying = all_kinds(edge, certs.client())
    leaving = all_kinds(edge, certs.client("device-1", certs.OTHER_CA))
    edge.rewrite({**config, "client_ca": cas[:1]})
    with Watch(staying + leaving):
        looked_at()
        reload(edge, 2)
        wait_until(lambda: kinds_that_ended(leaving) == ALL, 5, "the end of its clients")
    assert ALL == kinds_that_work(staying)
    assert len(reasons(edge, leaving)) == 1
    assert {"certificate_untrusted"} == {line["cert"]["reason"] for line in cuts(edge, 4).values()}


@WORKERS
def test_who_a_client_cas_verifier_accepts_no_more_is_cut(
    start_edge: StartEdge, origin: CountingOrigin, tmp_path: Path, workers: int
) -> None:
    """On connections of every kind, once its verdict has had its time; nobody else is."""
    staying, leaving = certs.client("alice"), certs.client("bob")
    file = tmp_path / "allowed.txt"
    file.write_text(f"{staying.fingerprint}\n{leaving.fingerprint}\n")
    config = {**tables.one_host(NAME, origin.url), "edge": {"workers": workers}}
    config["client_ca"][0]["verifiers"] = [f"allow-list:file={file}"]
    edge = serving(start_edge(config))
    alices, bobs = all_kinds(edge, staying), all_kinds(edge, leaving)
    with Watch(alices + bobs):
        looked_at()
        put(file, f"{staying.fingerprint}\n".encode())
        wait_until(lambda: kinds_that_ended(bobs) == ALL, 15, "the end of bob's connections")
    assert ALL == kinds_that_work(alices)
    assert len(reasons(edge, bobs)) == 1
    lines = cuts(edge, 4).values()
    assert {"certificate_rejected"} == {line["cert"]["reason"] for line in lines}
    assert 403 == status(Client(leaving), edge)


def test_a_host_that_a_reload_takes_away_serves_nobody_on(
    start_edge: StartEdge, origin: CountingOrigin
) -> None:
    config: dict[str, Any] = {
        "host": [tables.host(NAME, upstream=origin.url), tables.host(OTHER, upstream=origin.url)],
        "client_ca": [tables.client_ca(NAME, OTHER)],
        "application": [tables.application(NAME), tables.application(OTHER)],
    }
    edge = serving(start_edge(config))
    staying = all_kinds(edge, certs.client())
    leaving = all_kinds(edge, certs.client(), OTHER)
    only = {"client_ca": [tables.client_ca(NAME)], "application": [tables.application(NAME)]}
    edge.rewrite({"host": config["host"][:1], **only})
    with Watch(staying + leaving):
        looked_at()
        reload(edge, 2)
        wait_until(lambda: len(kinds_that_ended(leaving)) == 3, 5, "the end of what goes on there")
    assert BUSY == kinds_that_ended(leaving)
    assert 421 == leaving[0].connection.get(OTHER).status
    assert ALL == kinds_that_work(staying)
    assert {"the host is served no more"} == reasons(edge, leaving[1:])


@WORKERS
def test_time_ends_certificates_and_lists_and_with_them_connections(
    start_edge: StartEdge, origin: CountingOrigin, tmp_path: Path, workers: int
) -> None:
    """A certificate at its end; a CRL that goes stale, where lists are required and else not."""
    files = [tmp_path / "required.crl", tmp_path / "wished.crl"]
    put(files[0], crl(ca="Stale CA", number=1))
    put(files[1], crl(ca="Wished CA", number=1))
    cas = [
        tables.client_ca(NAME),
        tables.client_ca(NAME, name="Stale CA", crl=[files[0]]),
        tables.client_ca(NAME, name="Wished CA", crl=[files[1]], crl_policy="warn"),
    ]
    config = {**tables.one_host(NAME, origin.url), "client_ca": cas, "edge": {"workers": workers}}
    edge = serving(start_edge(config))
    began = time.monotonic()
    stale = all_kinds(edge, certs.client("device-1", "Stale CA"))
    staying = all_kinds(edge, certs.client())
    staying += all_kinds(edge, certs.client("device-1", "Wished CA"))
    # Who has four seconds left has to come in that time: more, where others took long.
    now = datetime.now(UTC).replace(microsecond=0)
    left = timedelta(seconds=4 + int(3 * (time.monotonic() - began)))
    since, end = now - timedelta(minutes=1), now + left
    issued = certs.authority().issue("brief", not_before=since, lifetime=end - since)
    brief = all_kinds(edge, certs.store(f"brief-{workers}", issued))
    put(files[0], crl(ca="Stale CA", last_update=since, next_update=end - since))
    put(files[1], crl(ca="Wished CA", last_update=since, next_update=end - since))
    ends = time.monotonic() + end.timestamp() - time.time()
    busy = Busy(edge.pid, *worker_pids(edge.pid))
    with Watch(brief + stale + staying):
        everybody = brief + stale
        wait_until(lambda: len(kinds_that_ended(everybody)) == 8, 10, "the end of their time")
    ended = [each.ended - ends for each in everybody]
    print(f"{workers} workers, ends: from {min(ended):.3f} to {max(ended):.3f} s after the last")
    # The last second of a validity counts (RFC 5280 section 4.1.2.5), and each is looked at once
    # a second.
    assert 0 < min(ended)
    assert 3 + busy.seconds() > max(ended)
    assert 2 * ALL == kinds_that_work(staying)
    lines = cuts(edge, 8)
    assert {"certificate_expired"} == {lines[each.port]["cert"]["reason"] for each in brief}
    assert {"revocation_unknown"} == {lines[each.port]["cert"]["reason"] for each in stale}


def test_a_revoked_intermediate_ends_all_below_it(
    start_edge: StartEdge, origin: CountingOrigin, tmp_path: Path
) -> None:
    """With one rename of the root's list, whatever the intermediate's own list says."""
    middle = certs.intermediate("Middle CA")
    file, below = tmp_path / "root.crl", tmp_path / "middle.crl"
    put(file, crl(number=1))
    put(below, middle.crl())
    ca = {"crl": [file, below]}
    edge = serving(start_edge(configured(origin.url, file, 2, client_ca=ca)))
    leaving = all_kinds(edge, certs.store("below", middle.issue("below")))
    staying = all_kinds(edge, certs.client())
    with Watch(leaving + staying):
        put(file, certs.authority().crl([middle.certificate.serial_number], number=2))
        wait_until(lambda: kinds_that_ended(leaving) == ALL, 3, "the end of all below")
    assert ALL == kinds_that_work(staying)
    assert "CN=Middle CA" in next(iter(reasons(edge, leaving)))


def test_where_the_handshake_demands_a_certificate_a_revoked_one_is_refused_there(
    start_edge: StartEdge, origin: CountingOrigin, tmp_path: Path
) -> None:
    file = tmp_path / "ca.crl"
    put(file, crl(number=1))
    config = configured(origin.url, file, 2, host={"handshake": "require"})
    edge = serving(start_edge(config))
    leaving, staying = all_kinds(edge, certs.client("bad")), all_kinds(edge, certs.client())
    with Watch(leaving + staying):
        put(file, crl(certs.client("bad")))
        wait_until(lambda: kinds_that_ended(leaving) == ALL, 3, "the end of the revoked")
    assert ALL == kinds_that_work(staying)
    assert 4 == len(cuts(edge, 4))
    assert 200 == status(Client(certs.client()), edge)
    with pytest.raises(ssl.SSLError):
        Client(certs.client("bad")).get(edge.port, NAME)


@WORKERS
def test_what_is_revoked_is_cut_while_the_edge_waits_for_others_to_finish(
    start_edge: StartEdge, origin: CountingOrigin, tmp_path: Path, workers: int
) -> None:
    """It stops, and lets what is under way finish: of whoever may go on."""
    file = tmp_path / "ca.crl"
    put(file, crl(number=1))
    config = configured(origin.url, file, workers)
    config["edge"]["timeouts"] = {"drain": 60}
    edge = serving(start_edge(config))
    leaving = all_kinds(edge, certs.client("bad"))[1:]
    staying = all_kinds(edge, certs.client())[1:]
    with Watch(leaving + staying):
        looked_at()
        os.kill(edge.pid, signal.SIGTERM)
        time.sleep(0.5)
        assert [] == kinds_that_ended(leaving + staying)
        put(file, crl(certs.client("bad")))
        wait_until(lambda: kinds_that_ended(leaving) == BUSY, 3, "the end of the revoked")
    assert BUSY == kinds_that_work(staying)
    for each in staying:
        each.close()


def test_a_worker_that_is_about_to_leave_cuts_what_is_revoked(
    start_edge: StartEdge, origin: CountingOrigin, tmp_path: Path
) -> None:
    file = tmp_path / "ca.crl"
    put(file, crl(number=1))
    edge = serving(start_edge(configured(origin.url, file, 2)))
    leaving = [Staying(edge, certs.client("bad"), "tunnel") for _ in range(8)]
    staying = [Staying(edge, certs.client(), "tunnel") for _ in range(8)]
    for pid in worker_pids(edge.pid):
        os.kill(pid, signal.SIGTERM)
    with Watch(leaving + staying):
        looked_at()
        put(file, crl(certs.client("bad")))
        wait_until(lambda: len(kinds_that_ended(leaving)) == 8, 3, "the end of the revoked")
    assert 8 == len(kinds_that_work(staying))
    for each in staying:
        each.close()

"""Invariant 1, the whole matrix: no session makes anybody verified where their CA does not count.

{TLS 1.2, 1.3} x {session from host A, B, none} x {presented to A, B, a host that asks for
nothing, an unknown name} x {resumption off, recheck, or allowed at one of the two}.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
from tls_attempts import Attempt, attempt, lines_by_client

from support import certs
from support.client import TLS12, TLS13, Client
from support.edge import Edge
from support.origin import CountingOrigin
from support.tables import application, client_ca, host

A, B, NOTHING, UNKNOWN = "a.example.com", "b.example.com", "c.example.com", "d.example.com"
OWNERS = {A: certs.CLIENT_CA, B: certs.OTHER_CA}

# Resumption at A, at B, and at the host that asks for nothing.
SETTINGS = {
    "off": ("off", "off", "off"),
    "recheck": ("recheck", "recheck", "recheck"),
    "only-a": ("recheck", "off", "off"),
    "not-b": ("recheck", "off", "recheck"),
}
MATRIX = list(product(OWNERS.values(), [A, B, NOTHING, None], [A, B, NOTHING, UNKNOWN]))
VERSIONS = pytest.mark.parametrize("version", [TLS12, TLS13], ids=["tls12", "tls13"])


@pytest.fixture(scope="module", params=SETTINGS)
def setting(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def origin() -> Iterator[CountingOrigin]:
    with CountingOrigin() as running:
        yield running


@pytest.fixture(scope="module")
def edge(
    tmp_path_factory: pytest.TempPathFactory, origin: CountingOrigin, setting: str
) -> Iterator[Edge]:
    """A and B have CAs of their own; the third host asks for nothing and passes everything."""
    at_a, at_b, elsewhere = SETTINGS[setting]
    config = {
        "host": [
            host(A, upstream=origin.url, resumption=at_a),
            host(B, upstream=origin.url, resumption=at_b),
            host(NOTHING, upstream=origin.url, resumption=elsewhere, unprotected="pass"),
        ],
        "client_ca": [client_ca(A, name=OWNERS[A]), client_ca(B, name=OWNERS[B])],
        "application": [application(A), application(B)],
    }
    with Edge(tmp_path_factory.mktemp("resumption") / "edge", config) as running:
        yield running


@VERSIONS
def test_no_session_makes_anybody_verified_elsewhere(
    edge: Edge, origin: CountingOrigin, setting: str, version: ssl.TLSVersion
) -> None:
    """Whoever is admitted holds a certificate of that host's own CA, in every combination."""
    tries = []
    for owner, source, target in MATRIX:
        client = Client(certs.client("traveller", owner), version=version, names_checked=False)
        session = attempt(edge, client, source).session if source else None
        before = origin.count
        tried = attempt(edge, client, target, session)
        reached = origin.count > before
        tries.append(Try(owner, source, target, session is not None, reached, tried))
    lines = lines_by_client(edge, [each.tried.client for each in tries])
    for each in tries:
        judge(each, lines[each.tried.client], setting, version)


@dataclass(frozen=True)
class Try:
    """One cell of the matrix and what became of it."""

    owner: str  # the CA of the client's certificate
    source: str | None  # where its session is from
    target: str
    has_session: bool
    reached: bool  # the origin saw the request
    tried: Attempt


def judge(cell: Try, line: dict[str, Any], setting: str, version: ssl.TLSVersion) -> None:
    """Whether a cell of the matrix is as it must be, by the answer, the origin and the log."""
    tried = cell.tried
    if tried.answer is None:
        assert "handshake" == line["event"], cell
        refusable = cell.has_session and is_off(setting, cell.target)
        assert cell.target == UNKNOWN or refusable, cell
        assert not cell.reached, cell
        return
    admitted = cell.target == NOTHING or cell.owner == OWNERS.get(cell.target)
    if tried.resumed and version is TLS12 and cell.source != cell.target:
        admitted = False  # a TLS 1.2 session keeps its name: for Host the connection is source's
        assert 421 == tried.status, cell
    if tried.resumed and cell.source == NOTHING != cell.target:
        admitted = False  # no certificate was ever shown in that session
    assert (admitted, admitted) == (200 == tried.status, cell.reached), cell
    assert tried.resumed is line["tls"]["resumed"], cell
    if cell.target in OWNERS and tried.status != 421:
        assert admitted == line["cert"]["verified"], cell


@VERSIONS
def test_resumption_is_what_the_host_says(
    edge: Edge, setting: str, version: ssl.TLSVersion
) -> None:
    """Off, there is no ticket to come back with; with recheck one comes back, and is judged."""
    for name in (A, B, NOTHING):
        client = Client(certs.client("back", OWNERS.get(name, certs.CLIENT_CA)), version=version)
        session = attempt(edge, client, name).session
        allowed = not is_off(setting, name)
        assert allowed == bool(session and session.has_ticket)
        again = attempt(edge, client, name, session)
        assert (200, allowed) == (again.status, again.resumed)


def is_off(setting: str, name: str) -> bool:
    """Whether a host welcomes no sessions at all."""
    return "off" == dict(zip((A, B, NOTHING), SETTINGS[setting], strict=True)).get(name)

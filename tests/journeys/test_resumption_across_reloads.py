"""A session made before a reload: good after it where nothing speaks against it."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import pytest
from test_reloading import reload
from tls_attempts import attempt, line_of

from support import certs, tables
from support.client import TLS12, TLS13, Client
from support.edge import Edge
from support.origin import CountingOrigin
from support.ports import wait_until

NAME = "iot.example.com"
VERSIONS = pytest.mark.parametrize("version", [TLS12, TLS13], ids=["tls12", "tls13"])


@pytest.fixture
def edge(start_edge: Callable[..., Edge], origin: CountingOrigin) -> Edge:
    """An edge where sessions resume and certificates are judged again."""
    started = start_edge(tables.one_host(NAME, origin.url, resumption="recheck"))
    wait_until(lambda: "serving generation 1" in started.log(), 20, "the edge to serve")
    return started


def with_ca(config: dict[str, Any], name: str) -> dict[str, Any]:
    """The same with another client CA."""
    return {**config, "client_ca": [tables.client_ca(NAME, name=name)]}


@VERSIONS
def test_a_session_outlives_reloads(
    edge: Edge, origin: CountingOrigin, version: ssl.TLSVersion
) -> None:
    """Of the same configuration, and of one whose handshake and policy are others."""
    client = Client(certs.client(), version=version)
    session = attempt(edge, client, NAME).session
    for generation, handshake in ((2, "record"), (3, "require")):
        config = tables.one_host(NAME, origin.url, resumption="recheck", handshake=handshake)
        reload(edge, config, f"serving generation {generation}")
        again = attempt(edge, client, NAME, session)
        assert (200, True) == (again.status, again.resumed)
        line = line_of(edge, again.client)
        assert (True, True) == (line["cert"]["verified"], line["tls"]["resumed"])


@VERSIONS
@pytest.mark.parametrize("handshake", ["record", "require"])
def test_a_session_proves_nothing_to_another_client_ca(
    edge: Edge, origin: CountingOrigin, version: ssl.TLSVersion, handshake: str
) -> None:
    """It resumes, its certificate is judged by the new client CA, and refused."""
    client = Client(certs.client(), version=version)
    session = attempt(edge, client, NAME).session
    config = tables.one_host(NAME, origin.url, resumption="recheck", handshake=handshake)
    reload(edge, with_ca(config, certs.OTHER_CA), "serving generation 2")
    before = origin.count
    again = attempt(edge, client, NAME, session)
    line = line_of(edge, again.client)
    assert (False, "certificate_untrusted") == (line["cert"]["verified"], line["cert"]["reason"])
    assert (0 if handshake == "require" else 403) == again.status
    assert before == origin.count


@VERSIONS
def test_a_reload_that_ends_resumption_ends_the_sessions(
    edge: Edge, origin: CountingOrigin, version: ssl.TLSVersion
) -> None:
    """Who comes back with one shakes hands in full, and is not turned away."""
    client = Client(certs.client(), version=version)
    session = attempt(edge, client, NAME).session
    assert session is not None
    reload(edge, tables.one_host(NAME, origin.url), "serving generation 2")
    again = attempt(edge, client, NAME, session)
    assert (200, False) == (again.status, again.resumed)
    assert not (again.session and again.session.has_ticket)
    reload(edge, tables.one_host(NAME, origin.url, resumption="recheck"), "serving generation 3")
    assert not attempt(edge, client, NAME, session).resumed


@VERSIONS
def test_a_session_is_good_at_every_worker(
    start_edge: Callable[..., Edge], origin: CountingOrigin, version: ssl.TLSVersion
) -> None:
    """Whichever made it, before a reload and after; the kernel spreads a dozen attempts."""
    config = tables.one_host(NAME, origin.url, resumption="recheck")
    config["edge"] = {"workers": 3}
    edge = start_edge(config)
    wait_until(lambda: "serving generation 1" in edge.log(), 20, "the edge to serve")
    client = Client(certs.client(), version=version)
    session = attempt(edge, client, NAME).session
    reload(edge, config, "serving generation 2")
    tried = [attempt(edge, client, NAME, session) for _ in range(12)]
    assert {(200, True)} == {(each.status, each.resumed) for each in tried}

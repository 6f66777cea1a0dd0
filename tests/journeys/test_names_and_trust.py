"""Whose client CAs judge a name: hosts that share a domain, with and without a server name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from support import certs
from support.client import Client
from support.edge import Edge
from support.origin import CountingOrigin
from support.tables import application, client_ca, host

DEFAULT, WILD, SHUT = "default.w.example.com", "*.w.example.com", "shut.w.example.com"
PLAIN, GUARDED = "plain.example.com", "guarded.example.com"
OTHER_CA = "Names Journey CA"


@dataclass
class Running:
    edge: Edge
    wild: CountingOrigin
    shut: CountingOrigin


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A wildcard that is the default host, one name below it with another CA; a host of two kinds.

    Every application is content with any verified certificate.
    """
    with CountingOrigin() as wild, CountingOrigin() as shut:
        config = {
            "edge": {"default_host": DEFAULT},
            "host": [
                host(WILD, upstream=wild.url),
                host(SHUT, upstream=shut.url),
                host(PLAIN, GUARDED, upstream=wild.url),
            ],
            "client_ca": [
                client_ca(WILD, GUARDED),
                client_ca(SHUT, name=OTHER_CA),
            ],
            "application": [
                application(WILD),
                application(SHUT),
                application(PLAIN),
                application(GUARDED),
            ],
        }
        with Edge(tmp_path_factory.mktemp("names") / "edge", config) as edge:
            yield Running(edge, wild, shut)


@pytest.fixture
def client() -> Client:
    """One whose certificate the wildcard's CA issued."""
    return Client(certificate=certs.client("wild"), names_checked=False)


def test_without_a_server_name_the_wildcard_is_not_its_neighbour(
    running: Running, client: Client
) -> None:
    """A certificate for the default host says nothing where another CA is asked for."""
    before = running.wild.count, running.shut.count
    with client.connect(running.edge.port, None) as connection:
        for spelling in (SHUT, SHUT.upper(), f"{SHUT}.", f"{SHUT}:443"):
            assert 421 == connection.get(spelling).status
        assert before == (running.wild.count, running.shut.count)
        assert 200 == connection.get(DEFAULT).status
        assert 200 == connection.get("any.w.example.com").status


def test_with_a_server_name_it_is_judged_by_that_names_cas(
    running: Running, client: Client
) -> None:
    """The same certificate, refused where it is a stranger's."""
    assert 200 == client.get(running.edge.port, "any.w.example.com").status
    assert 403 == client.get(running.edge.port, SHUT).status
    other = Client(certificate=certs.client("shut", ca=OTHER_CA), names_checked=False)
    assert 200 == other.get(running.edge.port, SHUT).status
    assert 403 == other.get(running.edge.port, "any.w.example.com").status


def test_a_host_with_a_name_without_ca_asks_only_at_the_other(
    running: Running, client: Client
) -> None:
    """Names of one host, one with a client CA and one without: neither lends to the other."""
    assert 200 == client.get(running.edge.port, GUARDED).status
    assert 403 == client.get(running.edge.port, PLAIN).status
    with client.connect(running.edge.port, GUARDED) as connection:
        assert 421 == connection.get(PLAIN).status
    with client.connect(running.edge.port, PLAIN) as connection:
        assert 421 == connection.get(GUARDED).status


def test_a_request_without_host_is_malformed_whatever_came_before(
    running: Running, client: Client
) -> None:
    """What HTTP/1.0 may leave out, HTTP/1.1 may not, on the same connection either."""
    before = running.wild.count
    with client.connect(running.edge.port, "old.w.example.com") as connection:
        old = connection.request(b"GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert (200, "keep-alive") == (old.status, old.header("Connection"))
        assert 400 == connection.request(b"GET /old HTTP/1.1\r\n\r\n").status
    assert before + 1 == running.wild.count


def test_a_request_line_among_the_fields_is_malformed_whatever_came_before(
    running: Running, client: Client
) -> None:
    """Also where the same bytes, below an empty line, were a request just now."""
    before = running.wild.count
    same = b"\r\nGET /a HTTP/1.1\r\nHost: old.w.example.com\r\n\r\n"
    with client.connect(running.edge.port, "old.w.example.com") as connection:
        assert 200 == connection.request(same, "GET").status
        assert 400 == connection.request(b"GET /b HTTP/1.1" + same).status
    assert before + 1 == running.wild.count

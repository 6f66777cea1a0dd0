"""CRLs from URLs that the operator listed, and from no other."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from staying_clients import configured, crl, serving, status

from support import certs
from support.client import Client
from support.edge import Edge
from support.origin import Answer, CountingOrigin, Received
from support.ports import wait_until
from support.scripted import Line, ScriptedOrigin

WORKERS = pytest.mark.parametrize("workers", [1, 2])

StartEdge = Callable[..., Edge]


class ListServer(CountingOrigin):
    """Serves one list, with an ETag; or fails as it is told."""

    def __init__(self) -> None:
        super().__init__(default=self.reply)
        self.content = b""
        self.failure: Answer | None = None
        self.unchanged = 0  # answers of 304

    @property
    def crl_url(self) -> str:
        return f"{self.url}/ca.crl"

    def reply(self, received: Received) -> Answer:
        if self.failure is not None:
            return self.failure
        etag = f'"{hash(self.content)}"'
        if received.header("If-None-Match") == etag:
            self.unchanged += 1
            return Answer(304, (("ETag", etag),))
        return Answer(headers=(("ETag", etag),), body=self.content)


@pytest.fixture
def server() -> Iterator[ListServer]:
    with ListServer() as running:
        yield running


def config(origin: CountingOrigin, urls: list[str], workers: int = 1, **more: Any) -> Any:
    """One host whose client CA names URLs, which are asked as often as may be."""
    ca = {"crl": urls, "crl_refresh": "1s", **more}
    return configured(origin.url, Path(), workers, client_ca=ca)


def statuses(edge: Edge) -> tuple[int, int]:
    """What a good client gets, and a revoked one."""
    good, bad = Client(certs.client("good")), Client(certs.client("bad"))
    return status(good, edge), status(bad, edge)


def reach(edge: Edge, expected: tuple[int, int]) -> None:
    """Wait until clients are judged so, at every worker."""
    wait_until(lambda: statuses(edge) == expected, 8, f"the answers {expected}")
    wait_until(lambda: {statuses(edge) for _ in range(6)} == {expected}, 3, "all workers")


def says(edge: Edge, words: str) -> None:
    wait_until(lambda: words in edge.log(), 5, f"{words!r} in the log")


@WORKERS
def test_a_url_is_asked_until_it_answers_and_again_and_again(
    start_edge: StartEdge, origin: CountingOrigin, server: ListServer, workers: int
) -> None:
    """Closed before the first answer; then by the newest, also while the server fails."""
    server.failure = Answer(503)
    settings = config(origin, [server.crl_url], workers)
    edge = serving(start_edge(settings))
    assert (403, 403) == statuses(edge)
    says(edge, f"{server.crl_url} cannot be used: the answer was 503")
    server.content, server.failure = crl(certs.client("bad"), number=1), None
    reach(edge, (200, 403))
    says(edge, f"{server.crl_url} answers again")
    wait_until(lambda: server.unchanged, 5, "a conditional request")
    server.content = crl(certs.client("good"), number=2)
    reach(edge, (403, 200))
    server.content = b"<html>not what it was</html>"
    says(edge, "not a CRL in PEM or DER")
    server.failure = Answer(reset=True, raw=b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nab")
    says(edge, "it was cut off")
    assert (403, 200) == statuses(edge)


@WORKERS
def test_a_restart_begins_with_what_a_url_held_before(
    start_edge: StartEdge, origin: CountingOrigin, server: ListServer, workers: int
) -> None:
    """Even when the server is down, and it is told by its log."""
    server.content = crl(certs.client("bad"))
    settings = config(origin, [server.crl_url], workers)
    edge = serving(start_edge(settings))
    reach(edge, (200, 403))
    edge.stop()
    asked = server.count
    server.failure = Answer(500)
    edge.start()
    wait_until(lambda: edge.log().count("serving generation 1") == 2, 10, "it to serve again")
    assert (200, 403) == statuses(edge)
    server.wait(asked + 1)
    assert server.requests[asked].header("If-None-Match")
    says(edge, f"{server.crl_url} cannot be used: the answer was 500")
    assert (200, 403) == statuses(edge)


def test_no_url_out_of_a_certificate_is_ever_asked(
    start_edge: StartEdge, origin: CountingOrigin, server: ListServer
) -> None:
    """Neither its CRL distribution points nor its authority information."""
    server.content = crl()
    with CountingOrigin() as trap:
        there = x509.UniformResourceIdentifier(f"{trap.url}/trap")
        points = x509.CRLDistributionPoints([x509.DistributionPoint([there], None, None, None)])
        oids = x509.AuthorityInformationAccessOID
        access = x509.AuthorityInformationAccess(
            [x509.AccessDescription(oid, there) for oid in (oids.OCSP, oids.CA_ISSUERS)]
        )
        issued = certs.authority().issue("led", extensions=[(points, False), (access, False)])
        pair = certs.store("led", issued)
        edge = serving(start_edge(config(origin, [server.crl_url])))
        wait_until(lambda: status(Client(pair), edge) == 200, 5, "its list")
        asked = server.count
        server.wait(asked + 2)
        assert 200 == status(Client(pair), edge)
        assert (0, 0) == (trap.connections, trap.count)


def test_a_redirection_is_not_followed(
    start_edge: StartEdge, origin: CountingOrigin, server: ListServer
) -> None:
    with CountingOrigin(default=Answer(body=crl())) as elsewhere:
        server.failure = Answer(302, (("Location", f"{elsewhere.url}/ca.crl"),))
        edge = serving(start_edge(config(origin, [server.crl_url])))
        says(edge, "if that is right, name that URL instead")
        assert (403, 403) == statuses(edge)
        assert 0 == elsewhere.connections


def test_an_https_server_is_believed_by_the_ca_that_the_operator_named(
    start_edge: StartEdge, origin: CountingOrigin
) -> None:
    """And by no other: there is no list then, and the log says why."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certs.server("localhost").files)
    with ScriptedOrigin(serve_list, context) as secure:
        url = secure.url.replace("127.0.0.1", "localhost") + "/ca.crl"
        right, wrong = certs.ca_file(certs.SERVER_CA), certs.ca_file(certs.OTHER_CA)
        edge = serving(start_edge(config(origin, [url], crl_ca=right)))
        reach(edge, (200, 403))
        edge = serving(start_edge(config(origin, [url], crl_ca=wrong)))
        says(edge, f"{url} cannot be used")
        assert (403, 403) == statuses(edge)
        told = next(line for line in edge.log().splitlines() if "cannot be used" in line)
        assert "certificate verify failed" in told


def serve_list(line: Line) -> None:
    while True:
        line.head()
        line.answer(crl(certs.client("bad")))

"""Certificates that are asked about: OpenSSL's responder, ours, and those that mean no good."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from mtlsedge.pki.mint import Authority
from support import certs
from support.client import Client
from support.edge import Edge
from support.origin import CountingOrigin
from support.ports import wait_until
from support.responder import ScriptedResponder, openssl_responder, reply, sign
from support.tables import application, client_ca, host

ASKED, PLAIN = "asked.example.com", "plain.example.com"
CA = "OCSP Journey CA"


def config(origin: CountingOrigin, **ocsp: Any) -> dict[str, Any]:
    """One host whose clients are asked about, and one whose are not."""
    return {
        "host": [host(ASKED, upstream=origin.url), host(PLAIN, upstream=origin.url)],
        "client_ca": [client_ca(ASKED, name=CA, **ocsp), client_ca(PLAIN)],
        "application": [application(ASKED), application(PLAIN)],
    }


def named(stem: str, *urls: str) -> certs.Pair:
    """A client certificate that says where its status is told."""
    points = [
        x509.AccessDescription(
            AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(url)
        )
        for url in urls
    ]
    extension = (x509.AuthorityInformationAccess(points), False)
    return certs.store(stem, certs.authority(CA).issue(stem, extensions=[extension]))


def visit(edge: Edge, pair: certs.Pair, name: str = ASKED) -> int:
    return Client(certificate=pair).get(edge.port, name).status


def good(handler: BaseHTTPRequestHandler, request: bytes, pair: certs.Pair, **more: Any) -> None:
    reply(handler, sign(request, pair.issued.x509, certs.authority(CA), **more))


def last_reason(edge: Edge, count: int) -> str:
    line: dict[str, Any] = edge.access_log(count)[-1]
    reason: str = line["cert"]["reason"]
    return reason


def test_openssls_responder_is_believed(tmp_path: Path) -> None:
    """Who is good passes, who is revoked does not, and its nonce comes back."""
    fine, lost = certs.client("fine", CA), certs.client("lost", CA)
    statuses = {fine.issued.x509: False, lost.issued.x509: True}
    responder = openssl_responder(tmp_path / "responder", certs.authority(CA), statuses)
    with (
        responder as url,
        CountingOrigin() as origin,
        Edge(tmp_path / "edge", config(origin, ocsp=url, ocsp_nonce="require")) as edge,
    ):
        assert [200, 403, 200] == [visit(edge, pair) for pair in (fine, lost, fine)]
        assert "certificate_revoked" == edge.access_log(3)[1]["cert"]["reason"]
        assert 403 == visit(edge, certs.client("not in its index", CA))
        assert "revocation_unknown" == last_reason(edge, 4)


def test_a_revocation_reaches_a_connection_that_stays(tmp_path: Path) -> None:
    """When the answer that let it in has had its time: an idle connection is cut."""
    pair = certs.client("stays", CA)
    revoked = threading.Event()

    def answers(handler: BaseHTTPRequestHandler, request: bytes) -> None:
        good(handler, request, pair, valid=timedelta(seconds=5), revoked=revoked.is_set())

    with (
        ScriptedResponder(answers) as responder,
        CountingOrigin() as origin,
        Edge(tmp_path / "edge", config(origin, ocsp=responder.url)) as edge,
        Client(certificate=pair).connect(edge.port, ASKED) as connection,
    ):
        assert 200 == connection.get(ASKED).status
        wait_until(lambda: len(responder.asked) > 1, 10, "the answer to be renewed")
        assert 200 == connection.get(ASKED).status
        revoked.set()
        assert connection.closed()


def test_a_responder_that_is_gone_closes_the_door_and_coming_back_opens_it(tmp_path: Path) -> None:
    """Hard-fail; with the policy warn nobody is kept out by it."""
    pair = certs.client("outage", CA)
    silent = threading.Event()

    def answers(handler: BaseHTTPRequestHandler, request: bytes) -> None:
        if silent.is_set():
            reply(handler, b"", status=503)
        else:
            good(handler, request, pair)

    silent.set()
    with ScriptedResponder(answers) as responder, CountingOrigin() as origin:
        with Edge(tmp_path / "edge", config(origin, ocsp=responder.url)) as edge:
            assert 403 == visit(edge, pair)
            assert "revocation_unknown" == last_reason(edge, 1)
            assert "gives no answer: the answer was 503" in edge.log()
            silent.clear()
            wait_until(lambda: visit(edge, pair) == 200, 10, "the door to open")
            assert f"the OCSP responder {responder.url} answers again" in edge.log()
        silent.set()
        warn = config(origin, ocsp=responder.url, ocsp_policy="warn")
        with Edge(tmp_path / "lenient", warn) as edge:
            assert 200 == visit(edge, pair)
            assert "let pass, as ocsp_policy is" in edge.log()


def test_nobody_else_waits_for_a_slow_responder(tmp_path: Path) -> None:
    """Neither at another host, nor whoever was asked about before."""
    known, late = certs.client("known", CA), certs.client("late", CA)
    stop = threading.Event()

    def answers(handler: BaseHTTPRequestHandler, request: bytes) -> None:
        if responder.asked[-1] == late.issued.x509.serial_number:
            stop.wait(20)
        else:
            good(handler, request, known)

    statuses: list[int] = []
    with ScriptedResponder(answers) as responder, CountingOrigin() as origin:
        with Edge(tmp_path / "edge", config(origin, ocsp=responder.url, ocsp_timeout=4)) as edge:
            assert 200 == visit(edge, known)
            clients = [
                threading.Thread(target=lambda: statuses.append(visit(edge, late)))
                for _ in range(20)
            ]
            for each in clients:
                each.start()
            wait_until(lambda: len(responder.asked) > 1, 5, "the slow responder to be asked")
            assert 200 == visit(edge, known)
            assert 200 == visit(edge, certs.client("elsewhere"), PLAIN)
            assert [] == statuses
            for each in clients:
                each.join()
            assert [403] * 20 == statuses
            assert 2 == len(responder.asked)
        stop.set()


def test_a_certificate_does_not_choose_its_responder(tmp_path: Path) -> None:
    """Only what the operator allowed is asked, and only if the chain verified."""

    def answers(handler: BaseHTTPRequestHandler, request: bytes) -> None:
        good(handler, request, allowed)

    with (
        ScriptedResponder(answers) as responder,
        ScriptedResponder(answers) as evil,
        CountingOrigin() as origin,
    ):
        allowed = named("allowed", responder.url)
        theirs = named("theirs", evil.url, f"{responder.url}other")
        with Edge(tmp_path / "edge", config(origin, ocsp_allow=responder.url)) as edge:
            assert [200, 403] == [visit(edge, pair) for pair in (allowed, theirs)]
            assert "revocation_unknown" == last_reason(edge, 2)
            assert 403 == visit(edge, certs.client("stranger", "Unknown Journey CA"))
        assert ([allowed.issued.x509.serial_number], []) == (responder.asked, evil.asked)


def test_https_responders_are_verified(tmp_path: Path) -> None:
    """By the CA that the operator named, and by no other."""
    pair = certs.client("over https", CA)

    def answers(handler: BaseHTTPRequestHandler, request: bytes) -> None:
        good(handler, request, pair)

    with ScriptedResponder(answers, certs.server("localhost")) as responder:
        for ca, status in ((certs.SERVER_CA, 200), (certs.OTHER_CA, 403)):
            with CountingOrigin() as origin:
                asked = config(origin, ocsp=responder.url, ocsp_ca=certs.ca_file(ca))
                with Edge(tmp_path / ca, asked) as edge:
                    assert status == visit(edge, pair)
        assert 1 == len(responder.asked)


# -- those that mean no good -----------------------------------------------------------------


@dataclass
class Besieged:
    """An edge, and the responder that it asks."""

    edge: Edge
    responder: ScriptedResponder
    visits: int = 0


@pytest.fixture(scope="module")
def besieged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Besieged]:
    """One edge for all of them: it outlives each."""
    with ScriptedResponder(lambda handler, _: None) as responder, CountingOrigin() as origin:
        asked = config(origin, ocsp=responder.url, ocsp_timeout=2)
        with Edge(tmp_path_factory.mktemp("hostile") / "edge", asked) as edge:
            yield Besieged(edge, responder)


def _endless_head(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for _ in range(100_000):
        handler.wfile.write(b"X-More: and more of it\r\n" * 100)


def _endless_body(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/ocsp-response\r\n\r\n")
    for _ in range(100_000):
        handler.wfile.write(bytes(65536))


def _trickle(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/ocsp-response\r\n\r\n")
    for _ in range(100):
        handler.wfile.write(b"0")
        time.sleep(0.1)


def _elsewhere(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    handler.send_response(307)
    handler.send_header("Location", "http://127.0.0.1:1/")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def _signed(**more: Any) -> Callable[[certs.Pair], Callable[..., None]]:
    """A signed answer with something wrong about it."""

    def make(pair: certs.Pair) -> Callable[..., None]:
        chosen = {key: value() if callable(value) else value for key, value in more.items()}
        about = chosen.pop("about", pair).issued.x509
        return lambda handler, request: reply(
            handler, sign(request, about, certs.authority(CA), **chosen)
        )

    return make


def _client_with_the_cas_name() -> Authority:
    issued = certs.authority(CA).issue(CA)
    pair = certs.store("namesake", issued)
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key: Any = load_pem_private_key(pair.key.read_bytes(), None)
    return Authority(issued.x509, key)


def _same(answers: Callable[..., None]) -> Callable[[certs.Pair], Callable[..., None]]:
    return lambda _: answers


HOSTILE: dict[str, tuple[Callable[[certs.Pair], Callable[..., None]], str]] = {
    "garbage": (
        _same(lambda handler, _: reply(handler, b"\x30\x82garbage")),
        "no OCSP response that can be read",
    ),
    "nothing": (_same(lambda handler, _: reply(handler, b"")), "no OCSP response that can be read"),
    "no http": (
        _same(lambda handler, _: handler.wfile.write(b"\0" * 1000)),
        "Connection was closed",
    ),
    "a page": (
        _same(lambda handler, _: reply(handler, b"<html>", "text/html")),
        "the answer is 'text/html'",
    ),
    "too much": (_same(lambda handler, _: reply(handler, bytes(10_000_000))), "more than"),
    "an endless head": (_same(_endless_head), "it sent more than 196608 bytes"),
    "an endless body": (_same(_endless_body), "more than"),
    "a trickle": (_same(_trickle), "within 2 seconds"),
    "a redirection": (_same(_elsewhere), "it redirects to 'http://127.0.0.1:1/'"),
    "another nonce": (_signed(nonce=bytes(32)), "another nonce"),
    "a stale answer": (
        _signed(since=timedelta(hours=2), valid=timedelta(seconds=-1), nonce=b""),
        "stale since",
    ),
    "an old answer without an end": (
        _signed(since=timedelta(hours=1), valid=None, nonce=b""),
        "does not say until when",
    ),
    "a future answer": (
        _signed(since=timedelta(hours=-1), valid=timedelta(hours=2)),
        "from the future",
    ),
    "another certificate's answer": (
        _signed(about=lambda: certs.client("somebody else", CA)),
        "about another certificate",
    ),
    "a stranger's word": (
        _signed(signer=lambda: certs.authority("Evil CA")),
        "is not for signing OCSP answers",
    ),
    "the word of a client with the CA's name": (
        _signed(signer=_client_with_the_cas_name),
        "is not for signing OCSP answers",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_responder_opens_no_door_and_harms_nobody(besieged: Besieged, kind: str) -> None:
    """Whom it speaks of is refused; everybody else is served."""
    pair = certs.client(f"against {kind}", CA)
    make, words = HOSTILE[kind]
    besieged.responder.answers = make(pair)
    assert 403 == visit(besieged.edge, pair)
    assert 200 == visit(besieged.edge, certs.client("elsewhere"), PLAIN)
    besieged.visits += 2
    line = besieged.edge.access_log(besieged.visits)[-2]
    assert "revocation_unknown" == line["cert"]["reason"]
    assert words in line["cert"]["detail"]
    friend = certs.client(f"after {kind}", CA)
    besieged.responder.answers = lambda handler, request: good(handler, request, friend)

    def admitted() -> bool:  # after three silent answers in a row it is left alone for a second
        besieged.visits += 1
        return visit(besieged.edge, friend) == 200

    wait_until(admitted, 10, "a good answer to be believed")
    assert besieged.edge.memory() < 200 * 2**20

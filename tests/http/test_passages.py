"""What is let through again for the same bytes, for how long, and what ends it at once."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from http_bench import NAME, NOW, OK, Bench, Wire, get, statuses

from mtlsedge import model
from mtlsedge.http import passage as passages
from mtlsedge.http.access import AccessTokens
from mtlsedge.http.callers import meet
from mtlsedge.http.site import Front
from mtlsedge.identity import Identity, PeerChain, Reason
from mtlsedge.names import NameTable
from mtlsedge.policy.service_tokens import ServiceTokens, mint
from mtlsedge.policy.tree import PolicyTree
from mtlsedge.session.keys import KeyRing
from mtlsedge.session.tokens import TokenIssuer
from mtlsedge.trust.certificates import read_certificate
from support import certs

AGAIN = get("/a?b=c", "Accept: */*\r\n")


class Estate:
    """One host with one application for certificates, a client, and a clock to turn."""

    def __init__(self, ring: KeyRing, *rules: model.Rule, life: float = 86400.0) -> None:
        self.now = NOW
        policy = model.Policy("p", "service_auth", model.RuleSet(rules or (CERTIFICATE,)))
        application = model.Application("one", (model.Domain(NAME, "/"),), (policy,), "one", life)
        tokens = AccessTokens(ring, TokenIssuer(ring, lambda: self.now), lambda: self.now)
        self.bench = Bench(applications=[application], tokens=tokens)
        self.bench.front.now = lambda: self.now
        leaf = read_certificate(certs.client("device-1").der)
        self.client = self.bench.client(
            Identity(True, True, Reason.NONE, chain=PeerChain(leaf, (), (leaf,)))
        )

    @property
    def caller(self) -> Any:
        return self.client.protocol._caller

    def ask(self, request: bytes = AGAIN, answer: bytes = OK) -> bytes:
        """Ask, let the origin answer if it was asked, and give what the client got."""
        self.client.say(request)
        wires = self.bench.endpoint.wires
        if wires and wires[-1].sent:
            self.sent = wires[-1].taken()
            wires[-1].say(answer)
        return self.client.taken()


CERTIFICATE = model.Rule("certificate")


@pytest.fixture
def estate(ring: KeyRing) -> Estate:
    return Estate(ring)


def test_what_is_asked_again_is_let_through_alike(estate: Estate, decided: list[Any]) -> None:
    """Each as the first, to the origin, to the client and in the log, but for its id."""
    answers, requests = [], []
    for _ in range(5):
        answers.append(estate.ask())
        head, _, rest = estate.sent.partition(b"X-Request-Id: ")
        requests.append((head, rest[32:]))
    assert 1 == len(decided)
    assert 1 == len(set(answers)) == len(set(requests))
    lines = estate.bench.lines
    ids = {line.pop("request_id") for line in lines}
    assert 5 == len(ids) == len(lines)
    assert all(lines[0] == line for line in lines)


def test_it_lasts_a_minute(estate: Estate, decided: list[Any]) -> None:
    """Then all is asked again; also where the clock was set back."""
    for _ in range(3):
        estate.ask()
    for step in (30.0, 29.0, 2.0, -1800.0):
        estate.now += step
        before = len(decided)
        estate.ask()
        assert (step in (2.0, -1800.0)) == (len(decided) > before), step


def test_the_cookies_age_is_that_of_each_answer(estate: Estate, decided: list[Any]) -> None:
    """A browser is to let go of it when its token ends, not a while later."""
    for request in (AGAIN, get("/b?b=c", "Accept: */*\r\n")):
        for step in (0.1, 0.5, 0.6, 20.0):
            estate.now += step
            age = int(estate.ask(request).partition(b"; Max-Age=")[2].partition(b";")[0])
            assert int(NOW + 86400.0 - estate.now) == age
    assert 1 == len(decided)


def test_a_token_is_replaced_in_time(ring: KeyRing) -> None:
    """Also for a request that was let through less than a minute ago: half a short life is left."""
    estate = Estate(ring, life=10.0)
    seen = []
    for step in (0.0, 2.0, 2.9, 0.2, 4.7):
        estate.now += step
        estate.ask()
        seen.append(estate.sent.partition(b"Cf-Access-Jwt-Assertion: ")[2].partition(b"\r")[0])
    assert 1 == len(set(seen[:3]))
    assert 1 == len(set(seen[3:]))
    assert seen[0] != seen[3]


def test_a_caller_that_becomes_another_takes_nothing_along(
    estate: Estate, decided: list[Any]
) -> None:
    """Its certificate ends at fewer client CAs, say: the very next request is judged by that."""
    for _ in range(3):
        estate.ask()
    before, caller = len(decided), estate.caller
    changed = replace(caller.identity, client_cas=("another",))
    connection = estate.client.protocol
    connection.go_over(meet(caller.front, caller.site, connection.transport, changed))
    for _ in range(3):
        estate.ask()
    assert before + 1 == len(decided)


def test_a_new_configuration_reaches_the_very_next_request(estate: Estate) -> None:
    """Here it has no application any more."""
    for _ in range(3):
        assert [200] == statuses(estate.ask())
    front = estate.bench.front
    host = replace(front.sites[NAME].host, unprotected="deny")
    site = replace(front.sites[NAME], host=host, policy=PolicyTree(()))
    names: NameTable[Any] = NameTable()
    names.add(NAME, site)
    front.retire(Front({NAME: site}, front.deadlines, front.log, front.now, front.crowd, names))
    assert [403] == statuses(estate.ask())


@pytest.mark.parametrize(
    ("reads", "expected"),
    [
        ([AGAIN + b"\x00"], [200, 400]),
        ([AGAIN + AGAIN, b""], [200, 200]),
        ([b"\r\n" + AGAIN], [200]),
        ([AGAIN[:-2], AGAIN[-2:]], [200]),
        ([AGAIN[:-2], AGAIN], [400]),
        ([AGAIN[:1], AGAIN], [400]),
        ([AGAIN.replace(b"/a", b"/b")], [200]),
        ([AGAIN.replace(NAME.encode(), b"other.example.com")], [421]),
    ],
)
def test_only_the_same_bytes_are_the_same_request(
    estate: Estate, reads: list[bytes], expected: list[int]
) -> None:
    """More of them, fewer, or the same ones behind the beginning of another request."""
    for _ in range(3):
        estate.ask()
    answers = [status for data in reads for status in statuses(estate.ask(data))]
    assert expected == answers


def test_requests_sent_ahead_wait_for_their_turn(estate: Estate) -> None:
    """Also behind one that was let through alike."""
    for _ in range(3):
        estate.ask()
    wire = estate.bench.wire
    estate.client.say(AGAIN)
    estate.client.say(AGAIN + get("/last")[:10])
    assert 1 == wire.taken().count(b"GET /a?b=c HTTP/1.1\r\n")
    wire.say(OK)
    assert [200] == statuses(estate.client.taken())
    assert 1 == wire.taken().count(b"GET /a?b=c HTTP/1.1\r\n")
    wire.say(OK)
    estate.client.say(get("/last")[10:])
    assert wire.taken().startswith(b"GET /last HTTP/1.1\r\n")
    wire.say(OK)
    assert [200, 200] == statuses(estate.client.taken())


@pytest.mark.parametrize("fields", ["Connection: keep-alive\r\n", ""])
def test_http_1_0_is_let_through_alike(estate: Estate, decided: list[Any], fields: str) -> None:
    """Each answer says whether the connection goes on."""
    request = get("/a", fields, version="1.0")
    for _ in range(3):
        if estate.client.closing:
            estate.client = estate.bench.client(estate.client.identity)
        answer = estate.ask(request)
        assert [200] == statuses(answer)
        kept = b"Connection: keep-alive\r\n" if fields else b"Connection: close\r\n"
        assert kept in answer
    assert 1 == len(decided)


def test_a_service_token_is_proved_each_time(ring: KeyRing, decided: list[Any]) -> None:
    """It may expire at any moment."""
    token, secret = mint("robot", NOW + 0.5)
    estate = Estate(ring, model.Rule("service_token", ("robot",)))
    tokens = ServiceTokens((token,))
    site = replace(estate.caller.site, service_tokens=tokens)
    estate.caller.site = site
    fields = f"CF-Access-Client-Id: {token.client_id}\r\nCF-Access-Client-Secret: {secret}\r\n"
    for _ in range(4):
        assert [200] == statuses(estate.ask(get("/", fields)))
    assert 4 == len(decided)
    estate.now += 0.6
    assert [403] == statuses(estate.ask(get("/", fields)))


def test_a_token_that_ends_is_noticed_at_once(ring: KeyRing) -> None:
    """Within the second, too: the origin is not given what is over."""
    estate = Estate(ring, life=10.0)
    cookie = estate.ask().partition(b"Set-Cookie: ")[2].partition(b";")[0].decode()
    estate.now += 9.5
    request = get("/", f"Cookie: {cookie}\r\n")
    for _ in range(4):
        assert b"Set-Cookie" not in estate.ask(request)
        assert cookie.encode() in estate.sent
    assert request in estate.caller.passages
    estate.now += 0.5
    assert b"Set-Cookie" in estate.ask(request)
    assert cookie.encode() not in estate.sent


def test_a_connection_keeps_little(estate: Estate) -> None:
    """A few, and none that is long."""
    for number in range(100):
        estate.ask(get(f"/{number}"))
        assert len(estate.caller.passages) <= 12
    estate.caller.passages.clear()
    long = get("/", f"X-Long: {'x' * 3000}\r\n")
    for _ in range(3):
        estate.ask(long)
    assert not estate.caller.passages


def test_bodies_upgrades_and_refusals_are_not_kept(estate: Estate) -> None:
    """Nothing but plain requests that were let through."""
    for request in (
        get("/", "Content-Length: 0\r\n", "POST"),
        get("/", "Connection: upgrade\r\nUpgrade: websocket\r\n"),
        get("/cdn-cgi/access/certs"),
    ):
        for _ in range(3):
            estate.ask(request)
        assert not estate.caller.passages, request


def test_an_origin_that_hung_up_is_asked_again(estate: Estate) -> None:
    """As it is for any other request without a body."""
    for _ in range(3):
        estate.ask()
    estate.client.say(AGAIN)
    first = estate.bench.wire
    first.lost()
    assert first is not estate.bench.wire
    estate.bench.wire.say(OK)
    assert [200] == statuses(estate.client.taken())


def test_an_error_within_is_a_refusal(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    """No request is left without an answer."""

    def broken(*_: Any) -> bytes:
        raise ZeroDivisionError

    for _ in range(3):
        estate.ask()
    monkeypatch.setattr(passages.Passage, "request", broken)
    assert [500] == statuses(estate.ask())
    assert 500 == json.loads(estate.bench.log.written[-1])["status"]


def test_a_client_that_takes_nothing_is_asked_nothing_more(estate: Estate) -> None:
    """Answers would pile up."""
    for _ in range(3):
        estate.ask()
    client: Wire = estate.client
    client.choked = True
    estate.ask(answer=b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70000)
    client.protocol.dataReceived(AGAIN)
    assert b"" == estate.bench.wire.taken()
    client.take()
    assert 1 == estate.bench.wire.taken().count(b"GET /a?b=c HTTP/1.1\r\n")


def test_a_connection_that_drains_closes_behind_the_answer(estate: Estate) -> None:
    """Whatever was asked before."""
    for _ in range(3):
        estate.ask()
    estate.client.say(AGAIN)
    estate.bench.front.crowd.drain()
    estate.bench.wire.say(OK)
    assert b"Connection: close\r\n" in estate.client.taken()
    assert "linger" == estate.client.closing

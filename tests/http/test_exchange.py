"""One request, one answer, one line: whatever order things happen in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from http_bench import NOW, OK, Bench, Wire, counts, get, statuses
from twisted.internet.defer import Deferred

from mtlsedge import model
from mtlsedge.identity import Identity, PeerChain, Reason, Verdict
from mtlsedge.names import NameTable
from mtlsedge.trust.certificates import read_certificate
from support import certs

NAME = "bench.example.com"


def holder() -> Identity:
    """The identity of a client whose certificate verified."""
    leaf = read_certificate(certs.client().der)
    return Identity(True, True, Reason.NONE, chain=PeerChain(leaf, (), (leaf,)))


def application(*rules: model.Rule) -> model.Application:
    """An application over the whole host, as ``bypass`` so that no token is needed."""
    policy = model.Policy("one", "bypass", model.RuleSet(rules))
    return model.Application("app", (model.Domain(NAME, "/"),), (policy,), "aud")


# -- deciding ------------------------------------------------------------------------------


def test_hundreds_of_refusals_in_one_read_are_no_recursion() -> None:
    """A stack that grew with what a client sends would be a way to crash the edge."""
    bench = Bench(unprotected="deny")
    client = bench.client()
    client.say(get() * 3000)
    assert [403] * 3000 == statuses(client.taken())
    assert 3000 == len(bench.lines)
    assert 0 == bench.endpoint.asked


def test_hundreds_of_unreachable_origins_in_one_read_are_no_recursion() -> None:
    """The same where each request finds at once that there is no origin."""
    bench = Bench()
    bench.endpoint.mode = "refuse"
    client = bench.client()
    client.say(get() * 2000)
    assert [502] * 2000 == statuses(client.taken())
    assert (0, 0, 0, 0) == counts(bench.origins[0])


def test_an_error_inside_the_decision_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undecided is refused: 500, closed, logged, and nothing reaches an origin."""

    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("mtlsedge.http.exchange.decide", broken)
    bench = Bench()
    client = bench.client()
    client.say(get())
    assert [500] == statuses(client.taken())
    assert "linger" == client.closing
    assert 0 == bench.endpoint.asked
    assert [500] == [line["status"] for line in bench.lines]


def test_an_error_while_the_request_is_written_is_a_refusal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The connection that it was meant for is not kept: half a request may be on it."""

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("mtlsedge.http.passage.render_request", broken)
    bench = Bench()
    client = bench.client()
    client.say(get())
    bench.settle()
    assert [500] == statuses(client.taken())
    assert (0, 0, 0, 0) == counts(bench.origins[0])


# -- verifiers that rules name -------------------------------------------------------------


class Judge:
    """Answers each verifier when the test says so."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: list[Deferred[Verdict]] = []

    def judge(self, spec: str, peer: PeerChain, server_name: str) -> Deferred[Verdict]:
        self.asked.append(spec)
        self.answers.append(Deferred())
        return self.answers[-1]


@pytest.fixture
def judge() -> Judge:
    """The judge of `thinking`."""
    return Judge()


@pytest.fixture
def thinking(judge: Judge) -> Bench:
    """A host whose rule names a verifier."""
    return Bench(applications=[application(model.Rule("verifier", ("pin:x",)))], judge=judge)


def test_a_request_waits_for_its_verdict(thinking: Bench, judge: Judge) -> None:
    """Nothing of it is sent on before, not even its body, which is not read."""
    client = thinking.client(holder())
    client.say(get("/", "Content-Length: 4\r\n", "PUT"))
    assert not client.reading
    assert 0 == thinking.endpoint.asked
    judge.answers[0].callback(Verdict(True, cache_for=60))
    assert client.reading
    client.say(b"body")
    assert thinking.wire.sent.endswith(b"\r\n\r\nbody")
    thinking.wire.say(OK)
    client.say(get())
    assert ["pin:x"] == judge.asked  # for as long as it holds


def test_a_verdict_against_it_is_a_403(thinking: Bench, judge: Judge) -> None:
    """And what it held of the next request is read on."""
    client = thinking.client(holder())
    client.say(get("/1") + get("/2"))
    judge.answers[0].callback(Verdict(False, "no", cache_for=60))
    assert [403, 403] == statuses(client.taken())
    assert 0 == thinking.endpoint.asked


def test_a_verdict_that_fails_is_a_403(thinking: Bench, judge: Judge) -> None:
    """It should not, and if it does nobody passes."""
    client = thinking.client(holder())
    client.say(get())
    judge.answers[0].errback(ZeroDivisionError())
    assert [403] == statuses(client.taken())
    assert 0 == thinking.endpoint.asked


def test_a_verdict_for_a_client_that_left_is_too_late(thinking: Bench, judge: Judge) -> None:
    """No origin is asked, and the line is written once."""
    client = thinking.client(holder())
    client.say(get())
    client.lost()
    judge.answers[0].callback(Verdict(True))
    assert 0 == thinking.endpoint.asked
    assert [499] == [line["status"] for line in thinking.lines]


def test_what_rests_on_a_verdict_is_not_shared(thinking: Bench, judge: Judge) -> None:
    """Each connection hears its own: what a verifier said once, it may not say again."""
    same = holder()
    for number in (1, 2):
        client = thinking.client(same)
        client.say(get())
        assert number == len(judge.asked)
        judge.answers[-1].callback(Verdict(number == 1, cache_for=60))
        if number == 1:
            thinking.wire.say(OK)
            client.say(get())  # like the first, on the same connection
            thinking.wire.say(OK)
            assert [200, 200] == statuses(client.taken())
        else:
            assert [403] == statuses(client.taken())


def test_a_verdict_without_a_lifetime_is_asked_for_again_with_each_request(
    thinking: Bench, judge: Judge
) -> None:
    """Also for a request like the one before, and the new answer counts."""
    client = thinking.client(holder())
    for number, verdict in enumerate((True, True, False, True), 1):
        client.say(get())
        assert number == len(judge.asked)
        judge.answers[-1].callback(Verdict(verdict))
        if verdict:
            thinking.wire.say(OK)
        assert [200 if verdict else 403] == statuses(client.taken())


@pytest.mark.parametrize("lasts", [0.5, 5.0])
def test_a_verdict_that_is_remembered_ends_with_its_lifetime(
    thinking: Bench, judge: Judge, lasts: float
) -> None:
    """Not a moment later, whatever else is remembered of such a request."""
    now = [NOW]
    thinking.front.now = lambda: now[0]
    client = thinking.client(holder())
    client.say(get())
    judge.answers[-1].callback(Verdict(True, cache_for=lasts))
    thinking.wire.say(OK)
    for later in (0.0, lasts * 0.9):
        now[0] = NOW + later
        client.say(get())
        thinking.wire.say(OK)
    assert [200, 200, 200] == statuses(client.taken())
    assert 1 == len(judge.asked)
    now[0] = NOW + lasts
    client.say(get())
    assert 2 == len(judge.asked)
    judge.answers[-1].callback(Verdict(False))
    assert [403] == statuses(client.taken())


def test_a_client_that_leaves_tells_the_verifier(thinking: Bench, judge: Judge) -> None:
    """Its question is cancelled, and that is no error."""
    client = thinking.client(holder())
    client.say(get())
    cancelled: list[object] = []
    judge.answers[0].addErrback(cancelled.append)
    client.lost()
    assert judge.answers[0].called
    assert [499] == [line["status"] for line in thinking.lines]


def test_what_verifiers_attached_goes_to_the_origin(thinking: Bench, judge: Judge) -> None:
    """What the client CA's learned first; in a form that no header misreads."""
    site = thinking.front.sites[NAME]
    names = ("department", "floor", "missing", "odd_name")
    thinking.front.sites[NAME] = site = replace(
        site, host=replace(site.host, forward_attributes=names)
    )
    thinking.front.names = NameTable()
    thinking.front.names.add(NAME, site)
    client = thinking.client(replace(holder(), attributes={"department": "radiology"}))
    client.say(get("/", "Cf-Cert-Attribute-Missing: forged\r\n"))
    judge.answers[0].callback(
        Verdict(True, attributes={"department": "x", "floor": "2\r\nA: b", "odd_name": "é %"})
    )
    sent = [line for line in thinking.wire.sent.split(b"\r\n") if b"Attribute" in line]
    assert [
        b"Cf-Cert-Attribute-Department: radiology",
        b"Cf-Cert-Attribute-Floor: 2%0D%0AA: b",
        b"Cf-Cert-Attribute-Odd-Name: %C3%A9 %25",
    ] == sent


# -- origins that come and go --------------------------------------------------------------


def test_a_client_that_leaves_while_its_origin_connects() -> None:
    """The connection is kept for the next request, and counted once."""
    bench = Bench()
    bench.endpoint.mode = "wait"
    client = bench.client()
    client.say(get())
    client.lost()
    wire = bench.endpoint.accept()
    assert b"" == wire.sent
    assert (1, 1, 0, 0) == counts(bench.origins[0])
    other = bench.client()
    other.say(get())
    wire.say(OK)
    assert [200] == statuses(other.taken())
    assert 1 == bench.endpoint.asked


def test_a_client_that_leaves_while_its_origin_refuses() -> None:
    """Nobody is told, and the count is right."""
    bench = Bench()
    bench.endpoint.mode = "wait"
    client = bench.client()
    client.say(get())
    client.lost()
    bench.endpoint.refuse()
    assert (0, 0, 0, 0) == counts(bench.origins[0])
    assert [499] == [line["status"] for line in bench.lines]


def test_a_body_is_not_read_while_a_request_is_tried_again() -> None:
    """What was read then would be on no connection at all."""
    bench = Bench()
    client = bench.client()
    client.say(get("/", "Content-Length: 4\r\n", "PUT"))
    bench.endpoint.mode = "wait"
    bench.wire.lost()
    assert not client.reading
    again = bench.endpoint.accept()
    assert client.reading
    client.say(b"body")
    assert again.sent.endswith(b"\r\n\r\nbody")
    again.say(OK)
    assert [200] == statuses(client.taken())


@pytest.mark.parametrize("body", [b"0\r\n\r\n", b"1\r\nx\r\n"])
def test_a_request_whose_body_has_begun_is_not_tried_again(body: bytes) -> None:
    """Also where the body turned out to be empty: it is gone all the same."""
    bench = Bench()
    client = bench.client()
    client.say(get("/", "Transfer-Encoding: chunked\r\n", "PUT") + body)
    bench.wire.lost()
    assert [502] == statuses(client.taken())
    assert 1 == bench.endpoint.asked


@pytest.mark.parametrize(
    "method, attempts", [("GET", 3), ("HEAD", 3), ("OPTIONS", 3), ("DELETE", 3), ("POST", 1)]
)
def test_only_idempotent_methods_are_tried_again(method: str, attempts: int) -> None:
    """RFC 9110 §9.2.2; and not for ever."""
    bench = Bench()
    client = bench.client()
    client.say(get("/", "", method))
    for _ in range(attempts):
        bench.wire.lost()
    assert [502] == statuses(client.taken())
    assert attempts == bench.endpoint.asked


@pytest.mark.parametrize("heard", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n"])
def test_a_request_is_not_tried_again_after_a_byte_of_an_answer(heard: bytes) -> None:
    """The origin may have done what it was asked for."""
    bench = Bench()
    client = bench.client()
    client.say(get())
    bench.wire.say(heard)
    bench.wire.lost()
    assert 502 == statuses(client.taken())[-1]
    assert 1 == bench.endpoint.asked


def test_a_begun_answer_that_breaks_is_aborted() -> None:
    """What was told stays told, nothing is added, and the connection is cut."""
    bench = Bench()
    client = bench.client()
    client.say(get())
    bench.wire.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
    bench.wire.lost()
    assert "abort" == client.closing
    assert client.taken().endswith(b"\r\n\r\n4\r\nhalf\r\n")
    bench.settle()
    assert [200] == [line["status"] for line in bench.lines]


def test_an_answer_before_the_request_is_whole_ends_both_connections() -> None:
    """The origin's is aborted: nobody knows how it takes the rest."""
    bench = Bench()
    client = bench.client()
    client.say(get("/", "Content-Length: 10\r\n", "POST") + b"12345")
    bench.wire.say(OK)
    assert b"\r\nConnection: close\r\n" in client.taken()
    assert ("linger", "abort") == (client.closing, bench.wire.closing)
    bench.settle()
    assert (0, 0, 0, 0) == counts(bench.origins[0])


def test_a_body_over_the_limit_is_cut_off() -> None:
    """Of a chunked body it is known only as it comes; the origin never gets the whole."""
    bench = Bench(limits=model.Limits(request_body=10))
    client = bench.client()
    client.say(get("/", "Transfer-Encoding: chunked\r\n", "POST") + b"6\r\n123456\r\n")
    client.say(b"5\r\n78901\r\n0\r\n\r\n")
    assert [413] == statuses(client.taken())
    assert "abort" == bench.wire.closing
    assert b"78901" not in bench.wire.sent


def test_a_body_over_the_limit_after_the_answer_began_cuts_both() -> None:
    """There is no way to say 413 any more."""
    bench = Bench(limits=model.Limits(request_body=10))
    client = bench.client()
    client.say(get("/", "Transfer-Encoding: chunked\r\n", "POST") + b"6\r\n123456\r\n")
    bench.wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal")
    client.say(b"5\r\n78901\r\n")
    assert ("abort", "abort") == (client.closing, bench.wire.closing)


def test_an_old_client_without_host_gets_the_host_that_was_judged() -> None:
    """Not the origin's address, whose application may be another."""
    bench = Bench()
    client = bench.client()
    client.say(b"GET / HTTP/1.0\r\n\r\n")
    assert f"\r\nHost: {NAME}\r\n".encode() in bench.wire.sent


# -- tunnels -------------------------------------------------------------------------------

SWITCH = b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"


def tunnelled() -> tuple[Bench, Wire, Wire]:
    """A bench, and the two ends of a tunnel through it."""
    bench = Bench(timeouts=model.Timeouts(tunnel=100, write=10))
    client = bench.client()
    client.say(get("/", "Connection: upgrade\r\nUpgrade: echo\r\n"))
    bench.wire.say(SWITCH)
    client.taken()
    bench.wire.taken()
    return bench, client, bench.wire


def test_a_full_origin_holds_the_client_and_lets_go_again() -> None:
    """Every time."""
    _, client, wire = tunnelled()
    for _ in range(3):
        wire.producer.pauseProducing()
        assert not client.reading
        wire.producer.resumeProducing()
        assert client.reading
    client.say(b"on")
    assert b"on" == wire.taken()


def test_a_full_client_holds_the_origin_and_lets_go_again() -> None:
    """And no further; the other way stays open."""
    _, client, wire = tunnelled()
    client.choked = True
    wire.say(b"x" * 70_000)
    assert not wire.reading
    client.say(b"still")
    assert b"still" == wire.taken()
    client.take()
    assert wire.reading
    wire.say(b"on")
    assert client.taken().endswith(b"on")


def test_a_tunnel_lives_as_long_as_either_side_speaks() -> None:
    """And not longer; its line comes then, once."""
    bench, client, wire = tunnelled()
    for speaker in (client, wire, client):
        bench.wait(90)
        speaker.say(b"!")
    assert [] == bench.lines
    bench.wait(103)
    assert client.gone
    assert wire.gone
    (line,) = bench.lines
    assert ("tunnel", 101, 2, 1) == (
        line["event"],
        line["status"],
        line["bytes_in"],
        line["bytes_out"],
    )


def test_a_tunnels_client_that_takes_nothing_is_cut_off_though_it_talks() -> None:
    """``write`` is for what it should take; what it sends is no excuse."""
    bench, client, wire = tunnelled()
    client.choked = True
    wire.say(b"x" * 70_000)
    for _ in range(4):
        bench.wait(4)
        if not client.gone:
            client.say(b"talk")
    assert client.gone


def test_the_last_words_of_each_side_arrive() -> None:
    """The other's connection is closed when it has taken them."""
    _, client, wire = tunnelled()
    client.say(b"bye")
    client.lost()
    assert (b"bye", "lose") == (wire.taken(), wire.closing)
    _, client, wire = tunnelled()
    wire.say(b"bye")
    wire.lost()
    assert (b"bye", "linger") == (client.taken(), client.closing)


def test_an_origin_that_never_takes_the_last_words_is_cut_off() -> None:
    """Its place among the connections is not held for ever."""
    bench, client, wire = tunnelled()
    wire.choked = True
    client.say(b"bye")
    client.lost()
    assert (1, 0, 0, 0) == counts(bench.origins[0])
    bench.wait(13)
    assert "abort" == wire.closing or wire.gone
    assert (0, 0, 0, 0) == counts(bench.origins[0])


# -- storms --------------------------------------------------------------------------------


def test_a_storm_of_pauses_loses_nothing() -> None:
    """Sockets that fill and empty at every turn, both ways, in the middle of everything."""
    bench = Bench()
    client = bench.client()
    client.say(get("/", "Content-Length: 1000\r\n", "POST"))
    wire = bench.wire
    for _ in range(100):
        wire.producer.pauseProducing()
        wire.producer.pauseProducing()
        client.producer.pauseProducing()
        client.producer.resumeProducing()
        wire.producer.resumeProducing()
        client.say(b"0123456789")
    assert wire.taken().endswith(b"0123456789" * 100)
    wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(100):
        client.producer.pauseProducing()
        assert not wire.reading
        wire.producer.pauseProducing()
        wire.producer.resumeProducing()
        client.producer.pauseProducing()
        client.producer.resumeProducing()
        wire.say(b"9876543210")
    assert client.taken().endswith(b"9876543210" * 100)
    client.say(get())
    wire.say(OK)
    assert [200] == statuses(client.taken())
    assert (1, 1, 0, 0) == counts(bench.origins[0])


def test_a_connection_that_is_released_paused_reads_again() -> None:
    """Or its next answer would never be read."""
    bench = Bench()
    client = bench.client()
    client.say(get())
    client.choked = True
    bench.wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 70002\r\n\r\n")
    bench.wire.say(b"x" * 70_000)
    assert not bench.wire.reading
    bench.wire.protocol.dataReceived(b"xx")  # what was on its way already
    assert bench.wire.reading
    other = bench.client()
    other.say(get())
    bench.wire.say(OK)
    assert [200] == statuses(other.taken())

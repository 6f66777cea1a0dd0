"""A request whose rules name a verifier: it waits for the verdict, and gets what that is worth."""

from __future__ import annotations

from dataclasses import replace

import pytest
from http_bench import NAME, NOW, OK, Bench, get, statuses
from twisted.internet.defer import Deferred

from mtlsedge import model
from mtlsedge.identity import Identity, PeerChain, Reason, Verdict
from mtlsedge.names import NameTable
from mtlsedge.trust.asking import Inquiry
from mtlsedge.trust.certificates import read_certificate
from support import certs


def holder() -> Identity:
    """The identity of a client whose certificate verified."""
    leaf = read_certificate(certs.client().der)
    return Identity(True, True, Reason.NONE, chain=PeerChain(leaf, (), (leaf,)))


def application(*rules: model.Rule) -> model.Application:
    """An application over the whole host, as ``bypass`` so that no token is needed."""
    policy = model.Policy("one", "bypass", model.RuleSet(rules))
    return model.Application("app", (model.Domain(NAME, "/"),), (policy,), "aud")


class Judge:
    """Answers each verifier when the test says so."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: list[Deferred[Verdict]] = []

    def judge(self, spec: str, peer: PeerChain, server_name: str) -> Deferred[Verdict]:
        self.asked.append(spec)
        self.answers.append(Deferred())
        return self.answers[-1]

    def inquiry(self, spec: str, peer: PeerChain, server_name: str) -> Inquiry:
        return Inquiry(lambda: self.judge(spec, peer, server_name), lambda: None)


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


def test_a_verdict_that_fails_keeps_out_whom_it_may_have_meant(judge: Judge) -> None:
    """It is not as if it had not been asked; and the log has its name."""
    asked = model.Rule("verifier", ("pin:x",))
    rules = model.RuleSet((model.Rule("everyone"),), (), (asked, model.Rule("attribute", ("a=b",))))
    source = application()
    policy = replace(source.policies[0], rules=rules)
    bench = Bench(applications=[replace(source, policies=(policy,))], judge=judge)
    client = bench.client(holder())
    client.say(get())
    judge.answers[0].errback(ZeroDivisionError())
    assert [403] == statuses(client.taken())
    assert "(the verifier 'pin' could not be asked)" in bench.lines[-1]["reason"]


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

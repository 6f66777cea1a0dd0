"""A request like one that was let through: its verifiers are heard, and the rest is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from http_bench import NAME, NOW, OK, Bench, get, statuses
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mtlsedge import model
from mtlsedge.http import exchange
from mtlsedge.identity import Identity, PeerChain, Reason, Verdict
from mtlsedge.trust.asking import Inquiry, VerifierDesk
from mtlsedge.trust.certificates import read_certificate
from support import certs

YES, NO = Verdict(True), Verdict(False)


class Told:
    """A verifier that says what it is told to, and counts."""

    def __init__(self) -> None:
        self.says: Any = YES
        self.asked = 0
        self.cancelled = 0

    def verify(self, peer: PeerChain, host: str) -> Any:
        self.asked += 1
        if self.says is None:
            return Deferred(self._count)
        return self.says

    def _count(self, _: object) -> None:
        self.cancelled += 1


class Judge:
    """Asks verifiers at their desks, as the host's judge does."""

    def __init__(self, now: Callable[[], float], **verifiers: Any) -> None:
        self._desks = {
            name: VerifierDesk(name, each, Clock(), now) for name, each in verifiers.items()
        }

    def judge(self, spec: str, peer: PeerChain, server_name: str) -> Any:
        return self._desks[spec].ask(peer, server_name, 5.0)

    def inquiry(self, spec: str, peer: PeerChain, server_name: str) -> Inquiry:
        return self._desks[spec].inquiry(peer, server_name, 5.0)


class Scene:
    """A host whose one rule asks a verifier, or two of which either will do; or keeps them out."""

    def __init__(self, *, excluded: bool = False, **verifiers: Told) -> None:
        self.now = NOW
        rule = model.Rule("verifier", tuple(verifiers))
        rules = model.RuleSet((rule,))
        if excluded:
            rules = model.RuleSet((model.Rule("certificate"),), exclude=(rule,))
        policy = model.Policy("one", "bypass", rules)
        application = model.Application("app", (model.Domain(NAME, "/"),), (policy,), "aud")
        judge: Any = Judge(lambda: self.now, **verifiers)
        self.bench = Bench(applications=[application], judge=judge)
        self.bench.front.now = lambda: self.now
        leaf = read_certificate(certs.client().der)
        self._who = Identity(True, True, Reason.NONE, chain=PeerChain(leaf, (), (leaf,)))

    def client(self) -> Any:
        """Another connection of the same client."""
        return self.bench.client(self._who)

    def status(self, client: Any) -> int:
        """Of one more request."""
        client.say(get())
        if self.bench.endpoint.wires and self.bench.wire.taken():
            self.bench.wire.say(OK)
        (status,) = statuses(client.taken())
        return status


@pytest.fixture
def decided(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every time that a decision was asked for."""
    found: list[Any] = []
    decide = exchange.decide

    def counted(*args: Any) -> Any:
        found.append(args)
        return decide(*args)

    monkeypatch.setattr(exchange, "decide", counted)
    return found


def test_one_that_says_the_same_at_once_costs_its_question_alone(decided: list[Any]) -> None:
    """Each request is asked about, once; nothing else is done again, on any connection."""
    told = Told()
    scene = Scene(told=told)
    for client in (scene.client(), scene.client()):
        assert [200, 200, 200] == [scene.status(client) for _ in range(3)]
    assert (6, 1) == (told.asked, len(decided))


def test_its_no_counts_for_the_very_request(decided: list[Any]) -> None:
    """And its yes after that."""
    told = Told()
    scene = Scene(told=told)
    client = scene.client()
    said = []
    for told.says in (YES, YES, NO, NO, YES, YES):
        said.append(scene.status(client))
    assert [200, 200, 403, 403, 200, 200] == said


def test_one_that_raises_or_answers_nonsense_is_a_no() -> None:
    """As it is wherever it is asked."""
    told = Told()
    scene = Scene(told=told)
    for nonsense in ("yes", 1, Verdict(True, cache_for=float("nan"))):
        client = scene.client()
        told.says = YES
        assert 200 == scene.status(client)
        told.says = nonsense
        assert 403 == scene.status(client)


@pytest.mark.parametrize("lasts", [0.0, 30.0])
def test_a_failure_is_not_served_by_what_a_no_led_to(lasts: float) -> None:
    """Where a no admits, for an exclusion; nor does the log tell of the one for the other."""
    told = Told()
    scene = Scene(excluded=True, told=told)
    client = scene.client()
    no, failed = (Verdict(False, "gone", cache_for=lasts, failed=f) for f in (False, True))
    said = []
    for told.says in (no, no, failed, failed, no, "garbage", YES, no):
        said.append([scene.status(each) for each in (client, scene.client())])
        scene.now += lasts
    assert [[200] * 2] * 2 + [[403] * 2] * 2 + [[200] * 2] + [[403] * 2] * 2 + [[200] * 2] == said
    reasons = {line["reason"] for line in scene.bench.lines if line["status"] == 403}
    assert {
        "no policy matched: 'one' excludes this verifier",
        "no policy matched: 'one' excludes this verifier (the verifier 'told' cannot tell: gone)",
        "no policy matched: 'one' excludes this verifier "
        "(the verifier 'told' answered str, which is no verdict)",
    } == reasons


def test_other_attributes_are_another_word(decided: list[Any]) -> None:
    """Rules and origins hear them; such a connection asks once for each request from then on."""
    told = Told()
    scene = Scene(told=told)
    client = scene.client()
    for number in range(5):
        told.says = Verdict(True, attributes={"ward": str(number)})
        assert 200 == scene.status(client)
    assert (5, 5 + 1) == (len(decided), told.asked)


def test_one_that_comes_to_need_time_is_waited_for(decided: list[Any]) -> None:
    """The question that nobody waits for is taken back."""
    told = Told()
    scene = Scene(told=told)
    client = scene.client()
    assert 200 == scene.status(client)
    told.says = None
    client.say(get())
    assert [] == statuses(client.taken())
    assert (3, 1) == (told.asked, told.cancelled)
    client.lost()
    assert 2 == told.cancelled


def test_each_connection_hears_what_lasts_before_it_rests_on_it(decided: list[Any]) -> None:
    """From the verifier's desk, which asks nobody while the word holds."""
    told = Told()
    told.says = Verdict(True, cache_for=60.0)
    scene = Scene(told=told)
    for client in (scene.client(), scene.client()):
        assert [200, 200] == [scene.status(client) for _ in range(2)]
    assert (1, 1) == (told.asked, len(decided))
    told.says = NO
    assert [200, 200] == [scene.status(scene.client()), scene.status(client)]
    scene.now += 60.0
    assert [403, 403] == [scene.status(scene.client()), scene.status(client)]


def test_a_time_too_short_for_the_clock_is_none_at_all() -> None:
    """It is asked for each request."""
    told = Told()
    told.says = Verdict(True, cache_for=1e-12)
    scene = Scene(told=told)
    client = scene.client()
    assert [200, 200] == [scene.status(client) for _ in range(2)]
    told.says = NO
    assert 403 == scene.status(client)


def test_both_kinds_in_one_rule_hold_each_to_its_own() -> None:
    """The one for its time, the other for a request."""
    lasting, brief = Told(), Told()
    lasting.says, brief.says = Verdict(False, cache_for=30.0), YES
    scene = Scene(lasting=lasting, brief=brief)
    client = scene.client()
    assert [200] * 4 == [scene.status(client) for _ in range(4)]
    assert (1, 4) == (lasting.asked, brief.asked)
    brief.says = NO
    assert 403 == scene.status(client)
    lasting.says = Verdict(True, cache_for=30.0)
    assert 403 == scene.status(client)
    scene.now += 30.0
    assert 200 == scene.status(client)

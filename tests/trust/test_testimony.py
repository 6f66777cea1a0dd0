"""A client CA's verifiers are asked again about who stays, when their verdicts end."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from trust_pki import NOW, Moving, authority, client, client_ca, crl, p256, pem, source
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from mtlsedge.identity import Identity, PeerChain, Reason, Verdict
from mtlsedge.interfaces import IVerifier
from mtlsedge.trust import testimony
from mtlsedge.trust.asking import VerifierDesk
from mtlsedge.trust.judge import ClientTrust
from mtlsedge.trust.terms import Terms

ROOT = authority("Root", key=p256(0))
LEAF = client("c", ROOT, key=p256(1), serial=0xA1)
MINUTE = 60.0
YES = Verdict(True, cache_for=MINUTE)
NO = Verdict(False, "today", cache_for=MINUTE)


@implementer(IVerifier)
class Says:
    """Answers with what the test put there; notes who was asked about, and for which host."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[str | None, str]] = []

    def verify(self, peer: PeerChain, host: str) -> Any:
        self.asked.append((peer.leaf.common_name, host))
        return self.answer


class Stage:
    """One judge, with verifiers by name."""

    def __init__(self, *cas: Any, terms: Terms | None = None, **verifiers: Says) -> None:
        self.clock, self.moving = Clock(), Moving()
        desks = {
            name: VerifierDesk(name, verifier, self.clock, self.moving, terms or Terms())
            for name, verifier in verifiers.items()
        }
        cas = cas or (client_ca(ROOT, verifiers=tuple(verifiers)),)
        self.judge = ClientTrust(cas, desks.__getitem__, self.clock, self.moving, 5.0)

    def settled(self, host: str = "a.example", leaf: Any = LEAF) -> Identity:
        identity = self.judge.settle(leaf.der, [], host)
        assert isinstance(identity, Identity)
        assert identity.verified, identity.detail
        return identity

    def pass_time(self, seconds: float) -> None:
        self.moving.now += seconds
        self.clock.advance(seconds)

    def still(self, identity: Identity) -> Identity | None:
        return self.judge.still_good(identity, self.moving())

    def holds(self, identity: Identity) -> float:
        """Seconds for which nothing changes by itself."""
        return self.judge.next_change(identity, self.moving()) - self.moving()


def test_a_verdict_counts_until_it_ends_and_then_the_next() -> None:
    """Nobody is asked before; a yes holds as long again, and a no is the end."""
    says = Says(YES)
    stage = Stage(v=says)
    identity = stage.settled()
    says.answer = NO
    assert (None, MINUTE) == (stage.still(identity), stage.holds(identity))
    stage.pass_time(MINUTE - 1)
    assert None is stage.still(identity)
    assert 1 == len(says.asked)
    says.answer = YES
    stage.pass_time(1)
    assert (None, MINUTE) == (stage.still(identity), stage.holds(identity))
    assert [("c", "a.example")] * 2 == says.asked
    says.answer = NO
    stage.pass_time(MINUTE)
    lost = stage.still(identity)
    assert lost is not None
    assert (False, Reason.REJECTED) == (lost.verified, lost.reason)
    assert "the verifier 'v' says no: today" == lost.detail
    assert identity.chain == lost.chain


def test_it_is_asked_in_the_background_and_once_for_all() -> None:
    """While it thinks the connections go on; when it has answered they do not."""
    says = Says(YES)
    stage = Stage(v=says)
    first, second = stage.settled(), stage.settled()
    says.answer = thinking = Deferred[Verdict]()
    stage.pass_time(MINUTE)
    assert [None] * 4 == [stage.still(each) for each in (first, second, first, second)]
    assert stage.holds(first) <= 0.0, "it must be asked of again, soon"
    assert 2 == len(says.asked)
    thinking.callback(NO)
    assert all(stage.still(each) is not None for each in (first, second))
    assert 2 == len(says.asked)


@pytest.mark.parametrize("answer", ["garbage", "raise", "hang"])
@pytest.mark.parametrize("on_error", ["deny", "allow"])
def test_what_it_is_when_a_verifier_fails_is_the_operators_to_say(
    answer: str, on_error: Any
) -> None:
    """Let through, it is asked again soon: a moment's failure does not open the door for good."""
    says = Says(YES)
    stage = Stage(v=says, terms=Terms(on_error=on_error))
    identity = stage.settled()
    stage.pass_time(MINUTE)
    says.answer = Deferred() if answer != "garbage" else answer
    assert (None is stage.still(identity)) is (answer != "garbage" or on_error == "allow")
    if answer == "raise":
        says.answer.errback(RuntimeError("gone"))
    stage.pass_time(5)
    lost = stage.still(identity)
    assert (on_error == "allow") is (lost is None)
    if on_error == "allow":
        assert 0.0 < stage.holds(identity) <= 10.0
        says.answer = NO
        stage.pass_time(10)
        assert None is not stage.still(identity)


def test_a_verdict_without_a_lifetime_is_about_the_handshake() -> None:
    """It is not asked for again, whatever it would be; also beside one that has a lifetime."""
    once, holding = Says(Verdict(True)), Says(YES)
    alone, both = Stage(once=once), Stage(once=once, holding=holding)
    identities = alone.settled(), both.settled()
    once.answer = NO
    assert math.inf > alone.holds(identities[0]) > 1000.0, "but its certificate ends"
    for stage, identity in zip((alone, both), identities, strict=True):
        stage.pass_time(MINUTE)
        assert None is stage.still(identity)
    assert (2, 2) == (len(once.asked), len(holding.asked))


def test_hosts_are_judged_by_themselves() -> None:
    """A verifier may think otherwise of the same certificate at another host."""
    says = Says(YES)
    stage = Stage(v=says)
    here, there = stage.settled("a.example"), stage.settled("b.example")
    stage.pass_time(MINUTE)
    assert (None, None) == (stage.still(here), stage.still(there))
    assert ["a.example", "b.example"] * 2 == [host for _, host in says.asked]


def test_what_it_attaches_may_change() -> None:
    """Rules, and origins, see what holds today."""
    says = Says(Verdict(True, attributes={"ward": "red"}, cache_for=MINUTE))
    stage = Stage(v=says)
    identity = stage.settled()
    assert {"ward": "red"} == identity.attributes
    says.answer = Verdict(True, attributes={"ward": "blue"}, cache_for=MINUTE)
    stage.pass_time(MINUTE)
    now = stage.still(identity)
    assert now is not None
    assert (True, {"ward": "blue"}) == (now.verified, now.attributes)
    assert None is stage.still(now)
    says.answer = NO
    stage.pass_time(MINUTE)
    assert Reason.REJECTED is getattr(stage.still(now), "reason", None)


def test_of_two_client_cas_the_one_that_says_no_is_lost() -> None:
    """And what it attached; the other's word is enough to stay."""
    one = Says(Verdict(True, attributes={"one": "1"}, cache_for=MINUTE))
    two = Says(Verdict(True, attributes={"two": "2"}, cache_for=MINUTE))
    cas = [client_ca(ROOT, name=name, verifiers=(name,)) for name in ("one", "two")]
    stage = Stage(*cas, one=one, two=two)
    identity = stage.settled()
    assert ("one", "two") == identity.client_cas
    one.answer = NO
    stage.pass_time(MINUTE)
    now = stage.still(identity)
    assert now is not None
    assert (True, ("two",), {"two": "2"}) == (now.verified, now.client_cas, now.attributes)
    two.answer = NO
    stage.pass_time(MINUTE)
    assert Reason.REJECTED is getattr(stage.still(now), "reason", None)


def test_of_two_client_cas_the_one_that_fails_is_in_doubt() -> None:
    """Until the certificate comes anew: it is not asked about one that it lost."""
    one, two = Says(YES), Says(YES)
    cas = [client_ca(ROOT, name=name, verifiers=(name,)) for name in ("one", "two")]
    stage = Stage(*cas, one=one, two=two)
    identity = stage.settled()
    one.answer = "garbage"
    stage.pass_time(MINUTE)
    now = stage.still(identity)
    assert now is not None
    failed = (("one", "the verifier 'one' answered str, which is no verdict"),)
    assert (True, ("two",), failed) == (now.verified, now.client_cas, now.in_doubt)
    assert None is stage.still(now)
    two.answer = Verdict(True, attributes={"two": "2"}, cache_for=MINUTE)
    stage.pass_time(MINUTE)
    later = stage.still(now)
    assert later is not None
    assert (("two",), failed) == (later.client_cas, later.in_doubt)


def test_a_doubt_is_gone_when_whoever_failed_has_answered() -> None:
    """Of two that either may accept, the first of which failed for a moment."""
    first, second = Says("garbage"), Says(YES)
    ca = replace(client_ca(ROOT, verifiers=("first", "second")), verifiers_match="any")
    stage = Stage(ca, first=first, second=second)
    identity = stage.settled()
    assert ["the verifier 'first' answered str, which is no verdict"] == [
        why for _, why in identity.in_doubt
    ]
    first.answer = Verdict(True, attributes={"team": "staff"}, cache_for=MINUTE)
    stage.pass_time(10)
    stage.still(identity)  # it is asked again, and what it says counts from the next look
    now = stage.still(identity)
    assert now is not None
    assert ({"team": "staff"}, ()) == (now.attributes, now.in_doubt)


def test_who_lost_a_client_ca_to_a_list_is_asked_about_all_the_same() -> None:
    """The identity that it is then has not forgotten who vouched for it."""
    says = Says(YES)
    listed = client_ca(ROOT, name="listed", crls=(source(pem(crl(ROOT))),), verifiers=("v",))
    plain, odd = (
        client_ca(ROOT, name=n, verifiers=(v,)) for n, v in (("plain", "v"), ("odd",) * 2)
    )
    stage = Stage(listed, plain, odd, v=says, odd=Says("garbage"))
    identity = stage.settled()
    assert ["odd"] == [name for name, _ in identity.in_doubt]
    stage.judge.lists["listed"]._held.clear()
    stage.judge.lists["listed"].replace("ca.crl", b"damaged", NOW)
    stage.judge.lists["listed"]._state = stage.judge.lists["listed"]._stated()
    now = stage.still(identity)
    assert now is not None
    assert (True, ("plain",)) == (now.verified, now.client_cas)
    assert ["listed", "odd"] == [name for name, _ in now.in_doubt]
    says.answer = NO
    stage.pass_time(MINUTE)
    assert Reason.REJECTED is getattr(stage.still(now), "reason", None)


def test_a_new_connection_brings_the_latest_verdict_for_those_that_are_open() -> None:
    """It was asked just now: there is no need to ask again for as long as that counts."""
    says = Says(YES)
    stage = Stage(v=says)
    identity = stage.settled()
    stage.pass_time(MINUTE)
    says.answer = Verdict(True)  # which nobody remembers but those whom it let in
    assert stage.settled() is identity
    assert None is stage.still(identity)
    assert stage.holds(identity) > 1000.0
    assert 2 == len(says.asked)


def test_so_many_are_asked_about_at_a_time_and_the_others_in_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Newcomers need the verifier, too; who has left meanwhile is not asked about."""
    monkeypatch.setattr(testimony, "_AT_ONCE", 2)
    says = Says(YES)
    stage = Stage(v=says)
    leaves = [client(f"c{n}", ROOT, key=p256(1)) for n in range(5)]
    staying = [stage.settled(leaf=leaf) for leaf in leaves]
    stage.pass_time(MINUTE)
    says.asked, answers = [], []
    for identity in staying:
        says.answer = Deferred()
        answers.append(says.answer)
        assert None is stage.still(identity)
    assert ["c0", "c1"] == [name for name, _ in says.asked]
    del identity, staying[2]
    stage.judge._vouched._entries.clear()
    says.answer = NO
    answers[0].callback(YES)
    assert ["c0", "c1", "c3", "c4"] == [name for name, _ in says.asked]
    assert [True, True, False, False] == [stage.still(each) is None for each in staying]


def test_one_that_may_take_for_ever_does_not() -> None:
    """Who asked for no limit gets none in a handshake; a connection that is open has one."""
    says = Says(YES)
    stage = Stage(v=says, terms=Terms(timeout=0.0))
    identity = stage.settled()
    says.answer = Deferred()
    stage.pass_time(MINUTE)
    assert None is stage.still(identity)
    stage.pass_time(300)
    lost = stage.still(identity)
    assert lost is not None
    assert "could not be asked again" in lost.detail


def test_revocation_has_the_first_word() -> None:
    """What lists say of a certificate is told, not what a verifier makes of it."""
    says = Says(YES)
    ca = client_ca(ROOT, crls=(source(pem(crl(ROOT, number=1))),), verifiers=("v",))
    stage = Stage(ca, v=says)
    identity = stage.settled()
    stage.judge.lists["ca"].replace("ca.crl", pem(crl(ROOT, [0xA1], number=2)), NOW)
    says.answer = NO
    stage.pass_time(MINUTE)
    assert Reason.REVOKED is getattr(stage.still(identity), "reason", None)

"""What a judge makes of what verifiers say: those of its client CAs, and those of rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from judging import CRL, LEAF, OTHER, REVOKED, ROOT, settled, trust
from trust_pki import NOW, client, client_ca, p256, peer, source
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from mtlsedge.identity import Identity, PeerChain, Reason, Verdict
from mtlsedge.interfaces import IVerifier
from mtlsedge.trust.judge import ClientTrust

YES = Verdict(True)


@implementer(IVerifier)
class Scripted:
    """Answers what it is told, and remembers whom it was asked about."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[PeerChain, str]] = []

    def verify(self, peer: PeerChain, host: str) -> Any:
        self.asked.append((peer, host))
        return self.answer() if callable(self.answer) else self.answer


# -- those of client CAs -----------------------------------------------------------------------


def test_a_client_cas_verifier_is_asked_about_the_verified_chain() -> None:
    """And about the host that the client wants."""
    verifier = Scripted(YES)
    identity = settled(trust(client_ca(ROOT, verifiers=("v",)), verifiers={"v": verifier}), LEAF)
    assert identity.verified
    assert [(identity.chain, "a.example")] == verifier.asked
    assert verifier.asked[0][0].verified


def test_a_verifier_is_not_asked_about_what_did_not_verify() -> None:
    """Nor about the revoked."""
    verifier = Scripted(YES)
    judge = trust(client_ca(ROOT, verifiers=("v",), crls=(CRL,)), verifiers={"v": verifier})
    settled(judge, REVOKED)
    settled(judge, client("c", OTHER, key=p256(1)))
    assert [] == verifier.asked


def test_every_verifier_of_a_client_ca_must_accept() -> None:
    """The first no ends it, by name; arguments may hold what a log should not."""
    verifiers = {"yes": Scripted(YES), "no:secret": Scripted(Verdict(False, "bad day"))}
    unasked = verifiers["late"] = Scripted(YES)
    judge = trust(client_ca(ROOT, verifiers=("yes", "no:secret", "late")), verifiers=verifiers)
    identity = settled(judge, LEAF)
    assert (False, Reason.REJECTED) == (identity.verified, identity.reason)
    assert "the verifier 'no' says no: bad day" == identity.detail
    assert () == identity.client_cas
    assert [] == unasked.asked


def test_only_the_client_cas_whose_verifiers_accept_count() -> None:
    """What a rejecting client CA's verifiers learned is forgotten with it."""
    verifiers = {
        "no": Scripted(Verdict(False)),
        "learns": Scripted(Verdict(True, attributes={"from": "rejecting", "role": "admin"})),
        "yes": Scripted(Verdict(True, attributes={"from": "accepting"})),
    }
    judge = trust(
        client_ca(ROOT, name="first", verifiers=("learns", "no")),
        client_ca(ROOT, name="second", verifiers=("yes",)),
        client_ca(ROOT, name="third"),
        verifiers=verifiers,
    )
    identity = settled(judge, LEAF)
    assert identity.verified
    assert ("second", "third") == identity.client_cas
    assert {"from": "accepting"} == dict(identity.attributes)


def test_a_client_ca_whose_verifier_failed_is_in_doubt() -> None:
    """Of the others; and of one that any of its verifiers can accept for, what it has attached."""
    verifiers = {"yes": Scripted(YES), "no": Scripted(Verdict(False)), "odd": Scripted("garbage")}
    judge = trust(
        client_ca(ROOT, name="failed", verifiers=("odd",)),
        client_ca(ROOT, name="sure", verifiers=("yes",)),
        client_ca(ROOT, name="refused", verifiers=("no", "odd")),
        replace(client_ca(ROOT, name="either", verifiers=("odd", "yes")), verifiers_match="any"),
        verifiers=verifiers,
    )
    identity = settled(judge, LEAF)
    failed = "the verifier 'odd' answered str, which is no verdict"
    assert ("sure", "either") == identity.client_cas
    assert (("either", failed), ("failed", failed)) == identity.in_doubt
    verifiers["odd"].answer = YES
    certain = settled(judge, LEAF)
    assert (("failed", "sure", "either"), ()) == (certain.client_cas, certain.in_doubt)
    verifiers["odd"].answer = Verdict(False)
    certain = settled(judge, LEAF)
    assert (("sure", "either"), ()) == (certain.client_cas, certain.in_doubt)


def test_a_client_ca_that_a_list_closes_is_in_doubt_and_its_verifiers_are_not_asked() -> None:
    """Beside those whose verifiers fail."""
    verifiers = {"yes": Scripted(YES), "odd": Scripted("garbage"), "unasked": Scripted(YES)}
    garbage = (source(b"garbage"),)
    judge = trust(
        client_ca(ROOT, name="sure", verifiers=("yes",)),
        client_ca(ROOT, name="failed", verifiers=("odd",)),
        client_ca(ROOT, name="closed", verifiers=("unasked",), crls=garbage),
        verifiers=verifiers,
    )
    identity = settled(judge, LEAF)
    assert ("sure",) == identity.client_cas
    assert ["closed", "failed"] == [name for name, _ in identity.in_doubt]
    assert 0 == len(verifiers["unasked"].asked)
    assert identity == settled(judge, LEAF)


def test_attributes_of_several_verifiers_are_joined_and_the_first_client_ca_wins() -> None:
    """The order is the host's."""
    verifiers = {
        "a": Scripted(Verdict(True, attributes={"k": "a", "x": "1"})),
        "b": Scripted(Verdict(True, attributes={"y": "2"})),
        "c": Scripted(Verdict(True, attributes={"k": "c"})),
    }
    judge = trust(
        client_ca(ROOT, name="one", verifiers=("a", "b")),
        client_ca(ROOT, name="two", verifiers=("c",)),
        verifiers=verifiers,
    )
    assert {"k": "a", "x": "1", "y": "2"} == dict(settled(judge, LEAF).attributes)


@pytest.mark.parametrize(
    "answer", [YES, lambda: succeed(YES), lambda: _coroutine(YES)], ids=["sync", "fired", "async"]
)
def test_an_answer_at_once_needs_no_deferred(answer: Any) -> None:
    """The connection is not paused for nothing."""
    judge = trust(client_ca(ROOT, verifiers=("v",)), verifiers={"v": Scripted(answer)})
    assert settled(judge, LEAF).verified


async def _coroutine(value: Any) -> Any:
    return value


def later(judge: ClientTrust) -> tuple[Deferred[Identity], list[Identity]]:
    waiting = judge.settle(LEAF.der, [], "a.example")
    assert isinstance(waiting, Deferred)
    got: list[Identity] = []
    waiting.addCallbacks(got.append, lambda _: None)
    return waiting, got


@pytest.mark.parametrize(
    ("answer", "verified"),
    [(YES, True), (Verdict(False), False), (RuntimeError(), False), ("garbage", False)],
)
def test_a_verifier_that_thinks_is_waited_for(answer: Any, verified: bool) -> None:
    """Then the identity is settled, one way or the other."""
    gate: Deferred[Any] = Deferred()
    judge = trust(client_ca(ROOT, verifiers=("v",)), verifiers={"v": Scripted(gate)})
    _, got = later(judge)
    assert [] == got
    gate.errback(answer) if isinstance(answer, Exception) else gate.callback(answer)
    assert [verified] == [identity.verified for identity in got]
    assert verified or got[0].reason is Reason.REJECTED


def test_a_verifier_that_hangs_is_a_refusal_with_its_name() -> None:
    """After the time that it has."""
    clock = Clock()
    judge = trust(
        client_ca(ROOT, verifiers=("slow:x",)),
        verifiers={"slow:x": Scripted(lambda: Deferred())},
        clock=clock,
    )
    _, got = later(judge)
    clock.advance(5)
    assert Reason.REJECTED is got[0].reason
    assert "the verifier 'slow' did not answer within 5 seconds" == got[0].detail


def test_a_lost_connection_ends_the_interview() -> None:
    """No further verifier is asked for nobody."""
    second = Scripted(YES)
    judge = trust(
        client_ca(ROOT, verifiers=("v", "w")),
        verifiers={"v": Scripted(lambda: Deferred()), "w": second},
    )
    waiting = judge.settle(LEAF.der, [], "a.example")
    assert isinstance(waiting, Deferred)
    failures: list[Any] = []
    waiting.addErrback(failures.append)
    waiting.cancel()
    assert failures[0].check(CancelledError)
    assert [] == second.asked


# -- those of rules ----------------------------------------------------------------------------


def verified_peer() -> PeerChain:
    chain = settled(trust(), LEAF).chain
    assert chain is not None
    return chain


def test_a_rules_verifier_is_made_once_and_asked_each_time() -> None:
    """By the string that the rule names."""
    made: list[str] = []
    verifier = Scripted(YES)

    def make(spec: str) -> Any:
        made.append(spec)
        return verifier

    judge = ClientTrust((client_ca(ROOT),), make, Clock(), lambda: NOW, 5.0)
    chain = verified_peer()
    for _ in range(2):
        assert YES == judge.judge("v:x", chain, "a.example")
    assert ["v:x"] == made
    assert [(chain, "a.example")] * 2 == verifier.asked


def test_a_rules_verifier_says_no_where_it_cannot_say_yes() -> None:
    """No such verifier, a chain that did not verify, a raise, and time that ran out."""
    judge = trust()
    unknown = judge.judge("sam:x", verified_peer(), "a.example")
    assert isinstance(unknown, Verdict)
    assert (False, True) == (unknown.accepted, "no verifier 'sam'" in unknown.reason)
    assert unknown.failed
    willing = trust(verifiers={"v": Scripted(YES)})
    unverified = willing.judge("v", peer(LEAF), "a.example")
    assert isinstance(unverified, Verdict)
    assert not unverified.accepted
    clock = Clock()
    slow = trust(verifiers={"v": Scripted(lambda: Deferred())}, clock=clock)
    waiting = slow.judge("v", verified_peer(), "a.example")
    assert isinstance(waiting, Deferred)
    clock.advance(5)
    got: list[Verdict] = []
    waiting.addCallback(got.append)
    assert not got[0].accepted

"""What a host's judge does with what responders say of those at the door."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ocsp_judging import LEAF, ROOT, URL, YEAR, Door, asking, later
from ocsp_making import HOUR, REVOKED, answer, delegate
from trust_pki import (
    MOMENT,
    NOW,
    Minted,
    Moving,
    authority,
    client,
    client_ca,
    crl,
    p256,
    pem,
    source,
)
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from mtlsedge.identity import Identity, Reason, Verdict
from mtlsedge.interfaces import IVerifier
from mtlsedge.model import Ocsp
from mtlsedge.trust.judge import ClientTrust
from support.verifiers import find_verifier

MIDDLE = authority("Middle", ROOT, key=p256(3), end=MOMENT + YEAR)
LOW = client("low", MIDDLE, key=p256(1), serial=0xC3, end=MOMENT + YEAR)


def by_serial(**answers: bytes) -> Callable[[bytes], bytes]:
    """Answers by the common name of whom they are about."""
    from cryptography.x509 import ocsp

    about = {"leaf": LEAF, "low": LOW, "middle": MIDDLE}
    serials = {about[name].x509.serial_number: made for name, made in answers.items()}
    return lambda request: serials[ocsp.load_der_ocsp_request(request).serial_number]


# -- at the door -------------------------------------------------------------------------------


def test_who_is_good_may_pass_and_is_not_asked_about_again() -> None:
    """The second time is a look-up, and the very same identity."""
    door = Door(asking())
    first, second = door.settled(), door.settled()
    assert (True, Reason.NONE) == (first.verified, first.reason)
    assert door.settled() is second
    assert [URL] == door.post.asked


def test_an_answer_that_has_had_its_time_opens_nothing() -> None:
    """Whoever comes then is asked about anew, and waits."""
    door = Door(asking(), answers=lambda _: answer(LEAF, ROOT, end=MOMENT + YEAR))
    assert door.settled().verified
    door.advance(3600)
    door.post.answers = lambda _: OSError("connection refused")
    assert Reason.CRL_UNUSABLE is door.settled().reason
    assert 2 == len(door.post.asked)


def test_who_is_revoked_may_not() -> None:
    """The log says by whom, and the answer is remembered, too."""
    door = Door(asking(), answers=lambda _: answer(LEAF, ROOT, status=REVOKED))
    for _ in range(2):
        identity = door.settled()
        assert (False, Reason.REVOKED) == (identity.verified, identity.reason)
        assert "CN=leaf (serial A1) is revoked by OCSP (since 2027" in identity.detail
    assert [URL] == door.post.asked


def test_who_cannot_be_told_about_may_not_either() -> None:
    """Hard-fail: the log names the responder and what it did."""
    door = Door(asking(), answers=lambda _: b"garbage")
    identity = door.settled()
    assert (False, Reason.CRL_UNUSABLE) == (identity.verified, identity.reason)
    assert f"no usable OCSP answer about CN=leaf (serial A1): {URL}: " in identity.detail


def test_with_the_policy_warn_only_a_revocation_counts() -> None:
    """If the operator says so."""
    door = Door(asking(policy="warn"), answers=lambda _: b"garbage")
    assert door.settled().verified
    door = Door(asking(policy="warn"), answers=lambda _: answer(LEAF, ROOT, status=REVOKED))
    assert Reason.REVOKED is door.settled().reason


def test_a_connection_waits_for_the_answer() -> None:
    """And is settled by it."""
    pending: list[Deferred[bytes]] = []
    door = Door(asking(), answers=later(pending))
    waiting = door.come()
    assert isinstance(waiting, Deferred)
    told: list[Identity] = []
    waiting.addCallback(told.append)
    assert [] == told
    pending[0].callback(answer(LEAF, ROOT))
    assert told[0].verified


def test_a_connection_that_ends_meanwhile_takes_no_other_along() -> None:
    """The answer is for whoever is still there."""
    pending: list[Deferred[bytes]] = []
    door = Door(asking(), answers=later(pending))
    gone, stays = door.come(), door.come()
    assert isinstance(gone, Deferred)
    assert isinstance(stays, Deferred)
    failed: list[Any] = []
    gone.addErrback(lambda failure: failed.append(failure.check(CancelledError)))
    gone.cancel()
    told: list[Identity] = []
    stays.addCallback(told.append)
    pending[0].callback(answer(LEAF, ROOT))
    assert [CancelledError] == failed
    assert told[0].verified


def test_nobody_is_asked_about_a_stranger() -> None:
    """Only after the chain verified, and no list revokes it."""
    door = Door(asking(crls=(source(pem(crl(ROOT, [0xA1]))),)))
    stranger = client("leaf", authority("Root", key=p256(5)), serial=0xA1)
    assert Reason.UNTRUSTED is door.settled(stranger).reason
    assert Reason.REVOKED is door.settled().reason
    assert [] == door.post.asked


def test_a_list_counts_for_whom_a_responder_called_good() -> None:
    """Also while that answer is remembered."""
    ca = asking(crls=(source(pem(crl(ROOT, number=1))),))
    door = Door(ca)
    assert door.settled().verified
    new = pem(crl(ROOT, [0xA1], number=2, start=MOMENT - HOUR))
    assert door.judge.lists[ca.name].replace("ca.crl", new, NOW).changed
    assert Reason.REVOKED is door.settled().reason


def test_what_a_list_says_meanwhile_counts() -> None:
    """The chain is looked at again when the answer has come."""
    pending: list[Deferred[bytes]] = []
    ca = asking(crls=(source(pem(crl(ROOT, number=1))),))
    door = Door(ca, answers=later(pending))
    waiting = door.come()
    assert isinstance(waiting, Deferred)
    told: list[Identity] = []
    waiting.addCallback(told.append)
    new = pem(crl(ROOT, [0xA1], number=2, start=MOMENT - HOUR))
    assert door.judge.lists[ca.name].replace("ca.crl", new, NOW).changed
    pending[0].callback(answer(LEAF, ROOT))
    assert Reason.REVOKED is told[0].reason


def test_the_whole_chain_is_asked_about_or_the_leaf_alone() -> None:
    """All of it at the same time; the anchor is the operator's word."""
    answers = by_serial(low=answer(LOW, MIDDLE), middle=answer(MIDDLE, ROOT, status=REVOKED))
    door = Door(asking(), answers=answers)
    identity = door.settled(LOW, MIDDLE)
    assert (Reason.REVOKED, 1) == (identity.reason, identity.depth)
    assert "CN=Middle" in identity.detail
    door = Door(asking(check="leaf"), answers=answers)
    assert door.settled(LOW, MIDDLE).verified
    assert 1 == len(door.post.asked)
    pending: list[Deferred[bytes]] = []
    door = Door(asking(), answers=later(pending))
    door.come(LOW, MIDDLE)
    assert 2 == len(pending)


def test_a_revocation_closes_every_path_and_doubt_only_its_own() -> None:
    """As with lists: two client CAs of the same anchor."""
    doubting = asking(name="doubting", nonce="require")
    sure = asking(name="sure")
    door = Door(doubting, sure)
    identity = door.settled()
    assert ("sure",) == identity.client_cas
    assert ["doubting"] == [name for name, _ in identity.in_doubt]
    door = Door(asking(), client_ca(ROOT, name="careless"))
    door.post.answers = lambda _: answer(LEAF, ROOT, status=REVOKED)
    assert Reason.REVOKED is door.settled().reason


def test_a_judge_that_cannot_ask_refuses() -> None:
    """As ``mtlsedge check`` has one."""
    ca = asking()
    judge = ClientTrust((ca,), find_verifier, Clock(), Moving(), 0)
    identity = judge.settle(LEAF.der, [], "a.example")
    assert isinstance(identity, Identity)
    assert Reason.CRL_UNUSABLE is identity.reason
    assert "no responder is asked from here" in identity.detail


def test_without_ocsp_nothing_is_asked() -> None:
    """Whatever other client CAs want."""
    door = Door(client_ca(ROOT), asking(MIDDLE))
    assert door.settled().verified
    assert [] == door.post.asked


def test_verifiers_come_after_and_are_not_asked_about_the_revoked() -> None:
    """What they learn is the identity's."""
    seen: list[str] = []

    @implementer(IVerifier)
    class Seeing:
        def verify(self, peer: Any, host: str) -> Verdict:
            seen.append(host)
            return Verdict(True, attributes={"tier": "gold"})

    ca = client_ca(ROOT, name="both", ocsp=Ocsp(responders=(URL,)), verifiers=("seeing:",))
    door = Door(ca, verifiers=lambda _: Seeing())
    for _ in range(2):
        assert {"tier": "gold"} == door.settled().attributes
    door.desks["both"]._memory.known.discard(next(iter(_keys(LEAF, ROOT))))
    door.post.answers = lambda _: answer(LEAF, ROOT, status=REVOKED)
    assert Reason.REVOKED is door.settled().reason
    assert ["a.example", "a.example"] == seen


def _keys(leaf: Minted, issuer: Minted) -> list[tuple[str, str, str]]:
    from mtlsedge.trust.ocsp import Question

    return [Question(leaf.read, issuer.read).key]


# -- who vouches for a delegate ----------------------------------------------------------------


def test_a_delegate_is_looked_up_in_the_lists_that_there_are() -> None:
    """One that is listed may say nothing any more; one that is not needs nothing else."""
    signer = delegate(ROOT, serial=0xD1, more_extensions=(), end=MOMENT + YEAR)
    for serials, verified in (([], True), ([0xD1], False)):
        lists = (source(pem(crl(ROOT, serials))),)
        door = Door(asking(crls=lists), answers=lambda _: answer(LEAF, ROOT, signer=signer))
        identity = door.settled()
        assert verified is identity.verified
        assert verified or "(serial D1) is revoked by ca.crl" in identity.detail


def test_a_listed_delegate_may_not_say_that_it_need_not_be_looked_up() -> None:
    """What the operator knows counts for more than nocheck."""
    signer = delegate(ROOT, serial=0xD1)
    door = Door(
        asking(crls=(source(pem(crl(ROOT, [0xD1]))),)),
        answers=lambda _: answer(LEAF, ROOT, signer=signer),
    )
    assert Reason.CRL_UNUSABLE is door.settled().reason


def test_a_delegate_without_a_status_is_not_believed() -> None:
    """The remedy is in the message."""
    signer = delegate(ROOT, more_extensions=(), end=MOMENT + YEAR)
    door = Door(asking(), answers=lambda _: answer(LEAF, ROOT, signer=signer))
    assert "put id-pkix-ocsp-nocheck into its certificate" in door.settled().detail

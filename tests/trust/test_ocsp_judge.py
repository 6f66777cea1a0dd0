"""What a host's judge does with what responders say: at the door, and while somebody stays."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

from ocsp_making import HOUR, REVOKED, Scripted, answer, delegate
from trust_pki import (
    DAY,
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
from mtlsedge.model import ClientCA, Ocsp
from mtlsedge.trust.judge import ClientTrust
from mtlsedge.trust.ocsp_status import RETRY_AFTER, StatusDesk
from mtlsedge.trust.verifiers import find_verifier

YEAR = 400 * DAY
ROOT = authority("Root", key=p256(0), end=MOMENT + YEAR)
MIDDLE = authority("Middle", ROOT, key=p256(3), end=MOMENT + YEAR)
LEAF = client("leaf", ROOT, key=p256(1), serial=0xA1, end=MOMENT + YEAR)
LOW = client("low", MIDDLE, key=p256(1), serial=0xC3, end=MOMENT + YEAR)
URL = "http://ocsp.example/"
_names = itertools.count()


def asking(*bundle: Minted, name: str = "", crls: Any = (), **more: Any) -> ClientCA:
    """A client CA whose certificates are asked about."""
    ocsp = Ocsp(**{"responders": (URL,), **more})
    name = name or f"ca {next(_names)}"  # nobody remembers what another test learnt
    return client_ca(*(bundle or (ROOT,)), name=name, ocsp=ocsp, crls=crls)


class Door:
    """A judge and its surroundings, at a time that a test moves."""

    def __init__(self, *cas: ClientCA, answers: Any = None, verifiers: Any = find_verifier) -> None:
        self.clock = Clock()
        self.time = Moving()
        self.post = Scripted(answers or (lambda _: answer(LEAF, ROOT)))
        self.desks = {
            ca.name: StatusDesk(ca.name, ca.ocsp, self.post, self.clock, self.time)
            for ca in cas
            if ca.ocsp is not None
        }
        self.judge = ClientTrust(cas, verifiers, self.clock, self.time, 0, self.desks)

    def come(self, leaf: Minted = LEAF, *sent: Minted) -> Identity | Deferred[Identity]:
        return self.judge.settle(leaf.der, [each.der for each in sent], "a.example")

    def settled(self, leaf: Minted = LEAF, *sent: Minted) -> Identity:
        identity = self.come(leaf, *sent)
        assert isinstance(identity, Identity)
        return identity

    def still(self, identity: Identity) -> Identity | None:
        return self.judge.still_good(identity, self.time.now)

    def change(self, identity: Identity) -> float:
        return self.judge.next_change(identity, self.time.now)

    def advance(self, seconds: float) -> None:
        self.time.now += seconds
        self.clock.advance(seconds)


def later(pending: list[Deferred[bytes]]) -> Callable[[bytes], Deferred[bytes]]:
    """Answers that come when a test gives them."""

    def make(_: bytes) -> Deferred[bytes]:
        pending.append(Deferred())
        return pending[-1]

    return make


def by_serial(**answers: bytes) -> Callable[[bytes], bytes]:
    """Answers by the common name of whom they are about."""
    from cryptography.x509 import ocsp

    about = {"leaf": LEAF, "low": LOW, "middle": MIDDLE}
    serials = {about[name].x509.serial_number: made for name, made in answers.items()}
    return lambda request: serials[ocsp.load_der_ocsp_request(request).serial_number]


# -- at the door -----------------------------------------------------------------------------


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
    assert ("sure",) == door.settled().client_cas
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


# -- who vouches for a delegate --------------------------------------------------------------


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


# -- while somebody stays --------------------------------------------------------------------


def test_who_stays_is_asked_about_again_in_good_time() -> None:
    """Before the answer has had its time, and without anybody waiting."""
    door = Door(asking(), answers=lambda _: answer(LEAF, ROOT, end=MOMENT + YEAR))
    identity = door.settled()
    again = door.change(identity)
    assert NOW + 0.8 * 3600 <= again <= NOW + 0.9 * 3600
    door.advance(again - NOW)
    assert None is door.still(identity)
    assert 2 == len(door.post.asked)
    assert door.change(identity) > again + 0.8 * 3600


def test_who_is_revoked_meanwhile_must_go() -> None:
    """When the responder says so, and not before."""
    door = Door(asking())
    identity = door.settled()
    door.post.answers = lambda _: answer(LEAF, ROOT, status=REVOKED)
    door.advance(door.change(identity) - NOW)
    assert None is door.still(identity)
    gone = door.still(identity)
    assert gone is not None
    assert (False, Reason.REVOKED) == (gone.verified, gone.reason)


def test_an_outage_is_survived_until_the_answer_has_had_its_time() -> None:
    """Then it fails closed."""
    door = Door(asking(), answers=lambda _: answer(LEAF, ROOT, end=MOMENT + YEAR))
    identity = door.settled()
    door.post.answers = lambda _: OSError("connection refused")
    while door.change(identity) < NOW + 3600:
        door.advance(max(door.change(identity) - door.time.now, 0))
        assert None is door.still(identity)
    door.advance(NOW + 3600 - door.time.now)
    gone = door.still(identity)
    assert gone is not None
    assert Reason.CRL_UNUSABLE is gone.reason
    assert 2 < len(door.post.asked) < 100


def test_with_the_policy_warn_an_outage_is_survived_for_good() -> None:
    """It is tried again now and then."""
    door = Door(asking(policy="warn"))
    identity = door.settled()
    door.post.answers = lambda _: OSError("connection refused")
    for _ in range(10):
        door.advance(3600)
        assert None is door.still(identity)
    assert door.change(identity) > door.time.now


def test_whose_status_nobody_remembers_is_asked_about_first() -> None:
    """A new configuration may want to know what the one before did not ask."""
    door = Door(asking())
    identity = Door(asking()).settled()
    identity = _of(identity, next(iter(door.desks)))
    assert door.time.now == door.change(identity)
    assert None is door.still(identity)
    assert 1 == len(door.post.asked)
    assert door.change(identity) > NOW + 1800
    door = Door(asking(), answers=lambda _: b"garbage")
    identity = _of(identity, next(iter(door.desks)))
    assert None is door.still(identity)
    gone = door.still(identity)
    assert gone is not None
    assert Reason.CRL_UNUSABLE is gone.reason


def _of(identity: Identity, client_ca: str) -> Identity:
    from dataclasses import replace

    return replace(identity, client_cas=(client_ca,))


def test_a_client_that_comes_often_never_waits() -> None:
    """Its answer is renewed behind its back."""
    pending: list[Deferred[bytes]] = []
    door = Door(asking())
    door.settled()
    door.post.answers = later(pending)
    door.advance(0.95 * 3600)
    assert door.settled().verified
    assert door.settled().verified
    assert 1 == len(pending)
    pending[0].callback(answer(LEAF, ROOT))
    door.advance(0.95 * 3600)
    assert door.settled().verified


def test_nothing_is_asked_for_those_who_have_nothing_to_lose() -> None:
    """Anonymous, or refused already."""
    door = Door(asking(), answers=lambda _: b"garbage")
    refused = door.settled()
    assert (None, math.inf) == (door.still(refused), door.change(refused))
    door.advance(RETRY_AFTER)
    assert None is door.still(refused)
    assert 1 == len(door.post.asked)

"""What a host's judge does with what responders say of those who stay."""

from __future__ import annotations

import math

from ocsp_judging import LEAF, ROOT, YEAR, Door, asking, later
from ocsp_making import REVOKED, answer
from trust_pki import MOMENT, NOW
from twisted.internet.defer import Deferred

from mtlsedge.identity import Identity, Reason
from mtlsedge.trust.ocsp_status import RETRY_AFTER


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

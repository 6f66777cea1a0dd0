"""Several verifiers of one client CA: all of them, or any."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from trust_pki import NOW, authority, client, p256, peer
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from mtlsedge.identity import PeerChain, Verdict
from mtlsedge.interfaces import IVerifier
from mtlsedge.trust.asking import VerifierDesk
from mtlsedge.trust.jury import SOONEST, Jury
from mtlsedge.trust.terms import Terms

PEER = peer(client("c", authority("Root", key=p256(0)), key=p256(1)))
RED = Verdict(True, attributes={"colour": "red", "size": "1"})
BLUE = Verdict(True, attributes={"colour": "blue"})
NO, NEVER = Verdict(False, "today"), Verdict(False, "ever")


@implementer(IVerifier)
class Says:
    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked = 0

    def verify(self, peer: PeerChain, host: str) -> Any:
        self.asked += 1
        return self.answer


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize(
    ("match", "verdicts", "expected", "asked"),
    [
        ("all", [RED, BLUE], {"colour": "blue", "size": "1"}, [1, 1]),
        ("all", [RED, NO, BLUE], "the verifier 'v1' says no: today", [1, 1, 0]),
        ("all", [], {}, []),
        ("any", [NO, BLUE, RED], {"colour": "blue"}, [1, 1, 0]),
        (
            "any",
            [NO, NEVER],
            "the verifier 'v0' says no: today; the verifier 'v1' says no: ever",
            [1, 1],
        ),
        ("any", [], {}, []),
    ],
)
def test_they_are_asked_until_it_is_settled(
    match: Any, verdicts: list[Verdict], expected: Any, asked: list[int], later: bool
) -> None:
    """In their order; what those who count attached, or who objects and why."""
    verifiers = [Says(succeed(verdict) if later else verdict) for verdict in verdicts]
    desks = [
        VerifierDesk(f"v{n}", verifier, Clock(), lambda: NOW)
        for n, verifier in enumerate(verifiers)
    ]
    got: list[Any] = []
    hearing = Jury(tuple(desks), match).hear(PEER, "a.example", 5.0, lambda: NOW)
    Deferred.fromCoroutine(hearing).addBoth(got.append)
    assert [expected] == [each.objection or dict(each.attributes) for each in got]
    assert [inf] == [each.until for each in got]
    assert asked == [verifier.asked for verifier in verifiers]


HOLDS = Verdict(True, cache_for=60.0)
SHORT = Verdict(True, cache_for=0.5)


@pytest.mark.parametrize(
    ("match", "verdicts", "expected"),
    [
        ("all", [HOLDS], 60.0),
        ("all", [SHORT], SOONEST),
        ("all", [RED], inf),
        ("all", [RED, HOLDS, SHORT], SOONEST),
        ("any", [Verdict(False, "no", cache_for=30.0), HOLDS], 60.0),
        ("any", [Verdict(False, "no", cache_for=30.0), RED], inf),
    ],
)
def test_it_is_heard_again_when_the_first_verdict_that_counts_ends(
    match: Any, verdicts: list[Verdict], expected: float
) -> None:
    """Not all the time, and never where none of them has a lifetime."""
    desks = [
        VerifierDesk(f"v{n}", Says(verdict), Clock(), lambda: NOW)
        for n, verdict in enumerate(verdicts)
    ]
    hearing = Jury(tuple(desks), match).hear(PEER, "a.example", 5.0, lambda: NOW)
    got: list[Any] = []
    Deferred.fromCoroutine(hearing).addBoth(got.append)
    assert [NOW + expected] == [each.until for each in got]


GARBAGE = "garbage"
FAILS = "the verifier 'v0' answered str, which is no verdict"


@pytest.mark.parametrize(
    ("match", "answers", "expected"),
    [
        ("all", [GARBAGE, RED], (FAILS, FAILS, {})),
        ("all", [RED, NO, GARBAGE], ("the verifier 'v1' says no: today", "", {})),
        ("all", [RED, BLUE], (None, "", {"colour": "blue", "size": "1"})),
        ("any", [GARBAGE, BLUE], (None, FAILS, {"colour": "blue"})),
        ("any", [GARBAGE, NO], (f"{FAILS}; the verifier 'v1' says no: today", FAILS, {})),
        ("any", [NO, BLUE, GARBAGE], (None, "", {"colour": "blue"})),
    ],
)
def test_who_failed_leaves_a_doubt_where_another_answer_might_have_counted(
    match: Any, answers: list[Any], expected: Any
) -> None:
    """Whether they accept, or what they attached; nobody's who was not asked."""
    desks = [
        VerifierDesk(f"v{n}", Says(answer), Clock(), lambda: NOW)
        for n, answer in enumerate(answers)
    ]
    hearing = Jury(tuple(desks), match).hear(PEER, "a.example", 5.0, lambda: NOW)
    got: list[Any] = []
    Deferred.fromCoroutine(hearing).addBoth(got.append)
    assert [expected] == [(each.objection, each.doubt, dict(each.attributes)) for each in got]


def test_a_doubt_is_asked_about_soon() -> None:
    """Nobody is held to a moment's failure for as long as a connection lasts."""
    desks = [VerifierDesk("v", Says(each), Clock(), lambda: NOW) for each in (GARBAGE, RED)]
    hearing = Jury(tuple(desks), "any").hear(PEER, "a.example", 5.0, lambda: NOW)
    got: list[Any] = []
    Deferred.fromCoroutine(hearing).addBoth(got.append)
    assert [NOW + 10.0] == [each.until for each in got]


def test_who_was_let_through_for_want_of_an_answer_is_asked_about_soon() -> None:
    """An error of a moment does not open the door for good."""
    terms = Terms(on_error="allow")
    desk = VerifierDesk("v", Says("garbage"), Clock(), lambda: NOW, terms)
    got: list[Any] = []
    hearing = Jury((desk,)).hear(PEER, "a.example", 5.0, lambda: NOW)
    Deferred.fromCoroutine(hearing).addBoth(got.append)
    assert [(None, NOW + 10.0)] == [(each.objection, each.until) for each in got]

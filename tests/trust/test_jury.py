"""Several verifiers of one client CA: all of them, or any."""

from __future__ import annotations

from typing import Any

import pytest
from trust_pki import NOW, authority, client, p256, peer
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from mtlsedge.identity import PeerChain, Verdict
from mtlsedge.interfaces import IVerifier
from mtlsedge.trust.asking import VerifierDesk
from mtlsedge.trust.jury import Jury

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
    hearing = Jury(tuple(desks), match).hear(PEER, "a.example", 5.0)
    Deferred.fromCoroutine(hearing).addBoth(got.append)
    assert [expected] == [dict(each) if not isinstance(each, str) else each for each in got]
    assert asked == [verifier.asked for verifier in verifiers]

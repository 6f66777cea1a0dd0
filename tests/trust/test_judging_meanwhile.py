"""What changes while verifiers think counts before anybody comes through."""

from __future__ import annotations

from typing import Any

from trust_pki import NOW, Moving, authority, client, client_ca, crl, p256, pem, source
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from mtlsedge.identity import Identity, PeerChain, Reason, Verdict
from mtlsedge.interfaces import IVerifier
from mtlsedge.trust.judge import ClientTrust

ROOT = authority("Root", key=p256(0))
LEAF = client("c", ROOT, key=p256(1), serial=0xA1)


@implementer(IVerifier)
class Thinking:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.answer: Deferred[Verdict] = Deferred()

    def verify(self, peer: PeerChain, host: str) -> Any:
        return self.answer


def settling(moving: Moving, thinking: Thinking) -> tuple[ClientTrust, Deferred[Identity]]:
    ca = client_ca(ROOT, crls=(source(pem(crl(ROOT, []))),), verifiers=("thinking",))
    judge = ClientTrust((ca,), {"thinking": thinking}.__getitem__, Clock(), moving, 5.0)
    answer = judge.settle(LEAF.der, [], "a.example")
    assert isinstance(answer, Deferred)
    return judge, answer


def test_who_is_revoked_while_a_verifier_thinks_does_not_come_through() -> None:
    thinking = Thinking()
    judge, answer = settling(Moving(), thinking)
    (lists,) = judge.lists.values()
    assert lists.replace(lists.places[0], pem(crl(ROOT, [0xA1])), NOW).changed
    thinking.answer.callback(Verdict(True))
    assert Reason.REVOKED is answer.result.reason  # type: ignore[union-attr]


def test_whose_certificate_ends_while_a_verifier_thinks_does_not_come_through() -> None:
    moving, thinking = Moving(), Thinking()
    _, answer = settling(moving, thinking)
    moving.now = LEAF.read.not_after + 1
    thinking.answer.callback(Verdict(True))
    assert Reason.EXPIRED is answer.result.reason  # type: ignore[union-attr]


def test_who_waits_while_nothing_changes_comes_through() -> None:
    thinking = Thinking()
    _, answer = settling(Moving(), thinking)
    thinking.answer.callback(Verdict(True))
    assert answer.result.verified  # type: ignore[union-attr]

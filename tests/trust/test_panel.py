"""The verifiers of a configuration: made once, started, and stopped when nobody waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from trust_pki import NOW, authority, client, p256, peer
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from mtlsedge.errors import BadVerifier
from mtlsedge.identity import PeerChain, Verdict
from mtlsedge.interfaces import IVerifierService
from mtlsedge.trust.panel import VerifierPanel
from mtlsedge.trust.terms import Terms
from mtlsedge.trust.verifiers import MadeVerifier

PEER = peer(client("c", authority("Root", key=p256(0)), key=p256(1)))


@implementer(IVerifierService)
class Service:
    """Notes what becomes of it."""

    def __init__(self, starting: Callable[[], Any], stopping: Callable[[], Any]) -> None:
        self.starting, self.stopping = starting, stopping
        self.events: list[str] = []
        self.gate: Deferred[Verdict] = Deferred()

    def startService(self, edge: Any) -> Any:
        self.events.append(f"start {edge}")
        return self.starting()

    def stopService(self) -> Any:
        self.events.append("stop")
        return self.stopping()

    def verify(self, peer: PeerChain, host: str) -> Any:
        return self.gate


def nothing() -> None:
    return None


def raising() -> None:
    raise RuntimeError("no")


async def later() -> None:
    raise RuntimeError("no")


def panel(
    starting: Callable[[], Any] = nothing, stopping: Callable[[], Any] = nothing
) -> tuple[VerifierPanel, Service, Clock]:
    clock, service = Clock(), Service(starting, stopping)
    made = {"s": MadeVerifier("s", service, Terms())}
    return VerifierPanel(clock, lambda: NOW, made.__getitem__), service, clock


def test_a_verifier_is_made_once_and_asked_at_one_desk() -> None:
    """However many hosts and rules name it: its bounds are the process's."""
    one, _, _ = panel()
    assert one.desk("s") is one.desk("s")
    with pytest.raises(BadVerifier):
        VerifierPanel(Clock(), lambda: NOW).desk("sam:x")


def test_services_begin_and_end_with_the_configuration() -> None:
    """Once, also if told twice."""
    one, service, _ = panel()
    one.desk("s")
    one.start("edge")
    one.start("edge")
    one.retire()
    one.stop()
    assert ["start edge", "stop"] == service.events


def test_a_replaced_verifier_answers_those_who_wait_and_ends_then() -> None:
    """Nobody is refused for a reload."""
    one, service, _ = panel()
    desk = one.desk("s")
    one.start("edge")
    waiting = desk.ask(PEER, "a.example", 5.0)
    assert isinstance(waiting, Deferred)
    one.retire()
    assert ["start edge"] == service.events
    got: list[Verdict] = []
    waiting.addCallback(got.append)
    service.gate.callback(Verdict(True))
    assert [True] == [verdict.accepted for verdict in got]
    assert ["start edge", "stop"] == service.events


@pytest.mark.parametrize("how", [raising, later])
def test_one_that_cannot_start_or_stop_harms_nobody(how: Callable[[], Any]) -> None:
    """The log says so; it is asked all the same, and stopped."""
    one, service, _ = panel(how, how)
    one.desk("s")
    one.start("edge")
    done: list[object] = []
    one.stop().addCallback(done.append)
    assert ["start edge", "stop"] == service.events
    assert 1 == len(done)


def test_one_that_does_not_end_is_not_waited_for_for_ever() -> None:
    """The process ends."""
    one, _, clock = panel(stopping=Deferred)
    one.desk("s")
    one.start("edge")
    done: list[object] = []
    one.stop().addCallback(done.append)
    assert [] == done
    clock.advance(5)
    assert 1 == len(done)
    assert [] == clock.getDelayedCalls()

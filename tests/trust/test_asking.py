"""Verifiers of every temper, and the one answer that comes of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from trust_pki import NOW, authority, client, p256, peer
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent
from zope.interface import implementer

from mtlsedge.identity import Verdict
from mtlsedge.interfaces import IVerifier
from mtlsedge.trust.asking import VerifierDesk

PEER = peer(client("c", authority("Root", key=p256(0)), key=p256(1)))
YES = Verdict(True, attributes={"team": "doors"})
NO = Verdict(False, "not today")
TIMEOUT = 5.0


@implementer(IVerifier)
class Verifier:
    """Answers whatever a function returns, and counts."""

    def __init__(self, answer: Callable[[], Any]) -> None:
        self.answer = answer
        self.asked: list[tuple[Any, str]] = []

    def verify(self, peer: Any, host: str) -> Any:
        self.asked.append((peer, host))
        return self.answer()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def ask(clock: Clock, answer: Callable[[], Any], timeout: float = TIMEOUT) -> Any:
    desk = VerifierDesk("odd", Verifier(answer), clock, lambda: NOW)
    return desk.ask(PEER, "a.example", timeout)


def raising() -> Any:
    raise RuntimeError("the database is gone")


class Custom:
    """An awaitable that is neither a coroutine nor a Deferred."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __await__(self) -> Any:
        yield from succeed(None).__await__()
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


def coroutine(value: Any, first: Awaitable[Any] | None = None) -> Callable[[], Any]:
    async def answer() -> Any:
        if first is not None:
            await first
        if isinstance(value, Exception):
            raise value
        return value

    return answer


GONE = RuntimeError("the database is gone")
AT_ONCE: list[tuple[str, Callable[[], Any], str]] = [
    ("sync yes", lambda: YES, ""),
    ("sync no", lambda: NO, "the verifier 'odd' says no: not today"),
    ("sync bare no", lambda: Verdict(False), "the verifier 'odd' says no"),
    ("sync raise", raising, "the verifier 'odd' failed: RuntimeError: the database is gone"),
    ("sync garbage", lambda: True, "the verifier 'odd' answered bool, which is no verdict"),
    ("sync nothing", lambda: None, "the verifier 'odd' answered NoneType, which is no verdict"),
    (
        "sync odd verdict",
        lambda: Verdict("yes"),  # type: ignore[arg-type]
        "the verifier 'odd' answered Verdict, which is no verdict",
    ),
    (
        "sync odd attributes",
        lambda: Verdict(True, attributes={"team": 1}),  # type: ignore[dict-item]
        "the verifier 'odd' attached attributes that are not text",
    ),
    (
        "sync attributes that are none",
        lambda: Verdict(True, attributes=["team"]),  # type: ignore[arg-type]
        "the verifier 'odd' attached attributes that are not text",
    ),
    (
        "sync no answer",
        lambda: Verdict(False, "two of that name", failed=True),
        "the verifier 'odd' cannot tell: two of that name",
    ),
    ("sync bare no answer", lambda: Verdict(False, failed=True), "the verifier 'odd' cannot tell"),
    (
        "sync yes and no answer",
        lambda: Verdict(True, failed=True),
        "the verifier 'odd' answered a verdict that is a yes and a failure",
    ),
    (
        "sync odd failure",
        lambda: Verdict(True, failed=None),  # type: ignore[arg-type]
        "the verifier 'odd' answered a verdict that is a yes and a failure",
    ),
    ("Deferred yes", lambda: succeed(YES), ""),
    ("Deferred no", lambda: succeed(NO), "the verifier 'odd' says no: not today"),
    ("Deferred raise", lambda: fail(GONE), "the verifier 'odd' failed: RuntimeError: the"),
    ("Deferred garbage", lambda: succeed("yes"), "the verifier 'odd' answered str, which is"),
    ("Deferred of a Deferred", lambda: succeed(None).addCallback(lambda _: succeed(YES)), ""),
    ("coroutine yes", coroutine(YES), ""),
    ("coroutine no", coroutine(NO), "the verifier 'odd' says no: not today"),
    ("coroutine raise", coroutine(GONE), "the verifier 'odd' failed: RuntimeError: the"),
    ("coroutine garbage", coroutine([]), "the verifier 'odd' answered list, which is no"),
    ("awaitable yes", lambda: Custom(YES), ""),
    ("awaitable no", lambda: Custom(NO), "the verifier 'odd' says no: not today"),
    ("awaitable raise", lambda: Custom(GONE), "the verifier 'odd' failed: RuntimeError: the"),
    ("awaitable garbage", lambda: Custom(1), "the verifier 'odd' answered int, which is no"),
]


@pytest.mark.parametrize(
    ("answer", "reason"), [case[1:] for case in AT_ONCE], ids=[case[0] for case in AT_ONCE]
)
def test_what_is_answered_at_once_is_known_at_once(
    clock: Clock, answer: Callable[[], Any], reason: str
) -> None:
    """A plain verdict, whatever kind the answer was; only yes is yes."""
    verdict = ask(clock, answer)
    assert isinstance(verdict, Verdict)
    assert (reason == "") == verdict.accepted
    assert verdict.reason.startswith(reason)
    assert ({"team": "doors"} if verdict.accepted else {}) == dict(verdict.attributes)
    assert verdict.failed is not (verdict.accepted or "says no" in reason)
    assert [] == clock.getDelayedCalls()


LATER = ["Deferred", "coroutine", "awaitable"]


def later(kind: str, gate: Deferred[Any]) -> Callable[[], Any]:
    if kind == "Deferred":
        return lambda: gate

    async def answer() -> Any:
        return await gate

    if kind == "coroutine":
        return answer

    class Waits:
        def __await__(self) -> Any:
            return (yield from gate.__await__())

    return Waits


@pytest.mark.parametrize("kind", LATER)
@pytest.mark.parametrize(
    ("settle", "reason"),
    [
        (lambda gate: gate.callback(YES), ""),
        (lambda gate: gate.callback(NO), "the verifier 'odd' says no: not today"),
        (lambda gate: gate.errback(GONE), "the verifier 'odd' failed: RuntimeError: the"),
        (lambda gate: gate.callback(object()), "the verifier 'odd' answered object, which"),
    ],
)
def test_what_is_answered_later_is_waited_for(
    clock: Clock, kind: str, settle: Callable[[Deferred[Any]], None], reason: str
) -> None:
    """The timer goes when the answer comes."""
    gate: Deferred[Any] = Deferred()
    waiting = ask(clock, later(kind, gate))
    assert isinstance(waiting, Deferred)
    got: list[Verdict] = []
    waiting.addCallback(got.append)
    clock.advance(TIMEOUT - 0.1)
    assert [] == got
    settle(gate)
    assert (reason == "") == got[0].accepted
    assert got[0].reason.startswith(reason)
    assert [] == clock.getDelayedCalls()


@pytest.mark.parametrize("kind", LATER)
def test_what_is_not_answered_in_time_is_a_no(clock: Clock, kind: str) -> None:
    """And the verifier is told that nobody waits any more."""
    cancelled: list[object] = []
    gate: Deferred[Any] = Deferred(cancelled.append)
    got: list[Verdict] = []
    ask(clock, later(kind, gate)).addCallback(got.append)
    clock.advance(TIMEOUT)
    said = "the verifier 'odd' did not answer within 5 seconds"
    assert [Verdict(False, said, failed=True)] == got
    assert [gate] == cancelled


def _accept_when_cancelled(gate: Deferred[Any]) -> None:
    gate.callback(YES)


def _raise_when_cancelled(gate: Deferred[Any]) -> None:
    raise RuntimeError("no")


@pytest.mark.parametrize("canceller", [_accept_when_cancelled, _raise_when_cancelled])
def test_a_late_answer_is_no_answer(clock: Clock, canceller: Any) -> None:
    """Not even one that a cancelled verifier has at hand."""
    got: list[Verdict] = []
    ask(clock, lambda: Deferred(canceller)).addCallback(got.append)
    clock.advance(TIMEOUT)
    assert [False] == [verdict.accepted for verdict in got]


def test_a_verifier_that_will_not_be_cancelled_is_not_waited_for(clock: Clock) -> None:
    """A coroutine may catch its own cancellation and think on."""
    forever: Deferred[Any] = Deferred()

    async def stubborn() -> Verdict:
        try:
            await Deferred()
        except CancelledError:
            await forever
        return YES

    got: list[Verdict] = []
    ask(clock, stubborn).addCallback(got.append)
    clock.advance(TIMEOUT)
    assert [False] == [verdict.accepted for verdict in got]
    forever.callback(None)
    assert 1 == len(got)


def test_without_a_timeout_it_is_waited_for_ever(clock: Clock) -> None:
    """0 is for ever, as everywhere in the configuration."""
    gate: Deferred[Any] = Deferred()
    waiting = ask(clock, lambda: gate, timeout=0)
    clock.advance(1e9)
    gate.callback(YES)
    assert waiting.result.accepted


def test_who_asks_may_give_up(clock: Clock) -> None:
    """A connection that is lost has no use for the answer, and the verifier is told."""
    cancelled: list[object] = []
    gate: Deferred[Any] = Deferred(cancelled.append)
    waiting = ask(clock, lambda: gate)
    waiting.cancel()
    failures: list[Any] = []
    waiting.addErrback(failures.append)
    assert failures[0].check(CancelledError)
    assert [gate] == cancelled
    assert [] == clock.getDelayedCalls()


def test_who_gave_up_gets_no_answer(clock: Clock) -> None:
    """Not even from a verifier that has one at hand when it is cancelled."""
    waiting = ask(clock, lambda: Deferred(_accept_when_cancelled))
    waiting.cancel()
    failures: list[Any] = []
    waiting.addErrback(failures.append)
    assert failures[0].check(CancelledError)


def test_a_raise_is_in_the_log_with_its_name_and_traceback(
    clock: Clock, logged: list[LogEvent]
) -> None:
    """Its author needs to know where; the client learns nothing."""
    ask(clock, raising)
    ask(clock, lambda: fail(GONE))
    events = [event for event in logged if event.get("name") == "odd"]
    assert 2 == len(events)
    assert all(event["log_failure"].check(RuntimeError) for event in events)


def test_an_error_that_cannot_even_be_printed_is_a_no(clock: Clock) -> None:
    """Whatever a verifier does."""

    class Unprintable(Exception):
        def __str__(self) -> str:
            raise ValueError

    def answer() -> Any:
        raise Unprintable

    assert not ask(clock, answer).accepted


def test_attributes_are_copied(clock: Clock) -> None:
    """A verifier cannot change its mind through a dictionary it kept."""
    kept = {"team": "doors"}
    verdict = ask(clock, lambda: Verdict(True, attributes=kept))
    kept["team"] = "admins"
    assert {"team": "doors"} == dict(verdict.attributes)


def test_a_verdict_that_changes_under_its_verifiers_hands_is_checked_again(clock: Clock) -> None:
    """It was sound when it was said first."""
    attributes: dict[str, Any] = {}
    verdict = Verdict(True, attributes=attributes)
    desk = VerifierDesk("odd", Verifier(lambda: verdict), clock, lambda: NOW)
    first: Any = desk.ask(PEER, "a.example", TIMEOUT)
    attributes["ward"] = 7
    second: Any = desk.ask(PEER, "a.example", TIMEOUT)
    assert [True, False] == [first.accepted, second.accepted]


def test_a_verdict_that_is_always_the_same_is_the_answer_each_time(clock: Clock) -> None:
    """Others come between, also nothing at all."""
    plain = Verdict(True)
    answers = [plain, plain, None, plain, NO, plain]
    desk = VerifierDesk("odd", Verifier(lambda: answers.pop(0)), clock, lambda: NOW)
    said: list[Any] = [desk.ask(PEER, "a.example", TIMEOUT) for _ in range(6)]
    assert [True, True, False, True, False, True] == [each.accepted for each in said]

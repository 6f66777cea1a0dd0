"""Many questions to one verifier: asked once, in turn, remembered, and never without bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from trust_pki import DAY, MOMENT, NOW, authority, client, p256, peer
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent
from zope.interface import implementer

from mtlsedge.identity import PeerChain, Verdict
from mtlsedge.interfaces import IVerifier
from mtlsedge.trust.asking import LONGEST_KEPT, VerifierDesk
from mtlsedge.trust.terms import Terms

ROOT = authority("Root", key=p256(0))
PEERS = [peer(client(f"c{number}", ROOT, key=p256(1))) for number in range(8)]
YES = Verdict(True)
NO = Verdict(False, "not today")
GONE = RuntimeError("the database is gone")
HOST = "a.example"


@implementer(IVerifier)
class Gated:
    """Answers when the test opens the gate of a question; ``verdict`` at once if there is one."""

    def __init__(self, verdict: Any = None) -> None:
        self.verdict = verdict
        self.asked: list[tuple[str, str]] = []
        self.gates: list[Deferred[Any]] = []
        self.cancelled: list[Deferred[Any]] = []

    def verify(self, peer: PeerChain, host: str) -> Any:
        self.asked.append((peer.leaf.common_name, host))
        if self.verdict is not None:
            return self.verdict
        gate: Deferred[Any] = Deferred(self.cancelled.append)
        self.gates.append(gate)
        return gate


class Bench:
    """A desk with its verifier and clocks; answers are gathered in ``got``."""

    def __init__(self, verdict: Any = None, **terms: Any) -> None:
        self.clock = Clock()
        self.now = NOW
        self.verifier = Gated(verdict)
        self.desk = VerifierDesk("odd", self.verifier, self.clock, lambda: self.now, Terms(**terms))
        self.got: list[Verdict] = []

    def ask(self, number: int = 0, host: str = HOST, timeout: float = 5.0) -> Any:
        answer = self.desk.ask(PEERS[number], host, timeout)
        if isinstance(answer, Deferred):
            answer.addCallback(self.got.append)
            answer.addErrback(lambda failure: failure.trap(CancelledError) and None)
        else:
            self.got.append(answer)
        return answer

    @property
    def said(self) -> list[bool]:
        return [verdict.accepted for verdict in self.got]


# -- asked once ------------------------------------------------------------------------------


def test_who_wants_to_know_the_same_waits_for_the_same_answer() -> None:
    """Whatever their number, the verifier is asked once."""
    bench = Bench()
    for _ in range(100):
        bench.ask()
    assert 1 == len(bench.verifier.asked)
    bench.verifier.gates[0].callback(YES)
    assert [True] * 100 == bench.said


def test_another_certificate_or_host_is_another_question() -> None:
    """An answer is about one certificate at one host."""
    bench = Bench()
    bench.ask(0)
    bench.ask(1)
    bench.ask(0, host="b.example")
    assert [("c0", HOST), ("c1", HOST), ("c0", "b.example")] == bench.verifier.asked


def test_the_same_leaf_under_another_root_is_another_question() -> None:
    """What verified is a part of what is asked."""
    bench = Bench()
    bench.ask(0)
    other = replace(PEERS[0], verified=(PEERS[0].leaf, authority("Root", key=p256(5)).read))
    bench.desk.ask(other, HOST, 5.0)
    assert 2 == len(bench.verifier.asked)


def test_one_of_several_may_give_up_and_the_last_one_cancels() -> None:
    """The verifier is told when nobody waits any more, and not before."""
    bench = Bench()
    first, second = bench.ask(), bench.ask()
    first.cancel()
    assert [] == bench.verifier.cancelled
    second.cancel()
    assert bench.verifier.gates == bench.verifier.cancelled
    assert [] == bench.clock.getDelayedCalls()
    bench.ask()
    assert 2 == len(bench.verifier.asked)  # a new question: nothing is left of the old


# -- remembered ------------------------------------------------------------------------------


def test_without_a_lifetime_an_answer_is_not_remembered() -> None:
    """0 is never."""
    bench = Bench(YES)
    bench.ask()
    bench.ask()
    assert 2 == len(bench.verifier.asked)


@pytest.mark.parametrize("verdict", [YES, NO])
@pytest.mark.parametrize("later", [False, True])
def test_an_answer_holds_for_as_long_as_it_says(verdict: Verdict, later: bool) -> None:
    """A no as well as a yes; what is handed out says what is left of it."""
    lasting = replace(verdict, cache_for=60.0)
    bench = Bench(None if later else lasting)
    bench.ask()
    if later:
        bench.verifier.gates[0].callback(lasting)
    bench.now += 59
    bench.ask()
    assert 1 == len(bench.verifier.asked)
    assert [verdict.accepted] * 2 == bench.said
    assert [60.0, 1.0] == [each.cache_for for each in bench.got]
    bench.now += 1
    bench.ask()
    assert 2 == len(bench.verifier.asked)


def test_no_answer_outlives_its_certificate_nor_a_day() -> None:
    """However long the verifier says."""
    bench = Bench(Verdict(True, cache_for=1e9))
    short = peer(client("short", ROOT, key=p256(1), end=MOMENT + DAY / 24))
    for who, most in ((PEERS[0], LONGEST_KEPT), (short, 3600.0)):
        bench.desk.ask(who, HOST, 5.0)
        kept = bench.desk.ask(who, HOST, 5.0)
        assert isinstance(kept, Verdict)
        assert most == kept.cache_for


def test_a_clock_that_went_far_back_forgets() -> None:
    """Nobody knows how old the answer is."""
    bench = Bench(Verdict(True, cache_for=60.0))
    bench.ask()
    bench.now -= 2 * LONGEST_KEPT
    bench.ask()
    assert 2 == len(bench.verifier.asked)


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), "long", None])
def test_a_lifetime_that_is_no_number_is_nonsense(odd: Any) -> None:
    """And so is the verdict."""
    bench = Bench(Verdict(True, cache_for=odd))
    bench.ask()
    assert [False] == bench.said
    assert "cache_for is no number of seconds" in bench.got[0].reason


def test_what_is_remembered_is_bounded() -> None:
    """Clients with ever new certificates do not fill the memory."""
    bench = Bench(Verdict(True, cache_for=60.0))
    for number in range(5000):
        bench.ask(host=f"h{number}.example")
    assert 4096 == len(bench.desk._memory)


# -- in turn ---------------------------------------------------------------------------------


def test_questions_beyond_what_it_may_think_about_wait_their_turn() -> None:
    """And come up in order, as answers come."""
    bench = Bench(concurrency=2)
    for number in range(5):
        bench.ask(number)
    assert ["c0", "c1"] == [name for name, _ in bench.verifier.asked]
    bench.verifier.gates[1].callback(NO)
    assert ["c0", "c1", "c2"] == [name for name, _ in bench.verifier.asked]
    for gate in (0, 2, 3, 4):
        bench.verifier.gates[gate].callback(YES)
    assert 5 == len(bench.got)
    assert [] == bench.clock.getDelayedCalls()


def test_a_long_queue_that_is_answered_at_once_needs_no_deep_stack() -> None:
    """A thousand waited; the verifier came to."""
    bench = Bench(concurrency=1)
    bench.ask(0)
    for number in range(3000):
        bench.ask(1, host=f"h{number}.example")
    bench.verifier.verdict = YES
    bench.verifier.gates[0].callback(YES)
    assert [True] * 3001 == bench.said


def test_beyond_the_queue_nobody_waits() -> None:
    """The refusal says why."""
    bench = Bench(concurrency=1, queue=2)
    for number in range(4):
        bench.ask(number)
    assert [False] == bench.said
    assert "the verifier 'odd' is overloaded: 2 wait for it" == bench.got[0].reason


def test_the_time_in_the_queue_counts() -> None:
    """No client is kept waiting for longer than was said, however many are before it."""
    bench = Bench(concurrency=1)
    for number in range(6):
        bench.ask(number)
    bench.clock.advance(5.0)
    assert [False] * 6 == bench.said
    assert 1 == len(bench.verifier.asked)
    bench.ask(7)
    assert 2 == len(bench.verifier.asked)  # and there is room again


def test_who_gives_up_in_the_queue_is_never_asked_about() -> None:
    """Nothing is thought about for nobody."""
    bench = Bench(concurrency=1)
    bench.ask(0)
    bench.ask(1).cancel()
    bench.ask(2)
    bench.verifier.gates[0].callback(YES)
    assert ["c0", "c2"] == [name for name, _ in bench.verifier.asked]


def test_its_own_timeout_comes_before_the_hosts() -> None:
    """And 0 is for ever."""
    bench = Bench(timeout=0.5)
    bench.ask()
    bench.clock.advance(0.5)
    assert ["the verifier 'odd' did not answer within 0.5 seconds"] == [
        each.reason for each in bench.got
    ]
    patient = Bench(timeout=0.0)
    patient.ask()
    assert [] == patient.clock.getDelayedCalls()


# -- on error --------------------------------------------------------------------------------


def failing() -> Any:
    raise GONE


TROUBLES: list[tuple[str, Callable[[Bench], Any]]] = [
    ("raises", lambda bench: bench.verifier.gates[0].errback(GONE)),
    ("hangs", lambda bench: bench.clock.advance(5.0)),
    ("babbles", lambda bench: bench.verifier.gates[0].callback("yes")),
]


@pytest.mark.parametrize("trouble", [each[1] for each in TROUBLES], ids=[t[0] for t in TROUBLES])
@pytest.mark.parametrize("on_error", ["deny", "allow"])
def test_on_error_says_what_trouble_means(
    trouble: Callable[[Bench], Any], on_error: str, logged: list[LogEvent]
) -> None:
    """Whoever is let through for it is so with a line in the log."""
    bench = Bench(on_error=on_error)
    bench.ask()
    trouble(bench)
    assert [on_error == "allow"] == bench.said
    if on_error == "allow":
        assert any(event.get("name") == "odd" for event in logged)


def test_a_plain_no_is_no_error() -> None:
    """``on_error = allow`` is not about verdicts."""
    bench = Bench(NO, on_error="allow")
    bench.ask()
    assert [False] == bench.said


def test_who_cannot_tell_has_failed_whatever_on_error_says() -> None:
    """``VerifierFailed`` is for those who leave it to the operator; and it may last a while."""
    bench = Bench(Verdict(False, "gone", cache_for=60.0, failed=True), on_error="allow")
    for _ in range(2):
        bench.ask()
    said = "the verifier 'odd' cannot tell: gone"
    assert [(False, True, said)] * 2 == [(v.accepted, v.failed, v.reason) for v in bench.got]
    assert 1 == len(bench.verifier.asked)


def test_too_much_to_do_is_an_error_too() -> None:
    """The operator said what then."""
    bench = Bench(concurrency=1, queue=0, on_error="allow")
    bench.ask(0)
    bench.ask(1)
    assert [True] == bench.said


def test_a_crowd_of_failures_is_one_line_a_second(logged: list[LogEvent]) -> None:
    """A verifier that fails for everyone does not fill the disk."""
    bench = Bench(succeed(None).addCallback(lambda _: 1 / 0))
    bench.verifier.verdict = None
    for number in range(5):
        bench.ask(number)
    for gate in bench.verifier.gates:
        gate.errback(GONE)
    assert 1 == sum(event.get("name") == "odd" for event in logged)
    bench.verifier.verdict, bench.got = None, []


def test_a_verifier_that_gives_up_on_the_process_only_refuses() -> None:
    """``sys.exit`` in a verifier ends nothing but its own question."""

    @implementer(IVerifier)
    class Leaves:
        def verify(self, peer: PeerChain, host: str) -> Any:
            raise SystemExit(1)

    verdict = VerifierDesk("odd", Leaves(), Clock(), lambda: NOW).ask(PEERS[0], HOST, 5.0)
    assert isinstance(verdict, Verdict)
    assert not verdict.accepted


@pytest.mark.parametrize(
    "attributes",
    [
        {f"a{number}": "x" for number in range(65)},
        {"a": "x" * 1025},
        {"x" * 1025: "a"},
    ],
)
def test_attributes_are_bounded(attributes: dict[str, str]) -> None:
    """They are kept with every connection."""
    bench = Bench(Verdict(True, attributes=attributes))
    bench.ask()
    assert [False] == bench.said


def test_idle_is_when_nobody_waits() -> None:
    """A verifier that is replaced is stopped then."""
    bench = Bench(concurrency=1)
    bench.ask(0)
    bench.ask(1)
    idle: list[object] = []
    bench.desk.when_idle().addCallback(idle.append)
    bench.verifier.gates[0].callback(YES)
    assert [] == idle
    bench.verifier.gates[1].callback(YES)
    assert 1 == len(idle)


def test_a_reason_is_bounded() -> None:
    """It is remembered, and every log line about the certificate holds it."""
    bench = Bench(Verdict(False, "long" * 10_000))
    bench.ask()
    (verdict,) = bench.got
    assert len(verdict.reason) < 2000

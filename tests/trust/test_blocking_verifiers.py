"""A verifier that was interrupted: who is asked in threads, who rests, and within what bounds."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest
from trust_pki import NOW, authority, client, p256, peer
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent
from zope.interface import implementer

from mtlsedge.identity import PeerChain, Verdict
from mtlsedge.interfaces import IVerifier
from mtlsedge.trust.asking import VerifierDesk
from mtlsedge.trust.overdue import Overdue
from mtlsedge.trust.terms import Terms

ROOT = authority("Root", key=p256(0))
PEERS = [peer(client(f"c{number}", ROOT, key=p256(1))) for number in range(5)]
YES = Verdict(True)
HOST = "a.example"


@implementer(IReactorFromThreads)
class Reactor(Clock):
    """A clock that threads can talk to; it hears them when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.inbox: queue.Queue[tuple[Callable[..., Any], tuple[Any, ...]]] = queue.Queue()

    def callFromThread(self, call: Callable[..., Any], *args: Any, **_: Any) -> None:
        self.inbox.put((call, args))

    def listen(self) -> None:
        call, args = self.inbox.get(timeout=10)
        call(*args)


@implementer(IVerifier)
class Blocks:
    """Is interrupted in the main thread, and in others answers as the test has it."""

    def __init__(self, answer: Callable[[], Any], **how: bool) -> None:
        self.answer = answer
        self.how = how
        self.here = self.aside = 0

    def verify(self, peer: PeerChain, host: str) -> Any:
        if threading.current_thread() is threading.main_thread():
            self.here += 1
            raise Overdue(**self.how)
        self.aside += 1
        return self.answer()


class Bench:
    def __init__(self, verifier: Any, **terms: Any) -> None:
        self.reactor = Reactor()
        self.verifier = verifier
        self.desk = VerifierDesk("odd", verifier, self.reactor, lambda: NOW, Terms(**terms))
        self.got: list[Verdict] = []

    def ask(self, number: int = 0) -> Any:
        answer = self.desk.ask(PEERS[number], HOST, 5.0)
        if isinstance(answer, Deferred):
            answer.addCallbacks(self.got.append, lambda _: None)
        else:
            self.got.append(answer)
        return answer


def text(events: list[LogEvent]) -> str:
    return "\n".join(filter(None, map(formatEvent, events)))


def test_it_is_asked_the_same_in_a_thread_and_from_then_on_everything(
    logged: list[LogEvent],
) -> None:
    """Its verdict counts, and one line in the log names it and the remedy."""
    bench = Bench(Blocks(lambda: YES))
    for number in range(3):
        bench.ask(number)
        bench.reactor.listen()
    assert [YES] * 3 == bench.got
    assert (1, 3) == (bench.verifier.here, bench.verifier.aside)
    assert 1 == text(logged).count("verifier odd did not return at once")
    assert "has to be awaited" in text(logged)


def test_what_it_raises_or_babbles_in_a_thread_is_an_error() -> None:
    """As anywhere else."""
    for answer, reason in ((lambda: 1 / 0, "ZeroDivisionError"), (lambda: "yes", "answered str")):
        bench = Bench(Blocks(answer))
        bench.ask()
        bench.reactor.listen()
        assert reason in bench.got[0].reason


def test_in_a_thread_it_has_its_time_as_well() -> None:
    """Then the thread is told to end; those who ask for the same wait for the same."""
    gate: queue.Queue[Verdict] = queue.Queue()
    bench = Bench(Blocks(gate.get))
    bench.ask()
    bench.ask()
    bench.reactor.advance(5)
    assert ["the verifier 'odd' did not answer within 5 seconds"] * 2 == [
        each.reason for each in bench.got
    ]
    assert 1 == bench.verifier.aside
    gate.put(YES)
    bench.reactor.listen()
    assert 2 == len(bench.got)


def test_a_thread_that_goes_on_for_nobody_counts() -> None:
    """So that a crowd that comes and goes does not fill the process with threads."""
    gate: queue.Queue[Verdict] = queue.Queue()
    bench = Bench(Blocks(gate.get), concurrency=2, queue=1)
    first, second = bench.ask(0), bench.ask(1)
    first.cancel()
    second.cancel()
    bench.ask(2)
    bench.ask(3)
    assert 2 == bench.verifier.aside
    assert ["the verifier 'odd' is overloaded: 1 wait for it"] == [
        each.reason for each in bench.got
    ]
    gate.put(YES)
    bench.reactor.listen()
    gate.put(YES)
    gate.put(YES)
    bench.reactor.listen()
    bench.reactor.listen()
    assert 3 == bench.verifier.aside
    assert bench.got[-1].accepted


def test_one_that_loops_has_one_thread_at_a_time() -> None:
    """Two would be no faster, and everybody else slower."""
    gate: queue.Queue[Verdict] = queue.Queue()
    bench = Bench(Blocks(gate.get, busy=True))
    for number in range(3):
        bench.ask(number)
    assert (1, 1) == (bench.verifier.here, bench.verifier.aside)
    for asked in (2, 3, 3):
        gate.put(YES)
        bench.reactor.listen()
        assert asked == bench.verifier.aside or asked == 3
    assert [True] * 3 == [each.accepted for each in bench.got]


@pytest.mark.parametrize("later", [lambda: succeed(YES), lambda: _later(YES)])
def test_one_that_turns_out_to_wait_goes_back_to_the_reactor(later: Callable[[], Any]) -> None:
    """What it gave in the thread is waited for; its next place is where the reactor runs."""
    bench = Bench(Blocks(later))
    bench.ask()
    bench.reactor.listen()
    assert [YES] == bench.got
    bench.ask(1)  # and there it blocks again
    assert (2, 1) == (bench.verifier.here, bench.verifier.aside)
    assert "kept everybody waiting" in bench.got[1].reason


async def _later(verdict: Verdict) -> Verdict:
    return verdict


def test_one_that_lets_no_other_thread_run_rests(logged: list[LogEvent]) -> None:
    """In a thread nothing could interrupt it. After ten seconds it has another chance."""
    bench = Bench(Blocks(lambda: YES, alone=True))
    for number in range(3):
        bench.ask(number)
    assert (1, 0) == (bench.verifier.here, bench.verifier.aside)
    assert [False] * 3 == [each.accepted for each in bench.got]
    assert all("kept everybody waiting" in each.reason for each in bench.got)
    bench.reactor.advance(10)
    bench.ask()
    assert 2 == bench.verifier.here
    assert 2 == text(logged).count("is not asked for 10 seconds")


def test_a_coroutine_that_blocks_rests_and_so_do_all_of_its_kind() -> None:
    """Each of them might block once more."""
    gates: list[Deferred[None]] = []

    @implementer(IVerifier)
    class Thinks:
        async def verify(self, peer: PeerChain, host: str) -> Verdict:
            gates.append(Deferred())
            await gates[-1]
            raise Overdue

    bench = Bench(Thinks(), concurrency=2)
    for number in range(3):
        bench.ask(number)
    gates[0].callback(None)
    assert 3 == len(bench.got)
    assert all("kept everybody waiting" in each.reason for each in bench.got)
    assert [] == bench.reactor.getDelayedCalls()


def test_on_error_says_what_that_means() -> None:
    """Of one that rests, too."""
    bench = Bench(Blocks(lambda: YES, alone=True), on_error="allow")
    bench.ask()
    bench.ask(1)
    assert [True, True] == [each.accepted for each in bench.got]


def test_where_no_thread_can_be_had_it_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nobody waits for one."""

    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    bench = Bench(Blocks(lambda: YES))
    monkeypatch.setattr(threading.Thread, "start", start)
    bench.ask()
    assert "cannot be asked: can't start new thread" in bench.got[0].reason

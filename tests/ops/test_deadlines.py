"""Deadlines: never early, at most one bucket late, and nearly free to move."""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher

from mtlsedge.ops.deadlines import BUCKET, Deadline, Deadlines

TICK = 0.02


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.advance(1000.3)
    return clock


def run(clock: Clock, seconds: float) -> None:
    """Let time pass in small steps."""
    for _ in range(round(seconds / TICK)):
        clock.advance(TICK)


def made(clock: Clock) -> tuple[Deadline, list[float]]:
    """A deadline and the moments at which it passed."""
    moments: list[float] = []
    return Deadlines(clock).deadline(lambda: moments.append(clock.seconds())), moments


@pytest.mark.parametrize("delay", [0.01, 0.5, 0.999, 1.0, 1.5, 10.0, 75.3])
@pytest.mark.parametrize("phase", [0.0, 0.25, 0.65, 0.9])
def test_it_passes_once_never_early_and_at_most_a_bucket_late(
    clock: Clock, delay: float, phase: float
) -> None:
    """Wherever between two ticks of the timer it is set."""
    clock.advance(phase)
    deadline, moments = made(clock)
    due = clock.seconds() + delay
    deadline.set(delay)
    run(clock, delay + 5)
    (moment,) = moments
    assert due <= moment + 1e-6
    assert moment <= due + BUCKET + TICK


def test_a_crowd_is_no_later(clock: Clock) -> None:
    """A thousand of one moment share one timer."""
    deadlines = Deadlines(clock)
    late: list[float] = []
    due = clock.seconds() + 5
    crowd = [deadlines.deadline(lambda: late.append(clock.seconds() - due)) for _ in range(1000)]
    for deadline in crowd:
        deadline.set(5)
    assert 1 == len(clock.getDelayedCalls())
    run(clock, 12)
    assert 1000 == len(late)
    assert min(late) >= -1e-6
    assert max(late) <= BUCKET + TICK


def test_moving_it_further_costs_no_timer(clock: Clock) -> None:
    """A thousand moves, and one call in flight."""
    deadline, moments = made(clock)
    for _ in range(1000):
        deadline.set(10)
        clock.advance(0.001)
    assert 1 == in_flight(deadline)
    run(clock, 9)
    assert [] == moments
    run(clock, 5)
    assert 1 == len(moments)


def test_it_can_be_moved_nearer(clock: Clock) -> None:
    """A keep-alive of a minute becomes ten seconds for a request's head."""
    deadline, moments = made(clock)
    deadline.set(60)
    deadline.set(3)
    run(clock, 6)
    assert 1 == len(moments)
    run(clock, 70)
    assert 1 == len(moments)


def test_cleared_it_does_not_pass_and_can_be_set_again(clock: Clock) -> None:
    """``clear`` and a delay of 0 say the same."""
    deadline, moments = made(clock)
    for stop in (deadline.clear, lambda: deadline.set(0), lambda: deadline.set(-1)):
        deadline.set(3)
        stop()
        run(clock, 10)
        assert [] == moments
    deadline.set(3)
    run(clock, 6)
    assert 1 == len(moments)
    deadline.set(3)
    run(clock, 6)
    assert 2 == len(moments)


def test_it_can_be_set_again_while_it_passes(clock: Clock) -> None:
    """As a connection does that answers and then waits for the rest."""
    moments: list[float] = []

    def passed() -> None:
        moments.append(clock.seconds())
        if len(moments) < 3:
            deadline.set(2)

    deadline = Deadlines(clock).deadline(passed)
    deadline.set(2)
    run(clock, 20)
    assert 3 == len(moments)


def test_a_forgotten_one_lets_go_of_its_owner(clock: Clock) -> None:
    """At once, although its call is still in flight; and it never calls."""

    class Owner:
        called = False

        def __init__(self) -> None:
            self.deadline = Deadlines(clock).deadline(self.late)

        def late(self) -> None:
            Owner.called = True

    gc.disable()
    try:
        owner = Owner()
        owner.deadline.set(3)
        owner.deadline.forget()
        left = weakref.ref(owner)
        del owner
        assert left() is None
    finally:
        gc.enable()
    run(clock, 10)
    assert not Owner.called


def test_an_error_in_one_spares_the_others(clock: Clock) -> None:
    """It is logged, and every other deadline of that second passes."""

    def fail() -> None:
        raise ZeroDivisionError("on purpose")

    deadlines = Deadlines(clock)
    passed: list[int] = []
    logged: list[LogEvent] = []
    globalLogPublisher.addObserver(logged.append)
    try:
        for number in range(3):
            deadlines.deadline(fail).set(2)
            deadlines.deadline(lambda n=number: passed.append(n)).set(2)
        run(clock, 5)
    finally:
        globalLogPublisher.removeObserver(logged.append)
    assert [0, 1, 2] == passed
    assert 3 == len([each for each in logged if "log_failure" in each])


class InTurns(Clock):
    """A clock that keeps what is to happen in the reactor's next turn until it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.next_turn: list[Callable[[], None]] = []

    def callLater(self, delay: float, call: Any, *args: Any, **kw: Any) -> Any:
        if delay:
            return super().callLater(delay, call, *args, **kw)
        self.next_turn.append(lambda: call(*args, **kw))
        return None


def test_a_crowd_that_is_late_together_leaves_others_their_turn() -> None:
    """Ten thousand who say nothing end a few at a time, in order, and none is forgotten."""
    clock = InTurns()
    clock.advance(1000.3)
    deadlines = Deadlines(clock)
    passed: list[int] = []
    late = [deadlines.deadline(lambda n=n: passed.append(n)) for n in range(1000)]
    moved = [deadlines.deadline(lambda: passed.append(-1)) for _ in range(5000)]
    for each in (*late, *moved):
        each.set(5)
    for each in moved:
        each.set(500)
    run(clock, 7)
    turns = 0
    while clock.next_turn:
        assert len(passed) <= 20 * (turns + 1)
        clock.next_turn.pop()()
        turns += 1
    assert list(range(1000)) == passed
    assert turns > 50
    run(clock, 490)
    assert 1000 == len(passed)


def test_long_and_short_in_turn_do_not_pile_up(clock: Clock) -> None:
    """A connection kept alive for hours, with a request now and then: few calls in flight."""
    deadline, moments = made(clock)
    dice = random.Random(7)
    most = 0
    for _ in range(2000):
        deadline.set(75)  # between two requests
        clock.advance(dice.uniform(0, 60))
        deadline.set(20)  # for a request's head
        clock.advance(dice.uniform(0, 2))
        most = max(most, in_flight(deadline))
    assert [] == moments
    assert most <= 8
    run(clock, 25)
    assert 1 == len(moments)


def in_flight(deadline: Deadline) -> int:
    """Entries that wait for their second."""
    return sum(map(len, deadline._deadlines._buckets.values()))

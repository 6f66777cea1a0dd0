"""Real forks that do as the test says: who is replaced, when, and what is waited for."""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, eventAsText, globalLogPublisher

from mtlsedge.workers import supervisor
from mtlsedge.workers.supervisor import Supervisor

Behaviour = Callable[[socket.socket], int]


def say(sock: socket.socket, **message: Any) -> None:
    sock.send(json.dumps(message).encode())


def hear(sock: socket.socket) -> dict[str, Any]:
    sock.setblocking(True)
    packet = sock.recv(100_000)
    return json.loads(packet) if packet else {"type": "end"}


def good(sock: socket.socket) -> int:
    """A worker that does what it is told."""
    say(sock, type="ready")
    while (order := hear(sock))["type"] not in ("drain", "quit", "end"):
        if "number" in order:
            say(sock, type="done", number=order["number"])
    return 0


def stubborn(sock: socket.socket) -> int:
    """One that serves, and hears nothing."""
    say(sock, type="ready")
    time.sleep(60)
    return 0


def hanging(sock: socket.socket) -> int:
    """One that never comes to serve, and hears nothing either."""
    time.sleep(60)
    return 0


def unable(sock: socket.socket) -> int:
    """One that cannot do what the others do."""
    say(sock, type="ready")
    order = hear(sock)
    say(sock, type="failed", number=order["number"], why="no room")
    return good(sock)


def noticing(sock: socket.socket) -> int:
    """One that has seen something, and tells it in an odd way, too."""
    say(sock, type="notice", key="key", text="text")
    say(sock, type="notice", key=["k" * 1000])
    return good(sock)


def finishing(sock: socket.socket) -> int:
    """One that still has something to do when it is told to end, and listens meanwhile."""
    say(sock, type="ready")
    while (heard := hear(sock))["type"] not in ("news", "end"):
        pass
    say(sock, type="notice", key=heard["type"], text=heard.get("text"))
    return good(sock)


def crashing(sock: socket.socket) -> int:
    """One that fails before it serves."""
    raise ZeroDivisionError("on purpose")


class Workers:
    """A supervisor whose workers behave as the test has it, by the order of their forks."""

    def __init__(self, *behaviours: Behaviour, number: int = 2) -> None:
        self.pids: list[int] = []
        self.forks = 0
        self.noticed: list[tuple[str, str]] = []
        self._behaviours = behaviours
        self.supervisor = Supervisor(reactor, number, self._work, lambda: 1.0, self._notice)

    def _notice(self, key: str, text: str) -> None:
        self.noticed.append((key, text))

    def _work(self, place: int) -> Behaviour:
        fork, self.forks = self.forks, self.forks + 1
        return self._behaviours[fork] if fork < len(self._behaviours) else good

    @property
    def living(self) -> dict[int, int]:
        return {hand.number: hand.pid for hand in self.supervisor.hands()}


Make = Callable[..., Workers]


@pytest.fixture
def make() -> Iterator[Make]:
    """Make workers; in the end all are gone."""
    made: list[Workers] = []

    def workers(*behaviours: Behaviour, **more: Any) -> Workers:
        made.append(Workers(*behaviours, **more))
        return made[-1]

    yield workers
    for each in made:
        done = each.supervisor.stop("quit", 0.2)
        pytest_twisted.blockon(done)
        assert not each.living


@pytest.fixture
def logged() -> Iterator[Callable[[], str]]:
    """What the log says so far."""
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(cast(Any, events.append))
    yield lambda: "\n".join(map(eventAsText, events))
    globalLogPublisher.removeObserver(cast(Any, events.append))


async def until(condition: Callable[[], object]) -> None:
    for _ in range(20_000):
        if condition():
            return
        await deferLater(reactor, 0.002)
    raise AssertionError("it did not come to that")


@pytest_twisted.ensureDeferred
async def test_it_is_complete_when_every_place_had_a_worker_that_served(make: Make) -> None:
    """Also where one needed a second attempt."""
    workers = make(crashing, number=3)
    await workers.supervisor.start()
    assert (4, {0, 1, 2}) == (workers.forks, set(workers.living))


@pytest_twisted.ensureDeferred
async def test_what_workers_notice_arrives_with_its_key(make: Make) -> None:
    """As text, whatever it was, and a key that is not endless."""
    workers = make(noticing, noticing)
    await workers.supervisor.start()
    expected = sorted([("key", "text"), ("['" + "k" * 98, "None")] * 2)
    assert expected == sorted(workers.noticed)


@pytest_twisted.ensureDeferred
async def test_whoever_dies_is_replaced_and_the_log_says_how(
    make: Make, logged: Callable[[], str]
) -> None:
    """By a signal or by itself; the others stay what they are."""
    workers = make()
    await workers.supervisor.start()
    before = workers.living
    os.kill(before[0], signal.SIGKILL)
    await until(lambda: len(workers.living) == 2 and workers.living[0] != before[0])
    assert before[1] == workers.living[1]
    assert (
        f"worker 0 (process {before[0]}) was ended by SIGKILL; it is replaced at once" in logged()
    )


@pytest_twisted.ensureDeferred
async def test_a_crash_is_a_status_and_its_traceback_is_nobody_elses(
    make: Make, logged: Callable[[], str]
) -> None:
    """What it raised never comes back into the parent's own stack."""
    parent = os.getpid()
    workers = make(crashing, crashing)
    await workers.supervisor.start()
    assert parent == os.getpid()
    assert 2 == logged().count("ended with status 1; it is replaced at once")


@pytest_twisted.ensureDeferred
async def test_an_order_is_done_when_all_have_done_it(make: Make) -> None:
    """One after the other, or many at once."""
    workers = make(number=3)
    await workers.supervisor.start()
    await workers.supervisor.order("x", patience=60)
    several = [workers.supervisor.order("y", patience=60) for _ in range(20)]
    for each in several:
        await each
    assert 3 == workers.forks


@pytest_twisted.ensureDeferred
async def test_an_order_waits_for_nobody_who_dies(make: Make) -> None:
    """Its successor has what was ordered from the start."""
    workers = make(stubborn)
    await workers.supervisor.start()
    done = workers.supervisor.order("x", patience=60)
    await deferLater(reactor, 0.02)
    assert not done.called
    os.kill(workers.living[0], signal.SIGKILL)
    await done


@pytest_twisted.ensureDeferred
async def test_whoever_does_not_follow_is_replaced(make: Make, logged: Callable[[], str]) -> None:
    """At once, while it still finishes what it is doing."""
    workers = make(good, unable)
    await workers.supervisor.start()
    before = workers.living
    await workers.supervisor.order("x", patience=60)
    await until(lambda: workers.forks == 3 and set(workers.living) == {0, 1})
    await until(lambda: before[1] not in [hand.pid for hand in workers.supervisor.hands()])
    assert before[0] == workers.living[0]
    assert "worker 1 could not follow and is replaced: no room" in logged()


@pytest_twisted.ensureDeferred
async def test_whoever_does_not_answer_is_killed_and_replaced(
    make: Make, logged: Callable[[], str]
) -> None:
    """After the patience that the order has."""
    workers = make(stubborn, number=1)
    await workers.supervisor.start()
    before = workers.living
    await workers.supervisor.order("x", patience=0.1)
    await until(lambda: workers.forks == 2 and 0 in workers.living)
    assert before[0] != workers.living[0]
    assert "did not answer to 'x' and is killed" in logged()


@pytest_twisted.ensureDeferred
async def test_whoever_does_not_come_to_serve_is_killed_and_replaced(
    make: Make, logged: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else would notice; those that serve are left alone."""
    workers = make(good, hanging)
    work = workers.supervisor._work

    def at_once(place: int) -> Behaviour:
        """Nobody waits for the second fork, and for the others as long as it takes them."""
        seconds = 0.1 if workers.forks == 1 else 60.0
        monkeypatch.setattr("mtlsedge.workers.supervisor._BEGINNING", seconds)
        return work(place)

    monkeypatch.setattr(workers.supervisor, "_work", at_once)
    await workers.supervisor.start()
    assert 3 == workers.forks
    assert {0, 1} == set(workers.living)
    assert 1 == logged().count("does not come to serve and is killed")
    assert "worker 1 " in logged().partition("does not come")[0].splitlines()[-1]


@pytest_twisted.ensureDeferred
async def test_answers_to_what_was_not_asked_are_ignored(make: Make) -> None:
    """A worker cannot speak for another, or twice."""

    odd: list[dict[str, Any]] = [
        {"type": "done", "number": 1},
        {"type": "failed", "number": 99},
        {"type": "done"},
        {"type": "done", "number": "x"},
        {"type": "done", "number": [1]},
        {"type": ["done"]},
        {},
    ]

    def talkative(sock: socket.socket) -> int:
        for message in [*odd] * 3:
            say(sock, **message)
        return good(sock)

    workers = make(talkative, stubborn)
    await workers.supervisor.start()
    done = workers.supervisor.order("x", patience=60)
    await deferLater(reactor, 0.05)
    assert not done.called
    os.kill(workers.living[1], signal.SIGKILL)
    await done
    await until(lambda: len(workers.living) == 2)


@pytest_twisted.ensureDeferred
async def test_all_end_when_they_are_told_and_none_is_replaced(make: Make) -> None:
    """Also those that wait for their next attempt."""
    workers = make(*[crashing] * 8)
    workers.supervisor.start()
    await until(lambda: workers.forks >= 6)
    await workers.supervisor.stop("drain", 60)
    forks = workers.forks
    await deferLater(reactor, 0.6)
    assert (forks, {}) == (workers.forks, workers.living)


@pytest_twisted.ensureDeferred
async def test_those_who_do_not_end_are_killed(make: Make, logged: Callable[[], str]) -> None:
    """When the patience is over, which may be shortened."""
    workers = make(stubborn, stubborn)
    await workers.supervisor.start()
    gone = workers.supervisor.stop("drain", 60)
    await deferLater(reactor, 0.02)
    assert not gone.called
    again: Deferred[None] = workers.supervisor.stop("quit", 0.1)
    assert gone is again
    await gone
    assert 2 == logged().count("did not end in time and is killed")


@pytest_twisted.ensureDeferred
async def test_one_that_hangs_is_replaced_though_there_is_no_order_for_it(
    make: Make, logged: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that answer are not, and neither is one that has yet to serve."""
    monkeypatch.setattr(supervisor, "_LOOK", 1000.0)  # the looks are the test's own
    workers = make(stubborn, good, hanging, number=3)
    workers.supervisor.start()
    hands = {hand.number: hand for hand in workers.supervisor.hands()}
    await until(lambda: hands[0].served_since and hands[1].served_since)
    for look in range(1, 8):
        assert "hangs" not in logged()
        workers.supervisor._look_after()
        await until(lambda: hands[1].silent == 0)
        assert (min(look, 6), 0) == (hands[0].silent, hands[2].silent)
    assert f"worker 0 (process {hands[0].pid}) hangs and is killed" in logged()
    await until(lambda: workers.forks == 4 and len(workers.living) == 3)
    assert [hands[1].pid, hands[2].pid] == [workers.living[1], workers.living[2]]


@pytest_twisted.ensureDeferred
async def test_no_descriptor_and_no_zombie_is_left(make: Make) -> None:
    """However many came and went."""
    workers = make()
    await workers.supervisor.start()
    gc.collect()  # of what others have forgotten to close
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(4):
        pid = workers.living[1]
        os.kill(pid, signal.SIGKILL)
        await until(lambda pid=pid: workers.living.get(1, pid) != pid)  # type: ignore[misc]
    await until(lambda: len(workers.living) == 2)
    assert before == len(os.listdir("/proc/self/fd"))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest_twisted.ensureDeferred
async def test_all_can_be_replaced_at_once(make: Make) -> None:
    """The old ones finish while the new ones begin."""
    workers = make()
    await workers.supervisor.start()
    before = set(workers.living.values())
    workers.supervisor.replace_all()
    await until(lambda: workers.forks == 4 and not before & set(workers.living.values()))
    assert {0, 1} == set(workers.living)


@pytest_twisted.ensureDeferred
async def test_those_that_leave_can_be_told_while_they_finish(make: Make) -> None:
    """And only they: their successors hear nothing of it."""
    workers = make(finishing, finishing, finishing, finishing)
    await workers.supervisor.start()
    workers.supervisor.tell_leaving("news", text="too early")
    workers.supervisor.replace_all()
    workers.supervisor.tell_leaving("news", text="in time")
    await until(lambda: len(workers.noticed) == 2)
    await until(lambda: workers.forks == 4 and set(workers.living) == {0, 1})
    assert [("news", "in time")] * 2 == workers.noticed


@pytest_twisted.ensureDeferred
async def test_whoever_cannot_be_told_is_replaced(make: Make, logged: Callable[[], str]) -> None:
    """What was to be sent could not be: now, or when the channel's queue was full."""
    workers = make(stubborn)
    await workers.supervisor.start()
    before = set(workers.living.values())
    gone = os.open(os.devnull, os.O_RDONLY)
    os.close(gone)
    for _ in range(20):
        workers.supervisor.tell("fill", text="x" * 60_000)
    await workers.supervisor.order("x", [gone], patience=60)
    await until(lambda: workers.forks == 4 and set(workers.living) == {0, 1})
    assert not before & set(workers.living.values())
    for number in (0, 1):
        assert f"worker {number} cannot be told to x and is killed" in logged()

"""Calls that do not end are interrupted, and nothing else ever is."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from mtlsedge.trust.overdue import Overdue, Watch, noting


@pytest.fixture
def watch() -> Iterator[Watch]:
    one = Watch()
    assert one.start()
    yield one
    one.stop()


@noting
def call(watch: Watch, function: Callable[[], Any]) -> Any:
    before = watch.running
    watch.calls = watch.running = watch.calls + 1
    try:
        return function()
    finally:
        watch.running = before


def sleeps() -> None:
    time.sleep(60)


def loops() -> None:
    while True:
        pass


def waits_for_a_lock() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def waits_for_bytes() -> None:
    here, there = socket.socketpair()
    with here, there:
        here.recv(1)


def tries_again() -> None:
    while True:
        try:
            time.sleep(60)
        except Exception:
            continue


def matches() -> None:
    re.match(r"(a+)+$", "a" * 60 + "b")


HANGS = [sleeps, loops, waits_for_a_lock, waits_for_bytes, tries_again]


@pytest.mark.parametrize("hang", HANGS)
def test_a_call_that_hangs_is_interrupted(watch: Watch, hang: Callable[[], None]) -> None:
    """However it hangs; and what was called says whether it used the processor."""
    begun = time.monotonic()
    with pytest.raises(Overdue) as caught:
        call(watch, hang)
    assert time.monotonic() - begun < 5
    assert not caught.value.alone
    if hang is not loops:
        assert not caught.value.busy
    assert 0 == watch.running


def test_one_that_lets_no_other_thread_run_is_interrupted_too(watch: Watch) -> None:
    """As a regular expression does that never comes to an end."""
    with pytest.raises(Overdue) as caught:
        call(watch, matches)
    assert caught.value.alone


def test_the_same_again(watch: Watch) -> None:
    """One that was interrupted may be called anew."""
    for _ in range(2):
        with pytest.raises(Overdue):
            call(watch, sleeps)


def test_what_is_no_call_is_never_interrupted(watch: Watch) -> None:
    """The edge may take its time."""
    call(watch, lambda: None)
    time.sleep(0.8)
    with suppress(ZeroDivisionError):
        call(watch, lambda: 1 / 0)
    time.sleep(0.8)


def test_many_short_calls_are_not_one_long_one(watch: Watch) -> None:
    """Whatever part of the time they take together."""
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        call(watch, lambda: time.sleep(0.01))


def test_a_call_within_a_call_counts_by_itself(watch: Watch) -> None:
    """And the outer one goes on afterwards, and may hang."""

    def outer() -> None:
        call(watch, lambda: None)
        sleeps()

    with pytest.raises(Overdue):
        call(watch, outer)


def test_what_follows_from_a_call_is_no_part_of_it(watch: Watch) -> None:
    """A verifier may answer others while it is called, and then the edge is at work."""

    @noting
    def edge() -> None:
        before, watch.running = watch.running, 0
        time.sleep(0.8)
        watch.running = before

    call(watch, edge)


@pytest.mark.parametrize("step", [0, 1])
def test_each_step_of_a_coroutine_is_a_call(watch: Watch, step: int) -> None:
    """The first one, too; what it waits for meanwhile is not."""
    gate: Deferred[str] = Deferred()

    async def thinks() -> str:
        if step:
            await gate
        sleeps()
        return "never"

    coming = Deferred.fromCoroutine(_await(watch.steps(thinks())))
    if step:
        assert not coming.called
        time.sleep(0.7)
        gate.callback("go on")
    failures: list[Any] = []
    coming.addErrback(failures.append)
    assert failures[0].check(Overdue)


async def _await(answer: Any) -> Any:
    return await answer


def test_steps_come_to_what_the_coroutine_does(watch: Watch) -> None:
    """Values and errors, in and out."""
    first: Deferred[str] = Deferred()
    second: Deferred[str] = Deferred()

    async def thinks() -> str:
        word = await first
        try:
            await second
        except ZeroDivisionError:
            return word + ", and an error"
        return "nothing"

    got: list[str] = []
    Deferred.fromCoroutine(_await(watch.steps(thinks()))).addCallback(got.append)
    first.callback("a word")
    second.errback(ZeroDivisionError())
    assert ["a word, and an error"] == got


def test_only_the_main_thread_is_watched() -> None:
    """Signals go nowhere else; a reactor in another thread is on its own."""
    started: list[bool] = []
    thread = threading.Thread(target=lambda: started.append(Watch().start()))
    thread.start()
    thread.join()
    assert [False] == started


def test_it_looks_for_as_long_as_somebody_needs_it() -> None:
    """The threads end, and the timer with them."""
    watch = Watch()
    before = threading.active_count()
    watch.start()
    watch.start()
    watch.stop()
    assert before + 1 == threading.active_count()
    watch.stop()
    until = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < until:
        time.sleep(0.02)
    assert before == threading.active_count()
    assert (0.0, 0.0) == signal.getitimer(signal.ITIMER_VIRTUAL)


_STOPPED = """
import sys, time
from mtlsedge.trust.overdue import Watch, noting
watch = Watch()
watch.start()
@noting
def call(function):
    watch.calls = watch.running = watch.calls + 1
    try:
        function()
    finally:
        watch.running = 0
print("up", flush=True)
until = time.monotonic() + 3
while time.monotonic() < until:
    call(lambda: time.sleep(0.02))
print("well", flush=True)
"""


def test_a_process_that_stood_still_blames_nobody() -> None:
    """Stopped for a second in the midst of a call, as a debugger or a virtual machine does it."""
    process = subprocess.Popen(
        [sys.executable, "-c", _STOPPED], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert "up\n" == process.stdout.readline()
    for _ in range(2):
        process.send_signal(signal.SIGSTOP)
        time.sleep(1)
        process.send_signal(signal.SIGCONT)
        time.sleep(0.1)
    output, errors = process.communicate(timeout=20)
    assert ("well\n", "") == (output, errors)

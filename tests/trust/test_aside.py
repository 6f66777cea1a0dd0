"""One call in a thread of its own: its answer, its end, and what is left of it."""

from __future__ import annotations

import queue
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorFromThreads
from zope.interface import implementer

from mtlsedge.trust.aside import Aside, Returned
from support.ports import wait_until


@implementer(IReactorFromThreads)
class Inbox:
    """What threads tell the reactor; it listens when the test says so."""

    def __init__(self) -> None:
        self.calls: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()

    def callFromThread(self, call: Callable[..., Any], *args: Any, **_: Any) -> None:
        self.calls.append((call, args))

    def listen(self) -> None:
        wait_until(lambda: bool(self.calls), 10, "a thread to say something")
        call, args = self.calls.popleft()
        call(*args)


def ask(call: Callable[[], object]) -> tuple[Aside, Inbox, list[Any], list[bool]]:
    inbox, got, lingers = Inbox(), list[Any](), list[bool]()
    aside = Aside(inbox, call, lingers.append)
    aside.answer.addBoth(got.append)
    return aside, inbox, got, lingers


def loops() -> None:
    while True:
        pass


def test_what_it_returns_is_the_answer() -> None:
    """A Deferred as well, as it stands."""
    later: Deferred[None] = Deferred()
    for value in ("a word", later):
        _, inbox, got, lingers = ask(lambda value=value: value)
        inbox.listen()
        assert [Returned(value)] == got
        assert [] == lingers


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_what_it_raises_is_its_failure(error: type[BaseException]) -> None:
    """Nothing that it raises ends more than its thread."""

    def raises() -> None:
        raise error

    _, inbox, got, _ = ask(raises)
    inbox.listen()
    assert got[0].check(error)


def test_one_that_loops_ends_when_nobody_waits() -> None:
    """And until then counts as lingering."""
    usual = sys.getswitchinterval()
    aside, inbox, got, lingers = ask(loops)
    assert sys.getswitchinterval() < usual
    aside.answer.cancel()
    assert got[0].check(CancelledError)
    assert [True] == lingers
    inbox.listen()
    assert [True, False] == lingers
    assert usual == sys.getswitchinterval()


def test_one_that_blocks_ends_when_that_does() -> None:
    """It cannot be had earlier."""
    gate: queue.Queue[None] = queue.Queue()
    aside, inbox, _, lingers = ask(gate.get)
    aside.answer.cancel()
    time.sleep(0.2)
    assert not inbox.calls
    gate.put(None)
    inbox.listen()
    assert [True, False] == lingers


def test_what_nobody_waits_for_any_more_is_cancelled() -> None:
    """It comes too late, and may be something that would go on."""
    cancelled: list[object] = []
    gate: queue.Queue[Deferred[None]] = queue.Queue()

    def answers() -> object:
        try:
            return gate.get()
        except BaseException:
            return Deferred(cancelled.append)

    aside, inbox, got, _ = ask(answers)
    aside.answer.cancel()
    gate.put(Deferred(cancelled.append))
    inbox.listen()
    assert 1 == len(cancelled)
    assert 1 == len(got)


def test_whenever_it_is_told_to_end_it_is_heard_once() -> None:
    """Also on its way back: however close to its end."""
    for number in range(200):
        aside, inbox, _, lingers = ask(lambda: sum(range(50)))
        if number % 2:
            time.sleep(number / 1e6)
        aside.answer.cancel()
        inbox.listen()
        assert [True, False] == lingers

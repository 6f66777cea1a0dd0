"""A configuration is read again beside the clients, once at a time."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from mtlsedge.errors import ConfigurationError
from mtlsedge.model import Configuration
from mtlsedge.serving.rereading import Rereading

USUAL = sys.getswitchinterval()


class Reader:
    """Reads when the test lets it, and writes down what becomes of it."""

    def __init__(self, aside: bool = True) -> None:
        self.begun = 0
        self.go_on = threading.Event()
        self.threads: list[threading.Thread] = []
        self.error: Exception | None = None
        self.taken: list[Any] = []
        self.failed: list[Exception] = []
        self.take: Callable[[Any], object] = self.taken.append
        self.rereading = Rereading(
            reactor if aside else None,
            self.read,
            lambda read: self.take(read),
            lambda failure: self.failed.append(failure.value),
        )

    def read(self) -> Configuration:
        self.begun += 1
        self.threads.append(threading.current_thread())
        assert self.go_on.wait(10)
        if self.error is not None:
            raise self.error
        return cast(Any, self.begun)  # which reading it was


def moment() -> Deferred[None]:
    return deferLater(cast(Any, reactor), 0.01, lambda: None)


async def until(holds: Callable[[], object]) -> None:
    for _ in range(1000):
        if holds():
            return
        await moment()
    raise AssertionError("it never came to that")


@pytest_twisted.ensureDeferred
async def test_the_reactor_goes_on_while_it_is_read() -> None:
    """In slices so short that clients hardly notice."""
    reader = Reader()
    reader.rereading.ask()
    await until(lambda: reader.begun)
    for _ in range(3):
        await moment()
    assert not reader.taken
    assert sys.getswitchinterval() < USUAL
    reader.go_on.set()
    await until(lambda: reader.taken)
    assert [1] == reader.taken
    assert threading.main_thread() not in reader.threads
    assert USUAL == sys.getswitchinterval()


@pytest_twisted.ensureDeferred
async def test_whoever_asks_meanwhile_has_it_read_once_more() -> None:
    """However many they are: the first reading may have missed what they changed."""
    reader = Reader()
    for _ in range(5):
        reader.rereading.ask()
    await until(lambda: reader.begun)
    assert 1 == reader.begun
    reader.go_on.set()
    await until(lambda: len(reader.taken) == 2)
    for _ in range(3):
        await moment()
    assert [1, 2] == reader.taken


@pytest_twisted.ensureDeferred
async def test_what_cannot_be_read_or_taken_is_told_and_keeps_no_other_out() -> None:
    reader = Reader()
    reader.go_on.set()
    reader.error = ConfigurationError([])
    reader.rereading.ask()
    await until(lambda: reader.failed)
    reader.error = None

    def refuse(read: Any) -> None:
        raise ZeroDivisionError

    taken, reader.take = reader.take, refuse
    reader.rereading.ask()
    await until(lambda: len(reader.failed) == 2)
    assert [ConfigurationError, ZeroDivisionError] == [type(each) for each in reader.failed]
    reader.take = taken
    reader.rereading.ask()
    await until(lambda: reader.taken)
    assert USUAL == sys.getswitchinterval()


def test_a_process_that_forks_reads_at_once() -> None:
    """A thread's locks would be inherited, held for ever."""
    reader = Reader(aside=False)
    reader.go_on.set()
    for _ in range(2):
        reader.rereading.ask()
    assert [1, 2] == reader.taken
    assert [threading.main_thread()] * 2 == reader.threads

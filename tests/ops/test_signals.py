"""Signals, and what is called for them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from mtlsedge.ops.signals import on_ending, on_signal

NUMBERS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


class Loop:
    """A reactor that calls at once."""

    def callFromThread(self, call: Any) -> None:
        call()


@pytest.fixture
def calls() -> Iterator[list[str]]:
    """What was called; every handler is what it was in the end."""
    before = {number: signal.getsignal(number) for number in NUMBERS}
    said: list[str] = []
    for number in NUMBERS:
        signal.signal(number, lambda received, _: said.append(signal.Signals(received).name))
    yield said
    for number, handler in before.items():
        signal.signal(number, handler)


def test_an_earlier_handler_is_called_as_well(calls: list[str]) -> None:
    """twistd has one that rotates its log."""
    on_signal(Loop(), signal.SIGHUP, lambda: calls.append("reload"))
    os.kill(os.getpid(), signal.SIGHUP)
    assert ["reload", "SIGHUP"] == calls


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (("SIGTERM",), ["SIGTERM"]),
        (("SIGINT",), ["SIGINT"]),
        (("SIGQUIT",), ["cut"]),
        (("SIGTERM", "SIGTERM"), ["SIGTERM", "cut"]),
        (("SIGTERM", "SIGINT", "SIGQUIT"), ["SIGTERM", "cut", "cut"]),
        (("SIGQUIT", "SIGTERM"), ["cut", "cut"]),
    ],
    ids=str,
)
def test_the_second_one_means_now(
    calls: list[str], sent: tuple[str, ...], expected: list[str]
) -> None:
    """The reactor's own handler hears the first; to it, a second would be an error."""
    on_ending(Loop(), lambda: calls.append("cut"))
    for name in sent:
        os.kill(os.getpid(), signal.Signals[name])
    assert expected == calls

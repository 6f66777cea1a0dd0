"""What does a signal do? Calls in the reactor, beside whatever was to be called before."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


def on_signal(reactor: Any, number: signal.Signals, call: Callable[[], object]) -> None:
    """Call in the reactor's own turn whenever the signal comes (main thread only).

    A handler that is there already, such as twistd's for rotating its log, is called as well.
    """
    if not _is_main_thread():
        return
    earlier = signal.getsignal(number)

    def handle(received: int, frame: FrameType | None) -> None:
        reactor.callFromThread(call)
        if callable(earlier):
            earlier(received, frame)

    signal.signal(number, handle)


def on_ending(reactor: Any, cut: Callable[[], object]) -> None:
    """Call ``cut`` in the reactor's own turn on SIGQUIT, and when an operator is out of patience.

    SIGTERM and SIGINT end the edge as the reactor has it, which is to be running; whichever of
    them comes after any of the three means that it is to end now. Main thread only.
    """
    if not _is_main_thread():
        return
    ending = False
    earlier = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def handle(received: int, frame: FrameType | None) -> None:
        nonlocal ending
        first, ending = not ending, True
        gently = earlier.get(signal.Signals(received))
        if first and callable(gently):
            gently(received, frame)
        else:
            reactor.callFromThread(cut)

    for number in (*earlier, signal.SIGQUIT):
        signal.signal(number, handle)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()

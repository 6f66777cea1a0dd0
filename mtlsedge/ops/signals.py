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
    if threading.current_thread() is not threading.main_thread():
        return
    earlier = signal.getsignal(number)

    def handle(received: int, frame: FrameType | None) -> None:
        reactor.callFromThread(call)
        if callable(earlier):
            earlier(received, frame)

    signal.signal(number, handle)

"""Does a verifier not come back? Then it is interrupted, before everybody has waited for long.

All clients share the main thread, and a verifier that sleeps, loops or waits for a lock while it is
called holds all of them up. A thread looks at which call is in progress, and sends the main thread
a signal when that is the same for too long; the signal's handler raises ``Overdue`` in what runs
there. Should the call let no other thread run, a timer of the kernel's gives that one its turns.

A call is noted for exactly as long as it lasts, by functions that are themselves not interrupted:
nothing is ever raised in what the edge does.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from inspect import iscoroutine
from types import CodeType, FrameType, coroutine
from typing import Any, TypeVar

_NAP = 0.25  # seconds between two looks
_BLINK = 0.05  # the same while a call is in progress
_LOOKS = 5  # at the same call, before it is interrupted. Several: the process may have been stopped
_GENTLY = 2  # attempts that spare what it has called of Twisted and of the edge
_HOG = 0.3  # seconds of processor time for which nobody else has had a turn
_TURN = 0.001  # seconds for others
_BUSY = 0.25  # share of a processor

_OVERDUE = signal.SIGURG  # does nothing where nobody handles it, and hardly anybody does
_TIMER = signal.SIGVTALRM

_Function = TypeVar("_Function", bound=Callable[..., Any])
_noting: set[CodeType] = set()


class Overdue(BaseException):
    """Raised in a call that keeps everybody waiting.

    Attributes:
        busy: it used the processor.
        alone: it let no other thread run.
    """

    def __init__(self, *, busy: bool = False, alone: bool = False) -> None:
        super().__init__("it did not return, and everybody waited")
        self.busy = busy
        self.alone = alone


def noting(function: _Function) -> _Function:
    """Mark a function that sets ``Watch.running``: what it calls is watched, and not it itself."""
    _noting.add(function.__code__)
    return function


class Watch:
    """Looks whether calls end, in the main thread of the process.

    Calls are noted so, in a function that is ``noting``::

        before = watch.running
        watch.calls = watch.running = watch.calls + 1
        try:
            call()
        finally:
            watch.running = before

    Attributes:
        calls: how many there were.
        running: the number of the one in progress in the main thread, the innermost; 0 where
            there is none.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.running = 0
        self._users = 0
        self._over = threading.Event()
        self._suspect = 0  # the call to interrupt
        self._why = Overdue()
        self._attempts = 0

    def start(self) -> bool:
        """Begin, if this is the main thread; ``stop`` as often as this was True.

        Not before the process forks.
        """
        if threading.current_thread() is not threading.main_thread():
            return False
        self._users += 1
        if self._users == 1:
            # They stay, since a signal may be on its way when it is over.
            signal.signal(_OVERDUE, self._interrupt)
            signal.signal(_TIMER, self._interrupt)
            signal.setitimer(signal.ITIMER_VIRTUAL, _HOG, _HOG)
            self._over = threading.Event()
            args = self._over, threading.get_ident()
            threading.Thread(target=self._look, args=args, name="overdue", daemon=True).start()
        return True

    def stop(self) -> None:
        """End, once nobody needs it any more."""
        self._users -= 1
        if not self._users:
            self._over.set()
            signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)

    @coroutine
    def steps(self, answer: Awaitable[Any]) -> Generator[Any, Any, Any]:
        """What an awaitable comes to; each of its steps is a call."""
        inner = answer if iscoroutine(answer) else _awaited(answer)
        advance: Callable[[Any], Any] = inner.send
        value: Any = None
        while True:
            try:
                wanted = self._call(advance, value)
            except StopIteration as end:
                return end.value
            try:
                value = yield wanted
                advance = inner.send
            except BaseException as error:
                value, advance = error, inner.throw

    @noting
    def _call(self, advance: Callable[[Any], Any], value: Any) -> Any:
        before = self.running
        self.calls = self.running = self.calls + 1
        try:
            return advance(value)
        finally:
            self.running = before

    # -- in a thread of its own ------------------------------------------------------------

    def _look(self, over: threading.Event, main: int) -> None:
        seen = looks = 0
        first = last = 0.0
        while not over.wait(_BLINK if seen else _NAP):
            signal.setitimer(signal.ITIMER_VIRTUAL, _HOG, _HOG)
            used = _processor_time(main)
            if self.running != seen:
                seen, looks, first = self.running, 0, used
            elif seen:
                looks += 1
                alone = used - last > _HOG / 2  # the timer is no exact one
                if alone or looks % _LOOKS == 0:
                    busy = used - first > looks * _BLINK * _BUSY
                    self._send(seen, Overdue(busy=busy, alone=alone), main)
            last = used

    def _send(self, call: int, why: Overdue, main: int) -> None:
        if call != self._suspect:
            self._attempts = 0
        self._attempts += 1
        self._why, self._suspect = why, call
        signal.pthread_kill(main, _OVERDUE)

    # -- in the main thread, amid whatever it is doing -------------------------------------

    @noting
    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if number == _TIMER and self.running:
            time.sleep(_TURN)  # the thread has not looked, as it had no turn
        elif not self._users:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)  # which a last look has set again
        if not self.running or self.running != self._suspect or frame is None:
            return
        if frame.f_code in _noting:
            return  # the call has not begun, or is over, and this will be noted next
        if self._attempts <= _GENTLY and not self._why.alone and _is_elsewhere(frame):
            return
        raise self._why


async def _awaited(answer: Awaitable[Any]) -> Any:
    return await answer


def _processor_time(thread: int) -> float:
    """Seconds that a thread that lives has used."""
    return time.clock_gettime(time.pthread_getcpuclockid(thread))


def _is_elsewhere(frame: FrameType | None) -> bool:
    """Whether what was called has called something that may only look as if it hung.

    The reactor, what the edge lends, or the handler of another signal.
    """
    while frame is not None and frame.f_code not in _noting:
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith(("twisted.", "mtlsedge.")):
            return not module.startswith("twisted.plugins.")
        frame = frame.f_back
    return False

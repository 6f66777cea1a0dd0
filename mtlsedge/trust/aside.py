"""How is a verifier asked that does not come back by itself? In a thread, where nobody else waits.

A thread cannot be ended from outside: it can be told, and then ends when it next runs Python. Until
then it counts, so that those who ask again and again do not fill the process with threads.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

_SHORT_TURN = 0.0001
"""Seconds that a thread may keep the interpreter to itself while there is any of these. With the
usual five milliseconds, after each call of the system, one that loops makes everybody else slow."""


@dataclass(frozen=True, slots=True)
class Returned:
    """What a call returned, whatever that is: a Deferred, too."""

    value: object


class _Ended(SystemExit):
    """Raised in a thread that is told to end; a thread that ends so leaves no traceback."""


class Aside:
    """One call, in a thread of its own.

    Args:
        reactor: gets the answer.
        call: what to call.
        lingers: told True when nobody waits for the answer any more, and the thread is told to
            end; False when it then has.

    Attributes:
        answer: what the call returned, as ``Returned``, or raised. Cancel it where nobody
            needs it.

    Raises:
        RuntimeError: there can be no more threads.
    """

    def __init__(
        self,
        reactor: IReactorFromThreads,
        call: Callable[[], object],
        lingers: Callable[[bool], None],
    ) -> None:
        self.answer: Deferred[Returned] = Deferred(self._end)
        self._reactor = reactor
        self._call: Callable[[], object] | None = call
        self._lingers = lingers
        self._begun = self._told = self._over = False
        self._let_go = threading.Lock()
        self._let_go.acquire()
        self._thread = threading.Thread(target=self._run, name="verifier", daemon=True)
        self._thread.start()
        _turns.more()

    # -- in its thread ---------------------------------------------------------------------

    def _run(self) -> None:
        # It stays until it was heard, so that who is told to end is there. That strikes once, and
        # anywhere in here.
        while not self._over:
            try:
                outcome = self._outcome()
                self._reactor.callFromThread(self._heard, outcome)
                self._let_go.acquire()
            except _Ended:
                continue

    def _outcome(self) -> Returned | Failure:
        call, self._call = self._call, None
        self._begun = True
        if call is None or self._told:
            return Returned(None)  # nobody wants to know
        try:
            return Returned(call())
        except BaseException as error:
            return Failure(error)

    # -- in the reactor's ------------------------------------------------------------------

    def _heard(self, outcome: Returned | Failure) -> None:
        if self._over:
            return
        self._over = True
        self._let_go.release()
        _turns.fewer()
        if not self._told:
            self.answer.callback(outcome)
            return
        self._lingers(False)
        if isinstance(outcome, Returned) and isinstance(outcome.value, Deferred):
            outcome.value.addErrback(lambda _: None).cancel()

    def _end(self, _: object) -> None:
        self._told = True
        self._lingers(True)
        if self._begun:
            ident = ctypes.c_ulong(self._thread.ident or 0)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(_Ended))


class _Turns:
    """How long any thread has the interpreter to itself: less while there are these."""

    def __init__(self) -> None:
        self._threads = 0
        self._usual = 0.0

    def more(self) -> None:
        """A thread has begun."""
        if not self._threads:
            self._usual = sys.getswitchinterval()
            sys.setswitchinterval(_SHORT_TURN)
        self._threads += 1

    def fewer(self) -> None:
        """One has ended."""
        self._threads -= 1
        if not self._threads:
            sys.setswitchinterval(self._usual)


_turns = _Turns()

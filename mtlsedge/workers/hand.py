"""What does the parent know of one worker? From its fork to its exit status."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

from twisted.logger import Logger

from mtlsedge.workers.channel import Channel, Message
from mtlsedge.workers.forking import Work, fork_worker
from mtlsedge.workers.logs import repeat

_log = Logger()

_REAP_EVERY = 0.005  # seconds
_LONGEST_KEY = 100


class Overseer(Protocol):
    """Whoever is told what becomes of a worker."""

    def ready(self, hand: Hand) -> None:
        """It serves."""

    def answered(self, hand: Hand, number: int, objection: str | None) -> None:
        """It has carried out an order, or says why it did not."""

    def noticed(self, key: str, text: str) -> None:
        """It has seen what is to be logged once, whichever worker sees it."""

    def gone(self, hand: Hand) -> None:
        """It has ended, and ``status`` says how."""


class Hand:
    """One worker process.

    Attributes:
        number: its place among the workers, from 0.
        pid: its process id; it stays ours for as long as ``status`` is None.
        served_since: seconds on the reactor's clock; None before it serves.
        status: the exit status, or the negative number of the signal that ended it.
        silent: orders since it last answered one.
    """

    def __init__(self, number: int, work: Work, reactor: Any, overseer: Overseer) -> None:
        """Fork.

        Raises:
            OSError: there is no memory, no descriptor or no process left.
        """
        self.number = number
        self.served_since: float | None = None
        self.status: int | None = None
        self.silent = 0
        self._reactor = reactor
        self._overseer = overseer
        self.pid, sock = fork_worker(work)
        self._channel = Channel(sock, reactor, self._heard, self._reap, takes_files=False)

    def send(self, message: Message, files: Sequence[int] = ()) -> None:
        """Tell it something. One that cannot be told is ended, and its successor knows."""
        try:
            self._channel.send(message, files)
        except OSError as error:  # no descriptor is left to send
            _log.error(
                "worker {number} cannot be told to {kind} and is killed: {error}",
                number=self.number,
                kind=message["type"],
                error=error,
            )
            self.kill()

    def leave(self, kind: str) -> None:
        """Tell it to end, in one way or another."""
        self.send({"type": kind})

    def kill(self) -> None:
        """End it, whatever it is doing."""
        if self.status is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def abandon(self) -> None:
        """In another worker, which was just forked: this end is the parent's alone."""
        self._channel.abandon()

    def how_it_ended(self) -> str:
        """In words, for the log."""
        status = self.status or 0
        if status >= 0:
            return f"ended with status {status}"
        try:
            return f"was ended by {signal.Signals(-status).name}"
        except ValueError:
            return f"was ended by signal {-status}"

    def _heard(self, message: Message, files: list[int]) -> None:
        kind = message.get("type")
        if kind == "log":
            repeat(self.number, message)
        elif kind == "notice":
            self._overseer.noticed(str(message.get("key"))[:_LONGEST_KEY], str(message.get("text")))
        elif kind == "ready" and self.served_since is None:
            self.served_since = self._reactor.seconds()
            self._overseer.ready(self)
        elif kind in ("done", "failed") and isinstance(number := message.get("number"), int):
            self.silent = 0
            objection = str(message.get("why")) if kind == "failed" else None
            self._overseer.answered(self, number, objection)

    def _reap(self) -> None:
        """Its end of the channel is closed, as happens on the way out of a process."""
        self.kill()
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:  # somebody in this process reaped what was not theirs
            pid, status = self.pid, 0
        if not pid:
            self._reactor.callLater(_REAP_EVERY, self._reap)
            return
        self.status = os.waitstatus_to_exitcode(status)
        self._overseer.gone(self)

"""What does a worker do when it is told? It carries out an order, and says what came of it.

An order is a message with a type; where it has a number the parent waits for the answer. The
parent is whom the worker was forked from, so its word counts without question.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger, globalLogPublisher
from twisted.python.failure import Failure

from mtlsedge.errors import EdgeError
from mtlsedge.workers.channel import Channel, Message
from mtlsedge.workers.logs import LogTeller
from mtlsedge.workers.payload import unpack

_log = Logger()

_LAST_WORDS = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class Order:
    """What the parent wants.

    Attributes:
        message: its fields.
        files: descriptors that came with it. They are closed when its handler returns.
    """

    message: Message
    files: list[int]

    def payload(self) -> bytes:
        """What was too large for the message.

        Raises:
            EdgeError: it did not arrive.
        """
        if not self.files:
            raise EdgeError("no descriptor is left for what the parent sent")
        return unpack(self.files[0])


Handler = Callable[[Order], Any]
"""Carries out an order: returning, or the Deferred it returns, says that it is done."""


class Orders:
    """The worker's end of its channel.

    Args:
        sock: what ``fork_worker`` gave.
        reactor: the worker's own.
        parent_gone: called when the parent is no more.
    """

    def __init__(
        self, sock: socket.socket, reactor: Any, parent_gone: Callable[[], object]
    ) -> None:
        self._handlers: Mapping[str, Handler] = {}
        self._parent_gone = parent_gone
        self._channel = Channel(sock, reactor, self._heard, self._lost, takes_files=True)
        self._teller = LogTeller(self._channel)
        globalLogPublisher.addObserver(self._teller)

    def ready(self, handlers: Mapping[str, Handler]) -> None:
        """Say that work has begun, and by what orders it goes on, by their types."""
        self._handlers = handlers
        self._channel.send({"type": "ready"})

    def notice(self, key: str, text: str) -> None:
        """Tell the parent what it is to log once, whichever worker tells it first."""
        with suppress(OSError):  # no client is refused for want of a line in the log
            self._channel.send({"type": "notice", "key": key, "text": text})

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """Tell the parent's log nothing, of what the parent itself has told there."""
        globalLogPublisher.removeObserver(self._teller)
        try:
            yield
        finally:
            globalLogPublisher.addObserver(self._teller)

    def close(self) -> None:
        """Say what is still to be said; the process ends now."""
        self._channel.flush(_LAST_WORDS)

    def _heard(self, message: Message, files: list[int]) -> None:
        handler = self._handlers.get(message["type"])
        if handler is None:
            handler = _unknown
        done = maybeDeferred(handler, Order(message, files))
        for each in files:
            os.close(each)
        number = message.get("number")
        done.addCallbacks(partial(self._done, number), partial(self._failed, number))

    def _done(self, number: int | None, _: object) -> None:
        if number is not None:
            self._channel.send({"type": "done", "number": number})

    def _failed(self, number: int | None, failure: Failure) -> None:
        if not failure.check(EdgeError):
            _log.failure("an order failed", failure=failure)
        if number is not None:
            why = failure.getErrorMessage()[:1000]
            self._channel.send({"type": "failed", "number": number, "why": why})

    def _lost(self) -> None:
        globalLogPublisher.removeObserver(self._teller)
        self._parent_gone()


def _unknown(order: Order) -> None:
    raise LookupError(f"no order is called {order.message['type']!r}")

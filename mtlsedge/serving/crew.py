"""What are workers told? The parent of an edge's workers, which binds, reads and tells them.

Whatever is told is in force in the parent first, so that a worker that is forked later has it.
"""

from __future__ import annotations

import os
import pickle
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from mtlsedge.serving.lasting import Lasting
from mtlsedge.serving.listening import Change, Listeners
from mtlsedge.serving.notices import Tell
from mtlsedge.serving.process import Serving
from mtlsedge.serving.share import Share
from mtlsedge.serving.worker import LISTEN, LISTS, QUIT, RELOAD, REOPEN, Estate, work_of
from mtlsedge.workers.forking import Work
from mtlsedge.workers.payload import pack
from mtlsedge.workers.supervisor import DRAIN, Supervisor

_log = Logger()

_PATIENCE = 60.0  # seconds; a million revoked serials take some
_MARGIN = 5.0  # seconds that a worker may take to end, once its connections have


class Crew:
    """The workers of an edge.

    Args:
        number: of workers.
        reactor: the parent's.
        lasting: the keys, which workers inherit.
        listeners: the addresses, on which workers accept.
        serving: what the parent has built, to hold it against errors and to be inherited.
        notice: told what workers have seen, under a key that is the same in all of them.
    """

    def __init__(
        self,
        number: int,
        reactor: Any,
        lasting: Lasting,
        listeners: Listeners,
        serving: Serving,
        notice: Tell,
    ) -> None:
        self._number = number
        self._reactor = reactor
        self._lasting = lasting
        self._listeners = listeners
        self._serving = serving
        self._supervisor = Supervisor(reactor, number, self._work, self._drain_time, notice)

    def start(self) -> Deferred[None]:
        """Fork the workers. Fires when all of them serve."""
        return self._supervisor.start()

    def reload(self, change: Change) -> Deferred[None]:
        """Hand on what the parent has adopted. Fires when no worker is left that was not told."""
        self._supervisor.try_again()
        try:
            data = pickle.dumps(self._serving.configuration, pickle.HIGHEST_PROTOCOL)
            memory = pack(data)
        except (OSError, MemoryError) as error:
            _log.error("the workers cannot be told, and are replaced: {error}", error=error)
            self._supervisor.replace_all()
            return succeed(None)
        try:
            for each in change.opened:
                self._supervisor.tell(LISTEN, [each.port.fileno()], listener=each.number)
            return self._supervisor.order(
                RELOAD,
                [memory],
                listeners=[each.number for each in change.after],
                patience=_PATIENCE,
            )
        finally:
            os.close(memory)

    def replace_lists(self, place: str, data: bytes) -> Deferred[None]:
        """Hand on what a place of revocation lists holds now. Fires when every worker has it."""
        try:
            memory = pack(data)
        except (OSError, MemoryError) as error:
            _log.error("the workers cannot be told, and are replaced: {error}", error=error)
            self._supervisor.replace_all()
            return succeed(None)
        try:
            self._supervisor.tell_leaving(LISTS, [memory], place=place)
            return self._supervisor.order(LISTS, [memory], patience=_PATIENCE, place=place)
        finally:
            os.close(memory)

    def reopen(self) -> None:
        """Tell all workers that somebody renamed the access log."""
        self._supervisor.tell(REOPEN)
        self._supervisor.tell_leaving(REOPEN)  # what they finish is logged, too

    def stop(self, patience: float) -> Deferred[Any]:
        """End all workers, with so many seconds for what is under way; 0 cuts it."""
        kind = DRAIN if patience > 0 else QUIT
        return self._supervisor.stop(kind, patience + _MARGIN)

    def _drain_time(self) -> float:
        return self._serving.configuration.edge.timeouts.drain + _MARGIN

    def _work(self, place: int) -> Work:
        estate = Estate(
            Share(place, self._number),
            self._reactor,
            self._lasting,
            self._listeners,
            self._serving,
            self._supervisor.hands(),
        )
        return work_of(estate)

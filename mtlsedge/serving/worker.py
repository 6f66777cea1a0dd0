"""What does a worker do, from its fork to its end? It serves, and does as it is told."""

from __future__ import annotations

import os
import pickle
import signal
import socket
from dataclasses import dataclass
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from mtlsedge.errors import EdgeError
from mtlsedge.model import Configuration, Listen
from mtlsedge.ops.polling import poll_plainly
from mtlsedge.serving.lasting import Lasting
from mtlsedge.serving.listening import Listeners
from mtlsedge.serving.process import Serving, spare_the_collector
from mtlsedge.serving.share import Share
from mtlsedge.tls.port import TLSPort, open_port
from mtlsedge.workers.forking import Work, fresh_reactor
from mtlsedge.workers.hand import Hand
from mtlsedge.workers.orders import Order, Orders
from mtlsedge.workers.supervisor import ALIVE, DRAIN

_log = Logger()

# Clients accepted before those that are here get their turn. Accepting is so cheap beside a
# handshake that a worker that took more would have taken a whole crowd before another woke up.
# All idle workers wake for a client (30 us each): with EPOLLEXCLUSIVE one would, but it is nearly
# always the same, which then has most of the connections that stay.
_AT_ONCE = 1

LISTEN = "listen"
"""The order to remember a listening socket, for the reload that comes next."""
RELOAD = "reload"
"""The order to serve another configuration, at these listeners."""
REOPEN = "reopen"
"""The order to open the access log anew."""
LISTS = "lists"
"""The order to take what a place of revocation lists holds now."""
QUIT = "quit"
"""The order to end at once."""


@dataclass(frozen=True, slots=True)
class Estate:
    """What a worker inherits: the parent's things, in its own copy of the memory.

    Attributes:
        share: its place among the workers.
        reactor: the parent's, which is none of its business any more.
        lasting: the keys.
        listeners: the sockets on which it accepts.
        serving: has the configuration. It keeps alive what was built for it and can be shared.
        siblings: other workers, as the parent knows them.
    """

    share: Share
    reactor: Any
    lasting: Lasting
    listeners: Listeners
    serving: Serving
    siblings: tuple[Hand, ...]


def work_of(estate: Estate) -> Work:
    """What the next worker is to do."""
    return partial(_work, estate)


def _work(estate: Estate, sock: socket.socket) -> int:
    for sibling in estate.siblings:
        sibling.abandon()
    reactor = fresh_reactor(estate.reactor)
    poll_plainly(reactor)
    worker = _Worker(estate, sock, reactor)
    try:
        worker.begin()
    except (EdgeError, OSError) as error:
        _log.error("this worker cannot start: {error}", error=error)
        worker.orders.close()
        return 1
    spare_the_collector(inherited=True)
    reactor.callWhenRunning(signal.signal, signal.SIGTERM, worker.terminated)
    reactor.run()
    worker.orders.close()
    return 0


class _Worker:
    """One worker, while it lives."""

    def __init__(self, estate: Estate, sock: socket.socket, reactor: Any) -> None:
        self.orders = Orders(sock, reactor, self._drain)
        self._estate = estate
        self._reactor = reactor
        self._ports: dict[int, TLSPort] = {}
        self._stopping = False
        self._announced: dict[int, int] = {}  # descriptors by listener
        self._factory = Factory.forProtocol(lambda: self._serving.build_connection())
        self._factory.noisy = False
        self._serving: Serving

    def begin(self) -> None:
        """Build what the parent has built, for this process's own reactor, and serve.

        Raises:
            EdgeError: something that the configuration names cannot be used any more.
            OSError: no descriptor is left.
        """
        estate = self._estate
        inherited = estate.serving
        inherited.access_log.close()
        self._serving = Serving(
            inherited.configuration,
            self._reactor,
            estate.lasting,
            estate.share,
            tell=self.orders.notice,
        )
        for each in estate.listeners.all:
            self._open(each.number, each.port.fileno())
            each.port.socket.close()
        self._serving.start(list(self._ports.values()))
        self.orders.ready(
            {
                LISTEN: self._listen,
                RELOAD: self._reload,
                LISTS: self._replace_lists,
                ALIVE: lambda order: None,
                REOPEN: lambda order: self._serving.access_log.reopen(),
                DRAIN: lambda order: self._drain(),
                QUIT: lambda order: self._stop(0.0),
            }
        )

    def terminated(self, *_: object) -> None:
        """SIGTERM, sent to this worker by itself: it finishes, and the parent replaces it."""
        self._reactor.callFromThread(self._drain)

    def _listen(self, order: Order) -> None:
        # Not accepted from before the configuration is there that it belongs to.
        if order.files:  # without, the reload that follows finds it missing
            self._announced[order.message["listener"]] = os.dup(order.files[0])

    def _open(self, number: int, descriptor: int) -> None:
        listen = Listen(descriptor=descriptor)
        with self.orders.quietly():
            port = open_port(self._reactor, listen, self._factory, 0)
        port.noisy = False
        port.at_once = _AT_ONCE
        self._ports[number] = port

    def _reload(self, order: Order) -> None:
        configuration: Configuration = pickle.loads(order.payload())  # noqa: S301  # the parent's
        prepared = self._serving.prepare(configuration)
        for number, descriptor in self._announced.items():
            self._open(number, descriptor)
            os.close(descriptor)
        self._announced.clear()
        wanted = set(order.message["listeners"])
        if wanted - self._ports.keys():
            raise EdgeError("a listening socket did not arrive from the parent")
        for number in self._ports.keys() - wanted:
            self._ports.pop(number).stopListening()
        self._serving.adopt(prepared, list(self._ports.values()))
        spare_the_collector()

    def _replace_lists(self, order: Order) -> Deferred[str]:
        # What is wrong with them the parent has found, too, and said.
        place, data = order.message["place"], order.payload()
        return Deferred.fromCoroutine(self._serving.lists.replace(place, data, quiet=True))

    def _drain(self) -> None:
        self._stop(self._serving.configuration.edge.timeouts.drain)

    def _stop(self, patience: float) -> None:
        stopped: Deferred[Any] = self._serving.stop(patience)
        if not self._stopping:
            self._stopping = True
            stopped.addBoth(lambda _: self._reactor.stop())

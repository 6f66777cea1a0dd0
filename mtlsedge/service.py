"""What runs under twistd? The edge as a service: bind, serve, reload, stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from twisted.application import service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError, ReactorNotRunning
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from mtlsedge.errors import ConfigurationError, EdgeError
from mtlsedge.model import Configuration, Listen
from mtlsedge.ops.descriptors import use_every_descriptor
from mtlsedge.ops.notify import Notifier
from mtlsedge.ops.polling import poll_plainly
from mtlsedge.ops.signals import on_ending, on_signal
from mtlsedge.serving.crew import Crew
from mtlsedge.serving.health import Health
from mtlsedge.serving.lasting import open_lasting
from mtlsedge.serving.listening import Change, Listeners
from mtlsedge.serving.notices import ClientNotices
from mtlsedge.serving.process import Prepared, Serving, spare_the_collector
from mtlsedge.serving.rereading import Rereading
from mtlsedge.serving.share import worker_count
from mtlsedge.serving.sources import Sources, store_of, with_kept
from mtlsedge.tls.port import TLSPort, open_port

_log = Logger()

_AT_START_ONLY = ("state", "access_log", "key_rotation", "workers")


@contextmanager
def _or_exit(foreground: bool) -> Iterator[None]:
    """Say what stands in the way, without a traceback, and end the process.

    A daemon's parent waits for word from it, which twistd sends only of an ``Exception``.
    """
    try:
        yield
    except (EdgeError, CannotListenError, OSError) as error:
        _log.critical("mtlsedge cannot start: {error}", error=error)
        if not foreground:
            raise
        raise SystemExit(1) from None


class EdgeService(service.Service):
    """The edge: one process that serves, or the parent of several.

    Args:
        configuration: what the operator wants.
        reactor: where sockets and timers live.
        read: reads the configuration anew and gives it this generation number.
        now: the wall clock, in seconds since the epoch.
        foreground: nobody waits for word from a daemon.
        notifier: tells the service manager.
    """

    name = "mtlsedge"

    def __init__(
        self,
        configuration: Configuration,
        reactor: Any,
        read: Callable[[int], Configuration],
        now: Callable[[], float] = time.time,
        *,
        foreground: bool = True,
        notifier: Notifier | None = None,
    ) -> None:
        self._configuration = configuration
        self._reactor = reactor
        self._read = read
        self._now = now
        self._foreground = foreground
        self._notifier = notifier or Notifier({})
        self._workers = worker_count(configuration.edge.workers)
        self._listeners = Listeners(self._bind)
        self._factory = Factory.forProtocol(lambda: self._serving.build_connection())
        self._factory.noisy = False
        self._serving: Serving
        self._sources: Sources
        self._health: Health
        self._crew: Crew | None = None
        self._rereading = Rereading(
            reactor if self._workers == 1 else None,
            self._read_again,
            self._reload,
            self._not_reloaded,
        )
        self._at_once = False

    def privilegedStartService(self) -> None:
        """Bind what only root may bind; nothing is accepted before the reactor runs.

        Raises:
            SystemExit: an address is taken or not ours; the log says which.
        """
        use_every_descriptor()
        with _or_exit(self._foreground):
            listens = self._configuration.edge.listen
            self._listeners.carry_out(self._listeners.change_to(listens))

    def startService(self) -> None:
        """Build everything and serve, as the user that privileges were dropped to.

        The edge's keys and its access log are opened only now: they belong to that user.
        Workers are forked when the reactor runs, and the daemon's parent has had its word.

        Raises:
            SystemExit: something that the configuration names cannot be used; the log says what.
        """
        super().startService()
        if not self._listeners.all:
            self.privilegedStartService()
        with _or_exit(self._foreground):
            lasting = open_lasting(self._configuration, self._now, self._workers)
            store = store_of(self._configuration)
            known = with_kept(self._configuration, store)
            alone = self._workers == 1
            self._serving = Serving(known, self._reactor, lasting, alone=alone)
        self._sources = Sources(
            self._reactor, store, self._replace_lists, self._serving.lists.complain
        )
        if not alone:
            self._crew = Crew(
                self._workers,
                self._reactor,
                lasting,
                self._listeners,
                self._serving,
                ClientNotices(self._now).tell,
            )
        self._warn()
        self._health = Health(self._serving, self._sources.errors, self._reactor, self._now)
        self._health.start()
        self._serving.start(self._own_ports())
        spare_the_collector()
        poll_plainly(self._reactor)
        self._reactor.callWhenRunning(self._run)

    def reload(self) -> None:
        """Read the configuration again and serve it; a bad one changes nothing.

        Everything new is built beside the old before anything is replaced. New connections
        meet the new at once, open ones with their next request. The log says what became of it,
        and when every worker has it.
        """
        if self.running:
            self._notifier.reloading()
            self._rereading.ask()

    def stopService(self) -> Deferred[Any]:
        """Stop accepting, let what is under way finish, then close."""
        super().stopService()
        self._notifier.stopping()
        if self._crew is not None:
            for port in self._listeners.ports:
                port.stopListening()
        return self._stop(0.0 if self._at_once else self._configuration.edge.timeouts.drain)

    def stop_now(self) -> None:
        """End the process; what is under way is cut."""
        self._at_once = True
        if self.running:
            with suppress(ReactorNotRunning):  # it is about to stop
                self._reactor.stop()
        else:
            self._stop(0.0)

    # --

    def _run(self) -> None:
        """The reactor runs."""
        on_signal(self._reactor, signal.SIGHUP, self.reload)
        on_signal(self._reactor, signal.SIGUSR1, self._reopen)
        on_ending(self._reactor, self.stop_now)
        if self._notifier.watched:
            watched = LoopingCall(self._notifier.alive)
            watched.clock = self._reactor
            watched.start(self._notifier.watched / 3)
        started = succeed(None) if self._crew is None else self._crew.start()
        # Behind the fork: no worker is to inherit a connection to where lists are.
        self._sources.follow(self._serving.configuration)
        started.addCallback(self._in_force, self._configuration.generation)

    def _in_force(self, _: object, generation: int) -> None:
        _log.info("serving generation {number}", number=generation)
        self._notifier.ready()

    def _read_again(self) -> Configuration:
        configuration = self._read(self._configuration.generation + 1)
        return with_kept(configuration, store_of(self._configuration))

    def _not_reloaded(self, failure: Failure) -> None:
        if isinstance(failure.value, ConfigurationError):
            for problem in failure.value.problems:
                _log.error("not reloaded: {problem}", problem=problem)
        else:
            _log.failure("not reloaded; the configuration that was there serves on", failure)
        self._notifier.ready()

    def _reload(self, configuration: Configuration) -> None:
        if not self.running:
            return  # it ends
        prepared = self._serving.prepare(configuration)
        change = self._listeners.change_in_reload(configuration.edge.listen)
        self._warn_of_restart(configuration)
        self._configuration = configuration
        try:
            self._put_in_force(prepared, change)
        except Exception:  # of the edge's own: nothing is left that an operator may have written
            number = configuration.generation
            _log.failure("generation {number} is in force in part; restart the edge", number=number)
        # Also then: no worker is to serve by what this process has left.
        told = succeed(None) if self._crew is None else self._crew.reload(change)
        told.addCallback(self._in_force, configuration.generation)

    def _put_in_force(self, prepared: Prepared, change: Change) -> None:
        self._listeners.carry_out(change)
        self._serving.adopt(prepared, self._own_ports())
        self._sources.follow(prepared.configuration)
        self._warn()
        self._health.renew()
        spare_the_collector()

    def _replace_lists(self, place: str, data: bytes) -> Deferred[str]:
        """Have every process take what a place of revocation lists holds now."""
        # Workers first: they serve, and what waits for this one is only who is forked from it.
        told = None if self._crew is None else self._crew.replace_lists(place, data)
        replaced = Deferred.fromCoroutine(self._serving.lists.replace(place, data))
        if told is None:
            return replaced
        return replaced.addCallback(lambda objection: told.addCallback(lambda _: objection))

    def _reopen(self) -> None:
        self._serving.access_log.reopen()
        if self._crew is not None:
            self._crew.reopen()

    def _stop(self, patience: float) -> Deferred[Any]:
        self._health.stop()
        stopped = self._serving.stop(patience)
        if self._crew is not None:
            stopped = self._crew.stop(patience)
        return stopped.addBoth(self._stopped)

    def _stopped(self, result: Any) -> Any:
        self._sources.stop()  # until now: what others still finish may be revoked
        return result

    def _bind(self, listen: Listen) -> TLSPort:
        port = open_port(
            self._reactor, listen, self._factory, self._configuration.edge.limits.connections
        )
        if self._workers > 1:
            port.lend()
        return port

    def _own_ports(self) -> list[TLSPort]:
        """Those at which this process accepts."""
        return [] if self._crew is not None else self._listeners.ports

    def _warn_of_restart(self, configuration: Configuration) -> None:
        for name in _AT_START_ONLY:
            if getattr(configuration.edge, name) != getattr(self._configuration.edge, name):
                _log.warn("edge.{name} changed, which takes a restart", name=name)

    def _warn(self) -> None:
        if self._configuration.edge.admin:
            where = self._configuration.edge.admin
            _log.warn("admin = {where!r}: this release serves no metrics", where=where)
        for warning in self._configuration.warnings:
            _log.warn("{warning}", warning=warning)

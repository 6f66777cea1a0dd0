"""What runs? The life of one edge process: bind, serve, drain."""

from __future__ import annotations

import gc
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from twisted.application import service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from mtlsedge import model
from mtlsedge.assembly import Assembled, Now, Surroundings, assemble
from mtlsedge.errors import ConfigurationError, EdgeError, Problem
from mtlsedge.http.access import AccessTokens
from mtlsedge.http.server import HTTPConnection
from mtlsedge.http.site import Crowd
from mtlsedge.ops.accesslog import (
    AccessLog,
    certificate_fragment,
    client_fragment,
    handshake_failure_line,
    tls_fragment,
)
from mtlsedge.ops.deadlines import Deadlines
from mtlsedge.ops.polling import poll_plainly
from mtlsedge.ops.signals import on_signal
from mtlsedge.session.keys import KeyRing
from mtlsedge.session.tokens import TokenIssuer
from mtlsedge.tls.facts import HandshakeFailure
from mtlsedge.tls.port import TLSPort, open_port

_log = Logger()

_ROTATION_CHECK = 60.0  # seconds
_SESSION_MARGIN = 86400.0  # seconds that an old key outlives the longest session it signed


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


def _spare_the_collector() -> None:
    """Keep the garbage collector from looking at what lives as long as the process.

    Connections leave no cycles behind, so it has little to find; at its default thresholds
    it took a tenth of a handshake.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


class EdgeService(service.Service):
    """The edge, serving one configuration.

    Args:
        configuration: what the operator wants.
        reactor: where sockets and timers live.
        read: reads the configuration anew and gives it this generation number.
        now: the wall clock, in seconds since the epoch.
        foreground: nobody waits for word from a daemon.
    """

    name = "mtlsedge"

    def __init__(
        self,
        configuration: model.Configuration,
        reactor: Any,
        read: Callable[[int], model.Configuration],
        now: Now = time.time,
        *,
        foreground: bool = True,
    ) -> None:
        self._foreground = foreground
        self._configuration = configuration
        self._reactor = reactor
        self._read = read
        self._now = now
        self._ports: list[TLSPort] = []
        self._factory = Factory.forProtocol(lambda: HTTPConnection(self._assembled.front))
        self._factory.noisy = False
        self._access_log: AccessLog
        self._around: Surroundings
        self._assembled: Assembled
        self._rotation: LoopingCall

    def privilegedStartService(self) -> None:
        """Bind what only root may bind; nothing is accepted before the reactor runs.

        Raises:
            SystemExit: an address is taken or not ours; the log says which.
        """
        edge = self._configuration.edge
        with _or_exit(self._foreground):
            for listen in edge.listen:
                port = open_port(self._reactor, listen, self._factory, edge.limits.connections)
                self._ports.append(port)

    def startService(self) -> None:
        """Build everything and serve, as the user that privileges were dropped to.

        The edge's keys and its access log are opened only now: they belong to that user.

        Raises:
            SystemExit: something that the configuration names cannot be used; the log says what.
        """
        super().startService()
        if not self._ports:
            self.privilegedStartService()
        with _or_exit(self._foreground):
            self._assembled = self._assemble()
        self._warn()
        for port in self._ports:
            port.terminator = self._assembled.terminator
            self._tell_port(port)
        _spare_the_collector()
        poll_plainly(self._reactor)
        self._rotation.clock = self._reactor
        self._rotation.start(_ROTATION_CHECK, now=False)
        on_signal(self._reactor, signal.SIGHUP, self.reload)
        on_signal(self._reactor, signal.SIGUSR1, self._access_log.reopen)
        _log.info("serving generation 1")

    def reload(self) -> bool:
        """Read the configuration again and serve it; a bad one changes nothing.

        Everything new is built beside the old before anything is replaced. New connections
        meet the new at once, open ones with their next request. Whether it was done.
        """
        try:
            configuration = self._read(self._configuration.generation + 1)
            assembled = assemble(configuration, self._around)
            self._bind_as(configuration)
        except ConfigurationError as error:
            for problem in error.problems:
                _log.error("not reloaded: {problem}", problem=problem)
            return False
        except Exception:
            _log.failure("not reloaded; the configuration that was there serves on")
            return False
        earlier, self._assembled = self._assembled, assembled
        for port in self._ports:
            port.terminator = assembled.terminator
            port.limit = configuration.edge.limits.connections
        earlier.front.retire(assembled.front)
        self._warn_of_restart(configuration)
        self._configuration = configuration
        self._warn()
        _spare_the_collector()
        _log.info("serving generation {number}", number=configuration.generation)
        return True

    def _bind_as(self, configuration: model.Configuration) -> None:
        """Listen where the new configuration says; what cannot be bound leaves all as it was."""
        limit = configuration.edge.limits.connections
        # Not by dictionary: "127.0.0.1:0" may stand twice, for two ports.
        left = list(zip(self._configuration.edge.listen, self._ports, strict=True))
        ports: list[TLSPort] = []
        opened: list[TLSPort] = []
        try:
            for listen in configuration.edge.listen:
                kept = next((pair for pair in left if pair[0] == listen), None)
                if kept is not None:
                    left.remove(kept)
                    ports.append(kept[1])
                else:
                    opened.append(open_port(self._reactor, listen, self._factory, limit))
                    ports.append(opened[-1])
        except (CannotListenError, OSError) as error:
            for port in opened:
                port.stopListening()
            raise ConfigurationError((Problem("edge.listen", str(error)),)) from error
        for _, port in left:
            port.stopListening()
        self._ports = ports
        for port in opened:
            self._tell_port(port)

    def _warn_of_restart(self, configuration: model.Configuration) -> None:
        for name in ("state", "access_log", "key_rotation"):
            if getattr(configuration.edge, name) != getattr(self._configuration.edge, name):
                _log.warn("edge.{name} changed, which takes a restart", name=name)

    def _tell_port(self, port: TLSPort) -> None:
        here = port.getHost()
        _log.info("listening on {host} port {port}", host=here.host, port=here.port)

    def _assemble(self) -> Assembled:
        configuration = self._configuration
        ring = self._open_ring()
        self._access_log = AccessLog(configuration.edge.access_log, self._reactor)
        self._around = Surroundings(
            self._reactor,
            self._now,
            Deadlines(self._reactor),
            AccessTokens(ring, TokenIssuer(ring, self._now), self._now),
            self._access_log,
            Crowd(),
            self._handshake_failed,
        )
        self._rotation = LoopingCall(ring.rotate_if_due)
        return assemble(configuration, self._around)

    def stopService(self) -> Deferred[Any]:
        """Stop accepting, let what is under way finish, then close."""
        super().stopService()
        if self._rotation.running:
            self._rotation.stop()
        stopped = [maybeDeferred(port.stopListening) for port in self._ports]
        self._ports.clear()
        self._around.crowd.drain()
        timeout = self._configuration.edge.timeouts.drain
        drained = self._wait_for_connections(self._reactor.seconds() + timeout)
        done: Deferred[Any] = gatherResults([*stopped, drained])
        done.addBoth(self._close)
        return done

    def _wait_for_connections(self, until: float) -> Deferred[Any]:
        waiting: Deferred[Any] = Deferred()

        def look() -> None:
            if not self._around.crowd.connections or self._reactor.seconds() >= until:
                waiting.callback(None)
            else:
                self._reactor.callLater(0.05, look)

        look()
        return waiting

    def _close(self, result: Any) -> Any:
        self._around.crowd.stop()
        for site in self._assembled.front.sites.values():
            site.origins.close()
        self._access_log.close()
        return result

    def _open_ring(self) -> KeyRing:
        configuration = self._configuration
        longest = max((app.session_duration for app in configuration.applications), default=0.0)
        edge = configuration.edge
        return KeyRing.open(edge.state, self._now, edge.key_rotation, longest + _SESSION_MARGIN)

    def _warn(self) -> None:
        edge = self._configuration.edge
        if edge.workers != 1:
            _log.warn("workers = {n}: this release serves with one process", n=edge.workers)
        if edge.admin:
            _log.warn("admin = {where!r}: this release serves no metrics", where=edge.admin)
        for warning in self._configuration.warnings:
            _log.warn("{warning}", warning=warning)
        for trust in self._assembled.trusts:
            for trouble in trust.troubles():
                _log.warn("{trouble}", trouble=trouble)

    def _handshake_failed(self, failure: HandshakeFailure) -> None:
        facts = failure.facts
        if self._access_log.enabled:
            self._access_log.write(
                handshake_failure_line(
                    time=self._now(),
                    client=client_fragment(failure.client, failure.port),
                    server_name=failure.server_name,
                    reason=failure.reason,
                    cert=certificate_fragment(failure.identity),
                    tls=tls_fragment(facts.version, facts.cipher, facts.group, facts.resumed),
                )
            )

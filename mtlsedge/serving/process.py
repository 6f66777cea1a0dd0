"""How does one process serve? One configuration after another, until it is to stop."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.task import LoopingCall

from mtlsedge.assembly import Assembled, Surroundings, assemble
from mtlsedge.http.access import AccessTokens
from mtlsedge.http.server import HTTPConnection
from mtlsedge.http.site import Crowd
from mtlsedge.http.vigil import Vigil
from mtlsedge.model import Configuration
from mtlsedge.ops.accesslog import (
    AccessLog,
    certificate_fragment,
    client_fragment,
    handshake_failure_line,
    tls_fragment,
)
from mtlsedge.ops.deadlines import Deadlines
from mtlsedge.serving.lasting import Lasting
from mtlsedge.serving.lending import Lent
from mtlsedge.serving.lists import ListsInForce
from mtlsedge.serving.notices import ClientNotices, ClientWatch, Tell
from mtlsedge.serving.share import Share
from mtlsedge.session.tokens import TokenIssuer
from mtlsedge.tls.facts import HandshakeFailure
from mtlsedge.tls.port import TLSPort
from mtlsedge.trust.crl_health import CrlHealth

_KEYS_EVERY = 60.0  # seconds
_CLIENTS_EVERY = 3600.0  # seconds
_LOOK_EVERY = 0.05  # seconds, at connections that are to end


@dataclass(frozen=True, slots=True)
class Prepared:
    """A configuration that can be served, beside the one that is."""

    configuration: Configuration
    assembled: Assembled


class Serving:
    """A configuration in force in this process.

    Args:
        configuration: what the operator wants.
        reactor: where sockets and timers live.
        lasting: the keys.
        share: which part of the limits is this process's.
        alone: no process will be forked from this one, so it may have threads.
        tell: hears of each client certificate that ends soon, at least once a day.

    Attributes:
        lists: the revocation lists in force.

    Raises:
        EdgeError: something that the configuration names cannot be used.
    """

    def __init__(
        self,
        configuration: Configuration,
        reactor: Any,
        lasting: Lasting,
        share: Share = Share(),  # noqa: B008  # a frozen value
        *,
        alone: bool = True,
        tell: Tell | None = None,
    ) -> None:
        self.configuration = configuration
        self.access_log = AccessLog(configuration.edge.access_log, reactor)
        self._reactor = reactor
        self._lasting = lasting
        self._share = share
        self._ports: list[TLSPort] = []
        self._stopping: Deferred[Any] | None = None
        self._patient_until = 0.0
        ring, now = lasting.ring, lasting.now
        crowd = Crowd()
        self._watch = ClientWatch(now, tell or ClientNotices(now).tell)
        self._looking = LoopingCall(self._look_at_clients)
        self._looking.clock = reactor
        self._vigil = Vigil(crowd, reactor, now)
        self.lists = ListsInForce(
            reactor if alone else None,
            now,
            lambda: self._assembled.trusts,
            self._vigil.look_at_all,
        )
        self._around = Surroundings(
            reactor,
            now,
            lasting.lobby,
            Deadlines(reactor),
            AccessTokens(ring, TokenIssuer(ring, now), now),
            self.access_log,
            crowd,
            self._handshake_failed,
            revoked=self._vigil.look_at_all,
            seen=self._watch.seen,
        )
        self._lent = Lent(reactor, now, ring)
        self._keys = LoopingCall(lasting.turn)
        self._keys.clock = reactor
        self._assembled = self.prepare(configuration).assembled

    def start(self, ports: Sequence[TLSPort]) -> None:
        """Serve clients at these ports; a parent of workers has none."""
        self._keys.start(_KEYS_EVERY, now=False)
        if ports:
            self._vigil.start()
            self._looking.start(_CLIENTS_EVERY, now=False)
            self._assembled.verifiers.start(self._lent)
        self._at(ports)

    def prepare(self, configuration: Configuration) -> Prepared:
        """Build everything that a configuration asks for, and change nothing.

        Raises:
            ConfigurationError: something in it cannot be used after all.
        """
        share = self._share.of_all(configuration)
        return Prepared(configuration, assemble(share, self._around))

    def adopt(self, prepared: Prepared, ports: Sequence[TLSPort]) -> None:
        """Serve what was prepared.

        Open connections go over to it, and those that it would not let in are cut.
        """
        earlier, self._assembled = self._assembled, prepared.assembled
        lists = {name: its for trust in earlier.trusts for name, its in trust.lists.items()}
        for trust in self._assembled.trusts:
            trust.adopt(lists)
        self.configuration = prepared.configuration
        if ports:
            self._assembled.verifiers.start(self._lent)
        self._at(ports)
        earlier.front.retire(self._assembled.front)
        earlier.verifiers.retire()
        self._vigil.look_at_all()

    def troubles(self) -> list[str]:
        """What the operator should know about the client CAs in force."""
        return [trouble for trust in self._assembled.trusts for trouble in trust.troubles()]

    def health(self, now: float) -> tuple[CrlHealth, ...]:
        """The condition of every list of the client CAs in force, each once."""
        found = (each for trust in self._assembled.trusts for each in trust.health(now))
        return tuple(dict.fromkeys(found))

    @property
    def list_changes(self) -> int:
        """How often a list was replaced, or could not be."""
        return self.lists.changes

    def build_connection(self) -> HTTPConnection:
        """A new client's protocol."""
        return HTTPConnection(self._assembled.front)

    def stop(self, patience: float) -> Deferred[Any]:
        """Accept no more, let what is under way finish, and close. Fires when all is closed.

        Args:
            patience: seconds; what is not finished by then is cut. A second call may shorten
                it, and cut at once.
        """
        until = self._reactor.seconds() + patience
        if self._stopping is None:
            self._patient_until = until
            self._stopping = self._stop()
        self._patient_until = min(self._patient_until, until)
        return self._stopping

    def _stop(self) -> Deferred[Any]:
        if self._keys.running:
            self._keys.stop()
        if self._looking.running:
            self._looking.stop()
        stopped = [maybeDeferred(port.stopListening) for port in self._ports]
        self._ports = []
        self._around.crowd.drain()
        gone: Deferred[None] = Deferred()
        self._wait_for_connections(gone)
        done: Deferred[Any] = gatherResults([*stopped, gone])
        return done.addBoth(self._close)

    def _wait_for_connections(self, gone: Deferred[None]) -> None:
        late = self._reactor.seconds() >= self._patient_until
        if late or not self._around.crowd.connections:
            gone.callback(None)
        else:
            self._reactor.callLater(_LOOK_EVERY, self._wait_for_connections, gone)

    def _close(self, result: Any) -> Any:
        self._vigil.stop()  # until now: what is revoked or ends is cut while others finish
        self._around.crowd.stop()
        for site in self._assembled.front.sites.values():
            site.origins.close()
        self.access_log.close()
        return self._assembled.verifiers.stop().addBoth(lambda _: result)

    def _at(self, ports: Sequence[TLSPort]) -> None:
        self._ports = list(ports)
        limit = self._share.of(self.configuration.edge.limits.connections)
        for port in self._ports:
            port.terminator = self._assembled.terminator
            port.limit = limit

    def _look_at_clients(self) -> None:
        """Have whoever comes next noticed again, and whoever has stayed."""
        self._assembled.front.acquaintances.clear()
        for connection in list(self._around.crowd.connections):
            caller = connection.caller
            if caller is not None:
                self._watch.seen(caller.identity, caller.server_name or caller.site.host.name)

    def _handshake_failed(self, failure: HandshakeFailure) -> None:
        facts = failure.facts
        if self.access_log.enabled:
            self.access_log.write(
                handshake_failure_line(
                    time=self._lasting.now(),
                    client=client_fragment(failure.client, failure.port),
                    server_name=failure.server_name,
                    reason=failure.reason,
                    cert=certificate_fragment(failure.identity),
                    tls=tls_fragment(facts.version, facts.cipher, facts.group, facts.resumed),
                )
            )


def spare_the_collector(inherited: bool = False) -> None:
    """Keep the garbage collector from looking at what lives as long as the process.

    Connections leave no cycles behind, so it has little to find; at its default thresholds
    it took a tenth of a handshake.

    Args:
        inherited: this process was just forked: what was frozen before is shared with others
            for as long as nobody touches it, so it stays as it is.
    """
    if not inherited:
        gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)

"""What runs? A configuration becomes services: the judges, the sites, the ports.

One of the few places that wire the rooms together; it decides nothing itself.
"""

from __future__ import annotations

import time
from typing import Any

from twisted.application import service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from mtlsedge import model
from mtlsedge.errors import ConfigurationError, EdgeError, Problem
from mtlsedge.http.access import AccessTokens
from mtlsedge.http.server import HTTPConnection
from mtlsedge.http.site import Front, Site
from mtlsedge.http.upstreams import origin_group
from mtlsedge.names import NameTable
from mtlsedge.ops.accesslog import (
    AccessLog,
    certificate_fragment,
    client_fragment,
    handshake_failure_line,
    tls_fragment,
)
from mtlsedge.ops.deadlines import Deadlines
from mtlsedge.policy.service_tokens import ServiceTokens
from mtlsedge.policy.tree import PolicyTree
from mtlsedge.session.keys import KeyRing
from mtlsedge.session.tokens import TokenIssuer
from mtlsedge.tls.contexts import build_host
from mtlsedge.tls.facts import HandshakeFailure
from mtlsedge.tls.hosts import HostTable, TLSHost
from mtlsedge.tls.port import TLSPort, open_port
from mtlsedge.tls.terminator import Terminator
from mtlsedge.trust.judge import ClientTrust
from mtlsedge.trust.verifiers import find_verifier

_log = Logger()

_ROTATION_CHECK = 60.0  # seconds
_SESSION_MARGIN = 86400.0  # seconds that an old key outlives the longest session it signed


class EdgeService(service.Service):
    """The edge, serving one configuration.

    Args:
        configuration: what the operator wants.
        reactor: where sockets and timers live.
        now: the wall clock, in seconds since the epoch.
    """

    name = "mtlsedge"

    def __init__(self, configuration: model.Configuration, reactor: Any, now: Any = time.time):
        self._configuration = configuration
        self._reactor = reactor
        self._now = now
        self._ports: list[TLSPort] = []
        self._front: Front
        self._rotation: LoopingCall

    def privilegedStartService(self) -> None:
        """Bind before privileges are dropped; keys and logs are opened here as well.

        Raises:
            EdgeError: something that the configuration names cannot be used.
            CannotListenError: an address is taken.
        """
        configuration = self._configuration
        edge = configuration.edge
        for warning in configuration.warnings:
            _log.warn("{warning}", warning=warning)
        deadlines = Deadlines(self._reactor)
        ring = self._open_ring()
        log = AccessLog(edge.access_log, self._reactor)
        trusts = _client_trusts(configuration, self._reactor, self._now)
        for trust in trusts.values():
            for trouble in trust.troubles():
                _log.warn("{trouble}", trouble=trouble)
        tokens = AccessTokens(ring, TokenIssuer(ring, self._now), self._now)
        sites = _sites(configuration, trusts, tokens, deadlines, self._reactor)
        self._front = Front(sites, deadlines, log, self._now)
        terminator = Terminator(
            _host_table(configuration, trusts),
            deadlines,
            configuration.hosts[0].timeouts.handshake,
            self._handshake_failed,
        )
        factory = Factory.forProtocol(lambda: HTTPConnection(self._front))
        factory.noisy = False
        limit = configuration.hosts[0].limits.connections
        for listen in edge.listen:
            self._ports.append(open_port(self._reactor, listen, factory, terminator, limit))
        self._rotation = LoopingCall(self._rotate, ring)
        self._rotation.clock = self._reactor

    def startService(self) -> None:
        """Say what is served."""
        super().startService()
        if not self._ports:
            self.privilegedStartService()
        self._rotation.start(_ROTATION_CHECK, now=False)
        hosts = self._configuration.hosts
        for port in self._ports:
            _log.info("serving {count} hosts on {port}", count=len(hosts), port=port.getHost())

    def stopService(self) -> Deferred[Any]:
        """Stop accepting, let what is under way finish, then close."""
        super().stopService()
        if self._rotation.running:
            self._rotation.stop()
        stopped = [maybeDeferred(port.stopListening) for port in self._ports]
        self._ports.clear()
        self._front.drain()
        drained = self._wait_for_connections(self._reactor.seconds() + self._drain_timeout)
        for site in self._front.sites.values():
            site.origins.close()
        done: Deferred[Any] = gatherResults([*stopped, drained])
        done.addBoth(self._close_log)
        return done

    @property
    def _drain_timeout(self) -> float:
        return max(host.timeouts.drain for host in self._configuration.hosts)

    def _wait_for_connections(self, until: float) -> Deferred[Any]:
        waiting: Deferred[Any] = Deferred()

        def look() -> None:
            if not self._front.connections or self._reactor.seconds() >= until:
                waiting.callback(None)
            else:
                self._reactor.callLater(0.05, look)

        look()
        return waiting

    def _close_log(self, result: Any) -> Any:
        self._front.log.close()
        return result

    def _open_ring(self) -> KeyRing:
        configuration = self._configuration
        longest = max((app.session_duration for app in configuration.applications), default=0.0)
        edge = configuration.edge
        return KeyRing.open(edge.state, self._now, edge.key_rotation, longest + _SESSION_MARGIN)

    def _rotate(self, ring: KeyRing) -> None:
        try:
            if ring.rotate_if_due():
                _log.info("the token-signing keys were rotated")
        except EdgeError as error:
            _log.error("the token-signing keys could not be rotated: {error}", error=error)

    def _handshake_failed(self, failure: HandshakeFailure) -> None:
        facts = failure.facts
        if self._front.log.enabled:
            self._front.log.write(
                handshake_failure_line(
                    time=self._now(),
                    client=client_fragment(failure.client, failure.port),
                    server_name=failure.server_name,
                    reason=failure.reason,
                    cert=certificate_fragment(failure.identity),
                    tls=tls_fragment(facts.version, facts.cipher, facts.group, facts.resumed),
                )
            )


def _client_trusts(
    configuration: model.Configuration, reactor: Any, now: Any
) -> dict[str, ClientTrust]:
    """The judge of each host that has client CAs, by the host's first name."""
    trusts = {}
    for host in configuration.hosts:
        cas = [ca for ca in configuration.client_cas if set(ca.hosts) & set(host.names)]
        if cas:
            trusts[host.name] = ClientTrust(
                cas, find_verifier, reactor, now, host.timeouts.verifier
            )
    return trusts


def _host_table(configuration: model.Configuration, trusts: dict[str, ClientTrust]) -> HostTable:
    names: NameTable[TLSHost] = NameTable()
    problems = []
    for index, host in enumerate(configuration.hosts):
        try:
            tls_host = build_host(host, trusts.get(host.name))
        except Exception as error:
            problems.append(
                Problem(f"host[{index}].certificate", f"OpenSSL does not take it: {error}")
            )
            continue
        for name in host.names:
            names.add(name, tls_host)
    if problems:
        raise ConfigurationError(tuple(problems))
    default = configuration.edge.default_host
    return HostTable(names, names.find(default) if default else None)


def _sites(
    configuration: model.Configuration,
    trusts: dict[str, ClientTrust],
    tokens: AccessTokens,
    deadlines: Deadlines,
    reactor: Any,
) -> dict[str, Site]:
    tree = PolicyTree(configuration.applications, configuration.groups)
    service_tokens = ServiceTokens(configuration.service_tokens)
    return {
        host.name: Site(
            host,
            tree,
            origin_group(host, deadlines, reactor),
            service_tokens,
            tokens,
            trusts.get(host.name),
        )
        for host in configuration.hosts
    }

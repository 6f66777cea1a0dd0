"""Where does a connection start, before its host is known? The lobby, one for a whole process.

OpenSSL decides on resumption before it looks at the server name, with the ticket keys of the
context in which the connection began. Those keys are made with the context and cannot be set,
so the lobby outlives every configuration, and is made before worker processes fork: a session
is then welcome after a reload, and at whichever worker its client meets.

Whoever learns a ticket key can read what was recorded of its TLS 1.2 sessions, and the client
certificates in its TLS 1.3 tickets (RFC 8446 Appendix E.6, RFC 5077 §5.5), so no key serves for
longer than a day. Keys for many days are dealt before the fork and thrown away one by one: the
clock alone says which, and the processes agree without a word between them.

It knows no configuration: its callbacks find the connection's own, which is set as its app data.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from OpenSSL import SSL, crypto
from twisted.logger import Logger

from mtlsedge.errors import BadCertificate
from mtlsedge.identity import Identity, PeerChain, Reason
from mtlsedge.openssl import verify_error_text
from mtlsedge.tls.contexts import build_lobby
from mtlsedge.tls.hosts import HostTable, TLSHost, enter, nobody
from mtlsedge.trust.certificates import read_certificate
from mtlsedge.trust.chains import reason_of

_log = Logger()


class Newcomer(Protocol):
    """What the handshake callbacks note on a connection; its transport reads it."""

    host: TLSHost | None
    server_name: str
    refusal: str  # why the handshake was refused, for the log; "" if it was not
    identity: Identity  # of a client whose handshake was refused: what it showed, for the log
    proved: dict[int, bytes]  # DER by depth, of a chain that OpenSSL verified


KEYS_LAST = 86400.0
"""Seconds; a session itself is good for two hours at most, which is OpenSSL's own limit."""


class Lobby:
    """The contexts in which connections start, whatever configuration they meet.

    Args:
        now: seconds since the epoch.
        days: for which processes that are forked from now on have the same ticket keys;
            afterwards each makes its own. A day takes 20 KiB, and every fork shares them.
    """

    def __init__(self, now: Callable[[], float] = time.time, days: int = 1) -> None:
        self._now = now
        self._ahead = deque(build_lobby(choose, verify) for _ in range(days))
        self._until = now() + KEYS_LAST
        self._resuming: frozenset[str] = frozenset()
        self.turn()

    def turn(self) -> None:
        """Forget the present ticket keys: sessions made with them do not resume any more."""
        ahead = self._ahead
        self.context = ahead.popleft() if ahead else build_lobby(choose, verify)

    def turn_if_due(self) -> None:
        """Go on to the ticket keys of this day. To be called every now and then."""
        late = self._now() - self._until
        if late < 0:
            return
        days = int(late // KEYS_LAST) + 1
        self._until += days * KEYS_LAST
        for _ in range(min(days, len(self._ahead) + 1)):
            self.turn()

    def welcome(self, names: frozenset[str]) -> None:
        """Learn at which host names sessions resume from now on.

        Where they no longer do, a client with a session from before would be refused when it
        comes back with it, again and again; without its keys, it shakes hands in full.
        """
        if self._resuming - names:
            self.turn()
        self._resuming = names

    def receive(
        self, sock: socket.socket | None, hosts: HostTable, newcomer: Newcomer
    ) -> SSL.Connection:
        """A connection that may choose from these hosts, and tells the newcomer what it did."""
        connection = SSL.Connection(self.context, sock)
        connection.set_app_data((hosts, newcomer))
        return connection


def choose(connection: SSL.Connection) -> bool:
    """The SNI callback: enter the host that the ClientHello names, or refuse it."""
    hosts: HostTable
    newcomer: Newcomer
    hosts, newcomer = connection.get_app_data()
    raw = connection.get_servername()
    name, host = hosts.find(raw)
    if newcomer.host is not None and name != newcomer.server_name:
        # A retried ClientHello names the same host (RFC 8446 §4.1.2); OpenSSL does not look,
        # and what the first one switched on this connection would partly remain.
        newcomer.refusal = "the retried ClientHello has another server name"
        return False
    newcomer.server_name = name
    if host is None:
        newcomer.refusal = nobody(raw)
        return False
    newcomer.host = host
    enter(connection, host)
    return True


def verify(
    connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int
) -> bool:
    """The verify callback, once per certificate and error.

    pyOpenSSL would keep an exception and raise it in whatever connection comes next.
    """
    newcomer: Newcomer = connection.get_app_data()[1]
    try:
        newcomer.refusal = _objection(newcomer, certificate, error, depth, ok)
    except Exception:
        _log.failure("verifying a client certificate failed; it is refused")
        newcomer.refusal = "internal error while the client certificate was verified"
    return not newcomer.refusal


def _objection(
    newcomer: Newcomer, certificate: crypto.X509, error: int, depth: int, ok: int
) -> str:
    """What speaks against a certificate within the handshake; "" if nothing.

    Hosts that record let every chain through, to be judged after the handshake. A host that
    requires refuses here what OpenSSL could not verify, and then what its CRLs revoke.
    """
    host = newcomer.host
    if host is None:
        return "a client certificate came before a host was chosen"
    if not host.require or host.trust is None:
        return ""
    der = crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
    if not ok:
        words = f"client certificate, depth {depth}: {verify_error_text(error)}"
        newcomer.identity = _shown(der, depth, reason_of(error), words)
        return words
    proved = newcomer.proved
    proved[depth] = der
    refused = None
    if depth == 0:
        refused = host.trust.objection([proved[at] for at in sorted(proved)])
    if refused is None:
        return ""
    newcomer.identity = refused
    return f"client certificate: {refused.detail}"


def _shown(der: bytes, depth: int, reason: Reason, detail: str) -> Identity:
    """A refused client as the log has it. OpenSSL begins at the top: the leaf may be unknown."""
    chain = None
    if depth == 0:
        try:
            chain = PeerChain(read_certificate(der))
        except BadCertificate:
            reason = Reason.UNFIT
    return Identity(presented=True, reason=reason, detail=detail, depth=depth, chain=chain)

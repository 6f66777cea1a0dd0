"""Who answers a handshake? Everything that the connections of one configuration share.

A reload makes a new terminator beside the old one and swaps it on the port: connections keep
the one that they began with.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol

from OpenSSL import SSL, crypto
from twisted.logger import Logger

from mtlsedge.errors import BadCertificate
from mtlsedge.identity import Identity, PeerChain, Reason
from mtlsedge.openssl import read_by_record, verify_error_text
from mtlsedge.ops.deadlines import Deadlines
from mtlsedge.tls.contexts import build_lobby
from mtlsedge.tls.facts import HandshakeFailure
from mtlsedge.tls.hosts import HostTable, TLSHost, enter
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


class Terminator:
    """The hosts of one configuration, and the lobby where their connections start.

    Args:
        hosts: by server name.
        deadlines: for handshakes that stall.
        handshake_timeout: seconds.
        failed: told of every handshake that came to nothing.
        write_timeout: seconds for which a client that is being parted with may take nothing of
            what is left to send; 0 is for ever.
    """

    def __init__(
        self,
        hosts: HostTable,
        deadlines: Deadlines,
        handshake_timeout: float,
        failed: Callable[[HandshakeFailure], None],
        write_timeout: float = 60.0,
    ) -> None:
        self.hosts = hosts
        self.deadlines = deadlines
        self.handshake_timeout = handshake_timeout
        self.failed = failed
        self.write_timeout = write_timeout
        self.lobby = build_lobby(self._choose, _verify)

    def greet(self, sock: socket.socket, newcomer: Newcomer) -> SSL.Connection:
        """TLS for a client that has just connected, waiting for its ClientHello."""
        connection = SSL.Connection(self.lobby, sock)
        read_by_record(connection)
        connection.set_accept_state()
        connection.set_app_data(newcomer)
        return connection

    def _choose(self, connection: SSL.Connection) -> bool:
        """The SNI callback: enter the host that the ClientHello names, or refuse it."""
        newcomer: Newcomer = connection.get_app_data()
        raw = connection.get_servername()
        name, host = self.hosts.find(raw)
        if newcomer.host is not None and name != newcomer.server_name:
            # A retried ClientHello names the same host (RFC 8446 §4.1.2); OpenSSL does not look,
            # and what the first one switched on this connection would partly remain.
            newcomer.refusal = "the retried ClientHello has another server name"
            return False
        newcomer.server_name = name
        if host is None:
            newcomer.refusal = (
                "no server name was sent and there is no default_host"
                if raw is None
                else f"no host answers to the server name {raw.decode('ascii', 'replace')!r}"
            )
            return False
        newcomer.host = host
        enter(connection, host)
        return True


def _verify(
    connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int
) -> bool:
    """The verify callback, once per certificate and error.

    pyOpenSSL would keep an exception and raise it in whatever connection comes next.
    """
    newcomer: Newcomer = connection.get_app_data()
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

"""Who answers a handshake? Everything that the connections of one configuration share.

A reload makes a new terminator beside the old one and swaps it on the port: connections keep
the one that they began with.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from OpenSSL import SSL

from mtlsedge.openssl import read_by_record
from mtlsedge.ops.deadlines import Deadlines
from mtlsedge.tls.facts import HandshakeFailure
from mtlsedge.tls.hosts import HostTable
from mtlsedge.tls.lobby import Lobby, Newcomer


class Terminator:
    """The hosts of one configuration.

    Args:
        hosts: by server name.
        lobby: where connections start, in this configuration and the next.
        deadlines: for handshakes that stall.
        handshake_timeout: seconds.
        failed: told of every handshake that came to nothing.
        write_timeout: seconds for which a client that is being parted with may take nothing of
            what is left to send; 0 is for ever.
        make_room: asks connections that do nothing to leave, as others wait to come in.
    """

    def __init__(
        self,
        hosts: HostTable,
        lobby: Lobby,
        deadlines: Deadlines,
        handshake_timeout: float,
        failed: Callable[[HandshakeFailure], None],
        write_timeout: float = 60.0,
        make_room: Callable[[], object] = lambda: None,
    ) -> None:
        self.hosts = hosts
        self._lobby = lobby
        self.deadlines = deadlines
        self.handshake_timeout = handshake_timeout
        self.failed = failed
        self.write_timeout = write_timeout
        self.make_room = make_room

    def greet(self, sock: socket.socket, newcomer: Newcomer) -> SSL.Connection:
        """TLS for a client that has just connected, waiting for its ClientHello."""
        connection = self._lobby.receive(sock, self.hosts, newcomer)
        read_by_record(connection)
        connection.set_accept_state()
        return connection

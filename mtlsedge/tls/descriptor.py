"""What does a connection cost before a byte is read? Twisted's server transport, made cheaply.

Twisted prepares three texts for each connection, which nobody reads here, and tells the reactor
to watch, or not to, whether that changes anything or not: together some 2 % of a handshake.
"""

from __future__ import annotations

import socket
from typing import Any, cast

from twisted.internet import tcp
from twisted.internet.address import IPv6Address

from mtlsedge.ops.eager import hold_much

_MOST_DISCARDED = 1 << 20  # bytes
_rubbish = bytearray(64 * 1024)  # what was discarded last, of any connection


class Descriptor(tcp.Server):
    """A ``tcp.Server`` in all but its initialiser, which is its own."""

    _watched_in = _watched_out = False  # by the reactor
    _discarded = 0  # bytes
    _unproved = 1 << 20  # bytes to be taken before the kernel may hold much for the client

    def __init__(
        self,
        sock: socket.socket,
        protocol: Any,
        client: tuple[Any, ...],
        server: tcp.Port,
        sessionno: int,
        reactor: Any,
    ) -> None:
        # What the initialisers of `tcp.Server` and its bases do, but for the texts.
        self.reactor = reactor
        self._tempDataBuffer: list[bytes] = []
        self._tempDataLen = 0
        self.socket = sock
        sock.setblocking(False)
        self.fileno = sock.fileno
        self.protocol = protocol
        if len(client) != 2:
            self._addressType = IPv6Address
        self.server: tcp.Port = server
        self.client = client
        self.sessionno = sessionno
        self.hostname = client[0]
        self.startReading()
        self.connected = 1

    @property
    def local_port(self) -> int:
        """The port that the client asked for, without a system call."""
        port: int = cast(Any, self.server)._realPortNumber
        return port

    def logPrefix(self) -> str:
        """What old-style log lines begin with."""
        return f"{type(self).__name__},{self.sessionno},{self.hostname}"

    def __repr__(self) -> str:
        """Which connection of which port this is."""
        return f"<{type(self).__name__} #{self.sessionno} on {self.server._realPortNumber}>"

    # -- what the reactor watches; it is told only of changes -------------------------------

    def startReading(self) -> None:
        """Watch for bytes from the client."""
        if not self._watched_in:
            self._watched_in = True
            cast(Any, self.reactor).addReader(self)

    def stopReading(self) -> None:
        """Do not."""
        if self._watched_in:
            self._watched_in = False
            cast(Any, self.reactor).removeReader(self)

    def startWriting(self) -> None:
        """Watch for room in the socket."""
        if not self._watched_out:
            self._watched_out = True
            cast(Any, self.reactor).addWriter(self)

    def stopWriting(self) -> None:
        """Do not."""
        if self._watched_out:
            self._watched_out = False
            cast(Any, self.reactor).removeWriter(self)

    def takes(self, count: int) -> None:
        """The client, or at first the kernel for it, has taken so many bytes more."""
        self._unproved -= count
        if self._unproved <= 0:
            hold_much(self.socket)

    # -- after the end ---------------------------------------------------------------------

    def discard(self) -> bool:
        """Read away what has come. Whether no more may follow: that was the end, or too much."""
        try:
            count = self.socket.recv_into(_rubbish)
        except BlockingIOError:
            return False
        except OSError:
            return True
        self._discarded += count
        return not count or self._discarded >= _MOST_DISCARDED

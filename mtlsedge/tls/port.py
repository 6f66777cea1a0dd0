"""Where do clients knock? A listening port whose connections speak TLS."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IProtocolFactory

from mtlsedge.model import Listen
from mtlsedge.tls.terminator import Terminator
from mtlsedge.tls.transport import TLSServer

_BACKLOG = 4096


class TLSPort(tcp.Port):
    """A ``tcp.Port`` that hands its connections to the current terminator.

    ``terminator`` may be replaced at any time; new connections take the new one. Where
    ``limit`` connections are open no more are accepted, and further clients wait in the
    kernel's backlog.
    """

    transport = TLSServer  # type: ignore[assignment]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.terminator: Terminator
        self.limit = 0
        self._open = 0

    def opened(self) -> None:
        """A connection began."""
        self._open += 1
        if self._open == self.limit:
            self.stopReading()

    def closed(self) -> None:
        """A connection ended."""
        if self._open == self.limit and self.connected and not self.disconnecting:
            self.startReading()
        self._open -= 1

    def doRead(self) -> None:
        """Accept what waits, but never more than the limit leaves room for."""
        if self.limit:
            self.numberAccepts = max(1, min(self.numberAccepts, self.limit - self._open))
        super().doRead()

    def startListening(self) -> None:
        """Bind and listen; accepted sockets inherit TCP_NODELAY from this one (Linux)."""
        super().startListening()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def open_port(reactor: Any, listen: Listen, factory: IProtocolFactory, limit: int) -> TLSPort:
    """A port that is listening on what the operator wrote, or on the socket that was inherited.

    Its ``terminator`` must be set before the reactor runs.

    Raises:
        CannotListenError: the address is taken or not ours.
        OSError: the inherited descriptor is not a listening socket.
    """
    if listen.descriptor is not None:
        port = _inherit(reactor, listen.descriptor, factory)
    else:
        port = TLSPort(listen.port, factory, _BACKLOG, listen.host, reactor)
    port.limit = limit
    port.startListening()
    return port


def _inherit(reactor: Any, descriptor: int, factory: IProtocolFactory) -> TLSPort:
    with socket.socket(fileno=socket.dup(descriptor)) as inherited:
        if inherited.family not in (socket.AF_INET, socket.AF_INET6):
            raise OSError(f"fd:{descriptor} is no TCP socket")
        if not inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError(f"fd:{descriptor} is not listening")
        inherited.setblocking(False)
        port: TLSPort = TLSPort._fromListeningDescriptor(
            reactor, inherited.fileno(), inherited.family, factory
        )
        return port

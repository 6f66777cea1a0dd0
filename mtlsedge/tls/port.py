"""Where do clients knock? A listening port whose connections speak TLS."""

from __future__ import annotations

import socket
from errno import ECONNABORTED, EPERM, errorcode
from typing import Any, cast

from twisted.internet import tcp
from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import Logger

from mtlsedge.model import Listen
from mtlsedge.tls.terminator import Terminator
from mtlsedge.tls.transport import TLSServer

_log = Logger()

_BACKLOG = 4096
_MOST_AT_ONCE = 64  # accepted before those that are here already get their turn
_MOMENT = 0.002  # seconds
_RETRY = 0.5  # seconds until a port that ran out of descriptors tries again


class TLSPort(tcp.Port):
    """A ``tcp.Port`` that hands its connections to the current terminator.

    ``terminator`` may be replaced at any time; new connections take the new one. Where
    ``limit`` connections are open, or no descriptor is left, no more are accepted, and further
    clients wait in the kernel's backlog.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.terminator: Terminator
        self.limit = 0
        self._open = 0
        self._silent: list[TLSServer] = []  # since their handshake, which was a moment ago

    def opened(self) -> None:
        """A connection began."""
        self._open += 1
        if self._open == self.limit:
            self.stopReading()

    def closed(self) -> None:
        """A connection ended."""
        self._open -= 1
        if self._open == self.limit - 1:
            self._resume()

    def doRead(self) -> None:
        """Accept what waits, but never more than the limit leaves room for.

        Twisted's own loop closes the clients it has no descriptor for and costs twice as much.
        """
        room = self.limit - self._open if self.limit else _MOST_AT_ONCE
        for _ in range(min(room, _MOST_AT_ONCE)):
            try:
                sock, address = self.socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (ECONNABORTED, EPERM):
                    continue  # that client is gone, or a firewall took it
                self._exhausted(error)
                return
            self._take_on(sock, address)

    def _take_on(self, sock: socket.socket, address: tuple[Any, ...]) -> None:
        transport = None
        try:
            protocol = cast(Any, self.factory).buildProtocol(self._buildAddr(address))
            if protocol is None:
                sock.close()
                return
            self.sessionno += 1
            transport = TLSServer(sock, protocol, address, self, self.sessionno, self.reactor)
            protocol.makeConnection(transport)
        except Exception:
            _log.failure("a client could not be taken on")
            if transport is None:
                sock.close()
            else:  # the reactor knows the descriptor by now, and must hear that it is closed
                transport.abortConnection()

    def acknowledge_soon(self, connection: TLSServer) -> None:
        """Acknowledge a Finished, unless a request brings the acknowledgement along.

        Most clients send one within a moment, and an acknowledgement by itself costs as much
        as the certificate's look-up.
        """
        if not self._silent:
            cast(Any, self.reactor).callLater(_MOMENT, self._acknowledge)
        self._silent.append(connection)

    def _acknowledge(self) -> None:
        silent, self._silent = self._silent, []
        for connection in silent:
            connection.acknowledge()

    def _exhausted(self, error: OSError) -> None:
        """No descriptor or no memory is left: clients wait, and are served when there is."""
        code = errorcode.get(error.errno or 0, "")
        _log.error("no client can be accepted for now, {code}: {error}", code=code, error=error)
        self.stopReading()
        cast(Any, self.reactor).callLater(_RETRY, self._resume)

    def _resume(self) -> None:
        # At the limit a port that reads and accepts nobody would keep the process turning.
        full = self.limit and self._open >= self.limit
        if self.connected and not self.disconnecting and not full:
            self.startReading()

    def _getLogPrefix(self, application: object) -> str:
        return "mtlsedge"  # not the factory's class, in "... starting on 8443"

    def _logConnectionLostMsg(self) -> None:
        here = self.getHost()
        _log.info("{host} port {port} is closed", host=here.host, port=here.port)

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
    try:
        duplicate = socket.socket(fileno=socket.dup(descriptor))
    except OSError as error:
        raise OSError(
            f"fd:{descriptor} is no socket that a supervisor passed ({error.strerror}); sockets "
            "are passed from fd:3 on, as systemd does with a .socket unit"
        ) from error
    with duplicate as inherited:
        if inherited.family not in (socket.AF_INET, socket.AF_INET6):
            raise OSError(f"fd:{descriptor} is no TCP socket; pass one of IPv4 or IPv6")
        if not inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError(f"fd:{descriptor} is not listening; pass a socket after listen()")
        inherited.setblocking(False)
        port: TLSPort = TLSPort._fromListeningDescriptor(
            reactor, inherited.fileno(), inherited.family, factory
        )
        return port

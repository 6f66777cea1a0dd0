"""Where do clients knock? A listening port whose connections speak TLS."""

from __future__ import annotations

import select
import socket
from errno import ECONNABORTED, EPERM, errorcode
from typing import Any, cast

from twisted.internet import tcp
from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import Logger

from mtlsedge.model import Listen
from mtlsedge.ops.eager import hold_little
from mtlsedge.tls.terminator import Terminator
from mtlsedge.tls.transport import TLSServer

_log = Logger()

_BACKLOG = 4096
_MOST_AT_ONCE = 8  # accepted before those that are here already get their turn
_MOMENT = 0.002  # seconds
_RETRY = 0.25  # seconds until a port that has no room looks again
_REPEAT = 10.0  # seconds until the log says again that there is none


class TLSPort(tcp.Port):
    """A ``tcp.Port`` that hands its connections to the current terminator.

    ``terminator`` may be replaced at any time; new connections take the new one. Where
    ``limit`` connections are open (0 is no limit), or no descriptor is left, no more are
    accepted, and further clients wait in the kernel's backlog; while some do, the terminator is
    asked to make room.

    Where other processes accept on the same socket, a port takes fewer ``at_once``, so that
    none of them has a crowd while others have nobody; and where it is not ``noisy``, somebody
    else says that it is closed.
    """

    noisy = True
    at_once = _MOST_AT_ONCE

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.terminator: Terminator
        self._limit = 0
        self._open = 0
        self._stopped = False  # as there is no room
        self._starved = False  # of descriptors
        self._looking = False  # for room, soon
        self._complain_from = 0.0
        self._silent: list[TLSServer] = []  # since their handshake, which was a moment ago

    @property
    def limit(self) -> int:
        """How many connections may be open; 0 is no limit."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = limit
        if self.connected and self._full:
            self._stop_accepting()
        elif self._stopped:
            self._resume()

    @property
    def _full(self) -> bool:
        return 0 < self._limit <= self._open

    def lend(self) -> None:
        """Leave the accepting to other processes, whose socket this is, too.

        Closing it here is then no end of it there.
        """
        self.stopReading()
        self._shouldShutdown = False

    def opened(self) -> None:
        """A connection began."""
        self._open += 1
        if self._open == self._limit:
            self._stop_accepting()

    def closed(self) -> None:
        """A connection ended."""
        self._open -= 1
        if self._starved or self._open == self._limit - 1:
            self._resume()

    def doRead(self) -> None:
        """Accept what waits, but never more than the limit leaves room for.

        Twisted's own loop closes the clients it has no descriptor for and costs twice as much.
        """
        most = self.at_once
        room = self._limit - self._open if self._limit else most
        for _ in range(min(room, most)):
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
        now = cast(Any, self.reactor).seconds()
        if now >= self._complain_from:
            self._complain_from = now + _REPEAT
            code = errorcode.get(error.errno or 0, "")
            _log.error("no client can be accepted for now, {code}: {error}", code=code, error=error)
        self._starved = True
        self._stop_accepting()

    def _stop_accepting(self) -> None:
        self._stopped = True
        self.stopReading()
        if not self._looking:
            self._looking = True
            cast(Any, self.reactor).callLater(_RETRY, self._look_for_room)

    def _look_for_room(self) -> None:
        """Where somebody waits and nobody leaves, those who only linger are asked to."""
        self._looking = False
        if self.disconnecting or not (self.connected and (self._starved or self._full)):
            return
        if self._somebody_waits():
            self.terminator.make_room()
        if self._full:
            self._stop_accepting()
        else:
            self._resume()

    def _somebody_waits(self) -> bool:
        knocking = select.poll()
        knocking.register(self.socket, select.POLLIN)
        return bool(knocking.poll(0))

    def _resume(self) -> None:
        # At the limit a port that reads and accepts nobody would keep the process turning.
        if self.connected and not (self.disconnecting or self._full):
            self._stopped = self._starved = False
            self.startReading()

    def _getLogPrefix(self, application: object) -> str:
        return "mtlsedge"  # not the factory's class, in "... starting on 8443"

    def _logConnectionLostMsg(self) -> None:
        if not self.noisy:
            return
        here = self.getHost()
        _log.info("{host} port {port} is closed", host=here.host, port=here.port)

    def startListening(self) -> None:
        """Bind and listen; accepted sockets inherit what is set on this one (Linux)."""
        super().startListening()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        hold_little(self.socket)


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

"""How do bytes become plaintext? A server transport whose TLS is a pyOpenSSL `Connection`.

The `Connection` works on the socket itself, with no memory BIOs and no second protocol between
(twice as cheap, measured). To the protocol above it is an ordinary Twisted transport: producers
and consumers, ``loseConnection``, half-close, plus what only this edge knows: the host that was
asked for and the identity that was proved.

    accept -> handshake -> settle identity -> handshakeCompleted -> dataReceived ...

Nothing reaches the protocol before its identity is settled (invariant 1).
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from OpenSSL import SSL, crypto
from twisted.internet import interfaces, main
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mtlsedge.identity import ANONYMOUS, Identity
from mtlsedge.openssl import (
    RECORD,
    peer_certificates,
    read_records,
    say_goodbye,
    shake_hands,
    was_resumed,
    write_some,
)
from mtlsedge.ops.eager import acknowledge_now, hold_segments, release_segments, write_eagerly
from mtlsedge.ops.progress import unsent
from mtlsedge.tls.descriptor import Descriptor
from mtlsedge.tls.facts import NO_FACTS, HandshakeFailure, facts_of, failure_text
from mtlsedge.tls.hosts import TLSHost
from mtlsedge.tls.states import BEFORE_OPEN, State

if TYPE_CHECKING:
    from mtlsedge.tls.port import TLSPort

_log = Logger()

_READS_PER_TURN = 2  # of four full records, before other connections get their turn
_LINGER_SECONDS = 10.0
_DONE = Failure(main.CONNECTION_DONE)


@implementer(interfaces.ISSLTransport)
class TLSServer(Descriptor):
    """One client's connection.

    Attributes:
        host: the host that the server name chose; None until the ClientHello is read.
        server_name: its canonical name as the client sent it, "" if it sent none.
        identity: what the client proved; settled before ``handshakeCompleted``.
        facts: version, cipher and group of the handshake, for logs.
    """

    def __init__(
        self,
        sock: socket.socket,
        protocol: Any,
        client: tuple[Any, ...],
        server: TLSPort,
        sessionno: int,
        reactor: Any,
    ) -> None:
        self._state = State.SILENT
        self._paused = self._linger = False
        # OpenSSL must read before it can write on, or the other way round.
        self._retry_write = self._retry_read = False
        self._settling: Deferred[Identity] | None = None
        self._left = 0  # bytes for a client that is being parted with, when it was last looked
        self._heard = False  # anything after the handshake
        self.host: TLSHost | None = None
        self.server_name = self.refusal = ""
        self.identity: Identity = ANONYMOUS
        self.facts = NO_FACTS
        self.proved: dict[int, bytes] = {}
        self._server = server
        self._terminator = server.terminator
        self._tls: Any = None  # an `SSL.Connection`, once the client says something
        super().__init__(sock, protocol, client, server, sessionno, reactor)
        self._deadline = self._terminator.deadlines.deadline(self._too_slow)
        self._deadline.set(self._terminator.handshake_timeout)
        server.opened()

    # -- reading ---------------------------------------------------------------------------

    def doRead(self) -> Any:
        """What the reactor calls when the socket has bytes for us."""
        if self._state is State.OPEN:
            return self._read_plaintext()
        if self._state is State.HANDSHAKE:
            return self._shake_hands()
        if self._state is State.SILENT:
            self._tls = self._terminator.greet(self.socket, self)
            self._state = State.HANDSHAKE
            return self._shake_hands()
        if self._state is State.LINGERING and self.discard():
            self.connectionLost(_DONE)
        return None

    def _read_plaintext(self) -> Any:
        for _ in range(_READS_PER_TURN):
            try:
                data, more = read_records(self._tls)
            except SSL.WantReadError:
                break
            except SSL.ZeroReturnError:
                return main.CONNECTION_DONE
            except SSL.WantWriteError:
                self._wait_for_room()
                break
            except SSL.Error:
                return main.CONNECTION_LOST
            self._heard = True
            self.protocol.dataReceived(data)
            if not more or not self._reads():
                break
        if self._retry_write and self._state is State.OPEN:
            self._retry_write = False
            self.startWriting()
        return None

    def _reads(self) -> bool:
        return self._state is State.OPEN and not self._paused and not self.disconnecting

    def _wait_for_room(self) -> None:
        """Read on only when the answer to what was read has room; until then, do not turn."""
        self._retry_read = True
        self.stopReading()
        self.startWriting()

    def pauseProducing(self) -> None:
        """Stop reading at once, also in the middle of a turn; a handshake goes on."""
        self._paused = True
        if self._state is State.OPEN:
            self.stopReading()

    def resumeProducing(self) -> None:
        """Read again; before the identity is settled, that is not the protocol's to say."""
        self._paused = False
        if self._reads():
            self.startReading()

    # -- the handshake ---------------------------------------------------------------------

    def _shake_hands(self) -> Any:
        try:
            done = shake_hands(self._tls)
        except SSL.WantWriteError:
            self._wait_for_room()
            return None
        except SSL.Error as error:
            return self._fail(self.refusal or failure_text(error))
        return self._settle() if done else None

    def _settle(self) -> Any:
        """Establish who this is, once, also when the session was resumed."""
        host = self.host
        if host is None:
            return self._fail("no host was chosen")
        resumed = was_resumed(self._tls)
        self.facts = facts_of(self._tls, resumed)
        if resumed and not host.resumption:
            return self._fail("a session of another host was resumed")
        answer: Identity | Deferred[Identity] = ANONYMOUS
        if host.trust is not None:
            answer = host.trust.settle(*peer_certificates(self._tls), self.server_name)
        if isinstance(answer, Deferred):
            self._state = State.SETTLING
            self.stopReading()
            self._settling = answer
            answer.addCallback(self._established).addErrback(self._settling_failed)
            return None
        self._established(answer)
        # Clients send their request right behind their Finished.
        lost = self._read_plaintext() if self._reads() else None
        if not self._heard:
            self._server.acknowledge_soon(self)
        return lost

    def acknowledge(self) -> None:
        """Tell a client that is still silent that its Finished has come."""
        if self.connected and not self._heard:
            acknowledge_now(self.socket)

    def _established(self, identity: Identity) -> None:
        self._settling = None
        if self._state is State.GONE:
            return  # while a verifier was thinking
        self.identity = identity
        self.proved.clear()
        if self.host is not None and self.host.require and not identity.verified:
            self._report(f"{identity.reason.value}: {identity.detail}")
            self.abortConnection()
            return
        self._state = State.OPEN
        self._deadline.clear()
        if self._paused:
            self.stopReading()
        else:
            self.startReading()
        if self._tempDataLen or self._writeDisconnecting:
            self.startWriting()
        if interfaces.IHandshakeListener.providedBy(self.protocol):
            self.protocol.handshakeCompleted()

    def _settling_failed(self, failure: Failure) -> None:
        self._settling = None
        if self._state is State.GONE:
            return
        _log.failure("a connection is refused: settling its identity failed", failure)
        self._report("internal error while the identity was settled")
        self.abortConnection()

    def _fail(self, reason: str) -> Any:
        self._report(reason)
        # In TLS 1.3 a request may be on its way: closed at once, a reset overtakes our alert.
        return self._await_their_end()

    def _report(self, reason: str) -> None:
        host, port = cast(Any, self.client)[:2]
        failure = HandshakeFailure(host, port, self.server_name, reason, self.facts, self.identity)
        self._terminator.failed(failure)

    def _too_slow(self) -> None:
        if self._state in BEFORE_OPEN:
            self._report("the handshake took too long")
        elif (left := unsent(self)) < self._left:
            self._left = left  # a steady trickle, of what the kernel has
            self._deadline.set(self._terminator.write_timeout)
            return
        self.abortConnection()

    # -- writing ---------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send or queue plaintext; before the identity is settled it waits."""
        if self._state is State.OPEN:
            write_eagerly(self, data)
        elif self._state in BEFORE_OPEN:
            self._tempDataBuffer.append(data)
            self._tempDataLen += len(data)
            self._maybePauseProducer()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Send several pieces as one."""
        self.write(b"".join(iovec))

    def doWrite(self) -> Any:
        """What the reactor calls when the socket takes bytes again."""
        if self._retry_read:
            self._retry_read = False
            if self._state is State.HANDSHAKE or self._reads():
                self.startReading()
        if self._state is State.OPEN:
            return super().doWrite()
        self.stopWriting()
        return self.doRead() if self._state is State.HANDSHAKE else None

    def writeSomeData(self, data: bytes) -> int | Any:
        """Encrypt and send as much as the socket takes; see ``FileDescriptor``."""
        sent = 0
        size = min(len(data), self.SEND_LIMIT)
        several = size > RECORD
        if several:  # a segment of its own for each record wakes the client as many times
            hold_segments(self.socket)
        view = memoryview(data) if several else data
        try:
            while sent < size:
                sent += write_some(self._tls, view[sent:size] if several else view)
        except SSL.WantWriteError:
            pass
        except SSL.WantReadError:
            self._retry_write = True
            self.stopWriting()
        except SSL.Error:
            return main.CONNECTION_LOST
        if several and not self._linger:
            release_segments(self.socket)
        if self._unproved > 0:
            self.takes(sent)
        return sent

    # -- the end ---------------------------------------------------------------------------

    def loseConnection(self) -> None:
        """Close once everything queued is sent (``ITransport.loseConnection``).

        A client that takes nothing of it for the terminator's ``write_timeout`` is cut off.
        Before the identity is settled nothing may be sent, and the connection is aborted.
        """
        if self._state is State.OPEN:
            super().loseConnection()
            self._left = unsent(self)
            self._deadline.set(self._terminator.write_timeout)
        elif self._state is not State.LINGERING:
            self.abortConnection()

    def abortConnection(self) -> None:
        """Close at once; what is queued is dropped (``IAbortingTransport``)."""
        self._state = State.GONE
        super().abortConnection()

    def lingerConnection(self, last: bytes = b"") -> None:
        """Send what is last, close as ``loseConnection`` does, but let the client finish first.

        A socket closed with unread bytes sends a reset, which may destroy the last answer
        before the client has read it.
        """
        self._linger = True
        if last:
            if self._state is State.OPEN:
                hold_segments(self.socket)
            self.write(last)
        queued = self.dataBuffer or self._tempDataLen or self.producer or self._retry_write
        if self._state is State.OPEN and not (self.disconnecting or queued):
            self._part_at_once()
        else:
            self.loseConnection()

    def _part_at_once(self) -> None:
        """Say goodbye without a further turn of the reactor: nothing is left to be sent."""
        self.disconnecting = 1
        outcome = self._postLoseConnection()
        if outcome is not None:  # never in the middle of what the protocol is doing
            self.stopReading()
            cast(Any, self.reactor).callLater(0, self.connectionLost, Failure(outcome))

    def _postLoseConnection(self) -> Any:
        try:
            say_goodbye(self._tls)
        except SSL.WantWriteError:  # no room for the goodbye yet; `doWrite` comes here again
            self._deadline.set(self._terminator.write_timeout)
            self.stopReading()
            self.startWriting()
            return None
        except SSL.Error:
            return main.CONNECTION_DONE
        return self._await_their_end() if self._linger else main.CONNECTION_DONE

    def _await_their_end(self) -> Any:
        """Send nothing more, and read away what still comes until the client closes too."""
        self._state = State.LINGERING
        self._deadline.set(_LINGER_SECONDS)
        self._shouldShutdown = False  # when the socket is closed it was shut down already
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            return main.CONNECTION_DONE
        self.stopWriting()
        self.startReading()
        return None

    def _closeWriteConnection(self) -> None:
        self._say_goodbye()
        super()._closeWriteConnection()

    def readConnectionLost(self, reason: Failure) -> None:
        """The client has closed its half; so do we, unless the protocol has more to say."""
        if self._state is State.OPEN:
            if interfaces.IHalfCloseableProtocol.providedBy(self.protocol):
                super().readConnectionLost(reason)
                return
            self._say_goodbye()
        self.connectionLost(reason)

    def _say_goodbye(self) -> None:
        """What ends without a close_notify looks cut off (RFC 8446 §6.1)."""
        with suppress(SSL.Error):
            say_goodbye(self._tls)

    def connectionLost(self, reason: Failure) -> None:
        """Let go of everything; the protocol hears of it once."""
        if not hasattr(self, "socket"):
            return
        self._state = State.GONE
        self._deadline.forget()
        self._server.closed()
        settling, self._settling = self._settling, None
        try:
            super().connectionLost(reason)
        finally:
            # pyOpenSSL's object and ours hold each other; broken here, no collector is needed.
            if self._tls is not None:
                self._tls.set_app_data(None)
            if settling is not None:
                settling.cancel()

    def getPeerCertificate(self) -> crypto.X509 | None:
        """The leaf as it was presented, verified or not (``ISSLTransport``)."""
        return self._tls.get_peer_certificate() if self._tls is not None else None

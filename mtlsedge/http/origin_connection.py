"""How does one request travel to an origin, and its answer back? One HTTP/1.1 connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet import protocol, tcp, unix
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer, ITCPTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from mtlsedge.http.fields import BadResponse, render
from mtlsedge.http.messages import Headers, ResponseHead
from mtlsedge.http.response_reader import ResponseReader
from mtlsedge.ops.eager import write_eagerly

if TYPE_CHECKING:
    from mtlsedge.http.origins import Origin


class Asker(Protocol):
    """Whoever has a request on an origin connection, and hears of its answer."""

    def origin_interim(self, head: ResponseHead) -> None:
        """A 1xx."""

    def origin_head(self, head: ResponseHead) -> None:
        """The final head."""

    def origin_body(self, data: bytes) -> None:
        """More of the body."""

    def origin_complete(self, trailers: Headers) -> None:
        """The answer has ended."""

    def origin_turn_over(self) -> None:
        """Everything that came in one read was told: a time to flush."""

    def origin_tunnelled(self, data: bytes) -> None:
        """Bytes of the protocol that the origin switched to."""

    def origin_lost(self, detail: str, *, slow: bool = False) -> None:
        """The connection is gone before the answer ended; ``slow`` is a time-out."""

    def origin_full(self) -> None:
        """The origin takes no more for now: stop sending to it."""

    def origin_drained(self) -> None:
        """The origin takes bytes again."""


@implementer(IPushProducer)
class OriginConnection(protocol.Protocol):
    """A connection to one origin, asked by one exchange at a time."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self._asker: Asker | None = None
        self._reader = ResponseReader(self, origin.settings.head_limit)
        self._deadline = origin.deadlines.deadline(self._too_slow)
        self._chunked = False
        self._asked_in_full = True
        self._answered = True
        self._reusable = True
        self._tunnelling = False
        self._paused = False
        self._write: Callable[[bytes], None]

    # -- asking ----------------------------------------------------------------------------

    def ask(self, asker: Asker, method: str, head: bytes, *, chunked: bool, upgrade: bool) -> None:
        """Send a request head; the body follows by ``send_body`` and ``end_body``."""
        self._asker = asker
        self._chunked = chunked
        self._asked_in_full = self._answered = False
        self._reader.expect(method, upgrade=upgrade)
        self._deadline.set(self.origin.settings.response)
        self._write(head)

    def send_body(self, data: bytes) -> None:
        """More of the request's body."""
        self._deadline.set(self.origin.settings.response)
        self._write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def end_body(self, trailers: Headers) -> None:
        """The request has ended."""
        self._asked_in_full = True
        if self._chunked:
            self._write(b"0\r\n%b\r\n" % render(trailers))

    def tunnel(self) -> bytes:
        """Carry the protocol that was switched to; gives what came of it already."""
        self._tunnelling = True
        self._deadline.clear()
        return self._reader.leftover

    def send_tunnelled(self, data: bytes) -> None:
        """Bytes of the new protocol."""
        self._write(data)

    def release(self) -> None:
        """The exchange is done: back to the pool, if another request may follow this one."""
        self._asker = None
        self._deadline.clear()
        sound = self._asked_in_full and self._answered and self._reusable
        if sound and not self._reader.spoiled and not self._tunnelling:
            self.resume()
            self._deadline.set(self.origin.settings.keep_alive)
            self.origin.released(self)
        else:
            self.close()

    def abandon(self) -> None:
        """Nobody wants the answer any more."""
        self._asker = None
        self._deadline.clear()
        if self.transport is not None:
            self._transport.abortConnection()

    def close(self) -> None:
        """Close once everything is sent."""
        if self.transport is not None:
            self._transport.unregisterProducer()
            self._transport.loseConnection()

    def pause(self) -> None:
        """Read no more of the answer for now: its receiver is full."""
        self._deadline.clear()
        self._paused = True
        if self.transport is not None:
            self._transport.pauseProducing()

    def resume(self) -> None:
        """Read on."""
        if not self._paused:
            return
        self._paused = False
        if self._asker is not None and not self._tunnelling:
            self._deadline.set(self.origin.settings.response)
        if self.transport is not None:
            self._transport.resumeProducing()

    # -- what Twisted calls ----------------------------------------------------------------

    def connectionMade(self) -> None:
        """The transport is there."""
        transport = self._transport
        if isinstance(transport, (tcp.Connection, unix.Client)) and not transport.TLS:
            plain = transport
            self._write = lambda data: write_eagerly(plain, data)
        else:
            self._write = transport.write
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)  # heads and bodies are written apart
        transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """The origin said something."""
        asker = self._asker
        if asker is None:
            # An idle connection that speaks is of no use: nobody asked.
            self.origin.forget(self)
            self.abandon()
            return
        if self._tunnelling:
            asker.origin_tunnelled(data)
            return
        self._deadline.set(self.origin.settings.response)
        try:
            self._reader.feed(data)
        except BadResponse as error:
            self._fail(str(error))
            return
        asker.origin_turn_over()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        """The origin is gone."""
        self._deadline.forget()
        self.origin.gone(self)
        asker, self._asker = self._asker, None
        if asker is None:
            return
        if reason.check(ConnectionDone) and not self._tunnelling:
            self._asker = asker  # the end of the connection may be the end of the answer
            ended = self._reader.end_of_input()
            self._asker = None
            if ended:
                asker.origin_turn_over()
                return
        asker.origin_lost(reason.getErrorMessage())

    def pauseProducing(self) -> None:
        """The origin's socket is full."""
        if self._asker is not None:
            self._asker.origin_full()

    def resumeProducing(self) -> None:
        """The origin's socket is writable again."""
        if self._asker is not None:
            self._asker.origin_drained()

    def stopProducing(self) -> None:
        """The transport is going; ``connectionLost`` says the rest."""

    # -- what the reader calls -------------------------------------------------------------

    def response_interim(self, head: ResponseHead) -> None:
        """Told on."""
        if self._asker is not None:
            self._asker.origin_interim(head)

    def response_head(self, head: ResponseHead) -> None:
        """Told on."""
        self._reusable = head.reusable
        if self._asker is not None:
            self._asker.origin_head(head)

    def response_body(self, data: bytes) -> None:
        """Told on."""
        if self._asker is not None:
            self._asker.origin_body(data)

    def response_complete(self, trailers: Headers) -> None:
        """Told on; the exchange then releases or abandons this connection."""
        self._answered = True
        self._deadline.clear()
        if self._asker is not None:
            self._asker.origin_complete(trailers)

    @property
    def _transport(self) -> Any:
        return self.transport

    # -- failing ---------------------------------------------------------------------------

    def _too_slow(self) -> None:
        if self._asker is None:
            self.origin.forget(self)
            self.close()
        else:
            self._fail("the origin took too long", slow=True)

    def _fail(self, detail: str, *, slow: bool = False) -> None:
        asker = self._asker
        self.abandon()
        if asker is not None:
            asker.origin_lost(detail, slow=slow)

"""How does one request travel to an origin, and its answer back? One HTTP/1.1 connection."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet import protocol, tcp, unix
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IHandshakeListener,
    IPushProducer,
    ISSLTransport,
    ITCPTransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from mtlsedge.http.fields import BadResponse
from mtlsedge.http.messages import Headers, ResponseHead, render
from mtlsedge.http.response_reader import ResponseReader
from mtlsedge.ops.eager import send_eagerly
from mtlsedge.ops.lanes import AT_ONCE, Carrier

if TYPE_CHECKING:
    from mtlsedge.http.origins import Origin


class Asker(Protocol):
    """Whoever has a request on an origin connection, and hears of its answer."""

    def origin_interim(self, head: ResponseHead) -> None:
        """A 1xx."""

    def origin_head(self, head: ResponseHead) -> None:
        """The final head."""

    def origin_answer(self, head: ResponseHead, body: bytes) -> None:
        """The final head, the whole body, and the end of the answer."""

    def origin_body(self, data: bytes) -> None:
        """More of the body."""

    def origin_complete(self, trailers: Headers) -> None:
        """The answer has ended."""

    def origin_turn_over(self) -> None:
        """Everything that came in one read was told: a time to flush."""

    def origin_tunnelled(self, data: bytes) -> None:
        """Bytes of the protocol that the origin switched to."""

    def origin_lost(self, detail: str, *, slow: bool = False, answered: bool = False) -> None:
        """The connection is gone before the answer ended.

        ``slow`` is a time-out; ``answered``: some of an answer came, if only a byte.
        """

    def origin_full(self) -> None:
        """The origin takes no more for now: stop sending to it."""

    def origin_drained(self) -> None:
        """The origin takes bytes again."""


_CLOSING_SECONDS = 10.0
"""How long an origin may take over the last bytes for it, and over TLS's goodbye."""


@implementer(IPushProducer, IHandshakeListener)
class OriginConnection(Carrier, protocol.Protocol):
    """A connection to one origin, asked by one exchange at a time."""

    transport: Any
    at_once = AT_ONCE

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self._asker: Asker | None = None
        self._reader = ResponseReader(self, origin.settings.head_limit)
        self._deadline = origin.deadlines.deadline(self._too_slow)
        self._secure = False  # TLS is up
        self._securing: Deferred[OriginConnection] | None = None
        self._chunked = False
        self._asked_in_full = True
        self._heard = True  # something came since it was asked
        self._answered = True
        self._reused = False  # it has answered before
        self._reusable = True
        self._tunnelling = False
        self._stuck = False  # the origin takes nothing for now
        self._paused = False  # whoever gets the answer takes nothing for now
        self._closing = False
        self._write: Callable[[bytes], None]

    # -- asking ----------------------------------------------------------------------------

    def ask(self, asker: Asker, method: str, head: bytes, *, chunked: bool, upgrade: bool) -> None:
        """Send a request head; the body follows by ``send_body`` and ``end_body``."""
        self._asker = asker
        self._chunked = chunked
        self._asked_in_full = self._heard = self._answered = False
        self._reader.expect(method, upgrade=upgrade)
        self._deadline.clear()
        self._write(head)

    def ask_whole(self, asker: Asker, method: str, head: bytes, *, upgrade: bool) -> None:
        """Send a request that has no body."""
        self._asker = asker
        self._heard = self._answered = False
        self._asked_in_full = True
        self._reader.expect(method, upgrade=upgrade)
        self._deadline.set(self.origin.settings.response)
        self._write(head)

    def send_body(self, data: bytes) -> None:
        """More of the request's body."""
        self.carries(len(data))
        self._write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def end_body(self, trailers: Headers) -> None:
        """The request has ended."""
        self._asked_in_full = True
        if self._chunked:
            self._write(b"0\r\n%b\r\n" % render(trailers))
        self._set_deadline()

    def tunnel(self) -> bytes:
        """Carry the protocol that was switched to; gives what came of it already."""
        self._tunnelling = True
        self._deadline.clear()
        return self._reader.leftover

    def send_tunnelled(self, data: bytes) -> None:
        """Bytes of the new protocol."""
        self.carries_some(len(data))
        self._write(data)

    def release(self) -> None:
        """The exchange is done: back to the pool, if another request may follow this one."""
        self._asker = None
        if self._carried:
            self.rests()
        if not (self._asked_in_full and self._answered):
            self.abandon()
        elif self._reusable and not (self._reader.spoiled or self._tunnelling or self._stuck):
            if self._paused:
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
            self.transport.abortConnection()

    def close(self) -> None:
        """Close once everything is sent."""
        self._asker = None
        self._closing = True
        self._deadline.set(_CLOSING_SECONDS)
        if self.transport is not None:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def pause(self) -> None:
        """Read no more of the answer for now: its receiver is full."""
        self._paused = True
        self._set_deadline()
        if self.transport is not None:
            self.transport.pauseProducing()

    def resume(self) -> None:
        """Read on."""
        if not self._paused:
            return
        self._paused = False
        self._set_deadline()
        if self.transport is not None:
            self.transport.resumeProducing()

    # -- what Twisted calls ----------------------------------------------------------------

    def connectionMade(self) -> None:
        """The transport is there."""
        transport = self.transport
        if isinstance(transport, (tcp.Connection, unix.Client)) and not transport.TLS:
            transport.protocol = self  # an endpoint put a wrapper between that only passes on
            self._write = partial(send_eagerly, transport)
        else:
            self._write = transport.write
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)  # heads and bodies are written apart
        transport.registerProducer(self, True)
        self.origin.opened(self)

    def when_secure(self) -> OriginConnection | Deferred[OriginConnection]:
        """This connection, once its TLS handshake is done and the origin's name is proved.

        The Deferred fails as the connection does; it has ``settings.connect`` seconds.
        """
        if not ISSLTransport.providedBy(self.transport) or self._secure:
            return self
        self._deadline.set(self.origin.settings.connect)
        self._securing = Deferred()
        return self._securing

    def handshakeCompleted(self) -> None:
        """The origin is who it should be (only TLS says this)."""
        self._secure = True
        securing, self._securing = self._securing, None
        if securing is not None:
            self._deadline.clear()
            securing.callback(self)

    def dataReceived(self, data: bytes) -> None:
        """The origin said something."""
        asker = self._asker
        if asker is None:
            self._spoke_unasked()
            return
        if self._tunnelling:
            self.carries_some(len(data))
            asker.origin_tunnelled(data)
            return
        self._heard = True
        try:
            self._reader.feed(data)
        except BadResponse as error:
            self._fail(str(error))
            return
        if self._asker is asker:
            self._set_deadline()
            asker.origin_turn_over()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        """The origin is gone."""
        self._deadline.forget()
        self.origin.gone(self)
        securing, self._securing = self._securing, None
        if securing is not None:
            securing.errback(reason)
        asker, clean = self._asker, reason.check(ConnectionDone) is not None
        if asker is None:
            return
        if clean and not self._tunnelling and self._reader.end_of_input():
            asker.origin_turn_over()  # the end of the connection was the end of the answer
            return
        self._asker = None
        detail = reason.getErrorMessage()
        if not self._tunnelling:
            self._blame_origin(detail)
        asker.origin_lost(detail, answered=self._heard)

    def pauseProducing(self) -> None:
        """The origin's socket is full."""
        self._stuck = True
        if self._asker is not None:
            self._set_deadline()
            self._asker.origin_full()

    def resumeProducing(self) -> None:
        """The origin's socket is writable again."""
        self._stuck = False
        if self._asker is not None:
            self._set_deadline()
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

    def response_whole(self, head: ResponseHead, body: bytes) -> None:
        """Told on; the exchange then releases or abandons this connection."""
        self._reusable = head.reusable
        self._answered = self._reused = True
        if self._asker is not None:
            self._asker.origin_answer(head, body)

    def response_body(self, data: bytes) -> None:
        """Told on."""
        self.carries(len(data))
        if self._asker is not None:
            self._asker.origin_body(data)

    def response_complete(self, trailers: Headers) -> None:
        """Told on; the exchange then releases or abandons this connection."""
        self._answered = self._reused = True
        if self._asker is not None:
            self._asker.origin_complete(trailers)

    # -- failing ---------------------------------------------------------------------------

    def _spoke_unasked(self) -> None:
        """An idle connection that speaks is of no use; what one says in closing is no matter."""
        if not self._closing:
            self.origin.forget(self)
            self.abandon()

    def _set_deadline(self) -> None:
        """The clock runs while the origin has the word, and never while a client dawdles."""
        has_the_word = (self._asked_in_full or self._stuck) and self._asker is not None
        if has_the_word and not (self._paused or self._tunnelling):
            self._deadline.set(self.origin.settings.response)
        else:
            self._deadline.clear()

    def _too_slow(self) -> None:
        securing, self._securing = self._securing, None
        if securing is not None:
            self.abandon()
            securing.errback(Failure(TimeoutError("the TLS handshake took too long")))
        elif self._closing:
            self.abandon()
        elif self._asker is None:
            self.origin.forget(self)
            self.close()
        else:
            self._fail("the origin took too long", slow=True)

    def _fail(self, detail: str, *, slow: bool = False) -> None:
        asker = self._asker
        self.abandon()
        if asker is not None:
            self._blame_origin(detail)
            asker.origin_lost(detail, slow=slow, answered=True)

    def _blame_origin(self, detail: str) -> None:
        """Pass it over for a while if it said nothing at all.

        A connection that served before may have been closed for its age just then.
        """
        if not (self._heard or self._reused):
            self.origin.failed(detail)

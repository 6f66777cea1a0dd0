"""How does HTTP/1.1 carry exchanges to a client? One connection, one exchange at a time."""

from __future__ import annotations

from math import inf
from typing import Any

from twisted.internet import protocol
from twisted.internet.interfaces import IHandshakeListener, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from mtlsedge.http.callers import meet, meet_again
from mtlsedge.http.exchange import Exchange
from mtlsedge.http.framing import AnswerWriter, frame
from mtlsedge.http.messages import NO_HEAD, Headers, Refuse, RequestHead, ResponseHead
from mtlsedge.http.pace import BodyPace
from mtlsedge.http.passage import recall, recall_elsewhere
from mtlsedge.http.request_reader import RequestReader
from mtlsedge.http.site import Caller, Front
from mtlsedge.http.staying import Staying
from mtlsedge.model import Timeouts
from mtlsedge.ops.progress import unsent


@implementer(IHandshakeListener, IPushProducer)
class HTTPConnection(AnswerWriter, Staying, protocol.Protocol):
    """A client's HTTP/1.1 connection, whose transport has settled who the client is.

    ``transport`` offers ``host``, ``server_name``, ``identity`` and ``facts`` besides what
    Twisted's transports do (``tls.transport.TLSServer``).
    """

    transport: Any

    def __init__(self, front: Front) -> None:
        super().__init__()
        self._front = front
        self._exchange: Exchange | None = None
        self._tunnelling = False
        self._stuck = False  # the client takes nothing for now
        self._taken = 0  # by the client, when it was last looked (see `_bytes_taken`)
        self._closing = False
        self._in_head = False  # a head has begun and not ended
        self._reading = True
        self._reading_on = False
        self._outdated = False  # its TLS is that of an earlier configuration
        self._caller: Caller | None = None
        self._pace: BodyPace | None = None  # of the bodies that the client sends, if it sends any
        self._deadline = front.deadlines.deadline(self._too_slow)
        self._reader: RequestReader
        self._timeouts: Timeouts

    # -- what the transport calls ----------------------------------------------------------

    def handshakeCompleted(self) -> None:
        """The client's identity is settled: requests may come."""
        transport = self.transport
        site = self._front.sites[transport.host.name]
        self._caller = meet(self._front, site, transport, transport.identity)
        self._reader = RequestReader(self, site.host.limits, self._front.common_fields(site))
        self._timeouts = site.host.timeouts
        self._front.crowd.connections.add(self)
        transport.registerProducer(self, True)
        self._deadline.set(self._timeouts.request_head)
        if self._front.crowd.draining:
            self._close()

    def dataReceived(self, data: bytes) -> None:
        """Plaintext came."""
        if self._closing:
            return
        if self._exchange is None and self._is_asked_again(data):
            return
        if self._tunnelling and self._exchange is not None:
            self._set_deadline()
            self.carries_some(len(data))
            self._exchange.client_tunnelled(data)
            return
        self._reader.take(data)
        self._read_on()

    def _is_asked_again(self, data: bytes) -> bool:
        """Begin an exchange like one that was let through just now, for the same bytes."""
        caller = self._caller
        if caller is None or not caller.passages or self._front.retired:
            return False
        now = self._front.now()
        passage = recall(caller, data, now)
        if passage is None and caller.passages:
            line = self._reader.plain_line(data)
            passage = recall_elsewhere(caller, data, line, now)
        if passage is None or not self._reader.pass_over():
            return False
        self._deadline.clear()
        self._exchange = Exchange(self, caller, passage.head)
        self._exchange.begin_like(passage)
        return True

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        """The client is gone."""
        self._deadline.forget()
        if self._pace is not None:
            self._pace.forget()
        if self._caller is not None:
            self._reader.close()
        self._front.crowd.connections.discard(self)
        exchange, self._exchange = self._exchange, None
        self._closing = self._gone = True
        self._out.clear()
        if exchange is not None:
            exchange.client_lost()

    def pauseProducing(self) -> None:
        """The client's socket is full."""
        if not self._stuck:
            self._stuck = True
            self._watch_client()
        if self._exchange is not None:
            self._exchange.answer_full()

    def resumeProducing(self) -> None:
        """The client takes bytes again."""
        self._stuck = False
        if self._exchange is not None:
            self._exchange.answer_drained()
        if self._tunnelling:
            self._set_deadline()
        else:
            self._read_on()

    def stopProducing(self) -> None:
        """The transport is going; ``connectionLost`` says the rest."""

    # -- what the reader calls -------------------------------------------------------------

    def request_head(self, head: RequestHead) -> None:
        """A request: an exchange begins."""
        assert self._caller is not None
        self._in_head = False
        refusal = None
        if self._front.retired:
            refusal = self._move(self._caller)
        self._exchange = Exchange(self, self._caller, head)
        if refusal is None:
            self._exchange.begin()
        else:
            self._exchange.refuse(refusal)

    def _move(self, caller: Caller) -> Refuse | None:
        """Go over to a new configuration with this request; why that cannot be, if it cannot.

        What the handshake said is the old configuration's, so the client is asked to make a new
        one: this answer closes.
        """
        self._outdated = True
        moved = meet_again(caller, self._front.latest(), self.transport)
        if isinstance(moved, Refuse):
            return moved
        self.go_over(moved)
        return None

    def request_body(self, data: bytes) -> None:
        """More of the body."""
        if self._exchange is not None:
            self.carries(len(data))
            self._exchange.request_body(data)

    def request_complete(self, trailers: Headers) -> None:
        """The request is whole."""
        if self._exchange is not None:
            self._exchange.request_complete(trailers)

    def request_refused(self, refusal: Refuse) -> None:
        """No further byte can be made sense of."""
        assert self._caller is not None
        if self._closing:
            return
        if self._exchange is None:
            self._exchange = Exchange(self, self._caller, NO_HEAD)
        self._exchange.refuse(refusal)

    # -- what the exchange calls -----------------------------------------------------------

    def send_head(self, head: ResponseHead, extra: bytes, *, close: bool) -> None:
        """Begin an answer, framed so that its end is certain."""
        request = self._request
        close = close or self._closes_after(request)
        self._begin_answer(frame(head, request, close=close), extra)

    def send_answer(self, head: ResponseHead, extra: bytes, body: bytes, *, close: bool) -> None:
        """A whole answer, as one write."""
        assert self._exchange is not None
        request = self._exchange.head
        plain = head.length is not None and request.version == "1.1"
        if plain and not (close or self._closes_after(request)):
            self._answer_closes = self._chunked = False
            measured = head.measured(to_head=request.method == "HEAD")
            self.transport.write(b"%b%b\r\n%b" % (measured, extra, body))
            return
        self.send_head(head, extra, close=close)
        if body:
            self.send_body(body)
        self.end([])

    def _closes_after(self, request: RequestHead) -> bool:
        return not request.keep_alive or self._front.crowd.draining or self._outdated

    def hold_request(self) -> None:
        """Read no more for now."""
        self._reader.held = True
        if self._pace is not None:
            self._pace.rest()
        if self._tunnelling:
            self._set_reading(False)
        elif not self._reading_on:
            self._await_more()

    def resume_request(self) -> None:
        """Read on, first what was received already."""
        self._reader.held = False
        if self._pace is None:
            self._pace = BodyPace(self._front.deadlines, self._reader)
        assert self._caller is not None
        limits = self._caller.site.host.limits
        # From here on nothing but the client holds the body up.
        self._pace.begin(self._exchange, limits.min_request_rate, self._timeouts.request_body)
        if self._tunnelling:
            self._set_reading(True)
        else:
            self._read_on()

    def tunnel(self, head: ResponseHead) -> bytes:
        """Answer 101; every byte after it is the new protocol's."""
        self._tunnelling = True
        self._out.append(
            b"%bConnection: upgrade\r\nUpgrade: %b\r\n\r\n" % (head.lines, head.upgrade)
        )
        self.flush()
        self._set_deadline()
        self._reader.held = False
        self._set_reading(True)
        return self._reader.take_waiting()

    def send_tunnelled(self, data: bytes) -> None:
        """Bytes of the new protocol."""
        self._set_deadline()
        self.carries_some(len(data))
        self.transport.write(data)

    def finished(self, *, close: bool) -> None:
        """The exchange is over: the next, or the end."""
        self._exchange = None
        if self._carried:
            self.rests()
        if close or self._answer_closes or self._tunnelling or self._front.crowd.draining:
            self._close()
            return
        if self._stuck:
            self._watch_client()  # what this exchange counted is counted no more
        self._reader.held = False
        if self._reading and not (self._stuck or self._reading_on) and self._reader.ended_alone():
            self._deadline.set(self._timeouts.keep_alive)
        else:
            self._read_on()

    def abort(self) -> None:
        """The client must not take what it has for the whole answer."""
        self._out.clear()
        self._closing = self._gone = True
        self.transport.abortConnection()

    # -- moving on -------------------------------------------------------------------------

    def _read_on(self) -> None:
        """Read what may be read: the rest of this request, or the requests after it.

        Exchanges may end while they are being read, so this is a loop and never a recursion.
        While the client takes no answers its next request is not begun: answers would pile up.
        """
        if self._reading_on:
            return
        self._reading_on = True
        reader = self._reader
        try:
            reader.pump()
            while reader.request_ended and self._exchange is None:
                if self._closing or self._stuck:
                    break
                reader.next()
        finally:
            self._reading_on = False
        self._await_more()

    def _await_more(self) -> None:
        if not self._closing and not self._tunnelling:
            # What was sent ahead waits here, and further bytes in the socket.
            self._set_reading(not (self._reader.held or self._reader.waiting))
            self._set_deadline()

    def _set_reading(self, reading: bool) -> None:
        if reading is self._reading:
            return
        self._reading = reading
        if reading:
            self.transport.resumeProducing()
        else:
            self.transport.pauseProducing()

    def _close(self) -> None:
        """Close once the client has taken what was said, unless it takes too long over that."""
        if self._closing:
            return
        self._closing = True
        self.transport.unregisterProducer()
        self.transport.lingerConnection(self._take_out())
        self._watch_client()

    def drain(self) -> None:
        """Close as soon as nothing is under way."""
        if self._exchange is None and not self._closing:
            self._close()

    def idle(self) -> float:
        """Seconds since the last answer, while nothing has come since; or 0."""
        if self._exchange is not None or self._answer_closes is not False:
            return 0.0
        if self._closing or self._stuck or not self._reader.between_requests:
            return 0.0
        # Where `keep_alive` is for ever, nobody knows: any may be the first to go.
        since = self._deadline.due - self._timeouts.keep_alive
        return inf if since == inf else self._front.deadlines.seconds() - since

    def stop(self) -> None:
        """Close now, and log what was under way."""
        if self._exchange is not None:
            self._exchange.refuse(Refuse(503, "overloaded", "the edge is stopping", close=True))
        else:
            self.abort()

    def _watch_client(self) -> None:
        self._taken = self._bytes_taken()
        self._deadline.set(self._timeouts.write)

    def _bytes_taken(self) -> int:
        """What the client has of the answer, give or take a constant."""
        said = self._exchange.record.bytes_out if self._exchange is not None else 0
        return said - unsent(self.transport)

    def _set_deadline(self) -> None:
        timeouts, reader = self._timeouts, self._reader
        if self._stuck:
            return  # `_watch_client` keeps its own
        if self._tunnelling:
            self._deadline.set(timeouts.tunnel)
        elif self._exchange is not None:
            waits_for_body = not (reader.held or reader.request_ended)
            self._deadline.set(timeouts.request_body if waits_for_body else 0)
        elif reader.between_requests:
            self._deadline.set(timeouts.keep_alive)
        elif not self._in_head:
            self._in_head = True  # the clock for the head runs from its first byte
            self._deadline.set(timeouts.request_head)

    def _too_slow(self) -> None:
        if self._stuck or self._closing:
            self._taking_too_slowly()
        elif self._exchange is not None:
            silent = "the tunnel was silent" if self._tunnelling else "the request body stalled"
            self._exchange.refuse(Refuse(408, "timeout", f"{silent} for too long", close=True))
        elif self._reader.between_requests:
            self._close()
        else:
            self.request_refused(
                Refuse(408, "timeout", "the request head came too slowly", close=True)
            )

    def _taking_too_slowly(self) -> None:
        """Cut off a client that takes nothing, or less than it must."""
        rate = self._caller.site.host.limits.min_response_rate if self._caller else 0
        taken = self._bytes_taken() - self._taken
        if taken >= max(1, rate * self._timeouts.write):
            self._watch_client()
            return
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            much = "too little" if taken > 0 else "nothing"
            exchange.client_lost(f"the client takes {much} of its answer")
        self.abort()

    @property
    def _request(self) -> RequestHead:
        assert self._exchange is not None
        return self._exchange.head

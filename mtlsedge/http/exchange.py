"""How does one request become one answer? Decide, then refuse or forward, then log.

An exchange knows nothing of the protocol that carries its client: it talks to a `Downstream`,
and many exchanges of one connection could be alive at once. Its life::

    DECIDING -> ACQUIRING -> FORWARDING -> (TUNNEL) -> DONE

A refusal leads to DONE from anywhere; only a decision that admits leads out of DECIDING.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum, auto
from math import inf
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mtlsedge.http import wellknown
from mtlsedge.http.admission import ask_verifiers, let_through
from mtlsedge.http.downstream import Downstream
from mtlsedge.http.messages import Headers, Refuse, RequestHead, ResponseHead, own_answer
from mtlsedge.http.origin_connection import OriginConnection
from mtlsedge.http.origin_request import switched_properly
from mtlsedge.http.passage import Passage
from mtlsedge.http.record import Record
from mtlsedge.http.refusals import refusal
from mtlsedge.http.ruling import decide, denial, find_route, proved_service_token
from mtlsedge.http.site import Caller
from mtlsedge.policy.application import CompiledApplication
from mtlsedge.target import Target

_log = Logger()

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})  # RFC 9110 §9.2.2
_ATTEMPTS = 3
_CLIENT_GONE = 499  # what nginx logs, too


class _Stage(Enum):
    DECIDING = auto()
    ACQUIRING = auto()
    FORWARDING = auto()
    TUNNEL = auto()
    DONE = auto()


# An enumeration's look-up is slow.
_DECIDING, _ACQUIRING, _FORWARDING = _Stage.DECIDING, _Stage.ACQUIRING, _Stage.FORWARDING
_TUNNEL, _DONE = _Stage.TUNNEL, _Stage.DONE


class Exchange:
    """One request and its answer."""

    __slots__ = (
        "_answer_begun",
        "_attempts",
        "_body_begun",
        "_caller",
        "_connection",
        "_downstream",
        "_passage",
        "_request_ended",
        "_stage",
        "_waiting",
        "head",
        "record",
    )

    def __init__(self, downstream: Downstream, caller: Caller, head: RequestHead) -> None:
        self.record = Record(caller, head)
        self._downstream = downstream
        self._caller = caller
        self.head = head
        self._stage = _DECIDING
        self._waiting: Deferred[Any] | None = None  # for verifiers
        self._passage: Passage | None = None
        self._connection: OriginConnection | None = None
        self._attempts = 0
        self._body_begun = False  # some of it may have reached an origin
        self._request_ended = False
        self._answer_begun = False

    # -- deciding --------------------------------------------------------------------------

    def begin(self) -> None:
        """Decide, and act on the decision."""
        if self.head.has_body:
            self._downstream.hold_request()
        self._attempt(self._decide)

    def begin_like(self, passage: Passage) -> None:
        """Begin as one that was let through just now did: it was asked for the very same."""
        self._request_ended = True
        try:
            self._go(passage)
        except Exception as error:
            self._fail(error)

    def _attempt(self, step: Callable[..., None], *args: Any) -> None:
        """Take a step; whatever goes wrong in it, the request is refused."""
        try:
            step(*args)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, Refuse):
            _log.failure("an exchange failed; it is refused")
            error = Refuse(500, "internal", "an error inside the edge", close=True)
        self.refuse(error)

    def _decide(self) -> None:
        route = find_route(self.head, self._caller)
        target = self.record.target = route.target
        own = wellknown.answer(target, self.head, self._caller)
        if own is not None:
            self.record.reason = "answered by the edge"
            self._send_own(*own, close=False)
            return
        application = route.application
        waiting = ask_verifiers(application, self._caller, target.host)
        if waiting is None:
            self._rule(target, application)
            return
        self._waiting = waiting
        waiting.addCallback(lambda _: self._rule_later(target, application))

    def _rule_later(self, target: Target, application: CompiledApplication | None) -> None:
        if self._waiting is not None:
            self._attempt(self._rule, target, application)

    def _rule(self, target: Target, application: CompiledApplication | None) -> None:
        head, caller = self.head, self._caller
        service_token = proved_service_token(head, caller)
        decision = self.record.decision = decide(target, application, caller, service_token)
        if not decision.admitted:
            raise denial(decision, caller, head, service_token)
        if (head.length or 0) > (caller.site.host.limits.request_body or inf):
            raise Refuse(413, "too_large", "the request body is too large")
        self._go(let_through(head, target, decision, caller, service_token))

    def _go(self, passage: Passage) -> None:
        record = self.record
        self._passage = record.passage = passage
        record.target, record.decision = passage.target, passage.decision
        self._stage = _ACQUIRING
        self._acquire(fresh=False)

    # -- answering by ourselves ------------------------------------------------------------

    def refuse(self, refuse: Refuse) -> None:
        """Answer with a refusal, or cut the answer that was begun already."""
        if self._stage is _DONE:
            return
        self.record.refused(refuse)
        self._drop_origin()
        if self._answer_begun:
            self.record.status = self.record.status or refuse.status
            self._downstream.abort()
            self._finish(close=True)
            return
        target = self.record.target
        host = target.host if target is not None else ""
        page = refusal(
            refuse.status, refuse.reason, self.record.request_id, self.head.find(b"accept"), host
        )
        self._send_own(refuse.status, page.headers, page.body, close=refuse.close)

    def _send_own(
        self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes, *, close: bool
    ) -> None:
        # A body that nobody will read leaves the next request's beginning unknown.
        close = close or (self.head.has_body and not self._request_ended)
        head, body = own_answer(self.head.method, status, headers, body)
        self.record.status = status
        self.record.bytes_out += len(body)
        self._answer_begun = True
        self._downstream.send_answer(head, b"", body, close=close)
        self._finish(close=close)

    # -- forwarding ------------------------------------------------------------------------

    @property
    def still_waiting(self) -> bool:
        """Whether a connection to an origin is still wanted."""
        return self._stage is _ACQUIRING

    def _acquire(self, *, fresh: bool) -> None:
        self._attempts += 1
        origins = self._caller.site.origins
        connection = None if fresh else origins.take_idle()
        if connection is not None:
            self.origin_ready(connection)
        else:
            origins.acquire(self, fresh=fresh)

    def origin_ready(self, connection: OriginConnection) -> None:
        """An origin listens: ask."""
        self._stage = _FORWARDING
        self._connection = connection
        try:
            self._ask(connection)
        except Exception as error:
            self._fail(error)

    def _ask(self, connection: OriginConnection) -> None:
        head, passage, origin = self.head, self._passage, connection.origin
        assert passage is not None
        self.record.origin_asked(origin.name)
        request = passage.request(self._caller, origin.authority, self.record.request_id)
        upgrade = bool(passage.upgrade)
        if head.length == 0:
            connection.ask_whole(self, head.method, request, upgrade=upgrade)
            return
        connection.ask(self, head.method, request, chunked=head.length is None, upgrade=upgrade)
        self._downstream.resume_request()

    def origin_unavailable(self, status: int, reason: str, detail: str) -> None:
        """No origin could be reached."""
        self.refuse(Refuse(status, reason, detail))

    def origin_lost(self, detail: str, *, slow: bool = False, answered: bool = False) -> None:
        """The origin went away, or was too slow, before its answer ended."""
        self._connection = None
        if self._stage is _TUNNEL:
            self._finish(close=True)
        elif slow:
            self.refuse(Refuse(504, "origin_timeout", detail))
        elif not answered and self._may_retry():
            if self.head.has_body:
                self._downstream.hold_request()
            self._stage = _ACQUIRING
            self._acquire(fresh=True)
        else:
            self.refuse(Refuse(502, "origin_unreachable", detail))

    def _may_retry(self) -> bool:
        unsent = not self._body_begun
        return unsent and self.head.method in _IDEMPOTENT and self._attempts < _ATTEMPTS

    # -- the request's body ----------------------------------------------------------------

    def request_body(self, data: bytes) -> None:
        """More of the body came from the client."""
        self.record.bytes_in += len(data)
        if self._connection is None:
            return  # it was refused; what still comes is nobody's
        if self.record.bytes_in > (self._caller.site.host.limits.request_body or inf):
            self.refuse(Refuse(413, "too_large", "the request body is too large", close=True))
            return
        self._body_begun = True
        self._connection.send_body(data)

    def request_complete(self, trailers: Headers) -> None:
        """The client has said all."""
        self._request_ended = True
        if self._connection is not None and self.head.has_body:
            self._body_begun = True
            self._connection.end_body(trailers)

    def origin_full(self) -> None:
        """The origin is slower than the client."""
        if self._stage is _TUNNEL or not self._request_ended:
            self._downstream.hold_request()

    def origin_drained(self) -> None:
        """The origin caught up."""
        if self._stage is _TUNNEL or not self._request_ended:
            self._downstream.resume_request()

    # -- the answer ------------------------------------------------------------------------

    def origin_interim(self, head: ResponseHead) -> None:
        """A 1xx goes on as it is, to clients that know them."""
        if self.head.version != "1.0":
            self._downstream.send_interim(head)

    def origin_head(self, head: ResponseHead) -> None:
        """The origin began its answer."""
        self.record.origin_answered()
        self.record.status = head.status
        if head.status == 101:
            self._switch(head)
            return
        extra = self._passage.set_cookie if self._passage is not None else b""
        self._answer_begun = True
        self._downstream.send_head(head, extra, close=not self._request_ended)

    def origin_answer(self, head: ResponseHead, body: bytes) -> None:
        """The origin's whole answer came at once."""
        self.record.answered(head.status, len(body))
        extra = self._passage.set_cookie if self._passage is not None else b""
        self._answer_begun = True
        self._downstream.send_answer(head, extra, body, close=not self._request_ended)
        self._answered()

    def origin_body(self, data: bytes) -> None:
        """More of the answer."""
        self.record.bytes_out += len(data)
        self._downstream.send_body(data)

    def origin_complete(self, trailers: Headers) -> None:
        """The answer has ended."""
        self._downstream.end(trailers)
        self._answered()

    def _answered(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()
        self._finish(close=not self._request_ended)

    def origin_turn_over(self) -> None:
        """Everything that came at once was told."""
        if self._stage is not _DONE:
            self._downstream.flush()

    def answer_full(self) -> None:
        """The client is slower than the origin."""
        if self._connection is not None:
            self._connection.pause()

    def answer_drained(self) -> None:
        """The client caught up."""
        if self._connection is not None:
            self._connection.resume()

    # -- tunnels ---------------------------------------------------------------------------

    def _switch(self, head: ResponseHead) -> None:
        """Only the origin's 101 makes a tunnel (invariant 7)."""
        connection = self._connection
        asked = self._passage.upgrade if self._passage is not None else b""
        if connection is None or not switched_properly(head.upgrade, asked):
            self.refuse(Refuse(502, "origin_unreachable", "a 101 to another protocol"))
            return
        self._stage = _TUNNEL
        self._answer_begun = True
        self.record.event = "tunnel"
        early = self._downstream.tunnel(head)
        ready = connection.tunnel()
        if ready:
            self.origin_tunnelled(ready)
        if early:
            self.client_tunnelled(early)

    def client_tunnelled(self, data: bytes) -> None:
        """Raw bytes from the client."""
        self.record.bytes_in += len(data)
        if self._connection is not None:
            self._connection.send_tunnelled(data)

    def origin_tunnelled(self, data: bytes) -> None:
        """Raw bytes from the origin."""
        self.record.bytes_out += len(data)
        self._downstream.send_tunnelled(data)

    # -- the end ---------------------------------------------------------------------------

    def cut(self, refuse: Refuse) -> None:
        """End this exchange now, whatever it was doing: what let it begin holds no more."""
        self.record.event = "cut"
        refuse.close = True
        self.refuse(refuse)

    def client_lost(self, detail: str = "the client went away") -> None:
        """The client went away. What it had of an answer keeps that answer's status."""
        if self._stage is _DONE:
            return
        if self._stage is not _TUNNEL:
            self.record.status = self.record.status or _CLIENT_GONE
            self.record.reason = self.record.reason or detail
        self._drop_origin()
        self._stage = _DONE
        self.record.write()

    def _drop_origin(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()
        connection, self._connection = self._connection, None
        if self._stage is _ACQUIRING:
            self._caller.site.origins.leave(self)
        elif connection is None:
            return
        elif self._stage is _TUNNEL:
            connection.close()
        else:
            connection.abandon()

    def _finish(self, *, close: bool) -> None:
        if self._stage is not _DONE:
            self._stage = _DONE
            self.record.write()
        self._downstream.finished(close=close)

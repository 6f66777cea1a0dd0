"""Who asks? A client on the stage: what its connection and its request are to the edge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from mtlsedge.http.callers import meet
from mtlsedge.http.exchange import Exchange
from mtlsedge.http.messages import NO_HEAD, Headers, Refuse, RequestHead, ResponseHead
from mtlsedge.http.request_reader import RequestReader
from mtlsedge.http.site import Caller, Front
from mtlsedge.identity import Identity
from mtlsedge.tls.facts import NO_FACTS, HandshakeFacts
from mtlsedge.tls.hosts import TLSHost


@dataclass(frozen=True, slots=True)
class Wire:
    """What a transport says of a connection whose handshake is done."""

    host: TLSHost
    server_name: str
    identity: Identity
    client: tuple[str, int]
    local_port: int
    facts: HandshakeFacts = NO_FACTS

    @classmethod
    def of(
        cls,
        host: TLSHost,
        server_name: str,
        identity: Identity,
        ip: IPv4Address | IPv6Address,
        port: int,
    ) -> Wire:
        """The connection of a client at an address."""
        return cls(host, server_name, identity, (str(ip), 0), port)


class Watched(Exchange):
    """An exchange that keeps what it was refused with."""

    refusal: Refuse | None = None

    def refuse(self, refuse: Refuse) -> None:
        """Answer with a refusal."""
        self.refusal = self.refusal or refuse
        super().refuse(refuse)


class Visitor:
    """A client whose identity is settled, and its one request (a ``Downstream``).

    Args:
        front: of the stage.
        wire: its connection.
        done: called once, when the request has its answer.

    Attributes:
        caller: who it is to the edge.
        head: its request, once it was understood.
        exchange: what became of it.
        answer: the answer's head, with the edge's own lines in ``extra``.
    """

    def __init__(self, front: Front, wire: Wire, done: Callable[[], None]) -> None:
        site = front.sites[wire.host.name]
        self.caller: Caller = meet(front, site, wire, wire.identity)
        self.head: RequestHead | None = None
        self.exchange: Watched | None = None
        self.answer: ResponseHead | None = None
        self.extra = b""
        self._reader = RequestReader(self, site.host.limits)
        self._done = done
        self._finished = False

    def say(self, request: bytes) -> None:
        """Send a request."""
        self._reader.take(request)
        self._reader.pump()
        if self.exchange is None:  # a head that does not end
            self.request_refused(Refuse(400, "malformed", "the request does not end"))

    # -- what the reader calls -------------------------------------------------------------

    def request_head(self, head: RequestHead) -> None:
        """A request: an exchange begins."""
        self.head = head
        self.exchange = Watched(self, self.caller, head)
        self.exchange.begin()

    def request_body(self, data: bytes) -> None:
        """No body is sent."""

    def request_complete(self, trailers: Headers) -> None:
        """The request is whole."""

    def request_refused(self, refusal: Refuse) -> None:
        """It cannot be made sense of."""
        if self.exchange is None:
            self.exchange = Watched(self, self.caller, self.head or NO_HEAD)
        self.exchange.refuse(refusal)

    # -- what the exchange calls -----------------------------------------------------------

    def send_interim(self, head: ResponseHead) -> None:
        """No origin answers here."""

    def send_head(self, head: ResponseHead, extra: bytes, *, close: bool) -> None:
        """The answer begins."""
        self.answer, self.extra = head, extra

    def send_answer(self, head: ResponseHead, extra: bytes, body: bytes, *, close: bool) -> None:
        """The whole answer."""
        self.answer, self.extra = head, extra

    def send_body(self, data: bytes) -> None:
        """More of it."""

    def end(self, trailers: Headers) -> None:
        """It is complete."""

    def flush(self) -> None:
        """Nothing is kept."""

    def hold_request(self) -> None:
        """Nothing more would come."""

    resume_request = flush

    def tunnel(self, head: ResponseHead) -> bytes:
        """No origin switches here."""
        return b""

    def send_tunnelled(self, data: bytes) -> None:
        """Nor says anything afterwards."""

    def finished(self, *, close: bool) -> None:
        """The exchange is over."""
        if not self._finished:
            self._finished = True
            self._done()

    def abort(self) -> None:
        """Nothing was begun that could be cut."""

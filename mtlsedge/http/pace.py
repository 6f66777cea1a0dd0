"""Is a client fast enough, over all? One that sends a byte a minute is never quite silent."""

from __future__ import annotations

from mtlsedge.http.exchange import Exchange
from mtlsedge.http.messages import Refuse
from mtlsedge.http.request_reader import RequestReader
from mtlsedge.ops.deadlines import Deadlines


class BodyPace:
    """Looks, a stretch at a time, whether the bodies on one connection come as fast as they must.

    Nothing is done when a piece comes: what came is compared at both ends of a stretch. Whatever
    holds the client up must ``rest`` the pace; a stretch that was broken off is not judged.
    """

    __slots__ = ("_deadline", "_exchange", "_from", "_rate", "_reader", "_stretch")

    def __init__(self, deadlines: Deadlines, reader: RequestReader) -> None:
        self._reader = reader
        self._exchange: Exchange | None = None
        self._from = self._rate = 0
        self._stretch = 0.0
        self._deadline = deadlines.deadline(self._look)

    def begin(self, exchange: Exchange | None, rate: int, stretch: float) -> None:
        """Watch from now on: ``rate`` bytes a second, over ``stretch`` seconds; 0 is any."""
        if exchange is None or not rate:
            self._deadline.clear()
            return
        self._exchange, self._from = exchange, exchange.record.bytes_in
        self._rate, self._stretch = rate, stretch
        self._deadline.set(stretch)

    def rest(self) -> None:
        """The client is not the one that is waited for."""
        self._deadline.clear()

    def forget(self) -> None:
        """The client is gone."""
        self._exchange = None
        self._deadline.forget()

    def _look(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is None or self._reader.request_ended:
            return  # this request, or another since: no body is waited for
        brought = exchange.record.bytes_in - self._from
        if brought >= self._rate * self._stretch:
            self.begin(exchange, self._rate, self._stretch)
            return
        slow = f"{brought} bytes in {self._stretch:g} s, and not {self._rate} a second"
        detail = f"the request body came too slowly: {slow}"
        exchange.refuse(Refuse(408, "timeout", detail, close=True))

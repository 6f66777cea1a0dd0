"""What does an exchange need of the protocol that carries its client, whatever protocol it is?"""

from __future__ import annotations

from typing import Protocol

from mtlsedge.http.messages import Headers, ResponseHead


class Downstream(Protocol):
    """The client's side of one exchange."""

    def send_interim(self, head: ResponseHead) -> None:
        """Pass on a 1xx."""

    def send_head(self, head: ResponseHead, extra: bytes, *, close: bool) -> None:
        """Begin the answer; ``extra`` are header lines of the edge's own."""

    def send_answer(self, head: ResponseHead, extra: bytes, body: bytes, *, close: bool) -> None:
        """A whole answer; ``body`` is as long as the head says."""

    def send_body(self, data: bytes) -> None:
        """More of the answer's body."""

    def end(self, trailers: Headers) -> None:
        """The answer is complete."""

    def flush(self) -> None:
        """Let out what was said so far."""

    def hold_request(self) -> None:
        """Read no more of this request for now."""

    def resume_request(self) -> None:
        """Read on."""

    def tunnel(self, head: ResponseHead) -> bytes:
        """Answer 101 and carry raw bytes from now on; gives what the client sent already."""

    def send_tunnelled(self, data: bytes) -> None:
        """Bytes of the protocol that was switched to."""

    def finished(self, *, close: bool) -> None:
        """This exchange is over; ``close``: so is the connection."""

    def abort(self) -> None:
        """The answer cannot be completed: cut, so that nobody takes it for whole."""

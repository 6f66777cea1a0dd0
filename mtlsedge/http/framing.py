"""How does an HTTP/1.1 client know where an answer ends? Answers as bytes (RFC 9112 §6.3)."""

from __future__ import annotations

from dataclasses import dataclass

from mtlsedge.http.messages import Headers, RequestHead, ResponseHead, render
from mtlsedge.ops.lanes import Carrier


@dataclass(slots=True)
class Framed:
    """The lines of an answer's head, without the blank one.

    ``chunked``: so is its body; ``closes``: the connection ends with it.
    """

    lines: bytes
    chunked: bool
    closes: bool


def frame(head: ResponseHead, request: RequestHead, *, close: bool) -> Framed:
    """Frame an answer so that its end is certain; where nothing else says so, it is the close."""
    chunked = head.length is None and request.version == "1.1"
    lines = head.measured(to_head=request.method == "HEAD")
    if chunked:
        lines += b"Transfer-Encoding: chunked\r\n"
    elif head.length is None:
        close = True
    if close:
        lines += b"Connection: close\r\n"
    elif request.version == "1.0":
        lines += b"Connection: keep-alive\r\n"
    return Framed(lines, chunked, close)


class AnswerWriter(Carrier):
    """The answers of one connection, as few writes as they can be; what a ``Downstream`` says."""

    def __init__(self) -> None:
        self._chunked = False  # the answer's body is
        self._answer_closes: bool | None = None  # None until the first
        self._out: list[bytes] = []

    def send_interim(self, head: ResponseHead) -> None:
        """Pass on a 1xx."""
        self._out.append(head.lines + b"\r\n")
        self.flush()

    def _begin_answer(self, framed: Framed, extra: bytes) -> None:
        self._chunked, self._answer_closes = framed.chunked, framed.closes
        self._out.append(b"%b%b\r\n" % (framed.lines, extra))

    def send_body(self, data: bytes) -> None:
        """More of the answer's body."""
        self.carries(len(data))
        self._out.append(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def end(self, trailers: Headers) -> None:
        """The answer is complete."""
        if self._chunked:
            self._out.append(b"0\r\n%b\r\n" % render(trailers))
        if not self._answer_closes:  # else it leaves with the goodbye
            self.flush()

    def flush(self) -> None:
        """Let out what was said so far, as one write."""
        if self._out:
            self.transport.write(self._take_out())

    def _take_out(self) -> bytes:
        out = self._out
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        return data

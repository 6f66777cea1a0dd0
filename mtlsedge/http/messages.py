"""Values: the heads of requests and responses, whatever version of HTTP carried them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus

Headers = list[tuple[bytes, bytes]]

_REASONS = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}


def render(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Header lines as HTTP/1.1 has them."""
    return b"".join([b"%b: %b\r\n" % field for field in fields])


class Refuse(Exception):  # control flow inside http/, never seen outside
    """This request gets an answer of the edge's own.

    Attributes:
        status: the HTTP status.
        reason: the class of reason that the client is told (see ``refusals``).
        detail: the full reason, for the log.
        close: the connection cannot go on: where the next request begins is unknown.
    """

    def __init__(self, status: int, reason: str, detail: str, *, close: bool = False) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.close = close


@dataclass(slots=True)
class RequestHead:
    """A request as the edge understood it.

    ``headers`` holds only what may go on to the origin: framing, hop-by-hop fields and every
    name that the edge itself can set are taken out already and stand below, read.

    Attributes:
        target: the request target as it was sent.
        version: ``"1.1"`` or ``"1.0"``.
        host: the Host field as it was sent, None where there was none.
        length: of the body in bytes; None where it is chunked; 0 where there is none.
        framed: a field said so.
        keep_alive: the client will reuse the connection.
        upgrade: the protocols it would switch to, b"" if none.
        expects_continue: it waits for a 100 before it sends the body.
        trailers: it understands trailers (``TE: trailers``).
        client_id, client_secret: the service token's credentials.
        cookies: values of the Cookie fields.
        raw: all its bytes, where it is plain; else b"".
    """

    method: str
    target: bytes
    version: str
    headers: Headers = field(default_factory=list)
    host: bytes | None = None
    length: int | None = 0
    framed: bool = False
    keep_alive: bool = True
    upgrade: bytes = b""
    expects_continue: bool = False
    trailers: bool = False
    client_id: str = ""
    client_secret: str = ""
    cookies: list[bytes] = field(default_factory=list)
    _lines: bytes | None = None
    raw: bytes = b""

    @property
    def lines(self) -> bytes:
        """``headers`` as HTTP/1.1 has them, rendered once."""
        if self._lines is None:
            self._lines = render(self.headers)
        return self._lines

    def again(self, method: str, target: bytes, raw: bytes) -> RequestHead:
        """The same fields below another request line; nobody changes fields once they are read."""
        return RequestHead(
            method,
            target,
            self.version,
            self.headers,
            self.host,
            self.length,
            self.framed,
            self.keep_alive,
            self.upgrade,
            self.expects_continue,
            self.trailers,
            self.client_id,
            self.client_secret,
            self.cookies,
            self.lines,
            raw,
        )

    @property
    def has_body(self) -> bool:
        """Whether body bytes will follow the head."""
        return self.length != 0

    def find(self, name: bytes) -> bytes:
        """All values of one passed-on field, joined as RFC 9110 §5.3 has it; b"" if none."""
        return b", ".join(value for key, value in self.headers if key.lower() == name)


NO_HEAD = RequestHead("-", b"", "1.1")
"""Stands for the request where there is none: none was read, or none is under way."""


@dataclass(slots=True)
class ResponseHead:
    """A response as the origin meant it; ``headers`` are those that may go on to the client.

    ``length`` is the body's, None where only its end will tell; ``declared`` is what a
    bodiless answer (to HEAD, or a 304) said of the body it does not have.
    """

    status: int
    reason: bytes
    headers: Headers
    length: int | None = None
    declared: bytes = b""
    until_close: bool = False  # the body ends with the connection
    reusable: bool = True  # the origin's connection may carry another request
    upgrade: bytes = b""
    _lines: bytes | None = None
    _measured: bytes | None = None

    @property
    def lines(self) -> bytes:
        """The status line and ``headers`` as HTTP/1.1 has them, rendered once."""
        if self._lines is None:
            reason = self.reason or _REASONS.get(self.status, b"")
            self._lines = b"HTTP/1.1 %d %b\r\n%b" % (self.status, reason, render(self.headers))
        return self._lines

    def measured(self, *, to_head: bool) -> bytes:
        """``lines``, and what is known of the body's length; rendered once, but for HEAD."""
        if to_head:
            return self.lines + self._length_field(bodiless=True)
        if self._measured is None:
            self._measured = self.lines + self._length_field(bodiless=self.status == 304)
        return self._measured

    def _length_field(self, *, bodiless: bool) -> bytes:
        if self.length is None or self.status == 204:
            return b""
        if self.declared and not self.length:
            return b"Content-Length: %b\r\n" % self.declared
        return b"" if bodiless else b"Content-Length: %d\r\n" % self.length


def own_answer(
    method: str, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes
) -> tuple[ResponseHead, bytes]:
    """The head and the body of an answer that the edge gives by itself."""
    fields = [field for field in headers if field[0].lower() != b"content-length"]
    if method == "HEAD":
        return ResponseHead(status, b"", fields, 0, b"%d" % len(body)), b""
    return ResponseHead(status, b"", fields, len(body)), body

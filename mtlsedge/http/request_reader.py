"""Where does each request begin and end? `httptools` on what a client sends.

The parser cannot be stopped between two requests, so it is never given more than one end of a
request at a time: a piece ends at the first blank line, or with a body of known length, also
where two reads share that blank line. What follows waits here, unparsed, until the request
before it is answered. That keeps requests in order, decisions one by one, and memory bounded by
a single read.

Clients repeat themselves: below another request line come the same fields, byte for byte. Where
the parser has read such fields on this connection, and found that no body follows, it would
find the same again; so it is not asked, and stays where it is, between two requests. Nor does
it see a large body whose length is known.

The parser's callbacks only note what they hear; it is told on when the parser has returned, so
that whoever listens may do anything, also ask for the next request.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn, Protocol

import httptools
from twisted.logger import Logger

from mtlsedge.http.fields import read_request, read_trailers
from mtlsedge.http.messages import Headers, Refuse, RequestHead
from mtlsedge.model import Limits

_BLANK_LINE = b"\r\n\r\n"
_LONGEST_FAMILIAR = 4096  # bytes of fields kept per connection
_LARGE = 32 * 1024  # bytes of a body that are worth another parser afterwards
_VERSION = len(b"HTTP/1.1")
_PLAIN_LINE = re.compile(
    rb"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/[A-Za-z0-9/._~%?=&+,:;@!$'()*-]*) HTTP/1\.[01]"
)
"""Request lines that nobody reads in two ways; a part of what the parser takes."""

_log = Logger()


class RequestEvents(Protocol):
    """What a reader tells the connection that it reads for."""

    def request_head(self, head: RequestHead) -> None:
        """A head is complete and sound."""

    def request_body(self, data: bytes) -> None:
        """More of the body, without its framing."""

    def request_complete(self, trailers: Headers) -> None:
        """The request has ended; nothing more is read until ``RequestReader.next``."""

    def request_refused(self, refusal: Refuse) -> None:
        """No further byte of this connection can be made sense of."""


class _Nobody:
    """Whom a closed reader tells what it still has."""

    def request_head(self, head: RequestHead) -> None:
        pass

    def request_body(self, data: bytes) -> None:
        pass

    def request_complete(self, trailers: Headers) -> None:
        pass

    def request_refused(self, refusal: Refuse) -> None:
        pass


_NOBODY = _Nobody()


CommonFields = dict[bytes, RequestHead]
"""Requests without a body by all their bytes but the request line's, version included."""

_MOST_COMMON = 16
_LONGEST_COMMON = 512  # bytes
_SECRETS = (b"authorization", b"cookie", b"secret", b"token")


def _is_nobodys(head: RequestHead) -> bool:
    """Whether what a request says besides its target may be kept when its sender has gone.

    Without Host the head is completed from what its connection asked for.
    """
    if head.host is None or head.cookies or head.client_id:
        return False
    return not any(word in name.lower() for name, _ in head.headers for word in _SECRETS)


class RequestReader:
    """Reads requests for one connection, one at a time.

    Set ``held`` to stop it between two pieces, and call ``pump`` to go on. After a complete
    request it stops by itself until ``next``.
    """

    def __init__(
        self, events: RequestEvents, limits: Limits, common: CommonFields | None = None
    ) -> None:
        """``common`` are fields that other connections with the same limits sent before."""
        self.held = False
        self._common: CommonFields = {} if common is None else common
        self._events = events
        self._limits = limits
        self._waiting = b""
        self._at = 0  # what of `_waiting` was parsed already
        self._seam = b""  # the end of a piece that no blank line ended
        self._parser: Any = None  # until there is something that only it can read
        self._cause: Exception | None = None  # what a callback raised
        self._broken = False
        self._familiar: RequestHead | None = None  # the last head without a body
        self._familiar_fields = b""  # and its bytes, from the version on
        self._reset()

    def _reset(self) -> None:
        self._url = b""
        self._fields: Headers = []
        self._head: RequestHead | None = None
        self._told_head = False
        self._body: list[bytes] = []
        self._fed = 0  # bytes since the request's first, or since the last of its body
        self._body_left = 0
        self._counting = False  # the parser does not see the body
        self._chunked = False
        self._complete = False
        self._told_complete = False

    @property
    def waiting(self) -> bool:
        """Whether bytes are held back."""
        return self._at < len(self._waiting)

    @property
    def request_ended(self) -> bool:
        """Whether the present request was read to its end."""
        return self._told_complete

    @property
    def between_requests(self) -> bool:
        """Whether not a byte of the next request has come."""
        return self._head is None and not self._fed and not self.waiting

    def take(self, data: bytes) -> None:
        """Take what was received; ``pump`` parses it."""
        self._waiting = self._waiting[self._at :] + data if self.waiting else data
        self._at = 0

    def close(self) -> None:
        """Read no more, and let go of the parser and of whoever listens: both hold this reader."""
        self._broken = True
        self._events = _NOBODY
        self._parser = None

    def pass_over(self) -> bool:
        """Take a whole request for read, which is known already; False if another has begun."""
        begun = self._fed or self._head is not None or self._at < len(self._waiting)
        if begun or self._told_complete or self._broken or self.held:
            return False
        self._told_complete = True
        return True

    def plain_line(self, request: bytes) -> re.Match[bytes] | None:
        """The method and target of a request by its line; None if it is not plain, or too large."""
        line = _PLAIN_LINE.match(request)
        if line is None or len(line[2]) > self._limits.request_line:
            return None
        return line if len(request) <= self._limits.request_head else None

    def pump(self) -> None:
        """Parse as far as may be."""
        while self._at < len(self._waiting):
            if self.held or self._told_complete or self._broken:
                return
            piece = self._next_piece()
            if self._counting:
                self._count_piece(piece)
            elif self._fed or self._head is not None or not self._recall(piece):
                self._feed_piece(piece)
            # However small the chunks are: what one read brought of the body is told at once.
            if not (self._chunked and self._told_head and self.waiting) or self._complete:
                self._tell()

    def ended_alone(self) -> bool:
        """Go on to the next request if not a byte of it has come; whether that was so."""
        if not self._told_complete or self._at < len(self._waiting):
            return False
        if self._head is None:
            self._told_complete = False  # it was passed over, and nothing else has changed
        else:
            self.next()
        return True

    def next(self) -> None:
        """The request was answered: read the next."""
        if self._head is None:
            self._told_complete = False  # it was passed over
        else:
            self._reset()
        if self._at < len(self._waiting):
            self.pump()
        else:
            self._waiting, self._at = b"", 0  # an idle connection keeps no buffer

    def take_waiting(self) -> bytes:
        """What was held back, for a tunnel to carry on with."""
        rest = self._waiting[self._at :]
        self._waiting, self._at = b"", 0
        return rest

    def _next_piece(self) -> bytes:
        start = self._at
        if self._body_left:
            self._at = min(start + self._body_left, len(self._waiting))
        else:
            self._at = self._behind_blank_line(start)
        return self._waiting[start : self._at] if start or self.waiting else self._waiting

    def _behind_blank_line(self, start: int) -> int:
        """Where the first blank line from ``start`` ends, or all that there is."""
        waiting, seam = self._waiting, self._seam
        if seam:
            found = (seam + waiting[start : start + 3]).find(_BLANK_LINE)
            if found >= 0:
                self._seam = b""
                return start + found + len(_BLANK_LINE) - len(seam)
        found = waiting.find(_BLANK_LINE, start)
        if found >= 0:
            self._seam = b""
            return found + len(_BLANK_LINE)
        self._seam = (seam + waiting[max(start, len(waiting) - 3) :])[-3:]
        return len(waiting)

    def _recall(self, piece: bytes) -> bool:
        """Read a whole request whose fields are familiar without the parser."""
        end = piece.find(b"\r\n")
        fields = piece[end - _VERSION :]
        familiar = self._familiar
        if fields != self._familiar_fields:
            familiar = self._common.get(fields)
        if familiar is None:
            return False
        line = _PLAIN_LINE.fullmatch(piece, 0, end)
        if line is None or len(line[2]) > self._limits.request_line:
            return False
        if len(piece) > self._limits.request_head:
            return False
        self._head = familiar.again(line[1].decode("ascii"), line[2], piece)
        self._complete = True
        return True

    def _remember(self, piece: bytes) -> None:
        """Keep the fields of a request that came in one piece, with nothing behind its head."""
        head = self._head
        assert head is not None
        end = piece.find(b"\r\n")
        fields = piece[end - _VERSION :]
        plain = not (head.framed or head.upgrade or head.expects_continue)
        # Below an empty line, the "fields" would begin with a request line.
        if plain and len(fields) <= _LONGEST_FAMILIAR and _PLAIN_LINE.fullmatch(piece, 0, end):
            head.raw = piece
            if head.keep_alive:
                self._familiar, self._familiar_fields = head, fields
            if len(fields) <= _LONGEST_COMMON and _is_nobodys(head):
                if len(self._common) >= _MOST_COMMON:
                    self._common.clear()
                self._common[fields] = head.again("GET", b"/", b"")  # not what it asked for

    def _feed_piece(self, piece: bytes) -> None:
        begins = not self._fed and self._head is None
        self._fed += len(piece)
        if self._parser is None:
            self._parser = httptools.HttpRequestParser(self)
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            # Parsing goes on behind an upgrade that is ignored; a tunnel takes the rest.
            self._at -= len(piece) - upgrade.args[0]
        except httptools.HttpParserError as error:
            self._refuse(self._refusal(error))
            return
        if self._body_left >= _LARGE:
            # Of such a body the parser would but make copies; it is not asked to see its end.
            self._counting = True
            self._parser = httptools.HttpRequestParser(self)
        if self._body:
            self._fed = 0
        elif begins and self._complete:
            self._remember(piece)
        elif self._fed > self._limits.request_head:
            where = "head is" if self._head is None else "chunk extensions or trailers are"
            self._refuse(Refuse(431, "too_large", f"the request {where} too large"))

    def _count_piece(self, piece: bytes) -> None:
        """More of a body whose end is known by its length alone."""
        self._body.append(piece)
        self._body_left -= len(piece)
        self._complete = not self._body_left

    def _tell(self) -> None:
        """Tell what the callbacks noted, in order."""
        if self._broken:
            return
        if self._head is not None and not self._told_head:
            self._told_head = True
            self._events.request_head(self._head)
        if self._body:
            data = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            self._body.clear()
            self._events.request_body(data)
        if self._complete and not self._told_complete:
            self._told_complete = True
            self._events.request_complete(read_trailers(self._fields) if self._fields else [])

    def _refusal(self, error: httptools.HttpParserError) -> Refuse:
        # The error's own context may be an exception that is being handled further up.
        cause, self._cause = self._cause, None
        if isinstance(cause, Refuse):
            return cause
        if cause is not None:
            _log.error("reading a request failed: {cause!r}", cause=cause)
            return Refuse(500, "internal", repr(cause))
        return Refuse(400, "malformed", str(error))

    def _refuse(self, refusal: Refuse) -> None:
        self._broken = True
        refusal.close = True
        self._events.request_refused(refusal)

    # -- what httptools calls --------------------------------------------------------------

    def on_url(self, url: bytes) -> None:
        if self._head is not None:
            # Pieces make this impossible. If it happened, two requests would be taken for one.
            self._stop(400, "malformed", "a request within a request")
        self._url += url
        if len(self._url) > self._limits.request_line:
            self._stop(414, "too_large", "the request target is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))
        if len(self._fields) > self._limits.request_headers:
            self._stop(431, "too_large", "too many header fields")

    def on_headers_complete(self) -> None:
        try:
            self._read_head()
        except Exception as error:
            self._cause = error
            raise

    def _read_head(self) -> None:
        if self._fed > self._limits.request_head:
            self._stop(431, "too_large", "the request head is too large")
        version = self._parser.get_http_version()
        if version not in ("1.1", "1.0"):
            self._stop(505, "malformed", f"HTTP version {version}")
        method = self._parser.get_method().decode("ascii")
        head = read_request(method, self._url, version, self._fields)
        if head.has_body and (head.upgrade or self._parser.should_upgrade()):
            # The parser takes the body for the new protocol's bytes; readers differ here.
            self._stop(400, "malformed", "an upgrade with a body")
        self._fields = []
        self._fed = 0
        self._body_left = head.length or 0
        self._chunked = head.length is None
        self._head = head

    def on_body(self, data: bytes) -> None:
        if self._body_left:
            self._body_left -= len(data)
        self._body.append(data)

    def on_message_complete(self) -> None:
        self._complete = True

    def _stop(self, status: int, reason: str, detail: str) -> NoReturn:
        self._cause = Refuse(status, reason, detail)
        raise self._cause

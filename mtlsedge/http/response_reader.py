"""Where does each response begin and end? `httptools` on what an origin sends.

llhttp cannot know that a response answers HEAD, and would take what follows one answer for the
next; so this file counts what was asked for, and whatever comes beyond it makes the connection
unfit for another request instead of becoming another answer.

An origin repeats itself too. Where the parser read a head, and the body behind it to its last
byte, the same bytes are the same head again: it is not asked a second time, and stays where it
is, between two answers. Nor does it see the rest of a large body whose length is known.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Protocol

import httptools

from mtlsedge.http.fields import BadResponse, read_response, response_trailers
from mtlsedge.http.messages import Headers, ResponseHead

_INTERIM_LIMIT = 32
_LONGEST_FAMILIAR = 2048  # bytes of a head kept per connection
_LARGE = 32 * 1024  # bytes of a body still to come that are worth another parser afterwards
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # the parser lets them into reason phrases


class ResponseEvents(Protocol):
    """What a reader tells the origin connection that it reads for."""

    def response_interim(self, head: ResponseHead) -> None:
        """A 1xx that is not 101."""

    def response_head(self, head: ResponseHead) -> None:
        """The final head; for 101 everything after it belongs to the new protocol."""

    def response_whole(self, head: ResponseHead, body: bytes) -> None:
        """The final head, a body of the length that it says, and the end, all at once."""

    def response_body(self, data: bytes) -> None:
        """More of the body, without its framing."""

    def response_complete(self, trailers: Headers) -> None:
        """The answer has ended."""


class _Stage(Enum):
    IDLE = auto()  # nothing was asked
    HEAD = auto()
    BODY = auto()
    SWITCHED = auto()


_IDLE, _HEAD, _BODY = _Stage.IDLE, _Stage.HEAD, _Stage.BODY  # an enumeration's look-up is slow


class ResponseReader:
    """Reads the answers on one origin connection; ``expect`` comes before each."""

    def __init__(self, events: ResponseEvents, head_limit: int) -> None:
        self.spoiled = False
        """Bytes came that nobody asked for: the connection must not be used again."""
        self.leftover = b""
        self._events = events
        self._head_limit = head_limit
        self._stage = _IDLE
        self._parser = httptools.HttpResponseParser(self)
        self._fields: Headers = []
        self._reason = b""
        self._to_head = False
        self._wants_upgrade = False
        self._fed = 0  # bytes since the first of the answer, or since the last of its body
        self._interims = 0
        self._head: ResponseHead | None = None
        self._body: list[bytes] = []
        self._interim: list[ResponseHead] = []
        self._ended = False
        self._trailers: Headers = []
        self._cause: BadResponse | None = None  # what a callback raised
        self._said: tuple[object, ...] = ()  # the fields of the latest head,
        self._said_head: ResponseHead  # and what they were read as
        self._familiar = b""  # the bytes of a head,
        self._familiar_head: ResponseHead | None = None  # what they were read as,
        self._familiar_to_head = False  # and what they answered
        self._left = 0  # of a body that the parser does not see

    def expect(self, method: str, *, upgrade: bool) -> None:
        """One answer is due, to a request of this method."""
        self._stage = _HEAD
        self._to_head = method == "HEAD"
        self._wants_upgrade = upgrade
        if self._fed or self._head is not None:
            self._fields, self._reason = [], b""
            self._fed = self._interims = 0
            self._head = None
            self._ended = False
            self._trailers = []

    def feed(self, data: bytes) -> None:
        """Take what was received.

        Raises:
            BadResponse: it is not an answer that can be passed on.
        """
        if self._stage is _IDLE:
            self.spoiled = True
        elif self._left:
            self._count(data)
        elif self._fed or self._stage is not _HEAD:
            self._parse(data)
            self._tell()
        elif not self._recall(data):
            self._parse(data)
            self._remember(data)
            self._tell()

    def _recall(self, data: bytes) -> bool:
        """Read an answer whose head is familiar without the parser."""
        head, familiar = self._familiar_head, self._familiar
        if head is None or not data.startswith(familiar):
            return False
        if self._to_head is not self._familiar_to_head:
            return False
        body = data[len(familiar) :]
        left = (head.length or 0) - len(body)
        if left > 0:
            self._stage, self._left = _BODY, left
            self._events.response_head(head)
            if body:
                self._events.response_body(body)
            return True
        if left < 0:
            self.spoiled = True
            body = body[:left]
        self._stage = _IDLE
        self._events.response_whole(head, body)
        return True

    def _remember(self, data: bytes) -> None:
        """Keep the head of an answer that came all at once, with nothing behind its body.

        What the parser did not take for body must be the head then, to its blank line.
        """
        head = self._head
        whole = head is not None and self._ended and not (self._interims or self.spoiled)
        if head is None or head.length is None or not whole:
            return
        end = len(data) - head.length
        plain = data.startswith(b"HTTP/1.1 ") and data.endswith(b"\r\n\r\n", 0, end)
        if plain and end <= _LONGEST_FAMILIAR:
            self._familiar, self._familiar_head = data[:end], head
            self._familiar_to_head = self._to_head

    def _count(self, data: bytes) -> None:
        """More of a body of which no more is known than how long it is, nor need be."""
        left = self._left - len(data)
        if left < 0:
            self.spoiled = True
            data = data[:left]
        self._left = max(left, 0)
        self._events.response_body(data)
        if left <= 0:
            self._stage = _IDLE
            self._events.response_complete([])

    def _parse(self, data: bytes) -> None:
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._switched(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._parser_failed(error)
        if self._body:
            self._fed = 0
        elif self._fed > self._head_limit and (self._head is None or self._stage is _BODY):
            where = "head is" if self._head is None else "chunk extensions or trailers are"
            raise BadResponse(f"the origin's response {where} too large")

    def end_of_input(self) -> bool:
        """The connection ended cleanly: True if that ends the answer as well."""
        if self._stage is not _BODY or self._head is None or not self._head.until_close:
            return False
        self._ended = True
        self._tell()
        return True

    def _switched(self, rest: bytes) -> None:
        if self._head is None or self._head.status != 101:
            if not self._ended:
                raise BadResponse("the origin switched protocols without a 101")
            self.spoiled = True  # a 101 behind an answer is not one to our request
            return
        self._stage = _Stage.SWITCHED
        self.leftover = rest

    def _parser_failed(self, error: httptools.HttpParserError) -> None:
        if self._head is not None and self._head.status == 101:
            raise BadResponse("the origin switched protocols and did not say to which")
        if self._ended or self._stage is _IDLE:
            self.spoiled = True  # whatever follows a complete answer is not ours to read
            return
        # The error's own context may be an exception that is being handled further up.
        cause, self._cause = self._cause, None
        raise cause or BadResponse(str(error))

    def _tell(self) -> None:
        """Tell what the callbacks noted, in order."""
        for interim in self._interim:
            self._events.response_interim(interim)
        self._interim.clear()
        head = self._head
        if head is None:
            return
        if self._stage is _HEAD and self._ended and head.length is not None:
            self._end()
            self._events.response_whole(head, self._take_body())
            return
        if self._stage is _HEAD:
            self._stage = _BODY
            self._pass_over_body(head)
            self._events.response_head(head)
        elif self._stage is _Stage.SWITCHED:
            self._events.response_head(head)
        if self._body:
            self._events.response_body(self._take_body())
        if self._ended and self._stage is _BODY:
            self._end()
            self._events.response_complete(self._trailers)

    def _take_body(self) -> bytes:
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        return body

    def _end(self) -> None:
        self._stage = _IDLE
        if self._to_head:
            # This parser still waits for a body that will never come.
            self._parser = httptools.HttpResponseParser(self)

    def _pass_over_body(self, head: ResponseHead) -> None:
        """Let the parser, which would copy it, see nothing more of a large body."""
        if head.length is not None and not self._ended:
            left = head.length - sum(map(len, self._body))
            if left >= _LARGE:
                self._left = left
                self._parser = httptools.HttpResponseParser(self)

    # -- what httptools calls --------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._ended:
            self.spoiled = True

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        if self._ended:
            return
        try:
            self._read_head()
        except BadResponse as error:
            self._cause = error
            raise

    def _read_head(self) -> None:
        status = self._parser.get_status_code()
        bodiless = self._to_head or status < 200 or status in (204, 304)
        version = self._parser.get_http_version()
        reason = b"" if _CONTROL.search(self._reason) else self._reason
        said = (status, reason, version, bodiless, self._fields)
        if said != self._said:
            # Many an origin says the same head again and again, at least for a second.
            self._said_head = read_response(
                status, reason, version, self._fields, bodiless=bodiless
            )
            self._said = said
        head = self._said_head
        self._fields, self._reason = [], b""
        if status < 200 and status != 101:
            self._note_interim(head)
            return
        if status == 101 and not self._wants_upgrade:
            raise BadResponse("the origin switched protocols, which nobody asked for")
        self._head = head
        if bodiless and status != 101:
            self._ended = True

    def _note_interim(self, head: ResponseHead) -> None:
        self._interims += 1
        if self._interims > _INTERIM_LIMIT:
            raise BadResponse("the origin sends interim responses without end")
        self._interim.append(head)

    def on_body(self, data: bytes) -> None:
        if self._ended:
            self.spoiled = True
        else:
            self._body.append(data)

    def on_message_complete(self) -> None:
        if self._head is not None and not self._ended:
            self._ended = True
            self._trailers = response_trailers(self._fields) if self._fields else []
            self._fields = []

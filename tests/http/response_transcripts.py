"""What a reader of responses tells, written down."""

from __future__ import annotations

from typing import Any

from mtlsedge.http.messages import Headers, ResponseHead
from mtlsedge.http.response_reader import ResponseReader

OK = b"HTTP/1.1 200 OK\r\n"
FIVE = OK + b"Content-Length: 5\r\n\r\n12345"
EMPTY = OK + b"Content-Length: 0\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LIMIT = 4096


class Transcript:
    """What a reader told; body pieces are joined."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.heads: list[ResponseHead] = []

    def response_interim(self, head: ResponseHead) -> None:
        self.told.append(("interim", head.status, tuple(head.headers)))

    def response_head(self, head: ResponseHead) -> None:
        self.heads.append(head)
        self.told.append(("head", head.status, tuple(head.headers)))

    def response_whole(self, head: ResponseHead, body: bytes) -> None:
        self.response_head(head)
        if body:
            self.response_body(body)
        self.response_complete([])

    def response_body(self, data: bytes) -> None:
        if self.told[-1][0] == "body":
            data = self.told.pop()[1] + data
        self.told.append(("body", data))

    def response_complete(self, trailers: Headers) -> None:
        self.told.append(("complete", tuple(trailers)))

    @property
    def kinds(self) -> list[str]:
        return [event[0] for event in self.told]

    @property
    def head(self) -> ResponseHead:
        assert len(self.heads) == 1
        return self.heads[0]


class Asked:
    """One reader, asked and fed."""

    def __init__(self, method: str = "GET", *, upgrade: bool = False) -> None:
        self.transcript = Transcript()
        self.reader = ResponseReader(self.transcript, LIMIT)
        self.reader.expect(method, upgrade=upgrade)

    def feed(self, *reads: bytes) -> Asked:
        for data in reads:
            self.reader.feed(data)
        return self


def bytewise(data: bytes) -> list[bytes]:
    """A read for every byte."""
    return [data[at : at + 1] for at in range(len(data))]


SWITCH = b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
ANSWERS = (
    FIVE,
    EMPTY,
    CHUNKED + b"4\r\n\r\n\r\n\r\n0\r\nX: a\r\n\r\n",
    b"HTTP/1.1 100 C\r\n\r\n" + FIVE,
    b"HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\n",
    OK + b"\r\nuntil the end",
)

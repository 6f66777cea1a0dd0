"""What a reader of requests tells, written down."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from mtlsedge.http.messages import Headers, Refuse, RequestHead
from mtlsedge.http.request_reader import RequestReader
from mtlsedge.model import Limits

HOST = b"Host: a.example\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST
POST = b"POST / HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\n" + HOST + b"\r\n"


class Transcript:
    """What a reader told, as a list that reads like a transcript; body pieces are joined."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.heads: list[RequestHead] = []
        self.refusals: list[Refuse] = []
        self.on_head: Callable[[RequestHead], None] = lambda head: None

    def request_head(self, head: RequestHead) -> None:
        self.heads.append(head)
        fields = tuple(head.headers)
        self.told.append(("head", head.method, head.target, head.version, fields, head.length))
        self.on_head(head)

    def request_body(self, data: bytes) -> None:
        if self.told[-1][0] == "body":
            data = self.told.pop()[1] + data
        self.told.append(("body", data))

    def request_complete(self, trailers: Headers) -> None:
        self.told.append(("complete", tuple(trailers)))

    def request_refused(self, refusal: Refuse) -> None:
        self.refusals.append(refusal)
        self.told.append(("refused", refusal.status, refusal.close))

    @property
    def targets(self) -> list[bytes]:
        return [head.target for head in self.heads]

    @property
    def kinds(self) -> list[str]:
        return [event[0] for event in self.told]

    @property
    def body(self) -> bytes:
        return b"".join(event[1] for event in self.told if event[0] == "body")


def read(*reads: bytes, limits: Limits = Limits()) -> Transcript:  # noqa: B008
    """Everything that these reads make a reader tell, each request answered at once."""
    transcript = Transcript()
    reader = RequestReader(transcript, limits)
    feed(reader, reads)
    return transcript


def feed(reader: RequestReader, reads: Iterable[bytes]) -> None:
    """As a connection does whose every exchange is over at once."""
    for data in reads:
        reader.take(data)
        reader.pump()
        while reader.request_ended:
            reader.next()


def bytewise(data: bytes) -> list[bytes]:
    """A read for every byte."""
    return [data[at : at + 1] for at in range(len(data))]

"""Posting against a real HTTP server, and against servers that mean no good."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from ops_serving import served
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from mtlsedge.ops.fetching import FetchFailed, make_agent, post

MOST = 1000
TYPES = "application/ocsp-request", "application/ocsp-response"


class Scripted(Resource):
    """Answers as it is told, and remembers what it was sent."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.answer: Callable[[Any], Any] = lambda request: b"content"
        self.sent: list[tuple[bytes, Any]] = []

    def render_POST(self, request: Any) -> Any:
        self.sent.append((request.content.read(), request.requestHeaders))
        request.setHeader(b"content-type", TYPES[1].encode())
        return self.answer(request)


@pytest.fixture
def server() -> Iterator[tuple[Scripted, str]]:
    resource = Scripted()
    with served(resource) as url:
        yield resource, f"{url}/ocsp"


def send(
    url: str,
    body: bytes = b"question",
    seconds: float = 5.0,
    clock: Any = None,
    most: int = MOST,
) -> Any:
    from twisted.internet import reactor

    agent = make_agent(reactor, b"", most=most)
    sending = post(agent, clock or reactor, url, body, TYPES, MOST, seconds)
    return Deferred.fromCoroutine(sending)


@pytest_twisted.ensureDeferred
async def test_what_is_sent_arrives_and_what_is_answered_comes_back(
    server: tuple[Scripted, str],
) -> None:
    """With the types of both."""
    resource, url = server
    assert b"content" == await send(url)
    ((body, headers),) = resource.sent
    assert b"question" == body
    assert [TYPES[0].encode()] == headers.getRawHeaders(b"content-type")
    assert [TYPES[1].encode()] == headers.getRawHeaders(b"accept")


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda r: r.setResponseCode(500) or b"", "the answer was 500"),
        (lambda r: r.setResponseCode(304) or b"", "the answer was 304"),
        (lambda r: r.redirect(b"http://evil.example/") or b"", "it redirects to "),
        (lambda r: r.setHeader(b"content-type", b"text/html") or b"x", "is 'text/html' and should"),
        (lambda r: b"x" * (MOST + 1), f"more than {MOST} bytes"),
    ],
)
async def test_an_answer_that_is_not_what_it_should_be_is_none(
    server: tuple[Scripted, str], answer: Any, why: str
) -> None:
    """Whatever it holds; nobody is sent elsewhere."""
    resource, url = server
    resource.answer = answer
    with pytest.raises(FetchFailed, match=why):
        await send(url)


@pytest_twisted.ensureDeferred
async def test_a_server_that_says_nothing_is_given_up(server: tuple[Scripted, str]) -> None:
    """In the time that it was given."""
    resource, url = server
    clock = Clock()

    def wait(_: Any) -> int:
        clock.advance(4.1)
        return NOT_DONE_YET

    resource.answer = wait
    with pytest.raises(FetchFailed, match="no answer within 4 seconds"):
        await send(url, seconds=4.0, clock=clock)


@pytest_twisted.ensureDeferred
async def test_a_server_that_is_not_there_is_told_of() -> None:
    """By the error."""
    with pytest.raises(FetchFailed, match="refused"):
        await send("http://127.0.0.1:1/")


class Endless(Protocol):
    """Begins an answer whose head has no end."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(b"HTTP/1.1 200 OK\r\n")
        self.transport.registerProducer(self, False)  # type: ignore[attr-defined]

    def resumeProducing(self) -> None:
        assert self.transport is not None
        self.sent = getattr(self, "sent", 0) + 1
        self.transport.write(b"X-More: and more\r\n" * 100)

    def stopProducing(self) -> None:
        """The client is gone."""


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("most", [MOST, 256 * 1024 * 1024])
async def test_a_head_without_an_end_is_cut_off(most: int) -> None:
    """Long before it fills the memory, however long the content may be."""
    from twisted.internet import reactor

    loop: Any = reactor
    made: list[Endless] = []

    class Making(Factory):
        def buildProtocol(self, addr: Any) -> Endless:
            made.append(Endless())
            return made[-1]

    port = loop.listenTCP(0, Making(), interface="127.0.0.1")
    try:
        with pytest.raises(FetchFailed):
            await send(f"http://127.0.0.1:{port.getHost().port}/", seconds=10.0, most=most)
    finally:
        await port.stopListening()
    # What the kernel's buffers took besides is none of ours.
    assert made[0].sent < 10_000

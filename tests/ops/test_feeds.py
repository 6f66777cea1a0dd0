"""Feeds against a real HTTP server of Twisted's, and what is kept of them on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from ops_serving import served
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from mtlsedge.ops.feed_store import FeedStore
from mtlsedge.ops.feeds import FIRST_RETRY, Feed
from mtlsedge.ops.fetching import FETCH_TIMEOUT, Fetched, FetchFailed, Validators, fetch, make_agent


class Scripted(Resource):
    """Answers as it is told, and remembers what it was asked."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.answer: Callable[[Any], Any] = lambda request: b"content"
        self.asked: list[Any] = []

    def render_GET(self, request: Any) -> Any:
        self.asked.append(request.requestHeaders)
        return self.answer(request)


@pytest.fixture
def server() -> Iterator[tuple[Scripted, str]]:
    resource = Scripted()
    with served(resource) as url:
        yield resource, f"{url}/ca.crl"


UNKNOWN = Validators()


def ask(
    url: str, known: Validators = UNKNOWN, most: int = 1000, clock: Any = None
) -> Deferred[Fetched | None]:
    from twisted.internet import reactor

    agent = make_agent(reactor, b"", system=True)
    return Deferred.fromCoroutine(fetch(agent, clock or reactor, url, known, most))


def answering(code: int, body: bytes = b"", **fields: str) -> Callable[[Any], bytes]:
    def answer(request: Any) -> bytes:
        request.setResponseCode(code)
        for name, value in fields.items():
            request.setHeader(name.replace("_", "-"), value)
        return body

    return answer


@pytest_twisted.ensureDeferred
async def test_content_comes_with_its_validators(server: Any) -> None:
    resource, url = server
    resource.answer = answering(200, b"list", etag='"1"', last_modified="yesterday")
    fetched = await ask(url)
    assert Fetched(b"list", Validators('"1"', "yesterday")) == fetched


@pytest_twisted.ensureDeferred
async def test_the_next_request_is_conditional_and_304_is_no_content(server: Any) -> None:
    resource, url = server
    resource.answer = answering(304)
    assert None is await ask(url, Validators('"1"', "yesterday"))
    [asked] = resource.asked
    assert ['"1"'] == asked.getRawHeaders("If-None-Match")
    assert ["yesterday"] == asked.getRawHeaders("If-Modified-Since")


async def refused(url: str, **more: Any) -> str:
    with pytest.raises(FetchFailed) as caught:
        await ask(url, **more)
    return str(caught.value)


@pytest_twisted.ensureDeferred
async def test_what_is_no_content_is_a_failure_with_its_reason(server: Any) -> None:
    resource, url = server
    resource.answer = answering(304)
    assert "the answer was 304" == await refused(url)
    resource.answer = answering(404, b"not here")
    assert "the answer was 404" == await refused(url)
    resource.answer = answering(302, location="http://elsewhere.example/")
    assert "it redirects to 'http://elsewhere.example/'" in await refused(url)


@pytest_twisted.ensureDeferred
async def test_a_body_beyond_the_limit_is_not_gathered(server: Any) -> None:
    resource, url = server
    resource.answer = answering(200, b"x" * 1001)
    assert "it has more than 1000 bytes" == await refused(url)
    resource.answer = answering(200, b"x" * 1000)
    assert b"x" * 1000 == (await ask(url)).content


@pytest_twisted.ensureDeferred
async def test_a_body_that_is_cut_off_is_no_content(server: Any) -> None:
    resource, url = server

    def cut(request: Any) -> int:
        request.setHeader("Content-Length", "10")
        request.write(b"12345")
        request.transport.loseConnection()
        return NOT_DONE_YET

    resource.answer = cut
    assert "it was cut off" in await refused(url)


@pytest_twisted.ensureDeferred
async def test_a_server_that_dawdles_is_given_up(server: Any) -> None:
    from twisted.internet import reactor

    resource, url = server
    for head_comes in (False, True):
        clock, begun = Clock(), Deferred[None]()

        def stall(request: Any, head_comes: bool = head_comes, begun: Any = begun) -> int:
            if head_comes:
                request.write(b"1")
            reactor.callLater(0.05, begun.callback, None)  # type: ignore[attr-defined]
            return NOT_DONE_YET

        resource.answer = stall
        asking = ask(url, clock=clock)
        await begun
        clock.advance(FETCH_TIMEOUT)
        with pytest.raises(FetchFailed, match="no answer within 60 seconds"):
            await asking


@pytest_twisted.ensureDeferred
async def test_nobody_there_is_a_failure() -> None:
    assert "refused" in await refused("http://127.0.0.1:1/ca.crl")


def test_a_bundle_that_is_none_is_refused() -> None:
    with pytest.raises(FetchFailed, match="cannot be read"):
        make_agent(None, b"-----BEGIN CERTIFICATE-----\nnonsense")


class Kept:
    """A feed with a clock and a server of its own making: ``fetch`` is scripted."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        self.store = FeedStore(tmp_path / "feeds")
        self.taken: list[bytes] = []
        self.objection = ""
        self.answers: list[Any] = []
        self.asked: list[Validators] = []
        monkeypatch.setattr("mtlsedge.ops.feeds.fetch", self._fetch)
        monkeypatch.setattr("mtlsedge.ops.feeds.uniform", lambda low, high: 1.0)
        self.feed = self.make()

    def make(self) -> Feed:
        return Feed(
            "http://crl.example/ca.crl",
            None,
            self.clock,
            self.store,
            self._take,
            interval=60.0,
            most=1000,
        )

    def _take(self, url: str, content: bytes) -> Deferred[str]:
        self.taken.append(content)
        return succeed(self.objection)

    async def _fetch(self, agent: Any, clock: Any, url: str, known: Validators, most: int) -> Any:
        self.asked.append(known)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return await answer if isinstance(answer, Deferred) else answer


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    return Kept(tmp_path, monkeypatch)


def test_a_feed_is_asked_again_with_what_it_said(kept: Kept) -> None:
    known = Validators('"1"')
    kept.answers = [Fetched(b"one", known), None, Fetched(b"two", Validators())]
    kept.feed.start()
    kept.clock.advance(60)
    kept.clock.advance(60)
    assert [Validators(), known, known] == kept.asked
    assert [b"one", b"two"] == kept.taken


def test_what_was_taken_is_there_after_a_restart(kept: Kept) -> None:
    known = Validators('"1"', "yesterday")
    kept.answers = [Fetched(b"one\ntwo", known), None]
    kept.feed.start()
    assert Fetched(b"one\ntwo", known) == kept.store.load(kept.feed.url)
    kept.make().start()
    assert [Validators(), known] == kept.asked


def test_what_cannot_be_used_is_neither_kept_nor_validated(kept: Kept) -> None:
    kept.answers = [
        Fetched(b"good", Validators('"1"')),
        Fetched(b"bad", Validators('"2"')),
        Fetched(b"bad", Validators('"2"')),
    ]
    kept.feed.start()
    kept.objection = "it is not signed"
    kept.clock.advance(60)
    assert "it is not signed" == kept.feed.error
    kept.clock.advance(FIRST_RETRY)
    assert [Validators(), Validators('"1"'), Validators()] == kept.asked
    stored = kept.store.load(kept.feed.url)
    assert stored is not None
    assert b"good" == stored.content


def test_failures_are_asked_again_less_and_less_often_but_as_often_as_successes(
    kept: Kept,
) -> None:
    kept.answers = [FetchFailed("no")] * 6 + [Fetched(b"one", Validators()), FetchFailed("no")]
    kept.feed.start()
    for delay in (5, 10, 20, 40, 60, 60):
        asked = len(kept.asked)
        kept.clock.advance(delay - 0.1)
        assert asked == len(kept.asked)
        kept.clock.advance(0.1)
        assert asked + 1 == len(kept.asked)
    assert "" == kept.feed.error
    kept.clock.advance(60)
    assert "no" == kept.feed.error
    kept.answers = [None]
    kept.clock.advance(FIRST_RETRY)
    assert "" == kept.feed.error


def test_a_feed_that_was_stopped_tells_nothing_and_asks_no_more(kept: Kept) -> None:
    waiting: Deferred[Any] = Deferred()
    kept.answers = [waiting]
    kept.feed.start()
    kept.feed.stop()
    assert [] == kept.taken
    assert [] == kept.clock.getDelayedCalls()
    kept.answers = [None]
    feed = kept.make()
    feed.start()
    feed.stop()
    assert [] == kept.clock.getDelayedCalls()


def test_a_kept_content_that_was_tampered_with_is_not_there(kept: Kept) -> None:
    kept.answers = [Fetched(b"one", Validators())]
    kept.feed.start()
    [file] = (kept.store._directory).iterdir()
    content = file.read_bytes()
    for damaged in (content[:-1], content + b"1", b"", b"{}\n", content.replace(b"ca.crl", b"cb")):
        file.write_bytes(damaged)
        assert None is kept.store.load(kept.feed.url)

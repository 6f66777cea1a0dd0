"""What does a service answer? Bounded HTTP requests over kept connections, for verifiers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web._newclient import HTTP11ClientProtocol
from twisted.web.client import (
    Agent,
    BrowserLikePolicyForHTTPS,
    HTTPConnectionPool,
    ResponseNeverReceived,
    _HTTP11ClientFactory,
)
from twisted.web.http_headers import Headers

from mtlsedge.errors import EdgeError
from mtlsedge.ops.answers import ASIDE, Gathered, Whole, trust_in, why

CONNECT_TIMEOUT = 5.0  # seconds
KEPT = 16  # idle connections to one service
KEPT_FOR = 30  # seconds
LARGEST = 256 * 1024  # bytes of an answer


class CallFailed(EdgeError):
    """A service gave no answer that could be used; the message says why."""


def _failed(words: str) -> CallFailed:
    return CallFailed(f"its answer: {words}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answered: the status, and the whole body."""

    status: int
    content: bytes


class _Bounded(HTTP11ClientProtocol):
    """Takes so much for each answer: of a head, Twisted bounds a line and not how many."""

    transport: Any
    _left = 0

    def request(self, request: Any) -> Deferred[Any]:
        self._left = LARGEST + ASIDE
        asking: Deferred[Any] = super().request(request)
        return asking

    def dataReceived(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left >= 0:
            super().dataReceived(data)  # type: ignore[no-untyped-call]
        elif self.transport is not None:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._left < 0:
            reason = Failure(_failed(f"it has more than {LARGEST} bytes"))
        super().connectionLost(reason)  # type: ignore[no-untyped-call]


class _Factory(_HTTP11ClientFactory):
    noisy = False  # a line in the log for each connection that begins or ends

    def buildProtocol(self, addr: Any) -> _Bounded:
        return _Bounded(self._quiescentCallback)  # type: ignore[no-untyped-call]


class HttpCaller:
    """Asks services over HTTP. How long an answer may take is for who waits: they cancel.

    Redirections are not followed, and no proxy is used: the operator named this URL.

    Args:
        reactor: where connections live.
        ca: PEM of the CAs that are trusted for https, and no others; b"" is none.

    Raises:
        ValueError: the bundle cannot be read.
    """

    def __init__(self, reactor: Any, ca: bytes) -> None:
        self._pool: Any = HTTPConnectionPool(reactor, persistent=True)
        self._pool._factory = _Factory
        self._pool.maxPersistentPerHost = KEPT
        self._pool.cachedConnectionTimeout = KEPT_FOR
        policy = BrowserLikePolicyForHTTPS(trustRoot=trust_in(ca))
        self._agent = Agent(
            reactor, contextFactory=policy, connectTimeout=CONNECT_TIMEOUT, pool=self._pool
        )

    def get(self, url: str) -> Deferred[Answer]:
        """Ask for what a URL holds.

        Fails with ``CallFailed``; also where the answer is longer than ``LARGEST``.
        """
        return Deferred.fromCoroutine(self._call(b"GET", url, None, _headers()))

    def post(
        self, url: str, content: bytes, content_type: str, bearer: str = ""
    ) -> Deferred[Answer]:
        """Ask with a body, and with a bearer token unless that is ""; as `get`."""
        headers = _headers()
        headers.addRawHeader("Content-Type", content_type)
        if bearer:
            headers.addRawHeader("Authorization", f"Bearer {bearer}")
        return Deferred.fromCoroutine(self._call(b"POST", url, content, headers))

    def close(self) -> Deferred[Any]:
        """Close the connections that are kept and not in use."""
        closed: Deferred[Any] = self._pool.closeCachedConnections()
        return closed

    async def _call(
        self, method: bytes, url: str, content: bytes | None, headers: Headers
    ) -> Answer:
        body = None if content is None else Whole(content)
        try:
            try:
                response = await self._request(method, url, headers, body)
            except ResponseNeverReceived as error:
                if any(reason.check(CancelledError, CallFailed) for reason in error.reasons):
                    raise
                # It may have closed a kept connection just now. To ask twice does no harm.
                response = await self._request(method, url, headers, body)
            reader = Gathered(LARGEST, _failed)
            response.deliverBody(reader)
            return Answer(response.code, await reader.done)
        except (CallFailed, GeneratorExit):
            raise
        except Exception as error:
            raise CallFailed(why(error)) from error

    def _request(
        self, method: bytes, url: str, headers: Headers, body: Whole | None
    ) -> Deferred[Any]:
        asking: Deferred[Any] = self._agent.request(method, url.encode("ascii"), headers, body)
        return asking


def _headers() -> Headers:
    return Headers({"User-Agent": ["mtlsedge"], "Accept": ["application/json, */*;q=0.5"]})

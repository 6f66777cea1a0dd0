"""What does a URL hold, or answer, now? One bounded HTTP request, often conditional (RFC 9110)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol
from twisted.internet.ssl import platformTrust
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent

from mtlsedge.errors import EdgeError
from mtlsedge.ops.answers import ASIDE, Gathered, Whole, trust_in, why
from mtlsedge.ops.bounded import BoundedEndpoints

CONNECT_TIMEOUT = 10.0  # seconds
FETCH_TIMEOUT = 60.0  # seconds for everything, from the look-up of the name to the last byte
_REDIRECTS = (301, 302, 303, 307, 308)
_LONGEST_VALIDATOR = 512  # characters


class FetchFailed(EdgeError):
    """A URL gave nothing that could be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Validators:
    """What a server said by which to tell whether its content is still the same."""

    etag: str = ""
    last_modified: str = ""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A URL's content, and what makes the next request for it conditional."""

    content: bytes
    validators: Validators


def make_agent(reactor: Any, ca: bytes, *, system: bool = False, most: int = 0) -> IAgent:
    """An HTTP client that trusts, for https, the CAs in a PEM bundle, or the system's if told so.

    ``most`` is the bytes of the longest content that will be asked for, if that is known: a
    server that goes on beyond it, or beyond what a head may have, is cut off. 0 is no limit.

    Raises:
        FetchFailed: the bundle cannot be read.
    """
    try:
        trust = platformTrust() if system else trust_in(ca)
    except ValueError as error:
        raise FetchFailed(str(error)) from error
    policy = BrowserLikePolicyForHTTPS(trustRoot=trust)
    if not most:
        return Agent(reactor, contextFactory=policy, connectTimeout=CONNECT_TIMEOUT)
    endpoints = BoundedEndpoints(reactor, policy, CONNECT_TIMEOUT, ASIDE + most)
    bounded: IAgent = Agent.usingEndpointFactory(reactor, endpoints)
    return bounded


async def fetch(
    agent: IAgent, clock: IReactorTime, url: str, known: Validators, most: int
) -> Fetched | None:
    """Ask for a URL; None where its content is what ``known`` validates.

    Redirections are not followed: the operator listed this URL, and no other.

    Raises:
        FetchFailed: whatever the reason.
    """
    asking: Deferred[Any] = agent.request(b"GET", url.encode("ascii"), _headers(known))
    timeout = _Timeout(clock, asking, FETCH_TIMEOUT)
    response, content = await _answer(asking, timeout, lambda r: _objection(r, known), most)
    return None if content is None else Fetched(content, _validators(response.headers))


async def post(
    agent: IAgent,
    clock: IReactorTime,
    url: str,
    body: bytes,
    types: tuple[str, str],
    most: int,
    seconds: float,
) -> bytes:
    """Send something to a URL, and read what it answers.

    Args:
        types: the media types of what is sent, and of what must come back.
        most: bytes of the longest answer.
        seconds: for everything, from the look-up of the name to the last byte.

    Raises:
        FetchFailed: whatever the reason; a redirection is one.
    """
    sent, wanted = types
    headers = Headers({"User-Agent": ["mtlsedge"], "Accept": [wanted], "Content-Type": [sent]})
    asking: Deferred[Any] = agent.request(b"POST", url.encode("ascii"), headers, Whole(body))
    timeout = _Timeout(clock, asking, seconds)

    def objection(response: Any) -> str:
        return _objection(response, Validators()) or _other_type(response, wanted)

    _, content = await _answer(asking, timeout, objection, most)
    return content or b""


async def _answer(
    asking: Deferred[Any], timeout: _Timeout, objection: Callable[[Any], str], most: int
) -> tuple[Any, bytes | None]:
    """A response and its content, None where it has none as there is nothing new."""
    try:
        response = await asking
        wrong = objection(response)
        if wrong or response.code == 304:
            response.deliverBody(_Unwanted())
            if wrong:
                raise FetchFailed(wrong)
            return response, None
        reader = Gathered(most, FetchFailed)
        timeout.waits_for(reader.done)
        response.deliverBody(reader)
        return response, await reader.done
    except (FetchFailed, GeneratorExit):
        raise
    except Exception as error:
        late = f"no answer within {timeout.seconds:g} seconds"
        raise FetchFailed(late if timeout.over else why(error)) from error
    finally:
        timeout.cancel()


def _headers(known: Validators) -> Headers:
    headers = Headers({"User-Agent": ["mtlsedge"], "Accept": ["*/*"]})
    if known.etag:
        headers.addRawHeader("If-None-Match", known.etag)
    if known.last_modified:
        headers.addRawHeader("If-Modified-Since", known.last_modified)
    return headers


def _objection(response: Any, known: Validators) -> str:
    code = response.code
    if code == 200 or (code == 304 and known != Validators()):
        return ""
    if code in _REDIRECTS:
        where = response.headers.getRawHeaders(b"location", [b"nowhere"])[0]
        place = ascii(where.decode("latin-1"))
        return f"it redirects to {place}; if that is right, name that URL instead"
    return f"the answer was {code}"


def _other_type(response: Any, wanted: str) -> str:
    found = response.headers.getRawHeaders(b"content-type", [b"nothing"])[0]
    bare = found.partition(b";")[0].strip().lower()
    if bare == wanted.encode("ascii"):
        return ""
    return f"the answer is {found[:80].decode('latin-1')!a} and should be {wanted}"


def _validators(headers: Headers) -> Validators:
    def field(name: str) -> str:
        value = headers.getRawHeaders(name, [""])[0]
        return value if len(value) <= _LONGEST_VALIDATOR and value.isascii() else ""

    return Validators(field("etag"), field("last-modified"))


class _Timeout:
    """Gives up whatever is waited for when the time is over."""

    def __init__(self, clock: IReactorTime, waiting: Deferred[Any], seconds: float) -> None:
        self.over = False
        self.seconds = seconds
        self._waiting = waiting
        self._call = clock.callLater(seconds, self._expire)

    def waits_for(self, waiting: Deferred[Any]) -> None:
        self._waiting = waiting

    def cancel(self) -> None:
        if self._call.active():
            self._call.cancel()

    def _expire(self) -> None:
        self.over = True
        self._waiting.cancel()


class _Unwanted(Protocol):
    """Closes the connection of an answer that nobody reads."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()

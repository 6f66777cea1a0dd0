"""How is an OCSP responder doing, and may it be asked now? One URL, asked with restraint.

A responder that is slow, dead or hostile must cost nobody more than a refusal: so many requests
at once, so many that wait, so long for each, and a pause for one that keeps failing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mtlsedge.trust.ocsp import BadAnswer

_log = Logger()
_T = TypeVar("_T")

Post = Callable[[str, bytes], Awaitable[bytes]]
"""Sends an OCSP request to a URL and gives the content of its answer, whatever that is; raises
with the reason where there is none."""

AT_ONCE = 32
"""Requests that one responder has to answer at the same time."""

WAITING = 2000
"""Requests that wait for their turn; who comes then is told no."""

_FORGIVEN = 3  # failures in a row, before it is left alone for a while
_FIRST_REST, _LONGEST_REST = 1.0, 30.0  # seconds
_MOST_DOUBLINGS = 10
_LONGEST_WORDS = 300  # characters of what went wrong


@dataclass(frozen=True, slots=True)
class ResponderHealth:
    """How a responder has been doing.

    Attributes:
        url: where it is.
        answers: how often it answered, be it nonsense.
        failures: how often there was no answer.
        error: why the last request failed; "" if it did not.
        since: when it last answered, in seconds since the epoch; 0 if it never did.
        asking: requests that it has not answered yet, or that wait.
    """

    url: str
    answers: int
    failures: int
    error: str
    since: float
    asking: int


class Responder:
    """One responder.

    Args:
        url: where it is.
        post: sends it a request.
        clock: for the time that it may take.
        now: seconds since the epoch.
        timeout: seconds for one answer, and for the turn to ask for it.
    """

    def __init__(
        self,
        url: str,
        post: Post,
        clock: IReactorTime,
        now: Callable[[], float],
        timeout: float,
    ) -> None:
        self.url = url
        self._post = post
        self._clock = clock
        self._now = now
        self._timeout = timeout
        self._asking = 0
        self._waiting: deque[Deferred[None]] = deque()
        self._answers = self._failures = self._in_a_row = 0
        self._error = ""
        self._since = self._rests_until = 0.0

    async def ask(self, request: bytes) -> bytes:
        """The content of its answer to a request.

        Raises:
            BadAnswer: there is none, with the reason.
        """
        self._check_rest()
        await self._turn()
        try:
            self._check_rest()
            return await self._asked(request)
        finally:
            self._next()

    def health(self) -> ResponderHealth:
        """How it has been doing."""
        asking = self._asking + len(self._waiting)
        return ResponderHealth(
            self.url, self._answers, self._failures, self._error, self._since, asking
        )

    # -- in turn ---------------------------------------------------------------------------

    async def _turn(self) -> None:
        if self._asking < AT_ONCE:
            self._asking += 1
            return
        if len(self._waiting) >= WAITING:
            raise BadAnswer(f"{WAITING} requests are waiting for it already")
        turn: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(turn)
        await self._limited(turn)

    def _next(self) -> None:
        if self._waiting:
            self._clock.callLater(0, self._hand_over)
        else:
            self._asking -= 1

    def _hand_over(self) -> None:
        if self._waiting:
            self._waiting.popleft().callback(None)  # it has one's place who is done
        else:
            self._asking -= 1

    # -- in time ---------------------------------------------------------------------------

    async def _asked(self, request: bytes) -> bytes:
        try:
            content = await self._limited(Deferred.fromCoroutine(self._posted(request)))
        except BadAnswer as error:
            self._failed(str(error))
            raise
        self._answered()
        return content

    async def _posted(self, request: bytes) -> bytes:
        try:
            return await self._post(self.url, request)
        except Exception as error:
            raise BadAnswer(str(error)[:_LONGEST_WORDS] or type(error).__name__) from error

    def _limited(self, waiting: Deferred[_T]) -> Deferred[_T]:
        def late(_: object, timeout: float) -> _T:
            raise BadAnswer(f"it did not answer within {timeout:g} seconds")

        return waiting.addTimeout(self._timeout, self._clock, late)

    # -- in what condition -----------------------------------------------------------------

    def _check_rest(self) -> None:
        if self._clock.seconds() < self._rests_until:
            raise BadAnswer(f"it is left alone for a moment, as it kept failing: {self._error}")

    def _answered(self) -> None:
        if self._error:
            _log.info("the OCSP responder {url} answers again", url=self.url)
        self._answers += 1
        self._in_a_row, self._error, self._since = 0, "", self._now()

    def _failed(self, error: str) -> None:
        if error != self._error:
            _log.error("the OCSP responder {url} gives no answer: {why}", url=self.url, why=error)
        self._error = error
        self._failures += 1
        self._in_a_row += 1
        if self._in_a_row >= _FORGIVEN:
            doublings = min(self._in_a_row - _FORGIVEN, _MOST_DOUBLINGS)
            rest = min(_FIRST_REST * 2.0**doublings, _LONGEST_REST)
            self._rests_until = self._clock.seconds() + rest

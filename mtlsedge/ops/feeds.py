"""When is a URL asked again? Feeds: listed by the operator, asked regularly, never trusted blindly.

Whoever listens judges each content; one that it cannot use counts as a failure, is not kept, and
is asked for again as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from random import uniform
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.web.iweb import IAgent

from mtlsedge.ops.feed_store import FeedStore
from mtlsedge.ops.fetching import Fetched, FetchFailed, Validators, fetch

_log = Logger()

FIRST_RETRY = 5.0
"""Seconds until a feed that failed is asked again; twice as long after each further failure."""

_JITTER = 0.1  # of each delay, so that many edges do not ask at the same moment

Taken = Callable[[str, bytes], "str | Deferred[str]"]


class Feed:
    """One URL that is asked again and again.

    Args:
        taken: told the URL and its new content; answers why it cannot be used, "" if it can.
        failed: told the URL and why nothing can be had of it, once for each reason.
        interval: seconds between two requests while all is well.
        most: bytes of the longest content.

    Attributes:
        error: why the last attempt failed; "" if it did not.
    """

    def __init__(
        self,
        url: str,
        agent: IAgent,
        clock: IReactorTime,
        store: FeedStore,
        taken: Taken,
        failed: Callable[[str, str], object] = lambda url, why: None,
        *,
        interval: float,
        most: int,
    ) -> None:
        self.url = url
        self.error = ""
        self._agent = agent
        self._clock = clock
        self._store = store
        self._taken = taken
        self._tell_failure = failed
        self._interval = interval
        self._most = most
        kept = store.load(url)
        self._known = kept.validators if kept is not None else Validators()
        self._failures = 0
        self._call: IDelayedCall | None = None
        self._asking: Deferred[Any] | None = None
        self._stopped = False

    def start(self) -> None:
        """Ask at once, and from then on."""
        self._ask()

    def stop(self) -> None:
        """Ask no more; an answer that is on its way is not told."""
        self._stopped = True
        if self._call is not None and self._call.active():
            self._call.cancel()
        if self._asking is not None:
            self._asking.cancel()

    def forget(self) -> None:
        """Whoever listens has not got what this URL held: have it told as a whole once more."""
        self._known = Validators()

    def _ask(self) -> None:
        self._call = None
        self._asking = asking = Deferred.fromCoroutine(self._update())
        asking.addCallbacks(self._succeeded, self._failed)

    async def _update(self) -> None:
        fetched = await fetch(self._agent, self._clock, self.url, self._known, self._most)
        if fetched is None:
            return
        objection = await maybeDeferred(self._taken, self.url, fetched.content)
        if objection:
            raise FetchFailed(objection)
        self._known = fetched.validators
        self._keep(fetched)

    def _keep(self, fetched: Fetched) -> None:
        try:
            self._store.save(self.url, fetched)
        except OSError as error:
            _log.error(
                "{url} was read, but cannot be kept for a restart: {error}",
                url=self.url,
                error=error,
            )

    def _succeeded(self, _: object) -> None:
        if self.error:
            _log.info("{url} answers again", url=self.url)
        self.error, self._failures = "", 0
        self._again(self._interval)

    def _failed(self, failure: Any) -> None:
        if self._stopped:
            return
        error = failure.getErrorMessage()
        if not failure.check(FetchFailed):
            _log.failure("asking {url} failed", failure, url=self.url)
        self.forget()
        delay = min(FIRST_RETRY * 2.0**self._failures, self._interval)
        self._failures = min(self._failures + 1, 30)
        if error != self.error:
            _log.error(
                "{url} cannot be used: {error}; what it held before stays in use as long as it "
                "is valid, and it is asked again in {delay:.0f} s",
                url=self.url,
                error=error,
                delay=delay,
            )
            self._tell_failure(self.url, f"{self.url} cannot be used: {error}")
        self.error = error
        self._again(delay)

    def _again(self, delay: float) -> None:
        if self._stopped:
            return
        delay *= uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311  # nothing is secret here
        self._call = self._clock.callLater(delay, self._ask)

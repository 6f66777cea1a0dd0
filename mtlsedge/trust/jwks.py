"""By which keys does a service sign? A JWK set at a URL (RFC 7517), kept fresh."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from warnings import catch_warnings

from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import RSAKey
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from mtlsedge.errors import VerifierFailed

_log = Logger()

EVERY = 300.0
"""Seconds between two looks at the key set."""

KEPT = 3600.0
"""Seconds for which keys count that could not be looked up again."""

_SOONEST = 5.0  # seconds between two looks for a key that is not there
_PATIENCE = 10.0  # seconds for one look
_MOST = 64  # keys of a set
_LEAST_BITS = 2048


class RemoteKeys:
    """The RSA keys that a service publishes, by their ids.

    Args:
        url: where they are.
        client: an HTTP client, as ``IEdge.http`` makes it.
        clock: when to look.
    """

    def __init__(self, url: str, client: Any, clock: IReactorTime) -> None:
        self._url = url
        self._client = client
        self._clock = clock
        self._keys: dict[str, RSAKey] = {}
        self._fetched = self._tried = float("-inf")
        self._trouble = "they were not looked up yet"
        self._waiting: list[Deferred[None]] = []
        self._fetching: Deferred[Any] | None = None
        self._looking = LoopingCall(self._fetch)
        self._looking.clock = clock

    def start(self) -> None:
        """Look now, and from now on."""
        self._looking.start(EVERY)

    def stop(self) -> None:
        """Look no more."""
        if self._looking.running:
            self._looking.stop()
        if self._fetching is not None:
            self._fetching.cancel()

    async def find(self, kid: str) -> RSAKey | None:
        """The key with an id; one that is not known is looked for, as it may be new.

        Raises:
            VerifierFailed: the key set cannot be had.
        """
        key = self._known(kid)
        due = self._clock.seconds() - self._tried >= _SOONEST
        if key is None and (self._fetching is not None or due):
            self._fetch()
            waiting: Deferred[None] = Deferred()
            if self._fetching is not None:
                self._waiting.append(waiting)
                await waiting
            key = self._known(kid)
        if key is None and self._stale():
            raise VerifierFailed(f"the keys at {self._url} cannot be had: {self._trouble}")
        return key

    def _known(self, kid: str) -> RSAKey | None:
        return None if self._stale() else self._keys.get(kid)

    def _stale(self) -> bool:
        return self._clock.seconds() - self._fetched > KEPT

    def _fetch(self) -> None:
        if self._fetching is not None:
            return
        self._tried = self._clock.seconds()
        fetching: Deferred[Any] = self._client.get(self._url)
        self._fetching = fetching
        fetching.addTimeout(_PATIENCE, self._clock)
        fetching.addCallback(self._take)
        fetching.addErrback(lambda failure: self._complain(failure.getErrorMessage()))
        fetching.addBoth(self._done)

    def _take(self, answer: Any) -> None:
        if answer.status != 200:
            raise VerifierFailed(f"the answer was {answer.status}")
        self._keys = read_keys(answer.content)
        self._fetched = self._clock.seconds()
        self._trouble = ""

    def _complain(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            _log.warn("the keys at {url} cannot be had: {trouble}", url=self._url, trouble=trouble)

    def _done(self, _: object) -> None:
        self._fetching = None
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.called:  # it may have been cancelled
                each.callback(None)


def read_keys(content: bytes) -> dict[str, RSAKey]:
    """The RSA keys of a JWK set that have an id and may verify; other kinds are left out.

    Raises:
        VerifierFailed: it is no JWK set, or none of its keys will do.
    """
    try:
        found = json.loads(content)["keys"]
        usable = [key for key in found[:_MOST] if _may_verify(key)]
        with catch_warnings(action="ignore", category=SecurityWarning):  # weak ones go below
            keys = {key["kid"]: RSAKey.import_key(_public(key)) for key in usable}
    except (ValueError, TypeError, KeyError, RecursionError, JoseError) as error:
        raise VerifierFailed(f"what is there is no JWK set: {error!r}") from error
    strong = {kid: key for kid, key in keys.items() if key.public_key.key_size >= _LEAST_BITS}
    if not strong:
        raise VerifierFailed("it holds no RSA key of 2048 bits or more with an id")
    return strong


def _may_verify(key: object) -> bool:
    return (
        isinstance(key, Mapping)
        and key.get("kty") == "RSA"
        and isinstance(key.get("kid"), str)
        and key.get("use", "sig") == "sig"
        and key.get("alg", "RS256") == "RS256"
    )


def _public(key: Mapping[str, Any]) -> dict[str, str | list[str]]:
    """Just what makes a public key, whatever else is said."""
    return {"kty": "RSA", "n": key["n"], "e": key["e"]}

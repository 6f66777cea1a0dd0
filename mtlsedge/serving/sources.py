"""Where do new revocation lists come from while the edge serves?

From files, which are watched, and from URLs that the operator listed, which are asked. One
process does that for all workers. Nothing is ever fetched because a certificate says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

from mtlsedge.config.files import MOST_CRL
from mtlsedge.model import Configuration, CrlSource
from mtlsedge.ops.feed_store import FeedStore
from mtlsedge.ops.feeds import Feed
from mtlsedge.ops.fetching import make_agent
from mtlsedge.ops.watching import FileWatch

_log = Logger()

Tell = Callable[[str, bytes], "str | Deferred[str]"]
"""Told a place and what it holds now; answers what speaks against that, or ""."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """A URL, and how it is to be asked."""

    url: str
    refresh: float
    ca: bytes


def with_kept(configuration: Configuration, store: FeedStore) -> Configuration:
    """A configuration in which URLs hold what they held when they last answered."""
    cas = tuple(
        replace(ca, crls=tuple(_kept(crl, store) for crl in ca.crls))
        for ca in configuration.client_cas
    )
    return replace(configuration, client_cas=cas)


def store_of(configuration: Configuration) -> FeedStore:
    """Where what URLs held is kept: beside the edge's own keys."""
    return FeedStore(configuration.edge.state / "crls")


class Sources:
    """The files and URLs of a configuration.

    Args:
        reactor: where timers and connections live.
        store: keeps what URLs held.
        tell: what to do with new content.
        complain: told a place and why nothing can be read there.
    """

    def __init__(
        self,
        reactor: Any,
        store: FeedStore,
        tell: Tell,
        complain: Callable[[str, str], None],
    ) -> None:
        self._reactor = reactor
        self._store = store
        self._tell = tell
        self._complain = complain
        self._watch = FileWatch(reactor, self._changed, self._troubled, MOST_CRL)
        self._feeds: dict[_Listed, Feed] = {}

    def follow(self, configuration: Configuration) -> None:
        """Watch and ask what a configuration names, and nothing else any more."""
        self._watch.watch(_files(configuration))
        listed, unknown = _listed(configuration), _unknown(configuration)
        for gone in self._feeds.keys() - listed:
            self._feeds.pop(gone).stop()
        for new in listed - self._feeds.keys():
            self._feeds[new] = feed = self._feed(new)
            feed.start()
        for feed in self._feeds.values():
            if feed.url in unknown:
                feed.forget()

    def errors(self) -> dict[str, str]:
        """Why URLs could not be used when they were last asked, by URL."""
        return {feed.url: feed.error for feed in self._feeds.values() if feed.error}

    def stop(self) -> None:
        """Watch and ask no more."""
        self._watch.stop()
        for feed in self._feeds.values():
            feed.stop()
        self._feeds.clear()

    def _feed(self, listed: _Listed) -> Feed:
        agent = make_agent(self._reactor, listed.ca, system=not listed.ca, most=MOST_CRL)
        return Feed(
            listed.url,
            agent,
            self._reactor,
            self._store,
            self._tell,
            self._complain,
            interval=listed.refresh,
            most=MOST_CRL,
        )

    def _changed(self, path: Path, content: bytes) -> None:
        told = maybeDeferred(self._tell, str(path), content)
        told.addErrback(lambda failure: _log.failure("{path} was not taken", failure, path=path))

    def _troubled(self, path: Path, trouble: str) -> None:
        place = str(path)
        _log.error(
            "{place} cannot be read: {trouble}; what it held serves on until it is stale: put the "
            "CRL back in its place",
            place=place,
            trouble=trouble,
        )
        self._complain(place, f"{place} cannot be read: {trouble}")


def _kept(crl: CrlSource, store: FeedStore) -> CrlSource:
    if not crl.remote or crl.data:
        return crl
    kept = store.load(crl.place)
    return crl if kept is None else replace(crl, data=kept.content)


def _files(configuration: Configuration) -> dict[Path, bytes]:
    """What each file held when it was first read: it may be another's by the second time."""
    found: dict[Path, bytes] = {}
    for ca in configuration.client_cas:
        for crl in ca.crls:
            if not crl.remote:
                found.setdefault(Path(crl.place), crl.data)
    return found


def _unknown(configuration: Configuration) -> set[str]:
    """The URLs of which some client CA has nothing to begin with."""
    crls = (crl for ca in configuration.client_cas for crl in ca.crls)
    return {crl.place for crl in crls if crl.remote and not crl.data}


def _listed(configuration: Configuration) -> set[_Listed]:
    """Each URL once, as the first client CA that names it has it asked."""
    found: dict[str, _Listed] = {}
    for ca in configuration.client_cas:
        for crl in ca.crls:
            if crl.remote:
                found.setdefault(crl.place, _Listed(crl.place, ca.crl_refresh, ca.crl_ca))
    return set(found.values())

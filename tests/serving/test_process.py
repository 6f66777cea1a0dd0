"""One process that serves: what it does by the hour."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mtlsedge import model
from mtlsedge.identity import Identity
from mtlsedge.serving.lasting import open_lasting
from mtlsedge.serving.process import Serving
from support import certs
from support.memory import holder

NAME = "iot.example.com"
HOUR = 3600.0
DAY = 24 * HOUR


class Port:
    """Accepts nobody."""

    terminator: Any = None
    limit = 0

    def stopListening(self) -> None:
        """It is over."""


class Stays:
    """A connection of somebody who has been here for long."""

    def __init__(self, identity: Identity, name: str = NAME) -> None:
        site = SimpleNamespace(host=SimpleNamespace(name=NAME))
        self.caller: Any = SimpleNamespace(identity=identity, server_name=name, site=site)
        self.holds_until = float("inf")

    def drain(self) -> None:
        """It will."""

    def stop(self) -> None:
        """It does."""


def ending(remaining: float) -> Identity:
    """Somebody whose certificate of a year has so many seconds to go."""
    known = holder()
    assert known.chain is not None
    end = time.time() + remaining
    leaf = replace(known.chain.leaf, not_before=end - 365 * DAY, not_after=end)
    return replace(known, chain=replace(known.chain, leaf=leaf))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Serving, Clock, list[str]]]:
    """A process that serves one host, its clock, and the certificates that it told of."""
    clock = Clock()
    told: list[str] = []
    pair = certs.server(NAME)
    key_pair = model.KeyPair(pair.certificate.read_bytes(), pair.key.read_bytes())
    host = model.Host((NAME,), key_pair, (model.Upstream("http", "127.0.0.1", 8080),))
    configuration = model.Configuration(model.Edge((), tmp_path), (host,))

    def now() -> float:
        return time.time() + clock.seconds()

    lasting = open_lasting(configuration, now, 1)
    serving = Serving(configuration, clock, lasting, tell=lambda key, text: told.append(key))
    serving.start([cast(Any, Port())])
    yield serving, clock, told
    done: list[object] = []
    stopped: Deferred[Any] = serving.stop(0)
    stopped.addBoth(done.append)
    clock.advance(1)
    assert done


def test_every_hour_whoever_comes_is_noticed_anew_and_whoever_stays(
    running: tuple[Serving, Clock, list[str]],
) -> None:
    """A tunnel of many months has a certificate that ends, too; once a day it is told."""
    serving, clock, told = running
    front = serving._assembled.front
    identity = ending(14 * DAY + 3 * HOUR + 60)
    front.crowd.connections.update([cast(Any, Stays(identity)), cast(Any, Stays(identity, ""))])
    front.acquaintances["somebody"] = cast(Any, None)
    clock.advance(HOUR - 1)
    assert 1 == len(front.acquaintances)
    clock.advance(1)
    assert {} == front.acquaintances
    for _ in range(2):
        clock.advance(HOUR)
    assert [] == told
    clock.advance(HOUR)
    assert 1 == len(told)
    clock.pump([HOUR] * 23)
    assert len(told) <= 2
    clock.pump([HOUR] * 24)
    assert 2 <= len(told) <= 3

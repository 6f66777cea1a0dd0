"""The edge as a service, where journeys cannot go: when the edge itself fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from mtlsedge import model, service
from mtlsedge.service import EdgeService
from support import certs
from support.logs import log_of

NAME = "iot.example.com"


class Reactor(Clock):
    """Runs nothing, and listens nowhere."""

    def callWhenRunning(self, *_: object) -> None:
        """It never does."""


class Notified:
    """What the service manager heard."""

    watched = 0.0

    def __init__(self) -> None:
        self.heard: list[str] = []

    def __getattr__(self, what: str) -> Any:
        return lambda: self.heard.append(what)


@pytest.mark.parametrize("together", [True, False], ids=["workers", "alone"])
def test_a_reload_that_fails_midway_is_told_as_that_and_workers_hear_all_the_same(
    tmp_path: Path, together: bool
) -> None:
    """The earlier configuration is not what serves on; the parent must not differ from them."""
    pair = certs.server(NAME)
    key_pair = model.KeyPair(pair.certificate.read_bytes(), pair.key.read_bytes())
    host = model.Host((NAME,), key_pair, (model.Upstream("http", "127.0.0.1", 8080),))
    first = model.Configuration(model.Edge((), tmp_path), (host,))
    notified = Notified()
    reactor: Any = Reactor()
    edge = EdgeService(first, reactor, lambda number: first, notifier=cast(Any, notified))
    edge.privilegedStartService = lambda: None  # type: ignore[method-assign]
    edge.startService()
    reloads: list[object] = []

    def reload(change: object) -> Deferred[None]:
        reloads.append(change)
        return succeed(None)

    def failing() -> None:
        raise ZeroDivisionError("on purpose")

    if together:
        edge._crew = cast(Any, SimpleNamespace(reload=reload, stop=lambda _: succeed(None)))
    edge._health.renew = failing  # type: ignore[method-assign]
    with log_of(service) as said:
        edge._reload(replace(first, generation=2))
        edge.stopService()
        expected = ["generation 2 is in force in part; restart the edge", "serving generation 2"]
        assert expected == [line.split("\n")[0] for line in said()]
    assert together is bool(reloads)
    assert "ready" in notified.heard

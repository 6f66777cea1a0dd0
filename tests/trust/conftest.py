"""No test of trust finds what another remembered, or hears what another logged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.logger import LogEvent, globalLogPublisher

from mtlsedge.trust import chains
from mtlsedge.trust.caches import BoundedCache


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Builders that a test makes remember together, and nothing from before."""
    monkeypatch.setattr(chains, "_built", BoundedCache(100))
    monkeypatch.setattr(chains, "_intermediates", BoundedCache(100))


@pytest.fixture
def logged() -> Iterator[list[LogEvent]]:
    """What is logged while the test runs."""
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)

"""One key ring for all, since making an RSA key takes long; and a count of decisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mtlsedge.http import exchange
from mtlsedge.session.keys import KeyRing

DAY = 86400.0


@pytest.fixture(scope="session")
def ring(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    """The edge's signing keys, at a time that stands still."""
    state: Path = tmp_path_factory.mktemp("state")
    return KeyRing.open(state, lambda: 1_800_000_000.0, 42 * DAY, DAY)


@pytest.fixture
def decided(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every time that a decision was asked for."""
    made: list[Any] = []
    decide = exchange.decide

    def counted(*args: Any) -> Any:
        made.append(args)
        return decide(*args)

    monkeypatch.setattr(exchange, "decide", counted)
    return made

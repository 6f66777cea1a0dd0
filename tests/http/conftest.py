"""One key ring for all: making an RSA key takes longer than everything else here."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtlsedge.session.keys import KeyRing

DAY = 86400.0


@pytest.fixture(scope="session")
def ring(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    """The edge's signing keys, at a time that stands still."""
    state: Path = tmp_path_factory.mktemp("state")
    return KeyRing.open(state, lambda: 1_800_000_000.0, 42 * DAY, DAY)

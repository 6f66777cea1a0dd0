"""No test of trust finds what another remembered."""

from __future__ import annotations

import pytest

from mtlsedge.trust import chains
from mtlsedge.trust.caches import BoundedCache


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Builders that a test makes remember together, and nothing from before."""
    monkeypatch.setattr(chains, "_built", BoundedCache(100))
    monkeypatch.setattr(chains, "_intermediates", BoundedCache(100))

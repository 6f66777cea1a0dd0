"""What the harness's tests need of the machine: skipped for on a desk, demanded in CI."""

from __future__ import annotations

import pytest

from support.needs import needs


@pytest.fixture
def nginx() -> None:
    """The origin of every run, and a peer."""
    needs("nginx")

"""What the workers of an edge are told, and which of them."""

from __future__ import annotations

from typing import Any

import pytest

from mtlsedge.serving.crew import Crew


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Orders, by the way in which they were given."""
    orders: list[tuple[str, str]] = []

    class Recorder:
        def __init__(self, *args: Any) -> None:
            pass

        def tell(self, kind: str) -> None:
            orders.append(("present", kind))

        def tell_leaving(self, kind: str) -> None:
            orders.append(("leaving", kind))

    monkeypatch.setattr("mtlsedge.serving.crew.Supervisor", Recorder)
    return orders


def test_those_that_leave_reopen_the_access_log_as_well(told: list[tuple[str, str]]) -> None:
    """They still finish what they were asked, in a file that somebody compresses by now."""
    nothing: Any = None
    Crew(2, nothing, nothing, nothing, nothing, nothing).reopen()
    assert [("present", "reopen"), ("leaving", "reopen")] == told

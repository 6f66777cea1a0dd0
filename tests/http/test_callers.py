"""Who a caller is to a new configuration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from mtlsedge.http.callers import judge_again
from mtlsedge.identity import ANONYMOUS
from support.memory import NAME, MemoryEdge, holder


@pytest.fixture
def edge(ring: Any) -> Iterator[MemoryEdge]:
    made = MemoryEdge(ring)
    yield made
    made.close()


def test_a_verifier_that_thinks_is_asked_no_further_and_nothing_is_logged(
    edge: MemoryEdge,
) -> None:
    """The answer is not known now; that it was cancelled is no error of anybody's."""
    thinking: Deferred[Any] = Deferred()

    class Slow:
        def settle(self, *_: Any) -> Deferred[Any]:
            return thinking

    judge: Any = Slow()
    site = replace(edge.front.sites[NAME], judge=judge)
    assert judge_again(edge.connect(holder()).caller, site) is None
    assert (True, None) == (thinking.called, thinking.result), "a failure that nobody handled"


def test_who_showed_nothing_is_nobody(edge: MemoryEdge) -> None:
    """Whatever the new configuration asks for."""
    caller = edge.connect(ANONYMOUS).caller
    assert ANONYMOUS is judge_again(caller, edge.front.sites[NAME])

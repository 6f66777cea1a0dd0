"""Who is asked whether they may stay, and when."""

from __future__ import annotations

from typing import Any, cast

import pytest
from twisted.internet.task import Clock

from mtlsedge.http import vigil
from mtlsedge.http.site import Crowd
from mtlsedge.http.vigil import Vigil


class Connection:
    """Counts how often it is asked."""

    def __init__(self, holds_until: float, fails: bool = False) -> None:
        self.holds_until = holds_until
        self.asked = 0
        self.stopped = False
        self._fails = fails

    def reconsider(self) -> None:
        self.asked += 1
        if self._fails:
            raise ValueError("of the judge")

    def stop(self) -> None:
        self.stopped = True


def watching(*connections: Connection) -> tuple[Vigil, Clock]:
    crowd, clock = Crowd(), Clock()
    crowd.connections.update(cast(Any, connections))
    return Vigil(crowd, clock, clock.seconds), clock


def test_each_second_those_are_asked_whose_time_may_be_over() -> None:
    over, later = Connection(0.5), Connection(10.5)
    looking, clock = watching(over, later)
    looking.start()
    clock.pump([1.0] * 3)
    assert (3, 0) == (over.asked, later.asked)
    clock.pump([1.0] * 8)
    assert 1 == later.asked
    looking.stop()
    clock.pump([1.0] * 3)
    assert 1 == later.asked


def test_after_a_change_all_are_asked_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others get their turn between: with many connections it takes a while."""
    monkeypatch.setattr(vigil, "_AT_ONCE", 10)
    connections = [Connection(float("inf")) for _ in range(25)]
    looking, clock = watching(*connections)
    looking.look_at_all()
    assert 10 == sum(each.asked for each in connections)
    clock.advance(0)
    assert [1] * 25 == [each.asked for each in connections]
    assert [] == clock.getDelayedCalls()


def test_who_cannot_be_judged_is_cut_and_the_others_are_asked() -> None:
    broken, sound = Connection(0, fails=True), Connection(0)
    looking, _ = watching(broken, sound)
    looking.look_at_all()
    assert (True, False) == (broken.stopped, sound.stopped)
    assert 1 == sound.asked

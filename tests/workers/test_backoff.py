"""How soon a worker is replaced."""

from __future__ import annotations

from mtlsedge.workers.backoff import Backoff


def delays(count: int, served: float | None) -> list[float]:
    """Of so many deaths in a row, each after so many seconds of service."""
    backoff = Backoff()
    return [backoff.delay(served) for _ in range(count)]


def test_one_that_never_serves_is_tried_less_and_less_often() -> None:
    """At once the first time, and in the end every 30 seconds."""
    assert [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] == delays(10, None)
    assert 30.0 == delays(2000, None)[-1]


def test_one_that_served_a_moment_is_back_within_a_second() -> None:
    """Whoever can make workers die must not keep others waiting."""
    assert [0.0, 0.25, 0.5, 1.0, 1.0] == delays(5, 0.1)


def test_one_that_served_for_long_is_replaced_at_once() -> None:
    """Every time: it says nothing of its successor."""
    assert [0.0, 0.0, 0.0] == delays(3, 60.0)


def test_a_change_makes_the_past_forgotten() -> None:
    """A reload may have removed the reason."""
    backoff = Backoff()
    for _ in range(8):
        backoff.delay(None)
    backoff.forget()
    assert [0.0, 0.25] == [backoff.delay(None), backoff.delay(None)]

"""What is made of a run's rounds: percentiles, ratios, and samples that count for nothing."""

from __future__ import annotations

import dataclasses

import pytest
from perf_samples import LOAD, SAMPLE

from perf.proofs import Facts
from perf.rounds import Measured, turn
from perf.stats import Spread, by_round, in_rounds, percentile, ratios, spread


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.5, 0),
        ([7], 0.99, 7),
        ([1, 2, 3, 4], 0.5, 2),
        (list(range(1, 101)), 0.99, 99),
        (list(range(1, 102)), 0.99, 100),
        ([1, 2], 1.0, 2),
    ],
)
def test_percentile_is_the_nearest_rank(values: list[int], share: float, expected: int) -> None:
    """The least value that at least this share of all values does not exceed."""
    assert expected == percentile(values, share)


def test_ratios_are_taken_round_by_round_and_leave_void_rounds_out() -> None:
    """A machine that halves its speed for one round changes no ratio."""
    ours = [100.0, 200.0, None, 90.0]
    theirs = [50.0, 100.0, 50.0, None]
    assert [2.0, 2.0] == ratios(ours, theirs)
    assert [2.0, 2.0, None, None] == by_round(ours, theirs)
    assert "2.00 2.00 - -" == in_rounds(by_round(ours, theirs))
    assert Spread(2.0, 1.0, 9.0, 3) == spread([9.0, 1.0, 2.0])
    assert spread([]) is None


def test_a_sample_with_one_error_is_void_whatever_else_it_counted() -> None:
    """No figure may come of a round in which something failed."""
    assert not SAMPLE.void
    assert dataclasses.replace(SAMPLE, errors=1).void
    assert dataclasses.replace(SAMPLE, operations=0).void


def test_a_sample_speaks_per_operation() -> None:
    """Microseconds of CPU by operation, and the share of the time spent on the core."""
    assert (500.0, 400.0, 50.0) == (SAMPLE.server_us, SAMPLE.client_us, SAMPLE.origin_us)
    assert (1000.0, 0.5) == (SAMPLE.rate, SAMPLE.server_busy)


def test_every_second_round_goes_the_other_way() -> None:
    """A machine that slows down favours nobody."""
    facts = Facts("TLSv1.3", "", (), b"", idle_tickets=False)
    servers = [Measured(title, "", LOAD, facts, 1, None) for title in ("a", "b", "c")]
    assert "abc" == "".join(one.title for one in turn(servers, 1))
    assert "cba" == "".join(one.title for one in turn(servers, 2))

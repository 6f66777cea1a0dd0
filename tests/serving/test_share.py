"""A worker's part of a limit."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from mtlsedge.model import Configuration, Edge, Host, KeyPair, Limits
from mtlsedge.serving.share import Share, worker_count


@pytest.mark.parametrize("workers", range(1, 9))
@pytest.mark.parametrize("limit", [8, 9, 15, 1000, 50_000])
def test_the_parts_add_up_to_the_limit(workers: int, limit: int) -> None:
    """And no part is larger than another by more than one."""
    parts = [Share(place, workers).of(limit) for place in range(workers)]
    assert limit == sum(parts)
    assert max(parts) - min(parts) <= 1


def test_a_part_is_never_nothing() -> None:
    """0 would mean that there is no limit."""
    assert [1] * 4 == [Share(place, 4).of(2) for place in range(4)]


def test_a_configuration_is_shared_out_where_it_counts_connections() -> None:
    """Of clients and to origins; what is said of one message stays."""
    limits = Limits(connections=10, origin_connections=4, request_body=7)
    host = Host(("a.example.com",), KeyPair(b"", b""), (), limits=limits)
    whole = Configuration(Edge((), Path("state"), limits=limits), (host,))
    part = Share(0, 4).of_all(whole)
    assert replace(limits, connections=3) == part.edge.limits
    assert replace(limits, origin_connections=1) == part.hosts[0].limits
    assert whole is Share().of_all(whole)


def test_no_number_of_workers_is_one_per_cpu() -> None:
    """Of those that this process may run on."""
    assert [1, 7] == [worker_count(1), worker_count(7)]
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert 1 == worker_count(0)
    finally:
        os.sched_setaffinity(0, before)
    assert len(before) == worker_count(0)

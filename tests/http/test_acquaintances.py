"""What is remembered of clients stays within bounds, whatever they ask."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsedge.http.acquaintances import Acquaintances, Memory
from mtlsedge.session.keys import KeyRing
from support.memory import NAME, MemoryEdge, application, holder


def get(path: str, fields: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {NAME}\r\n{fields}\r\n".encode()


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 100))))
def test_what_was_charged_is_never_less_than_what_is_kept(kept: list[tuple[int, int]]) -> None:
    """Nor is anything charged twice: room that was left is taken again."""
    memory: Memory[int, int] = Memory(5)
    charged, most = 0, 0
    for key, weight in kept:
        weight = memory.get(key, weight)
        charged += memory.keep(key, weight, weight)
        assert len(memory) <= 5
        most = max(most, sum(memory.values()))
        assert most == charged


def test_a_generation_that_asks_for_very_different_things_is_a_smaller_one() -> None:
    """Who is remembered with much leaves less room for others."""
    known = Acquaintances(4)
    room = 4 * 16 * 1024
    for name in ("a", "b"):
        known.keep(name, cast(Any, name))
    known.charge(room)
    assert ["a", "b"] == list(known)
    known.charge(1)
    assert [] == list(known)
    assert "a" == known.elder("a")
    known.charge(room)
    assert 2 == known.size
    known.charge(1)
    assert 1 == known.size


@pytest.mark.parametrize("size", [0, 800])
def test_clients_who_ask_for_much_are_not_all_remembered(ring: KeyRing, size: int) -> None:
    """Twelve large requests each: an attacker with many addresses must not fill the memory."""
    edge = MemoryEdge(ring, (application("/", "service_auth", "one"),))
    edge.front.acquaintances = Acquaintances(8)
    for client in range(40):
        connection = edge.connect(replace(holder(f"device-{client}")))
        for number in range(12 if size else 1):
            fields = f"X-Large: {'x' * size}{number}\r\n" if size else ""
            assert b"HTTP/1.1 200 " == connection.send(get(f"/{number}", fields))[:13]
        connection.hang_up()
    known = edge.front.acquaintances
    held = [*known.values(), *known._elder.values()]
    weight = sum(passage.weight for one in held for passage in set(one.passages.values()))
    assert weight <= 2 * 8 * 16 * 1024
    assert (len(held) == 16) == (size == 0)
    edge.close()

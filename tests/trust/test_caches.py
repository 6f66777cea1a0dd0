"""A cache that cannot grow."""

from __future__ import annotations

from mtlsedge.trust.caches import BoundedCache


def test_the_entry_that_went_unused_for_longest_leaves_first() -> None:
    """Looking counts as use."""
    cache: BoundedCache[str, int] = BoundedCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert 1 == cache.get("a")
    cache.put("c", 3)
    assert (1, None, 3) == (cache.get("a"), cache.get("b"), cache.get("c"))
    assert 2 == len(cache)


def test_a_new_value_replaces_an_old_one() -> None:
    """And pushes nothing out."""
    cache: BoundedCache[str, int] = BoundedCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    cache.put("a", 3)
    assert (3, 2) == (cache.get("a"), cache.get("b"))


def test_what_is_discarded_is_gone() -> None:
    """Whether it was there or not."""
    cache: BoundedCache[str, int] = BoundedCache(2)
    cache.put("a", 1)
    cache.discard("a")
    cache.discard("never")
    assert None is cache.get("a")
    assert 0 == len(cache)

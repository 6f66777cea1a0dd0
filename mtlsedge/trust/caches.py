"""What is worth remembering? A cache that is bounded by the number of its entries."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from contextlib import suppress
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

LARGEST_CACHED = 16 * 1024
"""Bytes of certificates that one entry may hold: a cache must not grow with its input."""


class BoundedCache(Generic[K, V]):
    """Keeps the ``limit`` entries that were used last."""

    __slots__ = ("_entries", "_limit")

    def __init__(self, limit: int) -> None:
        self._entries: OrderedDict[K, V] = OrderedDict()
        self._limit = limit

    def get(self, key: K) -> V | None:
        """The value kept under a key; None if it never was, or was pushed out."""
        value = self._entries.get(key)
        if value is None:
            return None
        try:
            self._entries.move_to_end(key)
        except KeyError:  # a thread that reads a configuration has just pushed it out
            return value
        return value

    def put(self, key: K, value: V) -> None:
        """Keep a value, pushing out the one that went unused for longest."""
        self._entries.pop(key, None)
        self._entries[key] = value
        if len(self._entries) > self._limit:
            with suppress(KeyError):
                self._entries.popitem(last=False)

    def discard(self, key: K) -> None:
        """Forget a key, if it is there."""
        self._entries.pop(key, None)

    def values(self) -> tuple[V, ...]:
        """Everything that is kept, the longest unused first."""
        return tuple(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

"""How is one table read? Typed access by key, with a key path for whatever is wrong.

Nothing here knows a key of ours. Whoever reads a table asks for its keys one by one; the keys
that nobody asked for are then the unknown ones. A mistake is noted, a stand-in takes the value's
place and reading goes on, so that every mistake is reported at once. A configuration with a
problem is never returned, so no stand-in is ever served.
"""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, time
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from mtlsedge.config.files import Files
from mtlsedge.errors import Problem

T = TypeVar("T")
D = TypeVar("D")

_NO_KEYS: Mapping[str, object] = MappingProxyType({})
_MOST_COMPARED = 500
_MOST_LISTED = 40
_INDEX = re.compile(r"\[[0-9]+\]")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,60}\Z")

# The order matters: a boolean is an integer to Python, and a date-time is a date.
_TOML_TYPES: tuple[tuple[type, str], ...] = (
    (str, "a string"),
    (bool, "a boolean"),
    (int, "an integer"),
    (float, "a float"),
    (Mapping, "a table"),
    (Sequence, "an array"),
    (date, "a date"),
    (time, "a time"),
)


class Wrong(Exception):
    """A value that cannot stand; its message follows the key path and names the remedy."""


@dataclass(slots=True)
class Loading:
    """One reading of one configuration: where it stands, and what was found so far.

    ``base`` is the absolute directory that relative paths start from; ``now`` is in seconds
    since the epoch; ``check_verifier`` gives the verifier string to keep of one that was written
    in a file of this directory, and raises ``BadVerifier`` for a bad one.
    """

    base: Path
    now: float
    check_verifier: Callable[[str, Path], str]
    files: Files = field(default_factory=Files)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Place:
    """A key path within one reading, such as ``host[0].names[1]``."""

    loading: Loading
    where: str = ""

    def key(self, name: str) -> Place:
        """The place of a key in the table that stands here."""
        shown = name if _BARE_KEY.match(name) else json.dumps(name[:60])
        return Place(self.loading, f"{self.where}.{shown}" if self.where else shown)

    def item(self, index: int) -> Place:
        """The place of an element of the array that stands here."""
        return Place(self.loading, f"{self.where}[{index}]")

    def problem(self, message: str) -> None:
        """Note a mistake: the configuration will be refused."""
        self.loading.problems.append(Problem(self.where, message))

    def warn(self, message: str) -> None:
        """Note what does not keep the edge from serving, but will surprise."""
        self.loading.warnings.append(f"{self.where}: {message}")

    def read(self, convert: Convert[T], value: object, stand_in: D) -> T | D:
        """The converted value; the stand-in, and a problem noted, where it is wrong."""
        try:
            return convert(value, self)
        except Wrong as wrong:
            self.problem(str(wrong))
            return stand_in


Convert = Callable[[object, Place], T]
"""Makes a value of what TOML gave; raises ``Wrong``, or notes problems of its parts itself."""


class Table:
    """A TOML table that remembers which keys it was asked for."""

    __slots__ = ("_asked", "_data", "_hints", "place")

    def __init__(self, place: Place, data: Mapping[str, object]) -> None:
        self.place = place
        self._data = data
        self._asked: set[str] = set()
        self._hints: dict[str, str] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._data

    def at(self, key: str) -> Place:
        """The place of one key, whether it is there or not."""
        return self.place.key(key)

    def take(self, key: str, convert: Convert[T], default: D) -> T | D:
        """An optional key; absent or wrong, the default."""
        self._asked.add(key)
        if key not in self._data:
            return default
        return self.at(key).read(convert, self._data[key], default)

    def need(self, key: str, convert: Convert[T], stand_in: D, remedy: str) -> T | D:
        """A key that must be there."""
        if key not in self._data:
            self.at(key).problem(f"is missing; {remedy}")
        return self.take(key, convert, stand_in)

    def child(self, key: str, read: Callable[[Table], T]) -> T:
        """What ``read`` makes of the table ``[key]``; an absent one is read as empty."""
        data = self.take(key, _mapping, None if key in self else _NO_KEYS)
        table = Table(self.at(key), data) if data is not None else Table(_unheard(self.at(key)), {})
        value = read(table)
        table.close()
        return value

    def each(self, key: str, read: Callable[[Table], T]) -> tuple[T, ...]:
        """What ``read`` makes of every table in the array ``[[key]]``."""
        values = []
        for table in self.take(key, _tables, ()):
            values.append(read(table))
            table.close()
        return tuple(values)

    def hint(self, hints: Mapping[str, str]) -> None:
        """What to say of certain unknown keys, instead of guessing which one was meant."""
        self._hints.update(hints)

    def close(self) -> None:
        """Report every key that nobody asked for. ``child`` and ``each`` do this themselves."""
        for key in self._data:
            if key not in self._asked:
                hint = self._hints.get(key)
                self.at(key).problem(hint or f"is not a key here; {meant(key, self._asked)}")


def declared(data: Mapping[str, object], key: str) -> frozenset[str]:
    """The names that the tables ``[[key]]`` carry, whether those tables are right or not.

    A broken table must not make every mention of its name look like a second mistake.
    """
    tables = data.get(key)
    if not isinstance(tables, list):
        return frozenset()
    names = (table.get("name") for table in tables if isinstance(table, Mapping))
    return frozenset(name for name in names if isinstance(name, str))


def meant(word: str, known: set[str] | frozenset[str]) -> str:
    """The end of a sentence about an unknown word: the nearest known one, or all of them."""
    if not known:
        return "none is defined"
    # Comparing with every one of ten thousand hosts, for as many mistakes, would take hours.
    nearest = get_close_matches(word, sorted(known), n=1) if len(known) <= _MOST_COMPARED else ()
    if nearest:
        return f"did you mean {nearest[0]!r}?"
    more = "" if len(known) <= _MOST_LISTED else ", ..."
    return f"known are: {', '.join(sorted(known)[:_MOST_LISTED])}{more}"


def show(value: object) -> str:
    """A value for a message, cut to a length that people read."""
    return _shown.repr(value)


def kind(value: object) -> str:
    """TOML's word for the type of a value."""
    return next((word for type_, word in _TOML_TYPES if isinstance(value, type_)), "something else")


_shown = reprlib.Repr()
_shown.maxstring = 80
_shown.maxother = 80


def _mapping(value: object, _: Place) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise Wrong(f"must be a table, and is {kind(value)}")
    return value


def _tables(value: object, place: Place) -> list[Table]:
    if isinstance(value, Mapping):
        name = _INDEX.sub("", place.where)
        raise Wrong(f"is one of several: write [[{name}]], with double brackets")
    if not isinstance(value, list):
        raise Wrong(f"must be an array of tables, and is {kind(value)}")
    tables = []
    for index, item in enumerate(value):
        spot = place.item(index)
        if isinstance(item, Mapping):
            tables.append(Table(spot, item))
        else:
            spot.problem(f"must be a table, and is {kind(item)}")
            tables.append(Table(_unheard(spot), {}))  # keeps the place of those after it
    return tables


def _unheard(place: Place) -> Place:
    """The same place, for problems that only follow from one that was reported."""
    return Place(replace(place.loading, problems=[], warnings=[]), place.where)

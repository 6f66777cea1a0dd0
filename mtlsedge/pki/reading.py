"""What does a JSON file of cfssl's say? Every mistake in it is named at once, with its key path.

Keys are compared without regard to case, as cfssl (Go) compares them. A key that starts with
``_`` is a comment. Any other key that is not known is a mistake: it may have been meant as a
restriction.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

from mtlsedge.errors import ConfigurationError, Problem

_UNITS = {"d": 86400.0, "w": 604800.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_UNIT = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[smhdw])")
_LONGEST = timedelta(days=36525)


@dataclass(slots=True)
class Reader:
    """One file being read: its mistakes, and what else should be said about it."""

    file: str
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def problem(self, path: str, message: str) -> None:
        """Name a mistake at a key path."""
        self.problems.append(Problem(f"{self.file}: {path}" if path else self.file, message))

    def note(self, path: str, message: str) -> None:
        """Say something that is no mistake."""
        self.notes.append(f"{self.file}: {path}: {message}")

    def finish(self) -> None:
        """End the reading.

        Raises:
            ConfigurationError: there were mistakes; it holds all of them.
        """
        if self.problems:
            raise ConfigurationError(tuple(self.problems))

    def top(self, data: bytes) -> Section:
        """The object that the whole file is.

        Raises:
            ConfigurationError: it is not JSON, or not an object.
        """
        try:
            value = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_Pairs)
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}"
            self.problem(where, f"this is not JSON ({error.msg}): put it right there")
        except (UnicodeDecodeError, RecursionError, ValueError) as error:
            self.problem("", f"this is not JSON ({error}): write it again, in UTF-8")
        else:
            if isinstance(value, _Pairs):
                return Section(self, "", value)
            self.problem("", "the whole file must be one JSON object, {...}")
        self.finish()
        raise AssertionError


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it was written, keys that stand twice included."""


class Section:
    """One JSON object. Asking for a key takes it; `finish` names those that nobody took."""

    __slots__ = ("_known", "_left", "_path", "reader")

    def __init__(self, reader: Reader, path: str, pairs: _Pairs) -> None:
        self.reader = reader
        self._path = path
        self._known: list[str] = []
        self._left: dict[str, tuple[str, Any]] = {}
        for key, value in pairs:
            if key.startswith("_"):
                continue
            if key.casefold() in self._left:
                reader.problem(self.at(key), "stands twice: keep one of them")
            self._left[key.casefold()] = (key, value)

    def at(self, key: str) -> str:
        """The path of a key in here."""
        return f"{self._path}.{key}" if self._path else key

    def problem(self, key: str, message: str) -> None:
        """Name a mistake at one of the keys."""
        self.reader.problem(self.at(key), message)

    def keys(self) -> list[str]:
        """The keys that nobody has asked for yet, as they are written."""
        return [key for key, _ in self._left.values()]

    def has(self, key: str) -> bool:
        """Whether a key is there, and was not asked for yet."""
        return key.casefold() in self._left

    def take(self, key: str) -> Any:
        """The value of a key; None if it is not there."""
        self._known.append(key)
        return self._left.pop(key.casefold(), (key, None))[1]

    def text(self, key: str, default: str = "") -> str:
        """A string."""
        value = self.take(key)
        if value is None:
            return default
        if not isinstance(value, str):
            self.problem(key, 'must be a text, in "quotes"')
            return default
        return value

    def whole(self, key: str, default: int = 0) -> int:
        """A whole number."""
        value = self.take(key)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool):
            self.problem(key, "must be a whole number, without quotes")
            return default
        return value

    def flag(self, key: str) -> bool:
        """True or false; false if it is not there."""
        value = self.take(key)
        if not isinstance(value, bool | None):
            self.problem(key, "must be true or false, without quotes")
            return False
        return bool(value)

    def texts(self, key: str) -> list[str]:
        """A list of strings."""
        value = self.take(key)
        if value is None:
            return []
        if not isinstance(value, list) or isinstance(value, _Pairs):
            self.problem(key, 'must be a list of texts, such as ["one", "two"]')
            return []
        for place, each in enumerate(value):
            if not isinstance(each, str):
                self.problem(f"{key}[{place}]", 'must be a text, in "quotes"')
        return [each for each in value if isinstance(each, str)]

    def duration(self, key: str) -> timedelta | None:
        """A length of time such as ``"8760h"``, ``"1h30m"`` or ``"365d"``."""
        value = self.take(key)
        if value is None or value == "":
            return None
        try:
            return duration(value)
        except ValueError as error:
            self.problem(key, str(error))
            return None

    def section(self, key: str) -> Section | None:
        """An object within this one."""
        value = self.take(key)
        if value is None:
            return None
        if not isinstance(value, _Pairs):
            self.problem(key, "must be an object, {...}")
            return None
        return Section(self.reader, self.at(key), value)

    def sections(self, key: str) -> list[Section]:
        """A list of objects."""
        value = self.take(key)
        if value is None:
            return []
        if not isinstance(value, list) or isinstance(value, _Pairs):
            self.problem(key, "must be a list of objects, [{...}]")
            return []
        found = []
        for place, each in enumerate(value):
            if isinstance(each, _Pairs):
                found.append(Section(self.reader, f"{self.at(key)}[{place}]", each))
            else:
                self.problem(f"{key}[{place}]", "must be an object, {...}")
        return found

    def refuse(self, keys: Iterable[str], why: str) -> None:
        """Name it as a mistake if any of these keys is there and says anything."""
        for key in keys:
            if self.take(key):
                self.problem(key, why)

    def finish(self) -> None:
        """Name every key that nobody asked for."""
        for key, _ in self._left.values():
            near = get_close_matches(key, self._known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(self._known)}"
            self.problem(key, f"is not a key that means anything here: {hint}")


def duration(value: object) -> timedelta:
    """A positive length of time as cfssl writes it (``8760h``, ``1h30m``), or in days and weeks.

    Raises:
        ValueError: it is none; the message has the remedy.
    """
    text = value.strip() if isinstance(value, str) else ""
    parts = _UNIT.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(
            f'{value!r} is not a length of time: write it like "8760h", "1h30m" or "365d"'
        )
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not 0 < seconds <= _LONGEST.total_seconds():
        raise ValueError(f"{value!r} must be more than nothing and at most 100 years")
    return timedelta(seconds=seconds)

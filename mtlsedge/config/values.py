"""What does one plain value say? Texts, choices, numbers, durations, sizes, times, lists.

Every function here is a ``Convert``, or makes one: it takes what TOML gave and the place it
stood at, and returns the value or raises ``Wrong`` with the remedy.
"""

from __future__ import annotations

import contextlib
import math
import re
import string
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TypeVar

from mtlsedge.config.reader import Convert, Place, Wrong, kind, meant, show
from mtlsedge.errors import BadVerifier

T = TypeVar("T")

_UNIT_SECONDS = {"w": 604800.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
# Each unit at most once, the largest first; "1m" must not be the beginning of "1ms".
_DURATION = re.compile(
    "".join(rf"(?:(?P<{u}>[0-9]{{1,9}}(?:\.[0-9]{{1,9}})?){u}(?![a-z]))?" for u in _UNIT_SECONDS)
)
_SIZE = re.compile(r"([0-9]{1,15}) ?(B|k|KiB|m|MiB|g|GiB)?", re.IGNORECASE)
_SIZE_BYTES = {"": 1, "b": 1, "k": 2**10, "kib": 2**10, "m": 2**20, "mib": 2**20}
_SIZE_BYTES |= {"g": 2**30, "gib": 2**30}
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_LONGEST_TEXT = 4096


def text(value: object, _: Place) -> str:
    """A string with something in it and no control character, which could forge a log line."""
    if not isinstance(value, str):
        raise Wrong(f"must be a string, and is {kind(value)}")
    if not value.strip():
        raise Wrong("is empty; leave the key out, or give it a value")
    if len(value) > _LONGEST_TEXT:
        raise Wrong(f"is longer than {_LONGEST_TEXT} characters")
    if not value.isprintable() and any(map(_controls, value)):
        raise Wrong(f"{show(value)} holds a control character; take it out")
    return value


def _controls(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs")


def name(value: object, place: Place) -> str:
    """What an operator calls something: a text that no blank begins or ends."""
    called = text(value, place)
    if called != called.strip():
        raise Wrong(f"{show(called)} begins or ends with a blank; take it out")
    return called


def or_empty(convert: Convert[str]) -> Convert[str]:
    """Also the empty string, which says "none" aloud."""

    def convert_or_empty(value: object, place: Place) -> str:
        return "" if value == "" else convert(value, place)

    return convert_or_empty


def boolean(value: object, _: Place) -> bool:
    """``true`` or ``false``."""
    if not isinstance(value, bool):
        raise Wrong(f"must be true or false, without quotes, and is {kind(value)}")
    return value


def choice(words: Mapping[str, T]) -> Convert[T]:
    """One of a few words, and what it stands for."""

    def one_of(value: object, place: Place) -> T:
        word = text(value, place)
        if word not in words:
            raise Wrong(f"{show(word)} is not one of its values; {meant(word, set(words))}")
        return words[word]

    return one_of


def integer(least: int, most: int) -> Convert[int]:
    """A whole number between two bounds, both included."""

    def whole(value: object, _: Place) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise Wrong(f"must be a whole number, and is {kind(value)}")
        return _within(value, least, most, str)

    return whole


def size(least: int, most: int) -> Convert[int]:
    """Bytes: a whole number, or a text such as ``8k`` or ``1 MiB`` (always of 1024)."""

    def octets(value: object, place: Place) -> int:
        if isinstance(value, str):
            match = _SIZE.fullmatch(value.strip())
            if match is None:
                raise Wrong(f"{show(value)} is not a size; write bytes, or 8k, 64 KiB, 1 MiB, 1g")
            value = int(match[1]) * _SIZE_BYTES[(match[2] or "").lower()]
        return integer(least, most)(value, place)

    return octets


def duration(least: float, most: float) -> Convert[float]:
    """Seconds: a number, or a text such as ``24h``, ``1h30m``, ``7d``, ``250ms``."""

    def seconds(value: object, _: Place) -> float:
        if isinstance(value, str):
            length = _spelled_duration(value.strip())
        elif isinstance(value, int | float) and not isinstance(value, bool):
            length = _finite(value)
        else:
            raise Wrong(f"must be a duration such as '30s' or '24h', and is {kind(value)}")
        return _within(length, least, most, spell_seconds)

    return seconds


def spell_seconds(seconds: float) -> str:
    """A duration in its largest whole unit, for messages."""
    for unit, length in _UNIT_SECONDS.items():
        if seconds and seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"


def instant(value: object, place: Place) -> float:
    """Seconds since the epoch, from a date-time with an offset, a date (its first moment in
    UTC), a text of either (RFC 3339), or the number itself."""
    if isinstance(value, str):
        value = _spelled_instant(text(value, place).strip())
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise Wrong(f"{show(str(value))} has no time zone; end it in Z, or +01:00")
        return value.timestamp()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _finite(value)
    raise Wrong(f"must be a time such as 2027-01-31T12:00:00Z, and is {kind(value)}")


def token(value: object, place: Place) -> str:
    """A token in HTTP's sense (RFC 9110 §5.6.2)."""
    word = text(value, place)
    if _TOKEN.fullmatch(word) is None:
        raise Wrong(f"{show(word)} is not an HTTP token; use letters, digits and '-'")
    return word


def visible(value: object, place: Place) -> str:
    """At most 256 visible ASCII characters, such as a header or a claim carries safely."""
    word = text(value, place)
    if len(word) > 256 or any(not "!" <= character <= "~" for character in word):
        raise Wrong(f"{show(word)} must be visible ASCII without blanks, 256 characters at most")
    return word


def hexadecimal(digits: int) -> Convert[str]:
    """So many hexadecimal digits, colons and blanks between them allowed; lower case."""

    def lower_hex(value: object, place: Place) -> str:
        plain = text(value, place).replace(":", "").replace(" ", "").lower()
        if len(plain) != digits or not set(plain) <= set(string.hexdigits):
            raise Wrong(f"{show(value)} must be {digits} hexadecimal digits")
        return plain

    return lower_hex


def path(value: object, place: Place) -> Path:
    """A file's path; a relative one starts at the configuration's directory."""
    return place.loading.base / text(value, place)


def verifier(value: object, place: Place) -> str:
    """A verifier string that its factory accepts, with its files' paths made absolute."""
    spec = text(value, place)
    try:
        return place.loading.check_verifier(spec, place.loading.base)
    except BadVerifier as error:
        raise Wrong(f"{show(spec)} is not a verifier: {error}") from error
    except Exception as error:  # third parties write factories; a broken one must not start
        raise Wrong(f"{show(spec)}: its plugin failed with {type(error).__name__}") from error


def many(convert: Convert[T], *, empty: bool = False) -> Convert[tuple[T, ...]]:
    """One value, or an array of them. Each wrong element is reported at its own place."""

    def each(value: object, place: Place) -> tuple[T, ...]:
        if not isinstance(value, list):
            return (convert(value, place),)
        if not value and not empty:
            raise Wrong("is an empty array; name at least one, or leave the key out")
        values = []
        for index, item in enumerate(value):
            try:
                values.append(convert(item, place.item(index)))
            except Wrong as wrong:
                place.item(index).problem(str(wrong))
        return tuple(values)

    return each


def _spelled_duration(spelled: str) -> float:
    match = _DURATION.fullmatch(spelled)
    if match is None or not spelled:
        raise Wrong(f"{show(spelled)} is not a duration; write it as 250ms, 90s, 1h30m, 24h or 7d")
    parts = match.groupdict(default="0")
    return sum(float(parts[unit]) * length for unit, length in _UNIT_SECONDS.items())


def _spelled_instant(spelled: str) -> date:
    for read in (date.fromisoformat, datetime.fromisoformat):
        with contextlib.suppress(ValueError):
            return read(spelled)
    raise Wrong(f"{show(spelled)} is not a time such as 2027-01-31T12:00:00Z")


def _finite(value: float) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Wrong("must be a finite number")
    return number


N = TypeVar("N", int, float)


def _within(value: N, least: N, most: N, spell: Callable[[N], str]) -> N:
    if not least <= value <= most:
        raise Wrong(f"must be between {spell(least)} and {spell(most)}")
    return value

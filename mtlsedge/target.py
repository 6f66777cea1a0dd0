"""Values: what a client asks for. One canonical reading of a request path, and its rivals.

The canonical path is what policy sees *and* what the origin gets. Origins differ in how they
read ``%2f``, ``%5c``, ``;``, ``//``, ``..`` and doubled encoding; ``readings`` lists what some
origin might make of the path, so that policy can refuse where the difference would matter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

from mtlsedge.errors import BadTarget

_ALLOWED = re.compile(rb"/[\x21\x22\x24-\x7e]*\Z")  # visible ASCII without '#'
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_CONTROL = re.compile(r"%(?:[01][0-9A-F]|7F)")
_RIVALS = re.compile(r"%|;|//|\\|/\.|\.$")
_CACHED = 512  # longer targets are read again each time: a cache must not grow with its input


@dataclass(frozen=True, slots=True)
class RequestPath:
    """A request target in origin form, read.

    Attributes:
        path: the canonical path: escapes upper case, unreserved characters plain, no dot
            segments (RFC 3986 §6.2.2).
        query: what follows the ``?``, with it, as it was sent; "" where there was none.
        readings: other paths that an origin could take this for; nearly always empty.
    """

    path: str
    query: str = ""
    readings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """What one request asks for: a method, a canonical host name and a path."""

    method: str
    host: str
    request_path: RequestPath


def read_path(raw: bytes) -> RequestPath:
    """Read a request target in origin form (RFC 9112 §3.2.1).

    Raises:
        BadTarget: not a path, or one with an escape that is broken or hides a control
            character; nobody has a good use for those.
    """
    return _read_cached(raw) if len(raw) <= _CACHED else _read(raw)


def canonical(path: str) -> str:
    """A path in canonical form, from its text: normal escapes first, then dot segments."""
    return _without_dots(_normal_escapes(path))


def _read(raw: bytes) -> RequestPath:
    if _ALLOWED.match(raw) is None:
        raise BadTarget("the request target is not a path")
    path, mark, query = raw.decode("ascii").partition("?")
    if _BAD_ESCAPE.search(path):
        raise BadTarget("a '%' in the path is not followed by two hexadecimal digits")
    escaped = _normal_escapes(path)
    if _CONTROL.search(escaped):
        raise BadTarget("the path hides a control character")
    plain = _without_dots(escaped)
    readings = _readings(escaped) - {plain} if _RIVALS.search(escaped) else set()
    return RequestPath(plain, mark + query, tuple(sorted(readings)))


_read_cached = lru_cache(maxsize=4096)(_read)


def _normal_escapes(path: str) -> str:
    if "%" not in path:
        return path

    def normal(match: re.Match[str]) -> str:
        character = chr(int(match[1], 16))
        return character if character in _UNRESERVED else "%" + match[1].upper()

    return _ESCAPE.sub(normal, path)


def _without_dots(path: str) -> str:
    """RFC 3986 §5.2.4; a path that climbs above the root stays at the root."""
    if "/." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


# What origins have been seen to do with a path before they look it up.


def _slashes_merged(path: str) -> str:
    return re.sub(r"/{2,}", "/", path)


def _encoded_slashes(path: str) -> str:
    """``%2F``, and the overlong UTF-8 that old decoders took for ``/`` and ``.``."""
    path = re.sub(r"%2F|%C0%AF|%E0%80%AF", "/", path)
    return re.sub(r"%C0%AE|%E0%80%AE", ".", path)


def _backslashes(path: str) -> str:
    return re.sub(r"\\|%5C|%C1%9C", "/", path)


def _parameters_cut(path: str) -> str:
    """Servlet containers drop ``;name=value`` from each segment, sometimes ``%3B`` too."""
    return re.sub(r"(?:;|%3B)[^/]*", "", path)


def _decoded_again(path: str) -> str:
    return _normal_escapes(path.replace("%25", "%"))


def _cut_at_query(path: str) -> str:
    """An origin that decodes before it splits takes ``%3F`` for a query, ``%23`` for a fragment."""
    return re.split(r"%3F|%23", path, maxsplit=1)[0] or "/"


_HABITS = (
    _decoded_again,
    _encoded_slashes,
    _backslashes,
    _parameters_cut,
    _cut_at_query,
    _slashes_merged,
)


def _readings(path: str) -> set[str]:
    """Every path that some combination of the habits makes of this one.

    Habits that do nothing to the path, alone or after decoding again, are left out first, so
    that the ordinary escaped space costs a handful of passes and not all sixty-four.
    """
    decoded = _decoded_again(path)
    active = [habit for habit in _HABITS if habit(path) != path or habit(decoded) != decoded]
    readings = {_without_dots(path)}
    for count in range(1, len(active) + 1):
        for habits in combinations(active, count):
            readings |= _apply(path, habits)
    return readings


def _apply(path: str, habits: tuple[object, ...]) -> set[str]:
    early = late = path
    for habit in habits:
        assert callable(habit)
        early = habit(_without_dots(early))
        late = habit(late)
    return {_without_dots(early), _without_dots(late)}

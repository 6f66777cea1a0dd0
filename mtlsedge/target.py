"""Values: what a client asks for. One canonical reading of a request path, and its rivals.

The canonical path is what policy sees *and* what the origin gets. Origins differ in how they
read it: ``readings`` lists every path that some origin might take it for, so that policy can
refuse where the difference would matter. The habits further down were each seen in the wild
(nginx, Apache, Tomcat, Jetty, IIS, Node, PHP, WSGI servers) and combine in any order, as often
as they change anything: an origin behind a front controller behind a proxy has them all.

Spellings of one segment (letter case, ``+`` for a blank, Unicode's forms) are no readings: the
policy tree compares those by itself. Nor are routes that a framework adds (``/report.json`` for
``/report``): no proxy can know them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from mtlsedge.errors import BadTarget

_ALLOWED = re.compile(rb"/[\x21\x22\x24-\x7e]*\Z")  # visible ASCII without '#'
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_HIDDEN = re.compile(r"%(?:[01][0-9A-F]|7F|25[uU][0-9A-Fa-f]{4})")  # the last is IIS's
_RIVALS = re.compile(r"[%;\\$]|//|\.(?:/|\Z)")
_CACHED = 512  # longer targets are read again each time: a cache must not grow with its input
_MAY_RIVAL = re.compile(rb"[%;\\$]|//|\.(?:[/?]|\Z)")  # and so are these: readings are larger yet
_ROUNDS = 3  # how often an origin may decode once more before the path is past belief
_ROOM = 32 * 1024  # characters that all readings of one path may have together
_MOST = 32  # readings, which cost before anything is decided; odd paths in good faith have a dozen
_PARAMETERS = re.compile(r";[^/]*")
_SLASHES = re.compile(r"//+")
_ESCAPED_AGAIN = re.compile(r"%25(?=[0-9A-Fa-f]{2})")
_COLON = re.compile(":|%3A")
_DOLLAR = re.compile(r"\$|%24")
_TAIL = re.compile(r"(?:\.|%20)(?:/|\Z)")


@dataclass(frozen=True, slots=True)
class RequestPath:
    """A request target in origin form, read.

    Attributes:
        path: the canonical path: escapes upper case, unreserved characters plain, no dot
            segments (RFC 3986 §6.2.2).
        query: what follows the ``?``, with it, as it was sent; "" where there was none.
        readings: other paths that an origin could take ``path`` for, escaped as it is;
            nearly always empty, and a function of ``path`` alone.
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
        BadTarget: not a path; or one with a broken escape, with a control character hidden
            under any number of escapes, encoded more than four times over, or readable in
            more ways than the edge cares to weigh. Nobody has a good use for those.
    """
    short = len(raw) <= _CACHED and _MAY_RIVAL.search(raw) is None
    return _read_cached(raw) if short else _read(raw)


def canonical(path: str) -> str:
    """A path in canonical form, from its text: normal escapes first, then dot segments."""
    return _without_dots(_normal_escapes(path))


def _read(raw: bytes) -> RequestPath:
    if _ALLOWED.match(raw) is None:
        raise BadTarget("the request target is not a path")
    text, mark, query = raw.decode("ascii").partition("?")
    if _BAD_ESCAPE.search(text):
        raise BadTarget("a '%' in the path is not followed by two hexadecimal digits")
    path = canonical(text)
    _refuse_hidden(path)
    return RequestPath(path, mark + query, _readings(path) if _RIVALS.search(path) else ())


_read_cached = lru_cache(maxsize=4096)(_read)


def _refuse_hidden(path: str) -> None:
    if _HIDDEN.search(path):
        raise BadTarget("the path hides a control character")


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


# The habits: what origins have been seen to do with a path before they look it up. Each takes
# and gives an escaped path, in one pass, and is linear in its length whatever it is fed.


def _decoded_again(path: str) -> str:
    """A second decoding: only what is an escape afterwards; a lone ``%25`` stays a percent."""
    if "%25" not in path:
        return path
    return _normal_escapes(_ESCAPED_AGAIN.sub("%", path))


# What some decoder takes for a slash, a backslash or a dot: overlong UTF-8, and look-alikes
# that compatibility forms and code pages map to it.
_DISGUISES = {
    "%2F": "%C0%AF|%E0%80%AF|%F0%80%80%AF|%EF%BC%8F|%E2%88%95|%E2%81%84",
    "%5C": "%C1%9C|%E0%81%9C|%F0%80%81%9C|%EF%BC%BC|%EF%B9%A8|%E2%88%96|%C2%A5|%E2%82%A9",
    ".": "%C0%AE|%E0%80%AE|%F0%80%80%AE|%EF%BC%8E|%EF%B9%92|%E2%80%A4",
    "..": "%E2%80%A5",
}
_DISGUISED = {escape: plain for plain, all_ in _DISGUISES.items() for escape in all_.split("|")}
_ANY_DISGUISE = re.compile(f"%(?:{'|'.join(escape[1:] for escape in _DISGUISED)})")


def _disguises_dropped(path: str) -> str:
    return _ANY_DISGUISE.sub(lambda match: _DISGUISED[match[0]], path)


def _slashes_decoded(path: str) -> str:
    return path.replace("%2F", "/")


def _backslashes_decoded(path: str) -> str:
    return path.replace("%5C", "\\")


def _backslashes_turned(path: str) -> str:
    r"""``\`` is ``/`` to Windows and to URL parsers after WHATWG's standard."""
    return path.replace("\\", "/")


def _semicolons_decoded(path: str) -> str:
    return path.replace("%3B", ";")


def _parameters_cut(path: str) -> str:
    """Servlet containers drop ``;name=value`` from each segment."""
    return _PARAMETERS.sub("", path)


def _cut_at_semicolon(path: str) -> str:
    return path.partition(";")[0] or "/"


def _cut_at_query(path: str) -> str:
    """An origin that decodes before it splits takes ``%3F`` for a query."""
    return path.partition("%3F")[0] or "/"


def _cut_at_fragment(path: str) -> str:
    """And ``%23`` for a fragment."""
    return path.partition("%23")[0] or "/"


def _slashes_merged(path: str) -> str:
    return _SLASHES.sub("/", path)


def _authority_cut(path: str) -> str:
    """URL parsers given a path take ``//name/rest`` for the host ``name`` and ``/rest``."""
    if not path.startswith("//"):
        return path
    _, slash, rest = path.lstrip("/").partition("/")
    return slash + rest or "/"


def _blanks_trimmed(path: str) -> str:
    """Blanks that end a segment, trimmed: ``..%20`` is ``..`` then."""
    return _in_each_segment(path, lambda name: name.rstrip(" "))


def _streams_cut(path: str) -> str:
    """Windows takes ``:name:$TYPE`` for a part of the file before it."""
    if _DOLLAR.search(path) is None or _COLON.search(path) is None:
        return path
    return _in_each_segment(path, _file_of)


def _file_of(name: str) -> str:
    colon = _COLON.search(name)
    if colon and _DOLLAR.search(name, colon.end()):
        return name[: colon.start()]
    return name


def _tails_dropped(path: str) -> str:
    """Windows drops dots and blanks that end a name."""
    if _TAIL.search(path) is None:
        return path
    return _in_each_segment(path, lambda name: name if name in (".", "..") else name.rstrip(" ."))


def _in_each_segment(path: str, change: Callable[[str], str]) -> str:
    # No plain blank can be in a path, so one may stand for its escape meanwhile.
    segments = path.replace("%20", " ").split("/")
    return "/".join(map(change, segments)).replace(" ", "%20")


# Each with a text without which it changes nothing: to look for that is cheap, and a hostile path
# has hundreds of readings.
_HABITS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("/.", _without_dots),
    ("%25", _decoded_again),
    ("%", _disguises_dropped),
    ("%2F", _slashes_decoded),
    ("%5C", _backslashes_decoded),
    ("\\", _backslashes_turned),
    ("%3B", _semicolons_decoded),
    (";", _parameters_cut),
    (";", _cut_at_semicolon),
    ("%3F", _cut_at_query),
    ("%23", _cut_at_fragment),
    ("//", _slashes_merged),
    ("//", _authority_cut),
    ("%20", _blanks_trimmed),
    ("", _streams_cut),
    ("", _tails_dropped),
)


def _readings(path: str) -> tuple[str, ...]:
    """Every path that the habits make of this one, in any order and number; sorted."""
    _refuse_endless(path)
    found = {path}
    waiting = [path]
    room = _ROOM
    while waiting:
        reading = waiting.pop()
        for needed, habit in _HABITS:
            if needed not in reading:
                continue
            other = habit(reading)
            if other in found:
                continue
            room -= len(other)
            if room < 0 or len(found) > _MOST:
                raise BadTarget("the path can be read in too many ways")
            _refuse_hidden(other)
            found.add(other)
            waiting.append(other)
    return tuple(sorted(found - {path}))


def _refuse_endless(path: str) -> None:
    for _ in range(_ROUNDS):
        path = _decoded_again(path)
    if _decoded_again(path) != path:
        raise BadTarget("the path is encoded over and over")

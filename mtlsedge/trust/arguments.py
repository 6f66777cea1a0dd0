"""What stands after a verifier's colon? ``key=value`` pairs, as in Twisted's plugin strings."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from mtlsedge.errors import BadVerifier

_PIECE = re.compile(r'(?:[^,\\"]|\\.|"(?:[^"\\]|\\.)*")*', re.DOTALL)
_PART = re.compile(r'\\(.)|"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_SPECIAL = re.compile(r'[,\\"]|^\s|\s$')

Pairs = tuple[tuple[str, str], ...]


def read_arguments(spec: str, keys: Collection[str]) -> Pairs:
    """The pairs of ``"dns=a.example,uri=b"``, in order; a key may stand more than once.

    ``,`` separates pairs; a backslash takes the character after it as it is, and double quotes
    everything between them.

    Raises:
        BadVerifier: no pair at all, one that is empty, or a key that is not among ``keys``.
    """
    if not spec.strip():
        raise BadVerifier(f"it needs at least one of {_known(keys)}")
    return tuple(_pair(piece, keys) for piece in split_arguments(spec))


def the_one(pairs: Pairs, key: str, default: str | None = None) -> str:
    """The value of a key that may stand once.

    Raises:
        BadVerifier: it stands more often; or not at all, and there is no default.
    """
    values = [value for name, value in pairs if name == key]
    if len(values) > 1:
        raise BadVerifier(f"{key}= stands {len(values)} times; write it once")
    if not values and default is None:
        raise BadVerifier(f"{key}= is missing")
    return values[0] if values else default or ""


def split_arguments(spec: str) -> list[str]:
    """The text between commas, each piece as it was written; none of an empty text.

    Raises:
        BadVerifier: a quotation or an escape does not end.
    """
    pieces: list[str] = []
    position = 0
    while spec:
        match = _PIECE.match(spec, position)
        assert match is not None  # the empty text matches
        pieces.append(match[0])
        position = match.end()
        if position == len(spec):
            break
        if spec[position] == "\\":
            raise BadVerifier("it ends in a backslash, which takes the character after it")
        if spec[position] == '"':
            raise BadVerifier("a quotation in it does not end; write a quote itself as '\\\"'")
        position += 1
    return pieces


def split_pair(piece: str) -> tuple[str, str]:
    """A piece's key and value, the value as it is meant; the key "" where there is none."""
    key, equals, value = piece.partition("=")
    return (key.strip(), _meant(value.strip())) if equals else ("", _meant(piece.strip()))


def join_arguments(pieces: Sequence[str]) -> str:
    """What `split_arguments` takes apart."""
    return ",".join(pieces)


def quoted(value: str) -> str:
    """A value as it is written, so that it is read as what it is."""
    if not _SPECIAL.search(value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _pair(piece: str, keys: Collection[str]) -> tuple[str, str]:
    key, value = split_pair(piece)
    if not key or not value:
        raise BadVerifier(f"{piece.strip()!r} is not KEY=VALUE")
    if key not in keys:
        raise BadVerifier(f"there is no {key!r} here; there is {_known(keys)}")
    return key, value


def _meant(value: str) -> str:
    return _PART.sub(lambda part: part[1] or _ESCAPE.sub(r"\1", part[2]), value)


def _known(keys: Collection[str]) -> str:
    return ", ".join(f"{key}=" for key in keys)

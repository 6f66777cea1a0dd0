"""What stands after a verifier's colon? ``key=value`` pairs, as in Twisted's plugin strings."""

from __future__ import annotations

import re
from collections.abc import Collection

from mtlsedge.errors import BadVerifier

_PIECE = re.compile(r"(?:[^,\\]|\\.)*", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def read_arguments(spec: str, keys: Collection[str]) -> tuple[tuple[str, str], ...]:
    """The pairs of ``"dns=a.example,uri=b"``, in order; a key may stand more than once.

    ``,`` separates pairs; a backslash takes the character after it as it is.

    Raises:
        BadVerifier: no pair at all, one that is empty, or a key that is not among ``keys``.
    """
    if not spec.strip():
        raise BadVerifier(f"it needs at least one of {_known(keys)}")
    return tuple(_pair(piece, keys) for piece in _split(spec))


def _split(spec: str) -> list[str]:
    pieces = []
    position = 0
    while True:
        match = _PIECE.match(spec, position)
        assert match is not None  # the empty text matches
        pieces.append(match[0])
        position = match.end()
        if position == len(spec):
            return pieces
        if spec[position] == "\\":
            raise BadVerifier("it ends in a backslash, which takes the character after it")
        position += 1


def _pair(piece: str, keys: Collection[str]) -> tuple[str, str]:
    key, equals, value = piece.partition("=")
    key, value = key.strip(), _ESCAPE.sub(r"\1", value.strip())
    if not equals or not value:
        raise BadVerifier(f"{piece.strip()!r} is not KEY=VALUE")
    if key not in keys:
        raise BadVerifier(f"there is no {key!r} here; there is {_known(keys)}")
    return key, value


def _known(keys: Collection[str]) -> str:
    return ", ".join(f"{key}=" for key in keys)

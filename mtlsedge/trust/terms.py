"""On what terms is a verifier asked? What every verifier string may say, whoever wrote it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from mtlsedge.errors import BadVerifier
from mtlsedge.trust.arguments import join_arguments, split_arguments, split_pair

_SECONDS = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST = 3600.0


@dataclass(frozen=True, slots=True)
class Terms:
    """How a verifier is asked.

    Attributes:
        timeout: seconds that an answer may take, waiting for its turn included; 0 is for ever,
            None what the host's ``timeouts.verifier`` says.
        on_error: what a verifier that fails, hangs, answers nonsense or has too much to do
            has said.
        concurrency: how many questions it thinks about at once, in each process.
        queue: how many more may wait.
    """

    timeout: float | None = None
    on_error: Literal["deny", "allow"] = "deny"
    concurrency: int = 64
    queue: int = 4096


def take_terms(arguments: str) -> tuple[Terms, str]:
    """The terms in a verifier's arguments, and the arguments without them.

    Raises:
        BadVerifier: a term is said twice, or says what it cannot.
    """
    terms, said, rest = Terms(), set[str](), list[str]()
    for piece in split_arguments(arguments):
        key, value = split_pair(piece)
        if key not in _READERS:
            rest.append(piece)
            continue
        if key in said:
            raise BadVerifier(f"{key}= stands twice; write it once")
        said.add(key)
        terms = replace(terms, **{key: _READERS[key](key, value)})
    return terms, join_arguments(rest)


def seconds(key: str, value: str) -> float:
    """A duration of at most an hour: ``2s``, ``250ms``, ``1m``; 0 is for ever.

    Raises:
        BadVerifier: it is none.
    """
    match = _SECONDS.fullmatch(value)
    found = float(match[1]) * _UNITS[match[2] or "s"] if match else -1.0
    if not 0.0 <= found <= _LONGEST:
        raise BadVerifier(f"{key}={value!r} is not a duration such as 2s or 250ms, 1h at most")
    return found


def _choice(key: str, value: str) -> str:
    if value not in ("deny", "allow"):
        raise BadVerifier(f"{key}={value!r} is neither deny nor allow")
    return value


def _count(least: int, most: int) -> Callable[[str, str], int]:
    def count(key: str, value: str) -> int:
        # Not isdigit(), which is also true of digits that int() does not take.
        if not (value.isascii() and value.isdigit() and least <= int(value[:9]) <= most):
            raise BadVerifier(f"{key}={value!r} is not a number from {least} to {most}")
        return int(value)

    return count


_READERS: dict[str, Callable[[str, str], Any]] = {
    "timeout": seconds,
    "on_error": _choice,
    "concurrency": _count(1, 100_000),
    "queue": _count(0, 1_000_000),
}
TERMS_HELP = (
    "Every verifier also takes timeout=2s (its turn included), on_error=deny or allow, "
    "concurrency=64 (questions at once, in each process) and queue=4096 (questions that wait). "
    "NAME:@FILE reads the arguments from a file, one to a line. Values with a comma in them are "
    'written in "double quotes".'
)

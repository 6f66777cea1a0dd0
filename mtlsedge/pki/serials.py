"""Which serial number is meant? People write them in hexadecimal, and cfssl in decimal.

A text that could be either is never guessed at: it is settled by what the ledger knows, by the
operator's word, or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from enum import Enum

from mtlsedge.errors import ConfigurationError, PkiError, Problem

LONGEST = 20 * 8
"""Bits that a serial number may have, its sign among them (RFC 5280 §4.1.2.2)."""

_PREFIX = re.compile(r"(?i)^\s*(?:serial(?:[ _]number)?\s*[=:]\s*)?")
_HEXADECIMAL = re.compile(r"(?i)^(?:0x)?[0-9a-f]{1,2}(?::[0-9a-f]{2})+$|^(?:0x)?[0-9a-f]+$")
_SEEN = re.compile(r"(?i)0x|:|[a-f]|serial\s*=")


class Base(Enum):
    """How the operator says that serials are written."""

    EITHER = "either"
    HEX = "hex"
    DECIMAL = "decimal"


@dataclass(frozen=True, slots=True)
class SerialReader:
    """Reads serial numbers.

    Attributes:
        known: the serials that the ledger knows.
        zero: whether 0 may be one; it is what cfssl makes of what it cannot read.
    """

    known: Container[int] = frozenset()
    base: Base = Base.EITHER
    zero: bool = False

    def read(self, text: str) -> int:
        """One serial number.

        Raises:
            PkiError: it is none, or could be two; the message has the remedy.
        """
        written = text.strip()
        bare = _PREFIX.sub("", written)
        if not _HEXADECIMAL.match(bare):
            raise PkiError(f"{written!r} is not a serial number, in hexadecimal or decimal")
        value = self._settle(written, bare)
        if value == 0 and not self.zero:
            raise PkiError(
                "the serial number 0 is what a mistaken reading makes of one, and no certificate "
                "has it: write the right one, or insist with --force"
            )
        return value

    def _settle(self, written: str, bare: str) -> int:
        digits = bare.casefold().removeprefix("0x").replace(":", "")
        if len(digits) > LONGEST:  # far too long, and Python refuses to read it as decimal
            raise PkiError(f"{digits[:20]}... is longer than a serial number can be: copy it again")
        as_hex = int(digits, 16)
        if _SEEN.search(written) or self.base is Base.HEX:
            if self.base is Base.DECIMAL:
                raise PkiError(f"{written!r} is hexadecimal, and --decimal says that it is not")
            return _fitting(written, as_hex)
        as_decimal = int(digits)
        if self.base is Base.DECIMAL or as_hex == as_decimal:
            return _fitting(written, as_decimal)
        return self._either(written, as_hex, as_decimal)

    def _either(self, written: str, as_hex: int, as_decimal: int) -> int:
        fit = [value for value in (as_hex, as_decimal) if value.bit_length() < LONGEST]
        if len(fit) == 1:
            return fit[0]
        known = [value for value in fit if value in self.known]
        if len(known) == 1:
            return known[0]
        if not fit:
            raise PkiError(f"{written!r} is longer than a serial number can be: copy it again")
        raise PkiError(
            f"{written!r} could be hexadecimal or decimal: write 0x{written} for hexadecimal, or "
            "say --hex or --decimal"
        )


def read_serials(file: str, data: bytes, reader: SerialReader) -> list[int]:
    """A file of serial numbers, one a line; ``#`` begins a comment.

    Raises:
        ConfigurationError: with every line that cannot be taken.
    """
    found: dict[int, None] = {}
    problems = []
    for number, line in _lines(data):
        try:
            found[reader.read(line)] = None
        except PkiError as error:
            problems.append(Problem(f"{file}: line {number}", str(error)))
    if problems:
        raise ConfigurationError(tuple(problems))
    return list(found)


def hexadecimal(serial: int) -> str:
    """A serial number as OpenSSL and the access log write it."""
    return f"{serial:X}"


def _lines(data: bytes) -> Iterator[tuple[int, str]]:
    # Not splitlines(): a comment may hold a subject's name, and that any of its line ends.
    for number, line in enumerate(data.decode("utf-8-sig", "replace").split("\n"), 1):
        text = line.partition("#")[0].strip()
        if text:
            yield number, text


def _fitting(written: str, value: int) -> int:
    if value.bit_length() >= LONGEST:
        raise PkiError(f"{written!r} is longer than a serial number can be: copy it again")
    return value

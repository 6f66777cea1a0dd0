"""Where does one DER value end and the next begin? Bounds only, for what was parsed before.

Every function raises ``BadDer`` rather than read beyond its end, or guess (X.690 §8.1.3, §10.1).
"""

from __future__ import annotations

from typing import NamedTuple

SEQUENCE = 0x30
INTEGER = 0x02
BOOLEAN = 0x01
OCTET_STRING = 0x04
OBJECT_IDENTIFIER = 0x06
ENUMERATED = 0x0A
UTC_TIME = 0x17
GENERALIZED_TIME = 0x18

_VERSION = 0xA0  # [0], which certificates of version 1 do not have
_MOST_LENGTH_OCTETS = 4
_LONGEST_IDENTIFIER = 128  # octets


class BadDer(ValueError):
    """Bytes that are not the DER they should be."""


class Value(NamedTuple):
    """One value: its tag, and where its whole, its content and its end are."""

    tag: int
    start: int
    content: int
    end: int


def value_at(data: bytes, position: int, end: int) -> Value:
    """The value that begins at a position and must end by ``end``.

    Raises:
        BadDer: there is none, it goes on beyond ``end``, or its length is not the shortest form.
    """
    if position + 2 > end:
        raise BadDer("a value is cut short")
    tag, length = data[position], data[position + 1]
    if tag & 0x1F == 0x1F:
        raise BadDer("a tag has more than one octet")
    content = position + 2
    if length >= 0x80:
        octets = length & 0x7F
        if not 0 < octets <= _MOST_LENGTH_OCTETS or content + octets > end:
            raise BadDer("a length cannot be read")
        length = int.from_bytes(data[content : content + octets], "big")
        if length < 0x80 or not data[content]:
            raise BadDer("a length is not in its shortest form")
        content += octets
    if content + length > end:
        raise BadDer("a value is longer than what it stands in")
    return Value(tag, position, content, content + length)


def inside(data: bytes, outer: Value, tag: int) -> list[Value]:
    """The values that make up a constructed one, which must have a certain tag.

    Raises:
        BadDer: it has another tag, or its content is not a row of whole values.
    """
    if outer.tag != tag:
        raise BadDer(f"the tag is {outer.tag:#x} and should be {tag:#x}")
    found = []
    position = outer.content
    while position < outer.end:
        found.append(value_at(data, position, outer.end))
        position = found[-1].end
    return found


def issuer_of(certificate: bytes) -> bytes:
    """The issuer's name in a certificate, the whole value (RFC 5280 §4.1).

    Raises:
        BadDer: there is none.
    """
    whole = value_at(certificate, 0, len(certificate))
    signed = value_at(certificate, whole.content, whole.end)
    number = value_at(certificate, signed.content, signed.end)
    if number.tag == _VERSION:
        number = value_at(certificate, number.end, signed.end)
    algorithm = value_at(certificate, number.end, signed.end)
    issuer = value_at(certificate, algorithm.end, signed.end)
    return certificate[issuer.start : issuer.end]


def dotted(oid: bytes) -> str:
    """An object identifier's content as text (X.690 §8.19).

    Raises:
        BadDer: it is longer than any is: the time that this takes grows with its square.
    """
    if len(oid) > _LONGEST_IDENTIFIER:
        raise BadDer(f"an object identifier has {len(oid)} octets")
    numbers, number = [], 0
    for octet in oid:
        number = number << 7 | octet & 0x7F
        if octet < 0x80:
            numbers.append(number)
            number = 0
    if not numbers:
        return "?"
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))

"""A reader of HTTP/1.1 requests that forgives nothing (RFC 9112), and takes nothing from the edge.

What the edge sends to an origin must read the same for every origin. So this one accepts exactly
one spelling of everything, and a test that reads with it finds what some lenient origin would
take for something else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_LINE = re.compile(rb"([A-Z-]+) (/[\x21\x22\x24-\x7e]*) HTTP/1\.1\Z")
_FIELD = re.compile(rb"(" + _TOKEN + rb"): ((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*"
                    rb"[\x21-\x7e\x80-\xff])?)?)\Z")  # fmt: skip
_SIZE = re.compile(rb"[0-9a-f]{1,8}\Z")
_FRAMING = ("content-length", "transfer-encoding")


class NotStrict(Exception):
    """Some origin would read these bytes otherwise than another."""


@dataclass(frozen=True)
class StrictRequest:
    """One request, whole."""

    method: str
    target: str
    fields: tuple[tuple[str, str], ...]
    body: bytes
    trailers: tuple[tuple[str, str], ...] = ()

    def all(self, name: str) -> list[str]:
        """The values of every field of this name, in any case."""
        return [value for each, value in self.fields if each.lower() == name.lower()]

    def one(self, name: str) -> str:
        """The value of a field that must be there once."""
        values = self.all(name)
        if len(values) != 1:
            raise NotStrict(f"{name} came {len(values)} times")
        return values[0]


def read_requests(data: bytes) -> tuple[list[StrictRequest], bytes]:
    """Every whole request at the start of these bytes, and what is left of them.

    Raises:
        NotStrict: what is there is not, and cannot become, a request.
    """
    found = []
    while data:
        one = _read(data)
        if one is None:
            break
        request, data = one
        found.append(request)
        if request.all("Upgrade"):
            break  # what follows may be another protocol's
    return found, data


def _read(data: bytes) -> tuple[StrictRequest, bytes] | None:
    head, mark, rest = data.partition(b"\r\n\r\n")
    if not mark:
        return None
    lines = head.split(b"\r\n")
    line = _LINE.match(lines[0])
    if line is None:
        raise NotStrict(f"a request line {lines[0][:200]!r}")
    fields = _fields(lines[1:])
    names = [name.lower() for name, _ in fields]
    if names.count("host") != 1:
        raise NotStrict(f"Host came {names.count('host')} times")
    _refuse_look_alikes(names)
    bodied = _body(dict(_framing(fields)), rest)
    if bodied is None:
        return None
    body, trailers, rest = bodied
    return (
        StrictRequest(line[1].decode(), line[2].decode(), tuple(fields), body, tuple(trailers)),
        rest,
    )


def _fields(lines: list[bytes]) -> list[tuple[str, str]]:
    fields = []
    for line in lines:
        match = _FIELD.match(line)
        if match is None:
            raise NotStrict(f"a field line {line[:200]!r}")
        fields.append((match[1].decode(), match[2].decode("latin-1")))
    return fields


def _refuse_look_alikes(names: list[str]) -> None:
    """A name that some server takes for a framing field is as bad as two of them."""
    for name in names:
        plain = "".join(filter(str.isalnum, name))
        if plain in ("contentlength", "transferencoding") and name not in _FRAMING:
            raise NotStrict(f"a field {name!r}")


def _framing(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    framing = [(name.lower(), value) for name, value in fields if name.lower() in _FRAMING]
    if len(framing) > 1:
        raise NotStrict(f"framing fields {framing}")
    return framing


def _body(
    framing: dict[str, str], rest: bytes
) -> tuple[bytes, list[tuple[str, str]], bytes] | None:
    if "transfer-encoding" in framing:
        if framing["transfer-encoding"] != "chunked":
            raise NotStrict(f"a Transfer-Encoding {framing['transfer-encoding']!r}")
        return _chunks(rest)
    if "content-length" not in framing:
        return b"", [], rest
    if not re.fullmatch("0|[1-9][0-9]{0,17}", framing["content-length"]):
        raise NotStrict(f"a Content-Length {framing['content-length']!r}")
    length = int(framing["content-length"])
    return (rest[:length], [], rest[length:]) if len(rest) >= length else None


def _chunks(rest: bytes) -> tuple[bytes, list[tuple[str, str]], bytes] | None:
    body = b""
    while True:
        line, mark, rest = rest.partition(b"\r\n")
        if not mark:
            return None
        if not _SIZE.match(line):
            raise NotStrict(f"a chunk size {line[:40]!r}")
        size = int(line, 16)
        if not size:
            break
        if len(rest) < size + 2:
            return None
        if rest[size : size + 2] != b"\r\n":
            raise NotStrict("a chunk that does not end where it says")
        body, rest = body + rest[:size], rest[size + 2 :]
    if rest.startswith(b"\r\n"):
        return body, [], rest[2:]
    section, mark, rest = rest.partition(b"\r\n\r\n")
    return (body, _fields(section.split(b"\r\n")), rest) if mark else None


@dataclass(frozen=True)
class StrictResponse:
    """One answer, whole."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        """The values of every field of this name, in any case."""
        return [value for each, value in self.fields if each.lower() == name.lower()]


_STATUS = re.compile(rb"HTTP/1\.1 ([1-9][0-9][0-9]) [\t\x20-\x7e\x80-\xff]*\Z")


def read_responses(data: bytes, methods: list[str]) -> tuple[list[StrictResponse], bytes]:
    """The answers to requests of these methods, interim ones too, and what is left behind them.

    An answer that was cut short is left, and so is what follows a 101.

    Raises:
        NotStrict: what is there is not, and cannot become, an answer.
    """
    found = []
    waiting = list(methods)
    while data and waiting:
        one = _read_response(data, waiting[0])
        if one is None:
            break
        response, data = one
        found.append(response)
        if response.status == 101:
            break
        if response.status >= 200:
            waiting.pop(0)
    return found, data


def _read_response(data: bytes, method: str) -> tuple[StrictResponse, bytes] | None:
    head, mark, rest = data.partition(b"\r\n\r\n")
    if not mark:
        return None
    lines = head.split(b"\r\n")
    line = _STATUS.match(lines[0])
    if line is None:
        raise NotStrict(f"a status line {lines[0][:200]!r}")
    status, fields = int(line[1]), _fields(lines[1:])
    framing = dict(_framing(fields))
    if method == "HEAD" or status < 200 or status in (204, 304):
        return StrictResponse(status, tuple(fields), b""), rest
    if not framing:
        return None  # it ends with the connection
    bodied = _body(framing, rest)
    if bodied is None:
        return None
    return StrictResponse(status, tuple(fields), bodied[0]), bodied[2]

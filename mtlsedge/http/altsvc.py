"""Which alternatives may an origin advertise? All but those over QUIC.

A client that follows ``h3`` leaves the edge, and with it every client certificate: the edge never
listens on UDP, so whoever answers there is somebody else. A value that is not well-formed goes
as a whole, since a client may find in it what we did not.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

_LONGEST = 8 * 1024  # bytes

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_PARAMETER = rb"[ \t]*;[ \t]*" + _TOKEN + rb"=(?:" + _TOKEN + rb"|" + _QUOTED + rb")"
# RFC 7838 §3: alternative, then parameters. Each piece begins with what no other may begin with,
# so that matching takes linear time.
_ENTRY = re.compile(rb"(" + _TOKEN + rb")=" + _QUOTED + rb"(?:" + _PARAMETER + rb")*")
_BETWEEN = re.compile(rb"[ \t]*(?:,[ \t]*)+")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")

# HTTP over QUIC under its names from the drafts on (hq-29, h3-29, h3-Q050), and Google's own.
_OVER_QUIC = re.compile(rb"(?:h3|hq|quic)(?:-.*)?\Z", re.DOTALL)


def without_h3(value: bytes) -> bytes | None:
    """An ``Alt-Svc`` value without the alternatives over QUIC (RFC 7838 §3).

    The others stay byte for byte, and a value that has none to remove comes back as it was,
    ``clear`` too. None where nothing is left, and for a value that is malformed or overlong.
    """
    stripped = value.strip(b" \t")
    if stripped == b"clear":
        return value
    entries = _entries(stripped)
    if entries is None:
        return None
    kept = [entry for protocol, entry in entries if not _is_over_quic(protocol)]
    if not kept:
        return None
    return value if len(kept) == len(entries) else b", ".join(kept)


def _entries(value: bytes) -> list[tuple[bytes, bytes]] | None:
    """Each alternative with its protocol-id; None if the value is not a list of them."""
    if len(value) > _LONGEST:
        return None
    value = value.strip(b" \t,")  # lists may have empty members (RFC 9110 §5.6.1.2)
    entries: list[tuple[bytes, bytes]] = []
    position = 0
    while position < len(value):
        entry = _ENTRY.match(value, position)
        if entry is None or _BAD_ESCAPE.search(entry[1]):
            return None
        entries.append((entry[1], entry[0]))
        position = entry.end()
        if position < len(value):
            between = _BETWEEN.match(value, position)
            if between is None:
                return None
            position = between.end()
    return entries


def _is_over_quic(protocol: bytes) -> bool:
    """A protocol-id is an ALPN name, percent-encoded. Case is ignored: clients may, too."""
    return _OVER_QUIC.match(unquote_to_bytes(protocol).lower()) is not None

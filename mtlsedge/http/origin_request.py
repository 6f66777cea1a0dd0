"""What does the origin get? A request head, written anew from what was understood."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mtlsedge.http.access import AccessSession
from mtlsedge.http.fields import tokens
from mtlsedge.http.forwarding import attribute_lines
from mtlsedge.http.messages import RequestHead
from mtlsedge.http.site import Caller
from mtlsedge.identity import Verdict
from mtlsedge.session import cookie
from mtlsedge.target import Target

_MORE_REQUESTS = (b"h2", b"h3", b"http", b"tls", b"shttp")
"""How upgrades begin that would carry further requests past the edge, undecided (RFC 2817 too)."""

_PROTOCOL = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:/[!#$%&'*+.^_`|~0-9A-Za-z-]+)?\Z")


def upgrade_for_origin(head: RequestHead, allowed: tuple[str, ...]) -> bytes:
    """The protocols the origin may be asked to switch to; b"" if none.

    ``allowed`` is ``Host.upgrades``; ``*`` is any but HTTP itself, whatever carries it.
    """
    if not head.upgrade:
        return b""
    kept = []
    for part in head.upgrade.split(b","):
        protocol = part.strip()
        family = protocol.lower().partition(b"/")[0]
        if not _PROTOCOL.match(protocol) or family.startswith(_MORE_REQUESTS):
            continue
        if "*" in allowed or family.decode("latin-1") in allowed:
            kept.append(protocol)
    return b", ".join(kept)


def render_request(
    head: RequestHead,
    target: Target,
    caller: Caller,
    *,
    host: bytes,
    session: AccessSession | None,
    good_cookies: list[str],
    upgrade: bytes,
    heard: Mapping[str, Verdict],
) -> tuple[bytes, bytes]:
    """The request head as bytes, before the value of ``X-Request-Id`` and behind it.

    Our own fields come last, after all that the client said. ``heard`` is what the verifiers
    said that rules name, of whose attributes the origin is to hear.
    """
    path = target.request_path
    line = f"{head.method} {path.path}{path.query} HTTP/1.1\r\nHost: "
    parts = [line.encode("ascii"), host, b"\r\n", head.lines]
    for value in head.cookies:
        kept = cookie.without(value, good_cookies)
        if kept is not None:
            parts.append(b"Cookie: %b\r\n" % kept)
    parts.append(_framing(head, upgrade))
    parts.append(caller.forwarded(target.host))
    if caller.site.host.forward_attributes:
        parts.append(_attributes(caller, heard))
    parts.append(b"X-Request-Id: ")
    assertion = session.assertion if session is not None else b""
    return b"".join(parts), b"\r\n%b\r\n" % assertion


def _attributes(caller: Caller, heard: Mapping[str, Verdict]) -> bytes:
    found = [verdict.attributes for verdict in heard.values() if verdict.accepted]
    return attribute_lines(
        [caller.identity.attributes, *found], caller.site.host.forward_attributes
    )


def _framing(head: RequestHead, upgrade: bytes) -> bytes:
    lines = b""
    if head.length is None:
        lines = b"Transfer-Encoding: chunked\r\n"
    elif head.length or head.method in ("POST", "PUT", "PATCH"):
        lines = b"Content-Length: %d\r\n" % head.length
    if head.expects_continue:
        lines += b"Expect: 100-continue\r\n"
    if upgrade:
        lines += b"Connection: upgrade\r\nUpgrade: %b\r\n" % upgrade
    elif head.trailers:
        lines += b"Connection: te\r\nTE: trailers\r\n"
    return lines


def switched_properly(answered: bytes, asked: bytes) -> bool:
    """Whether a 101 names one of the protocols that were asked for (RFC 9110 §15.2.2)."""
    named = set(tokens(answered))
    return bool(named) and named <= set(tokens(asked))

"""How does a token travel in a cookie, and how is a bad one kept from the origin?

A host may have several applications, each with its own token, under one cookie name. Each
cookie is therefore scoped to its application's path (Cloudflare has that as a setting), so that
they do not overwrite each other; a browser then sends the most specific first (RFC 6265 §5.4).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from urllib.parse import unquote_to_bytes

from mtlsedge.session.tokens import Token

NAME = b"CF_Authorization"
_ATTRIBUTES = b"; Secure; HttpOnly; SameSite=Lax"
_MOST_READ = 8  # tokens taken from one request: each may cost a signature check
_TOKEN = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\Z")
_PATH = re.compile(r"/[\x21-\x3a\x3c-\x7e]*\Z")  # path-value of RFC 6265 §4.1.1, no space
# Frameworks percent-decode names, take "." or "[" for "_", or find pairs after a space or comma.
_LOOKS_LIKE = re.compile(rb"cf[^a-z0-9]authorization", re.IGNORECASE)


class SetCookie:
    """The ``Set-Cookie`` that hands a token over (RFC 6265 §4.1).

    ``path`` comes from ``cookie_path``. ``Lax``, as nothing but links needs the cookie across
    sites; ``HttpOnly``, as no script does.
    """

    __slots__ = ("_path", "_token")

    def __init__(self, token: Token, path: str = "/") -> None:
        self._token = token
        self._path = _path_value(path)

    def line(self, now: float) -> bytes:
        """The header line, said anew each time: the cookie lives no longer than its token."""
        text = self._token.text.encode("ascii")
        age = max(0, int(self._token.expires - now))
        fields = (NAME, text, self._path, age, _ATTRIBUTES)
        return b"Set-Cookie: %b=%b; Path=%b; Max-Age=%d%b\r\n" % fields


def clear_cookie(path: str = "/") -> bytes:
    """The value of a ``Set-Cookie`` that removes the cookie set with the same path."""
    return b"%s=; Path=%s; Max-Age=0%s" % (NAME, _path_value(path), _ATTRIBUTES)


def cookie_path(pattern: str) -> str:
    """The cookie path that covers an application's path pattern and least beside it.

    It is the pattern up to its first ``*``: ``/alpha`` for ``/alpha`` and ``/alpha/*``, ``/`` for
    ``/v*/x``.
    """
    literal, star, _ = pattern.partition("*")
    if star:
        literal = literal[: literal.rindex("/")]
    return literal or "/"


def read(values: Iterable[bytes]) -> list[str]:
    """What could be tokens in the values of a request's ``Cookie`` fields, in their order.

    Only well-formed JWTs under the exact name, and no more than a few of them.
    """
    tokens: list[str] = []
    for value in values:
        if NAME not in value:
            continue
        for pair in value.split(b";"):
            name, _, text = pair.strip(b" \t").partition(b"=")
            if name == NAME and _TOKEN.match(text):
                tokens.append(text.decode("ascii"))
                if len(tokens) == _MOST_READ:
                    return tokens
    return tokens


def without(value: bytes, keep: Collection[str] = ()) -> bytes | None:
    """A ``Cookie`` value without anything an origin could read as a ``CF_Authorization``.

    Origins differ in how they read cookies, so a pair goes if the name stands anywhere in it, in
    any case, percent-encoded or with other punctuation. ``keep`` lists tokens that were found
    valid: the exact pairs that carry those stay. The rest is byte for byte as it was; None where
    nothing is left.
    """
    if b"%" not in value and not _LOOKS_LIKE.search(value):
        return value
    pairs = value.split(b";")
    kept = [pair for pair in pairs if not _is_suspect(pair) or _carries(pair, keep)]
    if len(kept) == len(pairs):
        return value
    rest = b";".join(kept).strip(b" \t")
    return rest or None


def _is_suspect(pair: bytes) -> bool:
    if b"%" in pair:
        pair = unquote_to_bytes(pair)
    return _LOOKS_LIKE.search(pair) is not None


def _carries(pair: bytes, keep: Collection[str]) -> bool:
    name, _, text = pair.strip(b" \t").partition(b"=")
    return name == NAME and _TOKEN.match(text) is not None and text.decode("ascii") in keep


def _path_value(path: str) -> bytes:
    """A path that cannot end the attribute early; the root where it could."""
    return path.encode("ascii") if _PATH.match(path) else b"/"

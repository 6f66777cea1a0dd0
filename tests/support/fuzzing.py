"""Requests that no sane client sends: built from parts that have broken proxies, then mutated.

Everything follows from a seed, so that what once failed can be sent again.
"""

from __future__ import annotations

import itertools
from random import Random

from support.forgeries import FORGEABLE, spellings

HOST = b"iot.example.com"

_METHODS = (b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT",
            b"TRACE", b"PROPFIND", b"get", b"DESCRIBE", b"SOURCE", b"PRI", b"G\0T",
            b"")  # fmt: skip
_TARGETS = (b"/", b"/a", b"/a/b?c=d", b"/open/x", b"/open/..%2fa", b"/a/../open", b"//a", b"/%",
            b"/%00", b"/%252e%252e/a", b"/a;b/c", b"/a\\b", b"*", b"a:443", b"http://x/",
            b"https://" + HOST + b"/a", b"https://evil/a", b"/cdn-cgi/access/certs", b"/\xff",
            b"/a b", b"/a#b", b"/shut/%2e%2e/open", b"/" + b"a" * 9000)  # fmt: skip
_VERSIONS = (b"HTTP/1.1",) * 12 + (b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.2", b"RTSP/1.0",
                                   b"http/1.1", b"HTTP/1.1 ", b"")  # fmt: skip
_ENDS = (b"\r\n",) * 40 + (b"\n", b"\r", b"\r\r\n", b"\r\n ", b"\n\r", b"")
_LENGTHS = (b"0", b"3", b"5", b"5, 5", b"+5", b"0x5", b"05", b" 5 ", b"5 5", b"", b"-1", b"5\0",
            b"99999999999999999999", b"1e3", b"5;")  # fmt: skip
_CODINGS = (b"chunked",) * 4 + (b"Chunked", b"chunked ", b"gzip, chunked", b"chunked, chunked",
            b"identity", b"xchunked", b"", b",chunked", b"chunked;a=b", b"\x0bchunked")  # fmt: skip
_ODD = (
    b"Host: evil.example", b"Host: " + HOST, b"hOST : x", b"Connection: close",
    b"Connection: keep-alive", b"Connection: upgrade", b"Connection: cf-cert-verified, host",
    b"Connection: content-length, x-forwarded-for", b"Upgrade: websocket", b"Upgrade: h2c",
    b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", b"Expect: 100-continue", b"Expect: x",
    b"TE: trailers", b"Trailer: X", b"Cookie: CF_Authorization=a.b.c", b"Cookie: a=b; c=d",
    b"Content_Length: 7", b"Transfer_Encoding: chunked", b"Content-Length\t: 5", b" folded",
    b"X: \xff\xfe", b"X: a\0b", b": empty", b"no colon", b"-: a", b"X:", b"Proxy: http://evil/",
    b"Cf-Access-Client-Id: x", b"Cf-Access-Client-Secret: y", b"Range: bytes=0-1",
    b"If-None-Match: *", b"Accept: text/html", b"Keep-Alive: 5", b"X-A: " + b"a" * 3000,
)  # fmt: skip
_FORGED = tuple(spelling for name in sorted(FORGEABLE) for spelling in spellings(name))
_TRAILERS = (b"", b"", b"X-T: 1\r\n", b"Cf-Cert-Verified: true\r\n", b"Host: x\r\n", b"X: a\n",
             b"Content-Length: 5\r\n", b" a\r\n", b"X" * 300 + b": 1\r\n")  # fmt: skip
_SIZES = (
    b"%x",
    b"%X",
    b"0%x",
    b"%x;a=b",
    b'%x;a="b;c"',
    b"%x ",
    b"+%x",
    b"0x%x",
    b"%x\n",
    b"%x;\r",
)
_INSERTED = (b"\0", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b":", b"\t", b"\xff", b"0", b";",
             b",", b"GET /smuggled HTTP/1.1\r\nHost: " + HOST + b"\r\n\r\n")  # fmt: skip


def request(random: Random, sane: float = 0.8) -> bytes:
    """One request of parts; each part is an ordinary one with the probability ``sane``."""

    def odd() -> bool:
        return random.random() > sane

    method = random.choice(_METHODS) if odd() else random.choice(_METHODS[:5])
    target = random.choice(_TARGETS) if odd() else random.choice(_TARGETS[:4])
    version = random.choice(_VERSIONS) if odd() else b"HTTP/1.1"
    lines = [b"%b %b %b" % (method, target, version)]
    if not odd() or random.random() < 0.5:
        lines.append(b"Host: " + HOST)
    body = b""
    kind = random.random()
    if kind < 0.25:
        body = random.randbytes(random.randrange(40)) if odd() else b"GET / HTTP/1.1\r\n\r\n"
        length = random.choice(_LENGTHS) if odd() else b"%d" % len(body)
        lines.append(b"Content-Length: " + length)
    elif kind < 0.5:
        lines.append(b"Transfer-Encoding: " + (random.choice(_CODINGS) if odd() else b"chunked"))
        body = _chunks(random, sane)
    if odd():
        lines += [random.choice(_ODD) for _ in range(random.randrange(1, 4))]
    if odd():
        lines.append(random.choice(_FORGED) + b": true")
    if odd():
        first, rest = lines[0], lines[1:]
        random.shuffle(rest)
        lines = [first, *rest]
    ends = _ENDS if odd() else _ENDS[:1]
    return b"".join([line + random.choice(ends) for line in [*lines, b""]]) + body


def _chunks(random: Random, sane: float) -> bytes:
    pieces = []
    for _ in range(random.randrange(4)):
        data = random.choice((b"a", b"\r\n\r\n", b"0\r\n\r\n", random.randbytes(20)))
        size = b"%x" if random.random() < sane else random.choice(_SIZES)
        end = b"\r\n" if random.random() < sane + 0.15 else random.choice((b"\n", b"", b"\r"))
        pieces.append(size % len(data) + b"\r\n" + data + end)
    last = (
        b"0\r\n" if random.random() < sane + 0.15 else random.choice((b"0", b"00\r\n", b"0;a\r\n"))
    )
    return b"".join(pieces) + last + random.choice(_TRAILERS) + b"\r\n"


def mutated(random: Random, data: bytes) -> bytes:
    """The data with a few bytes removed, doubled, moved, replaced or put in."""
    for _ in range(random.choice((0, 0, 1, 1, 2, 4))):
        if not data:
            break
        at, to = sorted((random.randrange(len(data)), random.randrange(len(data))))
        to = min(to, at + random.choice((1, 2, 8, 40)))
        what = random.randrange(6)
        if what == 0:
            data = data[:at] + data[to:]
        elif what == 1:
            data = data[:to] + data[at:]
        elif what == 2:
            data = data[:at] + random.choice(_INSERTED) + data[at:]
        elif what == 3:
            data = data[:at] + bytes([data[at] ^ (1 << random.randrange(8))]) + data[at + 1 :]
        elif what == 4:
            data = data[:at] + random.randbytes(to - at) + data[to:]
        else:
            data = data.replace(b"\r\n", random.choice((b"\n", b"\r\n\r\n", b"\r")), 1)
    return data


def stream(random: Random, most: int = 4) -> tuple[bytes, int]:
    """A few requests in a row as one client might send them ahead, and how many were meant."""
    count = random.randrange(1, most + 1)
    sane = random.choice((0.6, 0.9, 0.97, 1.0))
    pieces = [request(random, sane) for _ in range(count)]
    return b"".join(mutated(random, piece) if sane < 1 else piece for piece in pieces), count


def reads(random: Random, data: bytes) -> list[bytes]:
    """The data as it may arrive: at once, in some pieces, now and then byte by byte."""
    how = random.random()
    if how < 0.5 or not data:
        return [data]
    if how > 0.98 and len(data) < 400:
        return [data[at : at + 1] for at in range(len(data))]
    edges = [0, *sorted(random.randrange(len(data) + 1) for _ in range(random.randrange(1, 5)))]
    edges.append(len(data))
    return [data[a:b] for a, b in itertools.pairwise(edges) if a < b]


_ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\norigin\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\norigin\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Made\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 204 None\r\n\r\n",
    b"HTTP/1.1 304 Same\r\nContent-Length: 9\r\nETag: x\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello",
    b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\nHTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
    b'HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nAlt-Svc: h3=":443"\r\nContent-Length: 3\r\n\r\nabc',
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 302 There\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
)


def answer(random: Random) -> bytes:
    """What an origin may say; mostly sense, and at times mutated."""
    said = random.choice(_ANSWERS if random.random() < 0.5 else _ANSWERS[:3])
    return mutated(random, said) if random.random() < 0.15 else said

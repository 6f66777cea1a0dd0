"""Mutated ClientHellos against the real process, which goes on serving meanwhile.

A few thousand by default; ``MTLSEDGE_FUZZ=full`` sends ten thousand.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from random import Random

import pytest
from OpenSSL import SSL

from support import certs
from support.client import Client
from support.edge import Edge
from support.origin import CountingOrigin
from support.tables import one_host

NAME = "iot.example.com"
COUNT = 10_000 if os.environ.get("MTLSEDGE_FUZZ") == "full" else 4_000
BETWEEN_CHECKS = 250
DRIPPING = 40
"""Connections that are left standing half-way through a hello, at most."""

GROWTH = 32 << 20
"""Bytes by which the process may grow after it has warmed up."""

_RECORD, _HANDSHAKE = 5, 4  # bytes of header


@pytest.fixture
def edge(origin: CountingOrigin, start_edge: Callable[..., Edge]) -> Edge:
    """One host that asks for certificates."""
    return start_edge(one_host(NAME, origin.url))


def test_mutated_hellos_disturb_nobody(edge: Edge) -> None:
    """No crash, no traceback, no growth, and a good client is served between any two batches."""
    random = Random(20_261_123)
    good = Client(certs.client())
    hellos = [bytes(hello) for hello in real_hellos()]
    drips: list[socket.socket] = []
    memory = 0
    for number in range(COUNT):
        pieces = delivery(random, mutated(random, random.choice(hellos)))
        if random.random() < 0.02:
            drips.append(drip(edge, pieces))
            if len(drips) > DRIPPING:
                drips.pop(0).close()
        else:
            throw(edge, pieces, leave=random.random() < 0.5)
        if number % BETWEEN_CHECKS == 0:
            assert 200 == good.get(edge.port, NAME).status
        if number == COUNT // 5:
            memory = edge.memory()
    for sock in drips:
        sock.close()
    assert 200 == good.get(edge.port, NAME).status
    assert edge.memory() - memory < GROWTH
    edge.judge_log()
    refused = [line for line in edge.access_log() if line.get("event") == "handshake"]
    assert len(refused) > COUNT // 2
    assert len({line["reason"] for line in refused}) > 20, "the mutations have become dull"


def test_a_hello_in_single_bytes_is_a_hello(edge: Edge) -> None:
    """And so is one in records of a few bytes each: slow and odd are no crime."""
    for hello in real_hellos():
        expected = 22 if NAME.encode() in hello else 21  # a ServerHello, or the alert
        body = hello[_RECORD:]
        small = b"".join(record(body[at : at + 7]) for at in range(0, len(body), 7))
        for pieces in ([small], [hello[at : at + 1] for at in range(len(hello))]):
            with connect(edge) as sock:
                for piece in pieces:
                    sock.sendall(piece)
                assert expected == sock.recv(1)[0]


# -- what is sent --------------------------------------------------------------------------------


def real_hellos() -> Iterator[bytes]:
    """First flights of honest clients, each one record."""
    for newest in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
        for name in (NAME.encode(), b"unknown.example.com", None):
            for protocols in ([], [b"h2", b"http/1.1"]):
                yield first_flight(newest, name, protocols)


def first_flight(newest: int, name: bytes | None, protocols: list[bytes]) -> bytes:
    """What pyOpenSSL sends first."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(newest)
    if protocols:
        context.set_alpn_protos(protocols)
    connection = SSL.Connection(context, None)
    connection.set_connect_state()
    if name is not None:
        connection.set_tlsext_host_name(name)
    with suppress(SSL.WantReadError):
        connection.do_handshake()
    return bytes(connection.bio_read(1 << 16))


def record(body: bytes, kind: int = 22, version: int = 0x0301) -> bytes:
    """A plain TLS record."""
    return struct.pack("!BHH", kind, version, len(body) & 0xFFFF) + body


def message(body: bytes, kind: int = 1) -> bytes:
    """A handshake message."""
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def mutated(random: Random, hello: bytes) -> bytes:
    """A hello with something wrong: in its bytes, its lengths, its extensions or its records."""
    how = random.randrange(10)
    if how < 4:
        return in_bytes(random, hello)
    if how < 7:
        return in_extensions(random, hello)
    if how == 7:
        return in_lengths(random, hello)
    if how == 8:
        return in_records(random, hello)
    return random.randbytes(random.randrange(1, 2000))


def in_bytes(random: Random, hello: bytes) -> bytes:
    """Flip, insert, delete, double, truncate."""
    data = bytearray(hello)
    for _ in range(random.choice((1, 1, 2, 5, 20))):
        at = random.randrange(len(data))
        to = at + random.choice((1, 2, 4, 30))
        what = random.randrange(5)
        if what == 0:
            data[at] ^= 1 << random.randrange(8)
        elif what == 1:
            data[at:at] = random.randbytes(random.choice((1, 2, 50)))
        elif what == 2 and len(data) > 60:
            del data[at:to]
        elif what == 3:
            data[at:at] = data[at:to]
        else:
            data[at:to] = random.choice((b"\0", b"\xff")) * len(data[at:to])
    return bytes(data[: random.randrange(len(data)) + 1] if random.random() < 0.2 else data)


def split(hello: bytes) -> tuple[bytes, list[tuple[int, bytes]]]:
    """The part of a ClientHello before its extensions, and the extensions (RFC 8446 §4.1.2)."""
    body = hello[_RECORD + _HANDSHAKE :]
    at = 2 + 32
    at += 1 + body[at]  # session id
    at += 2 + int.from_bytes(body[at : at + 2], "big")  # cipher suites
    at += 1 + body[at]  # compression methods
    fixed, rest = body[:at], body[at + 2 :]
    extensions = []
    while rest:
        kind, length = struct.unpack("!HH", rest[:4])
        extensions.append((kind, rest[4 : 4 + length]))
        rest = rest[4 + length :]
    return fixed, extensions


def joined(fixed: bytes, extensions: list[tuple[int, bytes]], wrong: int = 0) -> bytes:
    """A ClientHello of these parts; ``wrong`` is added to the length of all its extensions."""
    block = b"".join(
        struct.pack("!HH", kind, len(data) & 0xFFFF) + data for kind, data in extensions
    )
    length = max(0, min(0xFFFF, len(block) + wrong))
    return records(message(fixed + struct.pack("!H", length) + block))


def records(data: bytes, size: int = 1 << 14) -> bytes:
    """Handshake bytes in records of at most this size."""
    return b"".join(record(data[at : at + size]) for at in range(0, len(data), size))


def in_extensions(random: Random, hello: bytes) -> bytes:
    """Drop, double, reorder, empty, blow up or invent extensions; or lie about their lengths."""
    fixed, extensions = split(hello)
    at = random.randrange(len(extensions))
    kind, data = extensions[at]
    what = random.randrange(9)
    if what == 0:
        del extensions[at]
    elif what == 1:
        extensions.insert(random.randrange(len(extensions)), (kind, data))
    elif what == 2:
        random.shuffle(extensions)
    elif what == 3:
        extensions[at] = kind, b""
    elif what == 4:
        extensions[at] = kind, data + random.randbytes(random.choice((1, 300, 16_000, 60_000)))
    elif what == 5:
        extensions[at] = random.randrange(1 << 16), data
    elif what == 6:
        extensions[at] = kind, in_bytes(random, data) if data else b"\xff"
    elif what == 7:
        extensions += [(k, random.randbytes(random.randrange(40))) for k in range(100, 400)]
    else:
        extensions.append((random.choice(_DELICATE), random.randbytes(random.randrange(200))))
    wrong = random.choice((0, 0, 0, 1, -1, 500, -500))
    return joined(fixed, extensions, wrong)


_DELICATE = (0, 5, 10, 13, 16, 17, 18, 21, 22, 23, 27, 28, 35, 41, 42, 43, 44, 45, 47, 49, 50, 51)
"""Names, status, groups, signatures, ALPN, tickets, PSK, early data, versions, cookies, shares."""


def in_lengths(random: Random, hello: bytes) -> bytes:
    """Another length where one stands: of the record, of the message, of the session id."""
    data = bytearray(hello)
    start, width = random.choice(((3, 2), (6, 3), (43, 1), (76, 2)))
    true = int.from_bytes(data[start : start + width], "big")
    lie = random.choice((0, 1, true - 1, true + 1, true * 2, (1 << 8 * width) - 1))
    data[start : start + width] = (lie % (1 << 8 * width)).to_bytes(width, "big")
    return bytes(data)


def in_records(random: Random, hello: bytes) -> bytes:
    """Odd records around an honest message."""
    body = hello[_RECORD:]
    what = random.randrange(8)
    if what == 0:
        return records(body, random.choice((1, 3, 50)))
    if what == 1:
        return record(b"") * random.randrange(1, 50) + hello
    if what == 2:
        return record(b"\1", kind=20) * random.randrange(1, 50) + hello
    if what == 3:
        return record(random.randbytes(2), kind=21) + hello
    if what == 4:
        return record(body, kind=random.randrange(256))
    if what == 5:
        return record(body, version=random.randrange(1 << 16))
    if what == 6:
        return hello + hello
    return record(body[:9]) + record(random.randbytes(30), kind=23) + record(body[9:])


# -- how it is sent ------------------------------------------------------------------------------


def delivery(random: Random, data: bytes) -> list[bytes]:
    """At once, or in a few segments."""
    if random.random() < 0.7:
        return [data]
    edges = sorted(random.randrange(len(data) + 1) for _ in range(random.randrange(1, 4)))
    return [data[a:b] for a, b in zip([0, *edges], [*edges, len(data)], strict=True) if a < b]


def connect(edge: Edge) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", edge.port), 15)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def throw(edge: Edge, pieces: list[bytes], *, leave: bool) -> None:
    """Send, and either leave at once or hear the edge out."""
    with connect(edge) as sock, suppress(ConnectionError):
        for piece in pieces:
            sock.sendall(piece)
        if leave:
            return
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass


def drip(edge: Edge, pieces: list[bytes]) -> socket.socket:
    """Send about half, and stay."""
    sock = connect(edge)
    with suppress(ConnectionError):
        data = b"".join(pieces)
        sock.sendall(data[: len(data) // 2 + 1])
    return sock

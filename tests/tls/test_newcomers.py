"""How much is made ready for a client before it has shown that it takes what it asks for?"""

from __future__ import annotations

import select
import socket
from typing import Any

import pytest
import pytest_twisted
from tls_serving import Scribe, Serve, aside, greet, knock, until

from mtlsedge.tls.terminator import Terminator

BIG = bytes(8 << 20)
UNREAD = 1 << 20
"""Bytes: some of the edge's kernel buffer, and all of the client's."""


class Generous(Scribe):
    """Says more than any kernel holds for one connection."""

    def handshakeCompleted(self) -> None:
        self.transport.write(BIG)

    @property
    def queued(self) -> int:
        """Bytes that are not even encrypted yet."""
        transport: Any = self.transport
        return len(transport.dataBuffer) - int(transport.offset) + int(transport._tempDataLen)


def read(sock: socket.socket, count: int) -> None:
    while count > 0:
        count -= len(sock.recv(64 * 1024))


def is_stuck(protocol: Generous) -> bool:
    """The kernel takes no more of it."""
    return protocol.queued > 0 and not select.select([], [protocol.transport.socket], [], 0.05)[1]


@pytest_twisted.ensureDeferred
async def test_a_client_that_reads_nothing_has_little_made_ready_for_it(serve: Serve) -> None:
    """Or a crowd of them has the edge encrypt, and the kernel keep, 4 MiB for each."""
    serving = serve(Generous)
    sock = await aside(greet, serving.number)
    (protocol,) = serving.protocols
    await until(lambda: is_stuck(protocol), "the kernel to be full")
    assert len(BIG) - protocol.queued < UNREAD
    sock.close()


@pytest_twisted.ensureDeferred
async def test_a_client_that_reads_much_may_have_more_of_it_waiting(serve: Serve) -> None:
    """Large pieces are cheaper to send."""
    serving = serve(Generous)
    sock = await aside(greet, serving.number)
    (protocol,) = serving.protocols
    await aside(read, sock, 3 << 20)
    await until(lambda: is_stuck(protocol) or not protocol.queued, "the kernel to be full")
    assert len(BIG) - protocol.queued > (3 << 20) + UNREAD
    sock.close()


@pytest_twisted.ensureDeferred
async def test_a_client_that_says_nothing_has_no_tls_made_for_it(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be most of what a crowd of such clients costs. The first byte has it made."""
    made: list[object] = []
    make = Terminator.greet

    def counted(*args: Any) -> Any:
        made.append(args)
        return make(*args)

    monkeypatch.setattr(Terminator, "greet", counted)
    serving = serve(Generous)
    silent = await aside(knock, serving.number)
    await serving.protocol()
    assert not made
    silent.sendall(b"x")
    await until(lambda: made, "TLS for the client")
    silent.close()

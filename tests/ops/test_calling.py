"""Services that mean no good, and what their answers may cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.protocol import Factory, Protocol

from mtlsedge.ops.calling import LARGEST, CallFailed, HttpCaller

ENOUGH = 8 * LARGEST


class Talker(Protocol):
    """Says something again and again, and counts what it got rid of."""

    factory: Any
    transport: Any

    def dataReceived(self, data: bytes) -> None:
        self.factory.asked += 1
        self.transport.write(self.factory.first)
        self.transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        if not self.factory.again or self.factory.said > ENOUGH:
            self.transport.unregisterProducer()
            return
        self.factory.said += len(self.factory.again)
        self.transport.write(self.factory.again)

    def stopProducing(self) -> None:
        """It is cut off."""


@pytest.fixture
def service() -> Iterator[tuple[Any, str, HttpCaller]]:
    from twisted.internet import reactor

    loop: Any = reactor
    factory: Any = Factory.forProtocol(Talker)
    factory.asked = factory.said = 0
    factory.first, factory.again = b"HTTP/1.1 200 OK\r\n", b""
    port = loop.listenTCP(0, factory, interface="127.0.0.1")
    caller = HttpCaller(reactor, b"")
    yield factory, f"http://127.0.0.1:{port.getHost().port}/", caller
    pytest_twisted.blockon(caller.close())
    pytest_twisted.blockon(port.stopListening())


@pytest_twisted.ensureDeferred
async def test_a_head_without_end_is_cut_off_and_not_asked_for_again(
    service: tuple[Any, str, HttpCaller],
) -> None:
    """Twisted's client bounds each line of it, and not how many there are."""
    factory, url, caller = service
    factory.again = b"X-More: " + b"x" * 8000 + b"\r\n"
    with pytest.raises(CallFailed, match=f"more than {LARGEST} bytes"):
        await caller.get(url)
    assert 1 == factory.asked
    assert factory.said <= ENOUGH


@pytest_twisted.ensureDeferred
async def test_each_answer_on_a_kept_connection_may_be_as_long(
    service: tuple[Any, str, HttpCaller],
) -> None:
    """What came before counts no more."""
    factory, url, caller = service
    factory.first = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGEST + b"x" * LARGEST
    for _ in range(4):
        answer = await caller.get(url)
        assert (200, LARGEST) == (answer.status, len(answer.content))

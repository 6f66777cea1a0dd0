"""The worker's end: what is carried out, and what is answered."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from mtlsedge.errors import EdgeError
from mtlsedge.workers.channel import channel_pair
from mtlsedge.workers.orders import Handler, Order, Orders
from mtlsedge.workers.payload import pack


class Parent:
    """The other end of a worker's channel, and the worker's handlers."""

    def __init__(self) -> None:
        self.sock, there = channel_pair()
        self.left = 0
        self.orders = Orders(there, reactor, self._gone)

    def _gone(self) -> None:
        self.left += 1

    def send(self, *files: int, **message: Any) -> None:
        socket.send_fds(self.sock, [json.dumps(message).encode()], files)

    async def answer(self) -> dict[str, Any]:
        """The next message that is no log line."""
        while True:
            try:
                message: dict[str, Any] = json.loads(self.sock.recv(200_000))
            except BlockingIOError:
                await deferLater(reactor, 0.002)
                continue
            if message["type"] != "log":
                return message


@pytest.fixture
def parent() -> Iterator[Callable[..., Parent]]:
    """A parent to a worker with these handlers, which has said that it is ready."""
    made: list[Parent] = []

    def make(**handlers: Handler) -> Parent:
        one = Parent()
        made.append(one)
        one.orders.ready(handlers)
        return one

    yield make
    for each in made:
        each.sock.close()
        pytest_twisted.blockon(deferLater(reactor, 0.01))
        assert each.left <= 1


Make = Callable[..., Parent]


@pytest_twisted.ensureDeferred
async def test_an_order_is_answered_when_it_is_done(parent: Make) -> None:
    """At once, or when its Deferred fires."""
    later: Deferred[None] = Deferred()
    done: list[str] = []
    worker = parent(now=lambda order: done.append(order.message["what"]), later=lambda order: later)
    assert "ready" == (await worker.answer())["type"]
    worker.send(type="later", number=1)
    worker.send(type="now", number=2, what="x")
    assert {"type": "done", "number": 2} == await worker.answer()
    later.callback(None)
    assert {"type": "done", "number": 1} == await worker.answer()
    assert ["x"] == done


@pytest_twisted.ensureDeferred
async def test_an_order_that_fails_says_why(parent: Make) -> None:
    """Whatever it was that failed; an unknown order does, too."""

    def refuse(order: Order) -> None:
        raise EdgeError("not with me")

    worker = parent(refuse=refuse, broken=lambda order: 1 // 0)
    assert "ready" == (await worker.answer())["type"]
    for number, (kind, why) in enumerate(
        [("refuse", "not with me"), ("broken", "division"), ("unheard", "'unheard'")]
    ):
        worker.send(type=kind, number=number)
        answer = await worker.answer()
        assert ("failed", number) == (answer["type"], answer["number"])
        assert why in answer["why"]


@pytest_twisted.ensureDeferred
async def test_a_payload_is_read_and_its_descriptor_closed(parent: Make) -> None:
    """Fifty megabytes are no more than a few bytes to the channel."""
    taken: list[bytes] = []
    worker = parent(take=lambda order: taken.append(order.payload()))
    assert "ready" == (await worker.answer())["type"]
    before = len(os.listdir("/proc/self/fd"))
    data = os.urandom(1 << 20) * 50
    memory = pack(data)
    worker.send(memory, type="take", number=1)
    os.close(memory)
    assert "done" == (await worker.answer())["type"]
    assert data == taken[0]
    assert before == len(os.listdir("/proc/self/fd"))


@pytest_twisted.ensureDeferred
async def test_a_payload_that_did_not_arrive_is_a_failure(parent: Make) -> None:
    """A worker without a descriptor left must not go on as if nothing had been said."""
    worker = parent(take=lambda order: order.payload())
    assert "ready" == (await worker.answer())["type"]
    worker.send(type="take", number=1)
    assert "no descriptor is left" in (await worker.answer())["why"]


@pytest_twisted.ensureDeferred
async def test_the_parents_end_is_told_once(parent: Make) -> None:
    """And from then on nothing is told to anybody."""
    worker = parent()
    worker.sock.close()
    for _ in range(500):
        if worker.left:
            break
        await deferLater(reactor, 0.002)
    Logger().info("nobody hears this")
    assert 1 == worker.left


@pytest_twisted.ensureDeferred
async def test_what_is_to_be_logged_once_is_told_with_its_key(parent: Make) -> None:
    """By which the parent knows it again when another worker tells it."""
    worker = parent()
    assert "ready" == (await worker.answer())["type"]
    worker.orders.notice("key", "text")
    assert {"type": "notice", "key": "key", "text": "text"} == await worker.answer()

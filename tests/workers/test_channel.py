"""Packets between a parent and a worker, and what a broken or hostile end can do."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from mtlsedge.workers.channel import LARGEST, Channel, Message, channel_pair


class End:
    """One end of a channel, and what it heard."""

    def __init__(self, sock: socket.socket, takes_files: bool = False) -> None:
        self.messages: list[Message] = []
        self.files: list[int] = []
        self.lost = 0
        self.channel = Channel(sock, reactor, self._heard, self._lost, takes_files=takes_files)

    def _heard(self, message: Message, files: list[int]) -> None:
        self.messages.append(message)
        self.files += files
        if message.get("fail"):
            raise ZeroDivisionError

    def _lost(self) -> None:
        self.lost += 1


@pytest.fixture
def ends() -> Iterator[tuple[End, End]]:
    """A parent's end and a worker's."""
    here, there = channel_pair()
    pair = End(here), End(there, takes_files=True)
    yield pair
    for end in pair:
        end.channel.close()
        for each in end.files:
            os.close(each)


@pytest.fixture
def raw() -> Iterator[tuple[End, socket.socket]]:
    """A parent's end, and a socket that may do anything."""
    here, there = channel_pair()
    end = End(here)
    yield end, there
    end.channel.close()
    there.close()


async def until(condition: Any) -> None:
    """Wait for the reactor to get there."""
    for _ in range(20_000):
        if condition():
            return
        await sleep(0.002)
    raise AssertionError("it did not come to that")


def sleep(seconds: float) -> Deferred[None]:
    return deferLater(reactor, seconds)


def descriptors() -> int:
    """How many this process has open, and nobody has forgotten to close."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


@pytest_twisted.ensureDeferred
async def test_messages_arrive_one_by_one_and_in_order(ends: tuple[End, End]) -> None:
    """Both ways at once, whatever is in their texts."""
    parent, worker = ends
    for number in range(200):
        parent.channel.send({"type": "n", "n": number})
        worker.channel.send({"type": "n", "text": "\n\0\ud800é" * 50, "n": number})
    await until(lambda: len(parent.messages) == len(worker.messages) == 200)
    assert list(range(200)) == [each["n"] for each in worker.messages]
    assert list(range(200)) == [each["n"] for each in parent.messages]
    assert "\n\0\ud800é" * 50 == parent.messages[0]["text"]


@pytest_twisted.ensureDeferred
async def test_what_the_socket_does_not_take_is_sent_later(ends: tuple[End, End]) -> None:
    """Nobody waits, nothing is lost, and descriptors are not kept longer than need be."""
    parent, worker = ends
    before = descriptors()
    with open(os.devnull, "rb") as file:
        for number in range(100):
            parent.channel.send({"n": number, "text": "x" * 50_000}, [file.fileno()])
    assert parent.channel.waiting > 1_000_000
    await until(lambda: len(worker.messages) == 100)
    assert list(range(100)) == [each["n"] for each in worker.messages]
    assert 0 == parent.channel.waiting
    assert 100 == len(worker.files)
    assert all(not os.get_inheritable(each) for each in worker.files)
    for each in worker.files:
        os.close(each)
    worker.files.clear()
    assert before == descriptors()


def test_a_message_larger_than_a_packet_is_refused(ends: tuple[End, End]) -> None:
    """By its sender, who has another way for it."""
    with pytest.raises(ValueError, match="payload"):
        ends[0].channel.send({"text": "x" * LARGEST})


@pytest_twisted.ensureDeferred
async def test_a_worker_cannot_give_its_parent_descriptors(raw: tuple[End, socket.socket]) -> None:
    """The kernel has no room for them; the message itself arrives."""
    end, worker = raw
    before = descriptors()
    with open(os.devnull, "rb") as file:
        for _ in range(20):
            socket.send_fds(worker, [b'{"type": "done"}'], [file.fileno()] * 5)
    await until(lambda: len(end.messages) == 20)
    assert ([], before) == (end.files, descriptors())


@pytest.mark.parametrize(
    "packet", [b"{", b"[]", b"1", b"\xff", b"[" * 60_000, b'"text"', b"null"], ids=repr
)
@pytest_twisted.ensureDeferred
async def test_whoever_sends_nonsense_is_taken_for_gone(
    raw: tuple[End, socket.socket], packet: bytes
) -> None:
    """Once; and what it said before counts."""
    end, worker = raw
    worker.send(b'{"type": "ready"}')
    worker.send(packet)
    await until(lambda: end.lost)
    with suppress(OSError):
        worker.send(b'{"type": "done"}')
    await sleep(0.01)
    assert (1, 1) == (end.lost, len(end.messages))


@pytest_twisted.ensureDeferred
async def test_a_handler_that_fails_costs_its_own_message_only(
    raw: tuple[End, socket.socket],
) -> None:
    """It is logged, and the next one is heard."""
    end, worker = raw
    worker.send(b'{"type": "bad", "fail": true}')
    worker.send(b'{"type": "good"}')
    await until(lambda: len(end.messages) == 2)
    assert not end.lost


@pytest_twisted.ensureDeferred
async def test_the_end_of_the_other_is_heard_once_after_all_it_said(
    raw: tuple[End, socket.socket],
) -> None:
    """A worker that dies has said what it has said."""
    end, worker = raw
    for number in range(150):
        worker.send(b'{"n": %d}' % number)
    worker.close()
    await until(lambda: end.lost)
    assert (150, 1) == (len(end.messages), end.lost)
    end.channel.send({"type": "too late"})
    await sleep(0.01)
    assert 1 == end.lost


@pytest_twisted.ensureDeferred
async def test_last_words_are_sent_without_a_reactor(raw: tuple[End, socket.socket]) -> None:
    """What was queued leaves before the process does, if the other end takes it."""
    end, other = raw
    text = "x" * 50_000
    for number in range(20):
        end.channel.send({"n": number, "text": text})
    assert end.channel.waiting

    def take() -> int:
        taken = 0
        other.settimeout(5)
        while taken < 20:
            other.recv(2 * LARGEST)
            taken += 1
        return taken

    from twisted.internet.threads import deferToThread

    taken = deferToThread(take)
    end.channel.flush(5)
    assert 20 == await taken

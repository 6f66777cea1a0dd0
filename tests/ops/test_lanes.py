"""The lane of those who carry much."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet import main
from twisted.internet.abstract import FileDescriptor
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IHalfCloseableDescriptor
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from mtlsedge.ops import lanes
from mtlsedge.ops.lanes import MUCH, Carrier, SlowLane
from mtlsedge.ops.polling import poll_plainly


class Descriptor:
    """One end of a socket pair, as a transport; it never reads away what makes it ready."""

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.sock, self.other = socket.socketpair()
        self.served = 0
        self.lost: list[str] = []
        self.act: Callable[[], Any] = lambda: None
        reactor.addReader(self)

    def fileno(self) -> int:
        return self.sock.fileno()

    def logPrefix(self) -> str:
        return ""

    def doRead(self) -> Any:
        self.served += 1
        return self.act()

    def doWrite(self) -> Any:
        return self.doRead()

    def connectionLost(self, reason: Any) -> None:
        self.lost.append(reason.type.__name__)
        self.reactor.removeReader(self)
        self.reactor.removeWriter(self)


@implementer(IHalfCloseableDescriptor)
class HalfCloseable(Descriptor):
    """May go on writing after the other's end."""

    def readConnectionLost(self, reason: Any) -> None:
        self.lost.append("read side")

    def writeConnectionLost(self, reason: Any) -> None:
        raise AssertionError("nobody closed it")


def carrier(transport: Any) -> Carrier:
    made = Carrier()
    made.transport = transport
    return made


class Clock:
    """What events take is said, not measured; a look at the clock takes a microsecond."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 1e-6
        return self.now

    def passes(self, seconds: float) -> Callable[[], None]:
        def act() -> None:
            self.now += seconds

        return act


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(lanes, "perf_counter", made)
    return made


@pytest.fixture
def reactor() -> Iterator[Any]:
    loop = EPollReactor()
    assert poll_plainly(loop)
    yield loop
    for each in loop.removeAll():
        if isinstance(each, SlowLane):
            each.connectionLost(Failure(main.CONNECTION_LOST))


def ready(reactor: Any, kind: type[Descriptor] = Descriptor) -> Descriptor:
    """A descriptor that has something to read, for ever."""
    made = kind(reactor)
    made.other.send(b"x")
    return made


def slow(reactor: Any, kind: type[Descriptor] = Descriptor) -> tuple[Descriptor, Carrier]:
    made = ready(reactor, kind)
    carrying = carrier(made)
    carrying.carries(MUCH)
    return made, carrying


def test_a_crowd_that_carries_much_keeps_nobody_else_waiting(reactor: Any, clock: Clock) -> None:
    """Each turn serves those that carry little, and of the others only a few."""
    crowd = [slow(reactor)[0] for _ in range(50)]
    for each in crowd:
        each.act = clock.passes(60e-6)
    other = ready(reactor)
    for turn in range(1, 6):
        before = sum(each.served for each in crowd)
        reactor.doIteration(0)
        assert turn == other.served
        assert 2 == sum(each.served for each in crowd) - before


def test_those_who_wait_come_in_turn(reactor: Any, clock: Clock) -> None:
    """Nobody is served twice before everybody was served once."""
    crowd = [slow(reactor)[0] for _ in range(7)]
    for each in crowd:
        each.act = clock.passes(60e-6)
    for _ in range(4 * 7):
        reactor.doIteration(0)
        counts = {each.served for each in crowd}
        assert max(counts) - min(counts) <= 1
    assert {8} == counts


def test_as_long_as_the_others_took(reactor: Any, clock: Clock) -> None:
    """Under a load of small things those that carry much are not starved, and neither are they."""
    busy = ready(reactor)
    moving, _ = slow(reactor)
    moving.act = clock.passes(100e-6)
    for seconds, times in ((0.0, 1), (1e-3, 10), (10e-3, 20)):
        busy.act = clock.passes(seconds)
        reactor.doIteration(0)
        before = moving.served
        for _ in range(5):
            reactor.doIteration(0)
        assert 5 * times - 1 <= moving.served - before <= 5 * times + 5


def test_much_is_counted_for_each_message(reactor: Any) -> None:
    """One that rests in between, however often it comes, carries little."""
    moving = ready(reactor)
    carrying = carrier(moving)
    for _ in range(3):
        carrying.carries(MUCH - 1)
        assert moving.reactor is reactor
        carrying.rests()
    carrying.carries(MUCH - 1)
    carrying.carries(1)
    assert moving.reactor is reactor.slow_lane
    carrying.carries(MUCH)
    carrying.rests()
    assert moving.reactor is reactor


def test_more_is_read_at_once_of_what_carries_much(reactor: Any) -> None:
    """While it does, and only where it is said: others are content with Twisted's."""

    class Reader(Carrier):
        at_once = 12345

    for kind, expected in ((Reader, 12345), (Carrier, 1)):
        moving: Any = ready(reactor)
        moving.bufferSize = 1
        carrying = kind()
        carrying.transport = moving
        carrying.carries(MUCH)
        assert expected == moving.bufferSize
        carrying.rests()
        assert moving.bufferSize == (FileDescriptor.bufferSize if kind is Reader else 1)


def test_what_was_watched_for_is_watched_for_there_and_back(reactor: Any) -> None:
    """Reading, writing, both or neither."""
    for reads in (True, False):
        for writes in (True, False):
            moving = ready(reactor)
            if not reads:
                reactor.removeReader(moving)
            if writes:
                reactor.addWriter(moving)
            carrying = carrier(moving)
            carrying.carries(MUCH)
            lane = reactor.slow_lane
            assert (reads, writes) == (moving in lane.getReaders(), moving in lane.getWriters())
            assert moving not in [*reactor.getReaders(), *reactor.getWriters()]
            lane.removeWriter(moving)
            lane.addWriter(moving)
            carrying.rests()
            assert (reads, True) == (
                moving in reactor.getReaders(),
                moving in reactor.getWriters(),
            )
            assert moving not in [*lane.getReaders(), *lane.getWriters()]
            reactor.removeReader(moving)
            reactor.removeWriter(moving)


def test_the_last_leaves_in_the_middle_of_a_turn(reactor: Any) -> None:
    """There is nothing left to ask the kernel about then."""
    moving, carrying = slow(reactor)
    moving.act = carrying.rests
    failures: list[Any] = []
    reactor._disconnectSelectable = lambda *told: failures.append(told)
    reactor.doIteration(0)
    assert (1, reactor, []) == (moving.served, moving.reactor, failures)
    reactor.doIteration(0)
    assert 2 == moving.served


@pytest.mark.parametrize("there", [True, False], ids=["into the lane", "out of it"])
def test_an_end_reaches_one_that_changed_lanes_with_its_last_event(
    reactor: Any, there: bool
) -> None:
    """And the end of a half is told once, not with each turn."""
    moving = ready(reactor, HalfCloseable)
    carrying = carrier(moving)
    if not there:
        carrying.carries(MUCH)

    def last() -> Any:
        carrying.carries(MUCH) if there else carrying.rests()
        return main.CONNECTION_DONE

    moving.act = last
    for _ in range(3):
        reactor.doIteration(0)
    assert (1, ["read side"]) == (moving.served, moving.lost)


def test_a_fault_in_the_lane_ends_only_who_had_it(reactor: Any) -> None:
    """As it would in the reactor itself, reading or writing."""
    fine, _ = slow(reactor)
    for fails in (slow(reactor)[0], slow(reactor)[0]):
        fails.act = lambda: 1 // 0
        reactor.slow_lane.addWriter(fails) if fine.served else None
        while not fails.lost:
            reactor.doIteration(0)
        assert ["ZeroDivisionError"] == fails.lost
    before = fine.served
    reactor.doIteration(0)
    assert fine.served > before
    assert [] == fine.lost


def test_the_end_of_the_reactor_is_the_end_of_the_lane(reactor: Any) -> None:
    """Each hears of it once; the kernel's set is closed."""
    both = [slow(reactor)[0] for _ in range(2)]
    lane = reactor.slow_lane
    reactor.disconnectAll()
    assert [["ConnectionLost"]] * 2 == [each.lost for each in both]
    assert lane._poller.closed


def test_a_word_at_a_time_is_not_much(reactor: Any) -> None:
    """A tunnel changes lanes with what it carries."""
    moving = ready(reactor)
    carrying = carrier(moving)
    for _ in range(MUCH // 1000 + 1):
        carrying.carries_some(1000)
    assert moving.reactor is reactor
    for _ in range(MUCH // 65536):
        carrying.carries_some(65536)
    assert moving.reactor is reactor.slow_lane
    carrying.carries_some(100)
    assert moving.reactor is reactor


def test_tls_to_an_origin_is_looked_through(reactor: Any) -> None:
    """What the reactor watches is beneath it."""
    moving = ready(reactor)
    wrapper = ProtocolWrapper(WrappingFactory(None), None)
    wrapper.transport = moving
    carrier(wrapper).carries(MUCH)
    assert moving.reactor is reactor.slow_lane


@pytest.mark.parametrize("kind", [EPollReactor, SelectReactor])
def test_with_a_reactor_of_another_kind_nothing_moves(kind: type) -> None:
    """One that does not poll plainly cannot tell of an end in another lane."""
    reactor = kind()
    moving = ready(reactor)
    carrying = carrier(moving)
    carrying.carries(MUCH)
    assert moving.reactor is reactor
    carrying.rests()
    nowhere = carrier(StringTransport())
    nowhere.carries(MUCH)
    nowhere.rests()

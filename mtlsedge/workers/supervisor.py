"""Who sees to it that all workers are there, and do as they are told?

A worker that dies is replaced; the others go on, and take what waited for it in the listening
sockets, which all of them share. The parent itself never gives up: it holds those sockets, and
clients wait in them rather than being refused.

A worker that does not carry out what all the others do (a reload, say) is replaced as well: a
new one begins with what the parent has, and nobody serves by what is no longer in force. And so
is one that hangs: clients wait for it, since it shares the listening sockets, and nobody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mtlsedge.workers.backoff import Backoff
from mtlsedge.workers.forking import Work
from mtlsedge.workers.hand import Hand

_log = Logger()

DRAIN = "drain"
"""The order to finish what is under way, and to end."""

ALIVE = "alive"
"""The order to say so."""

_BEGINNING = 120.0  # seconds that a worker may take until it serves
_LOOK = 5.0  # seconds between two orders to say that it is alive
_SILENT = 6  # of them without an answer are the end: counted, so that a machine may be suspended


class _Place:
    """One of so many workers: the process that has the place now, if any."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.hand: Hand | None = None
        self.backoff = Backoff()
        self.next: Any = None  # the delayed call of the next attempt


class _Poll:
    """An order to all, and those whose answer is still awaited."""

    def __init__(self, awaited: set[Hand]) -> None:
        self.awaited = awaited
        self.done: Deferred[None] = Deferred()
        self.timeout: Any = None

    def forget(self, hand: Hand) -> None:
        self.awaited.discard(hand)
        if not self.awaited and not self.done.called:
            if self.timeout is not None and self.timeout.active():
                self.timeout.cancel()
            self.done.callback(None)


class Supervisor:
    """All workers of a parent.

    Args:
        reactor: the parent's.
        number: how many workers there are to be.
        work: makes, for the place of a worker, what it does. It is called in the parent, right
            before the fork, and so is what it sees.
        farewell: seconds, as of now, that a worker may take to ``DRAIN``.
        notice: told a key and a text that any number of workers may have for the log.
    """

    def __init__(
        self,
        reactor: Any,
        number: int,
        work: Callable[[int], Work],
        farewell: Callable[[], float],
        notice: Callable[[str, str], None] = lambda key, text: None,
    ) -> None:
        self._notice = notice
        self._farewell = farewell
        self._reactor = reactor
        self._work = work
        self._places = [_Place(place) for place in range(number)]
        self._hands: set[Hand] = set()  # whoever lives, those that leave among them
        self._unready = set(range(number))
        self._complete: Deferred[None] = Deferred()
        self._numbers = count(1)
        self._polls: dict[int, _Poll] = {}
        self._leave = ""  # the order by which all are to end
        self._empty: Deferred[None] | None = None
        self._axe: Any = None

    def start(self) -> Deferred[None]:
        """Fork all workers. Fires when each place had one that served."""
        for place in self._places:
            self._fill(place)
        self._reactor.callLater(_LOOK, self._look_after)
        return self._complete

    def tell(self, kind: str, files: Sequence[int] = (), **fields: Any) -> None:
        """Tell all workers something that needs no answer."""
        for hand in self._present():
            hand.send({"type": kind, **fields}, files)

    def tell_leaving(self, kind: str, files: Sequence[int] = (), **fields: Any) -> None:
        """Tell those that have a successor and still finish what they are doing."""
        for hand in self._hands.difference(self._present()):
            hand.send({"type": kind, **fields}, files)

    def order(
        self, kind: str, files: Sequence[int] = (), *, patience: float, **fields: Any
    ) -> Deferred[None]:
        """Tell all workers to do something. Fires when each has done it, or is no more.

        One that says it cannot, or says nothing for ``patience`` seconds, is replaced. What is
        ordered must be in force in the parent already, from which the replacement is forked.
        """
        number = next(self._numbers)
        poll = self._polls[number] = _Poll(set(self._present()))
        poll.done.addCallback(lambda _: self._polls.pop(number, None) and None)
        for hand in list(poll.awaited):
            hand.send({"type": kind, "number": number, **fields}, files)
        if poll.awaited:
            poll.timeout = self._reactor.callLater(patience, self._out_of_patience, kind, poll)
        else:
            poll.done.callback(None)
        return poll.done

    def replace_all(self) -> None:
        """Fork new workers; those that are there finish what they are doing, and end."""
        for hand in list(self._present()):
            self._replace(hand)

    def try_again(self) -> None:
        """Something has changed: workers that could not start may be able to now."""
        for place in self._places:
            place.backoff.forget()
            if place.next is not None:
                place.next.reset(0)

    def stop(self, kind: str, patience: float) -> Deferred[None]:
        """Tell all workers to end, in a way that has this name. Fires when none is left.

        Those that are still there after ``patience`` seconds are killed. May be called again,
        to hurry them.
        """
        self._leave = kind
        if self._empty is None:
            self._empty = Deferred()
        for place in self._places:
            if place.next is not None:
                place.next.cancel()
                place.next = None
        for hand in list(self._hands):
            hand.leave(kind)
        if self._axe is not None:
            self._axe.cancel()
        self._axe = self._reactor.callLater(patience, self._kill_all)
        self._look_whether_empty()
        return self._empty

    def hands(self) -> tuple[Hand, ...]:
        """Every worker that lives."""
        return tuple(self._hands)

    # What hands report.

    def ready(self, hand: Hand) -> None:
        _log.info("worker {number} serves, process {pid}", number=hand.number, pid=hand.pid)
        self._unready.discard(hand.number)
        if not self._unready and not self._complete.called:
            self._complete.callback(None)

    def answered(self, hand: Hand, number: int, objection: str | None) -> None:
        poll = self._polls.get(number)
        if poll is None or hand not in poll.awaited:
            return
        if objection is not None:
            _log.error(
                "worker {number} could not follow and is replaced: {why}",
                number=hand.number,
                why=objection,
            )
            self._replace(hand)
        poll.forget(hand)

    def noticed(self, key: str, text: str) -> None:
        self._notice(key, text)

    def gone(self, hand: Hand) -> None:
        self._hands.discard(hand)
        place = self._places[hand.number]
        if place.hand is hand:
            place.hand = None
            self._bury(place, hand)
        for poll in list(self._polls.values()):
            poll.forget(hand)
        self._look_whether_empty()

    # --

    def _present(self) -> Iterator[Hand]:
        return (place.hand for place in self._places if place.hand is not None)

    def _fill(self, place: _Place) -> None:
        place.next = None
        try:
            hand = Hand(place.number, self._work(place.number), self._reactor, self)
        except OSError as error:
            _log.error("no worker can be forked: {error}", error=error)
            self._fill_later(place, place.backoff.delay(None) or 1.0)
            return
        place.hand = hand
        self._hands.add(hand)
        self._reactor.callLater(_BEGINNING, self._has_begun, hand)

    def _has_begun(self, hand: Hand) -> None:
        """One that hangs before it serves has no orders to be missed at."""
        if hand.served_since is None and hand.status is None:
            _log.error(
                "worker {number} (process {pid}) does not come to serve and is killed",
                number=hand.number,
                pid=hand.pid,
            )
            hand.kill()

    def _fill_later(self, place: _Place, delay: float) -> None:
        place.next = self._reactor.callLater(delay, self._fill, place)

    def _bury(self, place: _Place, hand: Hand) -> None:
        """Its death, in the log, and a successor."""
        if self._leave:
            return
        served = None
        if hand.served_since is not None:
            served = self._reactor.seconds() - hand.served_since
        wanted = hand.status == 0 and served is not None  # somebody sent it a SIGTERM
        delay = 0.0 if wanted else place.backoff.delay(served)
        say = _log.info if wanted else _log.error
        say(
            "worker {number} (process {pid}) {how}; it is replaced {when}",
            number=hand.number,
            pid=hand.pid,
            how=hand.how_it_ended(),
            when=f"in {delay:g} s" if delay else "at once",
        )
        self._fill_later(place, delay)

    def _look_after(self) -> None:
        """Ask whether those that serve still turn; whoever has not answered for long is killed."""
        if self._leave:
            return
        self._reactor.callLater(_LOOK, self._look_after)
        for hand in [each for each in self._present() if each.served_since is not None]:
            if hand.silent < _SILENT:
                hand.silent += 1
                hand.send({"type": ALIVE, "number": 0})
            elif hand.status is None:
                _log.error(
                    "worker {number} (process {pid}) hangs and is killed",
                    number=hand.number,
                    pid=hand.pid,
                )
                hand.kill()

    def _replace(self, hand: Hand) -> None:
        """Put another in its place while it still finishes what it is doing."""
        place = self._places[hand.number]
        if place.hand is not hand:
            return
        place.hand = None
        hand.leave(DRAIN)
        self._reactor.callLater(self._farewell(), hand.kill)
        if not self._leave:
            self._fill_later(place, place.backoff.delay(None))

    def _out_of_patience(self, kind: str, poll: _Poll) -> None:
        for hand in list(poll.awaited):
            _log.error(
                "worker {number} (process {pid}) did not answer to {kind!r} and is killed",
                number=hand.number,
                pid=hand.pid,
                kind=kind,
            )
            hand.kill()

    def _kill_all(self) -> None:
        self._axe = None
        for hand in list(self._hands):
            _log.error(
                "worker {number} (process {pid}) did not end in time and is killed",
                number=hand.number,
                pid=hand.pid,
            )
            hand.kill()

    def _look_whether_empty(self) -> None:
        if self._empty is not None and not self._hands and not self._empty.called:
            if self._axe is not None:
                self._axe.cancel()
                self._axe = None
            self._empty.callback(None)

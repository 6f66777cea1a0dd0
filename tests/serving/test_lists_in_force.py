"""New revocation lists in one process: read where nobody waits for it, taken in their order."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, cast

import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import globalLogPublisher

from mtlsedge.errors import BadCrl
from mtlsedge.serving.lists import ListsInForce
from mtlsedge.trust.judge import ClientTrust
from mtlsedge.trust.revocation import Replaced

PLACE = "ca.crl"
LARGE = 300 * 1024


class Lists:
    """Notes in which thread it read what, and what was taken in which order."""

    places = (PLACE,)

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []
        self.taken: list[bytes] = []
        self.may_read = threading.Event()
        self.may_read.set()

    def prepare(self, place: str, data: bytes) -> bytes:
        self.threads.append(threading.current_thread())
        if len(data) >= LARGE:
            self.may_read.wait(5)
        if data.startswith(b"bad"):
            raise BadCrl(f"{place} is bad; make it again")
        return data

    def replace(self, place: str, crls: bytes, now: float) -> Replaced:
        self.taken.append(crls)
        return Replaced(place, changed=True)

    def complain(self, place: str, problem: str) -> Replaced:
        return Replaced(place, problems=(problem,))

    def health(self, now: float) -> tuple[()]:
        return ()


class Trust:
    def __init__(self, **lists: Lists) -> None:
        self.lists = lists


def in_force(*trusts: Trust, threads: bool = True) -> tuple[ListsInForce, list[str]]:
    from twisted.internet import reactor

    changes: list[str] = []
    lists = ListsInForce(
        reactor if threads else None,
        lambda: 0.0,
        lambda: cast(Sequence[ClientTrust], trusts),
        lambda: changes.append("changed"),
    )
    return lists, changes


def replaced(lists: ListsInForce, data: bytes) -> Deferred[str]:
    return Deferred.fromCoroutine(lists.replace(PLACE, data))


@pytest_twisted.inlineCallbacks
def test_a_large_list_is_read_in_a_thread_and_a_small_one_at_once() -> Any:
    its = Lists()
    lists, changes = in_force(Trust(ca=its))
    assert "" == replaced(lists, b"small").result
    assert "" == (yield replaced(lists, bytes(LARGE)))
    main = threading.main_thread()
    assert [True, False] == [thread is main for thread in its.threads]
    assert ["changed", "changed"] == changes


def test_a_process_that_forks_has_no_threads() -> None:
    its = Lists()
    lists, _ = in_force(Trust(ca=its), threads=False)
    assert "" == replaced(lists, bytes(LARGE)).result
    assert [threading.main_thread()] == its.threads


@pytest_twisted.inlineCallbacks
def test_a_small_list_does_not_overtake_a_large_one_of_the_same_place() -> Any:
    its = Lists()
    its.may_read.clear()
    lists, _ = in_force(Trust(ca=its))
    both = [replaced(lists, bytes(LARGE)), replaced(lists, b"newest")]
    its.may_read.set()
    yield gatherResults(both)
    assert [bytes(LARGE), b"newest"] == its.taken


@pytest_twisted.inlineCallbacks
def test_lists_that_a_reload_puts_into_force_meanwhile_take_it_too() -> Any:
    before, after = Lists(), Lists()
    before.may_read.clear()
    trust = Trust(ca=before)
    lists, _ = in_force(trust)
    reading = replaced(lists, bytes(LARGE))
    trust.lists = {"ca": after}
    before.may_read.set()
    yield reading
    assert [bytes(LARGE)] == after.taken


def test_hosts_that_share_a_client_ca_have_its_list_read_once() -> None:
    its = Lists()
    lists, changes = in_force(Trust(ca=its), Trust(ca=its))
    assert "" == replaced(lists, b"new").result
    assert ([b"new"], ["changed"]) == (its.taken, changes)


def test_what_cannot_be_read_is_told_once_and_changes_nothing() -> None:
    """A URL that is asked again and again says the same each time."""
    lists, changes = in_force(Trust(ca=Lists()))
    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)
    try:
        answers = [replaced(lists, b"bad").result for _ in range(3)]
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert ["ca.crl is bad; make it again"] * 3 == answers
    assert [] == changes
    assert 1 == len([event for event in events if "is bad" in str(event.get("problem"))])

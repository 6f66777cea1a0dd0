"""Who a caller is: on its first connection, on the next, and to a new configuration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from mtlsedge.http import callers
from mtlsedge.http.acquaintances import Acquaintances
from mtlsedge.http.callers import greet_again, meet_again
from mtlsedge.http.messages import Refuse
from mtlsedge.http.site import Caller
from mtlsedge.identity import ANONYMOUS, Identity, Reason
from support.memory import NAME, MemoryEdge, holder


@pytest.fixture
def edge(ring: Any) -> Iterator[MemoryEdge]:
    made = MemoryEdge(ring)
    yield made
    made.close()


class Elsewhere:
    """A configuration that has one host, whatever it is called."""

    def __init__(self, site: Any) -> None:
        self.site = site
        self.acquaintances = Acquaintances()

    def seen(self, identity: Any, name: str) -> None:
        """Nobody wants to know."""

    def site_of(self, name: str) -> Any:
        return self.site


def elsewhere(edge: MemoryEdge, judge: Any) -> Any:
    return Elsewhere(replace(edge.front.sites[NAME], judge=judge))


class Slow:
    """Judges later."""

    def __init__(self) -> None:
        self.thinking: Deferred[Any] = Deferred()

    def settle(self, *_: Any) -> Deferred[Any]:
        return self.thinking


def test_a_verifier_that_thinks_is_asked_no_further_and_nothing_is_logged(
    edge: MemoryEdge,
) -> None:
    """The answer is not known now; that it was cancelled is no error of anybody's."""
    connection, slow = edge.connect(holder()), Slow()
    answer = meet_again(connection.caller, elsewhere(edge, slow), connection.transport)
    assert isinstance(answer, Refuse)
    assert 503 == answer.status
    assert (True, None) == (slow.thinking.called, slow.thinking.result), "nobody handled it"


def test_whoever_can_wait_hears_what_the_verifier_says(edge: MemoryEdge) -> None:
    """A tunnel goes on until its client is known to be nobody any more."""
    connection, slow = edge.connect(holder()), Slow()
    front = elsewhere(edge, slow)
    answers: list[Any] = []
    asking = Deferred.fromCoroutine(greet_again(connection.caller, front, connection.transport))
    asking.addCallback(answers.append)
    assert [] == answers
    slow.thinking.callback(ANONYMOUS)
    assert [ANONYMOUS] == [each.identity for each in answers]


def test_who_showed_nothing_is_nobody(edge: MemoryEdge) -> None:
    """Whatever the new configuration asks for."""
    connection = edge.connect(ANONYMOUS)
    front = elsewhere(edge, edge.front.sites[NAME].judge)
    now = meet_again(connection.caller, front, connection.transport)
    assert isinstance(now, Caller)
    assert ANONYMOUS is now.identity


def test_a_host_that_is_gone_serves_nobody(edge: MemoryEdge) -> None:
    connection = edge.connect(holder())
    nowhere: Any = Elsewhere(None)
    answer = meet_again(connection.caller, nowhere, None)
    assert isinstance(answer, Refuse)
    assert 421 == answer.status


# -- one client, many connections ----------------------------------------------------------------

REQUEST = f"GET /path HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode()


@pytest.fixture
def open_edge(ring: Any) -> Iterator[MemoryEdge]:
    """An edge where everybody gets through."""
    made = MemoryEdge(ring, host={"unprotected": "pass"})
    yield made
    made.close()


def test_a_client_that_comes_back_is_let_through_as_before(open_edge: MemoryEdge) -> None:
    """What is its connection's own is its own: the port in the log, the request's id."""
    same = holder()
    answers = []
    for number in (40_001, 40_002):
        client = open_edge.connect(same)
        client.transport.client = ("192.0.2.7", number)
        client.caller.client_log = callers.client_fragment("192.0.2.7", number)
        answers.append(client.send(REQUEST))
        assert client.closed
    assert answers[0] == answers[1]
    assert answers[0].startswith(b"HTTP/1.1 200 ")
    lines = open_edge.lines()
    assert [40_001, 40_002] == [line["port"] for line in lines]
    assert 2 == len({line["request_id"] for line in lines})
    assert 2 == len(open_edge.origin.requests)


def test_clients_that_differ_in_anything_share_nothing(open_edge: MemoryEdge) -> None:
    """An address, a certificate, a name: rules look at each, and headers name them."""
    one, other = holder(), replace(holder())
    found = [open_edge.connect(identity).caller for identity in (one, other, ANONYMOUS)]
    found.append(open_edge.connect(one, server_name="").caller)
    site, front = open_edge.front.sites[NAME], open_edge.front
    for client, port in ((("192.0.2.8", 40_000), 443), (("192.0.2.7", 40_000), 444)):
        transport = open_edge.connect(one).transport
        transport.client, transport.local_port = client, port
        found.append(callers.meet(front, site, transport, one))
    assert len(found) == len({id(caller.passages) for caller in found})
    assert len(found) == len({id(caller.sessions) for caller in found})
    again = open_edge.connect(one).caller
    assert (found[0].passages, found[0].sessions) == (again.passages, again.sessions)
    assert found[0].passages is again.passages


def test_nobody_is_remembered_whose_certificate_did_not_verify(open_edge: MemoryEdge) -> None:
    """Its identity is made anew each time; strangers would only push out who is known."""
    stranger = Identity(presented=True, reason=Reason.UNTRUSTED, chain=holder().chain)
    open_edge.connect(stranger)
    assert {} == open_edge.front.acquaintances


def test_not_more_clients_are_remembered_than_there_is_room_for(
    open_edge: MemoryEdge,
) -> None:
    """Memory does not grow with the clients that come by."""
    open_edge.front.acquaintances = Acquaintances(3)
    sizes = []
    for _ in range(20):
        open_edge.connect(replace(holder()))
        sizes.append(open_edge.front.acquaintances.size)
    assert 6 == max(sizes)


def test_clients_that_come_in_turn_are_all_known(
    open_edge: MemoryEdge,
) -> None:
    """As many as a generation has; and whoever comes often stays while others pass."""
    open_edge.front.acquaintances = Acquaintances(8)
    seen: list[Identity] = []
    open_edge.front.seen = lambda identity, name: seen.append(identity)
    several = [replace(holder()) for _ in range(8)]
    for _ in range(5):
        for identity in several:
            open_edge.connect(identity)
    assert 8 == len(seen)
    for _ in range(50):
        open_edge.connect(several[0])
        open_edge.connect(replace(holder()))
    assert 8 + 50 == len(seen)


def test_who_is_forgotten_is_forgotten_by_both_generations(
    open_edge: MemoryEdge,
) -> None:
    """The hourly look at clients must notice every one that comes again."""
    open_edge.front.acquaintances = Acquaintances(2)
    several = [replace(holder()) for _ in range(4)]
    for identity in several:
        open_edge.connect(identity)
    assert 4 == open_edge.front.acquaintances.size
    open_edge.front.acquaintances.clear()
    assert 0 == open_edge.front.acquaintances.size
    seen: list[Identity] = []
    open_edge.front.seen = lambda identity, name: seen.append(identity)
    for identity in several:
        open_edge.connect(identity)
    assert 4 == len(seen)


def test_whoever_comes_is_seen_once_for_as_long_as_it_is_remembered(
    open_edge: MemoryEdge,
) -> None:
    """By the name that it asked for, or the host's where it asked for none."""
    seen: list[tuple[Identity, str]] = []
    open_edge.front.seen = lambda identity, name: seen.append((identity, name))
    one = holder()
    for _ in range(3):
        open_edge.connect(one)
    assert [(one, NAME)] == seen
    open_edge.connect(one, server_name="")
    assert [(one, NAME)] * 2 == seen
    open_edge.front.acquaintances.clear()
    open_edge.connect(one)
    assert [(one, NAME)] * 3 == seen

"""Connections that are asked whether they may stay, with a judge that says what the test wants."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from mtlsedge import model
from mtlsedge.http.site import Front
from mtlsedge.identity import Identity, Reason, Verdict
from mtlsedge.session.keys import KeyRing
from mtlsedge.trust.asking import Inquiry
from support.memory import NAME, MemoryClient, MemoryEdge, holder

REQUEST = b"GET / HTTP/1.1\r\nHost: " + NAME.encode() + b"\r\n\r\n"
REVOKED = Identity(True, False, Reason.REVOKED, "revoked by ca.crl", chain=holder().chain)
END = 2_000_000_000.0


class Judge:
    """Says of everybody the same; at first that nothing has changed."""

    def __init__(self) -> None:
        self.now: Identity | None = None
        self.settled: Any = holder()

    def still_good(self, identity: Identity, now: float) -> Identity | None:
        return self.now

    def next_change(self, identity: Identity, now: float) -> float:
        return END

    def settle(self, leaf: bytes | None, sent: Any, server_name: str) -> Any:
        return self.settled


def guarded(
    ring: KeyRing, judge: Judge, applications: tuple[model.Application, ...] = ()
) -> MemoryEdge:
    """An edge whose one host has a judge."""
    edge = MemoryEdge(ring, applications, host={"unprotected": "pass"})
    site = replace(edge.front.sites[NAME], judge=judge)
    edge.front = Front({NAME: site}, edge.front.deadlines, edge.front.log, edge.front.now)
    edge.front.names.add(NAME, site)
    return edge


def reconsidered(edge: MemoryEdge, client: MemoryClient) -> Any:
    """The connection, after it was asked."""
    connection = client.transport.protocol
    connection.reconsider()
    edge.turn()
    return connection


def successor(edge: MemoryEdge, **changes: Any) -> Front:
    """The same host under a new configuration, which is in force from now on."""
    front = edge.front
    site = replace(front.sites[NAME], **changes)
    new = Front({NAME: site}, front.deadlines, front.log, front.now)
    new.names.add(NAME, site)
    front.retire(new)
    new.crowd = front.crowd
    return new


def test_whoever_is_as_good_as_before_stays_until_something_may_end(ring: KeyRing) -> None:
    edge = guarded(ring, Judge())
    client = edge.connect(holder())
    assert END == reconsidered(edge, client).holds_until
    assert b"HTTP/1.1 200 " == client.send(REQUEST)[:13]
    edge.close()


def test_an_idle_connection_of_a_revoked_certificate_ends_with_a_line(ring: KeyRing) -> None:
    judge = Judge()
    edge = guarded(ring, judge)
    client = edge.connect(holder())
    judge.now = REVOKED
    reconsidered(edge, client)
    assert client.closed
    (line,) = edge.lines()
    assert ("cut", "revoked by ca.crl") == (line["event"], line["reason"])
    assert (False, "certificate_revoked") == (line["cert"]["verified"], line["cert"]["reason"])
    edge.close()


@pytest.mark.parametrize("waiting", [b"", b"the end of an answer"])
def test_what_still_waits_for_a_revoked_client_is_dropped(
    ring: KeyRing, waiting: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An orderly close would first send it."""
    judge = Judge()
    edge = guarded(ring, judge)
    client = edge.connect(holder())
    client.transport.dataBuffer = waiting
    ends: list[str] = []
    for end in ("loseConnection", "abortConnection"):
        monkeypatch.setattr(client.transport, end, lambda end=end: ends.append(end))
    judge.now = REVOKED
    reconsidered(edge, client)
    assert ["abortConnection" if waiting else "loseConnection"] == ends
    edge.close()


@pytest.mark.parametrize("waiting", [b"", b"the end of an answer"])
def test_a_last_answer_that_is_still_on_its_way_is_cut_too(
    ring: KeyRing, waiting: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow reader may take minutes over it. Where all of it has gone there is nothing to cut."""
    judge = Judge()
    edge = guarded(ring, judge)
    client = edge.connect(holder())
    monkeypatch.setattr(client.transport, "lingerConnection", lambda last=b"": None)
    client.send(REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    client.transport.dataBuffer = waiting
    ends: list[str] = []
    monkeypatch.setattr(client.transport, "abortConnection", lambda: ends.append("abort"))
    judge.now = REVOKED
    for _ in range(2):
        reconsidered(edge, client)
    assert (["abort"] if waiting else []) == ends
    lines = [line.get("event") for line in edge.lines()]
    assert bool(waiting) == ("cut" in lines)
    edge.close()


def test_who_has_one_client_ca_less_stays_as_that(ring: KeyRing) -> None:
    judge = Judge()
    edge = guarded(ring, judge)
    client = edge.connect(replace(holder(), client_cas=("a", "b")))
    judge.now = replace(holder(), client_cas=("a",))
    reconsidered(edge, client)
    assert ("a",) == client.caller.identity.client_cas
    assert not client.closed
    edge.close()


def test_a_verdict_of_a_configuration_that_is_gone_meanwhile_is_not_taken(ring: KeyRing) -> None:
    """Its verifiers thought, and another came into force: that one is asked."""
    judge = Judge()
    edge = guarded(ring, judge)
    client = edge.connect(holder())
    slow = Judge()
    slow.settled = Deferred()
    second = successor(edge, judge=slow)
    connection = reconsidered(edge, client)
    edge.front = second
    third = successor(edge)
    client.caller.front.crowd.latest = third
    slow.settled.callback(holder())
    assert 0.0 == connection.holds_until
    assert second is not client.caller.front
    edge.close()


def test_a_judge_that_fails_ends_the_connection(ring: KeyRing) -> None:
    edge = guarded(ring, Judge())
    client = edge.connect(holder())
    broken = Judge()
    broken.settled = Deferred()
    successor(edge, judge=broken)
    reconsidered(edge, client)
    assert not client.closed
    broken.settled.errback(ValueError("of the judge"))
    assert client.closed
    assert "cut" == edge.lines()[0]["event"]
    edge.close()


def only(path: str, selector: str, value: str) -> model.Application:
    """An application for those whom one rule includes."""
    rules = model.RuleSet((model.Rule(selector, (value,)),))
    policy = model.Policy("one", "service_auth", rules)
    return model.Application(path, (model.Domain(NAME, path),), (policy,), f"aud-{path}")


def test_what_began_while_a_verifier_was_thinking_is_judged_as_well(ring: KeyRing) -> None:
    """The connection was asked during one request, and the answer comes during the next."""
    thinking: Deferred[Verdict] = Deferred()
    yes = Verdict(True, cache_for=60.0)
    said: list[Any] = [yes, thinking]
    judge: Any = Judge()
    judge.judge = lambda spec, peer, server_name: said.pop(0)
    judge.inquiry = lambda spec, peer, server_name: Inquiry(lambda: said.pop(0), lambda: None)
    apps = (only("/first", "verifier", "v"), only("/second", "client_ca", "a"))
    edge = guarded(ring, judge, apps)
    edge.origin.answer = lambda request: b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf"
    client = edge.connect(replace(holder(), client_cas=("a", "b")))
    assert b"half" in client.send(REQUEST.replace(b"/", b"/first", 1))
    judge.now = replace(holder(), client_cas=("b",))
    connection = reconsidered(edge, client)
    judge.now = None
    connection.exchange._connection.transport.deliver(b"half")
    assert b"half" in client.send(REQUEST.replace(b"/", b"/second", 1))
    assert not client.closed
    thinking.callback(yes)
    edge.turn()
    assert client.closed
    assert ["request", "cut"] == [line["event"] for line in edge.lines()]
    edge.close()

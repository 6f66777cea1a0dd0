"""What a kept-alive connection meets with its next request after a reload."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from typing import Any

import pytest

from mtlsedge.http.site import Front
from mtlsedge.identity import ANONYMOUS, Identity, Reason
from mtlsedge.names import NameTable
from mtlsedge.policy.tree import PolicyTree
from mtlsedge.session.keys import KeyRing
from support.memory import NAME, MemoryEdge, holder

REQUEST = b"GET / HTTP/1.1\r\nHost: " + NAME.encode() + b"\r\n\r\n"


class Says:
    """A judge of one opinion."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def settle(self, leaf: bytes | None, sent: Any, server_name: str) -> Identity:
        return self._identity

    def judge(self, spec: str, peer: Any, server_name: str) -> Any:
        raise AssertionError("no rule asks")


def reloaded(edge: MemoryEdge, says: Identity) -> None:
    """The same host, which now requires a certificate in the handshake."""
    earlier = edge.front.sites[NAME]
    host = replace(earlier.host, handshake="require")
    site = replace(earlier, host=host, judge=Says(says))
    front = Front({NAME: site}, edge.front.deadlines, edge.front.log, edge.front.now)
    front.names.add(NAME, site)
    edge.front.retire(front)


@pytest.mark.parametrize(
    ("was", "judged", "status"),
    [
        (ANONYMOUS, ANONYMOUS, b"403"),
        (holder(), Identity(True, False, Reason.REVOKED, "revoked since"), b"403"),
        (holder(), holder(), b"200"),
    ],
    ids=["anonymous", "revoked", "verified"],
)
def test_a_host_that_has_come_to_require_a_certificate_gets_one(
    ring: KeyRing, was: Identity, judged: Identity, status: bytes
) -> None:
    """Whatever its policies say: a new handshake would not have come so far."""
    edge = MemoryEdge(ring, host={"unprotected": "pass"})
    client = edge.connect(was)
    assert b"HTTP/1.1 200 " == client.send(REQUEST)[:13]
    reloaded(edge, judged)
    assert b"HTTP/1.1 %b " % status == client.send(REQUEST)[:13]
    assert client.closed
    edge.close()


def test_an_idle_connection_keeps_no_configuration_but_its_own(ring: KeyRing) -> None:
    """Whatever came and went between its own and the one in force is forgotten."""
    edge = MemoryEdge(ring, host={"unprotected": "pass"})
    client = edge.connect()
    client.send(REQUEST)
    between: list[weakref.ref[PolicyTree]] = []
    latest = edge.front
    for _ in range(3):
        tree = PolicyTree(())
        between.append(weakref.ref(tree))
        site = replace(edge.front.sites[NAME], policy=tree)
        front = replace(latest, sites={NAME: site}, names=NameTable(), retired=False)
        front.names.add(NAME, site)
        latest.retire(front)
        latest = front
    del tree, site, front
    gc.collect()
    assert [True, True, False] == [each() is None for each in between]
    assert b"HTTP/1.1 200 " == client.send(REQUEST)[:13]
    assert client.closed
    edge.close()

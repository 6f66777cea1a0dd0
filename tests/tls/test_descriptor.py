"""A transport whose initialiser is our own is a ``tcp.Server`` all the same."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet import tcp
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.protocol import Protocol

from mtlsedge.tls.descriptor import Descriptor


class Watching:
    """A reactor that notes what it is asked to watch."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda _: self.told.append(name)


def made(kind: type[tcp.Server], reactor: Any, client: tuple[Any, ...] = ("192.0.2.1", 9)) -> Any:
    ours, _ = socket.socketpair()
    port: Any = SimpleNamespace(_realPortNumber=443)
    return kind(ours, Protocol(), client, port, 7, reactor)


def test_it_has_all_that_twisteds_initialiser_gives() -> None:
    """A release of Twisted that sets something more is noticed here."""
    theirs, ours = made(tcp.Server, Watching()), made(Descriptor, Watching())
    texts = {"repstr"}  # for `repr`, which makes its own
    assert set() == {name for name in vars(theirs) if not hasattr(ours, name)} - texts
    for name in ("_tempDataBuffer", "_tempDataLen", "client", "sessionno", "hostname", "connected"):
        assert getattr(theirs, name) == getattr(ours, name)
    assert 0.0 == ours.socket.gettimeout()
    assert ours.fileno() == ours.socket.fileno()
    assert (repr(theirs), "Descriptor,7,192.0.2.1") == ("<Protocol #7 on 443>", ours.logPrefix())
    assert "<Descriptor #7 on 443>" == repr(ours)


@pytest.mark.parametrize(
    ("client", "kind"), [(("192.0.2.1", 9), IPv4Address), (("2001:db8::1", 9, 0, 0), IPv6Address)]
)
def test_it_knows_its_peer(client: tuple[Any, ...], kind: type[Any]) -> None:
    """By the family of the address that it was accepted from."""
    assert kind("TCP", *client) == made(Descriptor, Watching(), client).getPeer()


def test_the_reactor_is_told_only_of_changes() -> None:
    """Each telling costs a call into the reactor, if not into the kernel."""
    reactor = Watching()
    descriptor = made(Descriptor, reactor)
    descriptor.startReading()
    descriptor.stopWriting()
    descriptor.startWriting()
    descriptor.startWriting()
    descriptor.stopReading()
    descriptor.stopReading()
    descriptor.startReading()
    assert ["addReader", "addWriter", "removeReader", "addReader"] == reactor.told


def test_what_is_discarded_ends_with_the_stream_or_when_it_is_too_much() -> None:
    """A client that never ends must not be listened to for ever."""
    ours, theirs = socket.socketpair()
    port: Any = SimpleNamespace(_realPortNumber=443)
    descriptor = Descriptor(ours, Protocol(), ("192.0.2.1", 9), port, 1, Watching())
    assert not descriptor.discard()
    theirs.send(b"more")
    assert not descriptor.discard()
    theirs.close()
    assert descriptor.discard()

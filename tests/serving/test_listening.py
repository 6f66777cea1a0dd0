"""Addresses that come and go, bound before anything is given up."""

from __future__ import annotations

from typing import Any, cast

import pytest
from twisted.internet.error import CannotListenError

from mtlsedge.errors import ConfigurationError
from mtlsedge.model import Listen
from mtlsedge.serving.listening import Listeners
from mtlsedge.tls.port import TLSPort

A, B, C = (Listen("127.0.0.1", port) for port in (1, 2, 3))
ANY = Listen("127.0.0.1", 0)
TAKEN = Listen("127.0.0.1", 99)


class Port:
    """Stands for a listening port."""

    def __init__(self, listen: Listen) -> None:
        self.host, self.port = listen.host, listen.port
        self.open = True

    def stopListening(self) -> None:
        self.open = False

    def getHost(self) -> Port:
        return self


def bind(listen: Listen) -> TLSPort:
    if listen == TAKEN:
        raise CannotListenError("127.0.0.1", 99, OSError("taken"))
    return cast(TLSPort, Port(listen))


def listeners(*listens: Listen) -> Listeners:
    made = Listeners(bind)
    made.carry_out(made.change_to(listens))
    return made


def opened(ports: list[Any]) -> list[bool]:
    return [port.open for port in ports]


def test_what_stays_is_not_touched() -> None:
    """The same port by the same number, wherever it stands now."""
    there = listeners(A, B)
    before, (a, b) = there.ports, there.all
    change = there.change_to((B, C))
    assert ([True, True], (a, b)) == (opened(before), there.all)
    there.carry_out(change)
    assert (b, (3, C)) == (there.all[0], (there.all[1].number, there.all[1].listen))
    assert [False, True] == opened(before)


def test_two_of_the_same_are_two() -> None:
    """ "127.0.0.1:0" asks for any port, each time for another."""
    there = listeners(ANY, ANY)
    before = there.ports
    there.carry_out(there.change_to((ANY,)))
    assert (before[:1], [True, False]) == (there.ports, opened(before))
    there.carry_out(there.change_to((ANY, ANY, ANY)))
    assert (before[0], 3) == (there.ports[0], len(there.ports))


def test_what_cannot_be_bound_changes_nothing() -> None:
    """What was opened before it is closed again."""
    made: list[Any] = []

    def remember(listen: Listen) -> TLSPort:
        made.append(bind(listen))
        return cast(TLSPort, made[-1])

    there = Listeners(remember)
    there.carry_out(there.change_to((A,)))
    with pytest.raises(CannotListenError):
        there.change_to((B, C, TAKEN))
    with pytest.raises(ConfigurationError, match=r"edge\.listen: .*taken"):
        there.change_in_reload((B, TAKEN))
    assert [A] == [each.listen for each in there.all]
    assert [True, False, False, False] == opened(made)

"""The lobby: ticket keys that outlive configurations and forks, and no day longer."""

from __future__ import annotations

import os
import socket
import ssl
from contextlib import suppress
from types import SimpleNamespace

import pytest
from tls_serving import NAME, shake_in_memory, tls_host

from mtlsedge.names import NameTable
from mtlsedge.tls.hosts import HostTable, TLSHost
from mtlsedge.tls.lobby import KEYS_LAST, Lobby

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
VERSIONS = pytest.mark.parametrize("version", [TLS12, TLS13], ids=["tls12", "tls13"])
DAY = 86400.0


class Days:
    """A clock in seconds, and a lobby that looks at it."""

    def __init__(self, days: int = 1) -> None:
        self.seconds = 1_000_000.0
        self.lobby = Lobby(lambda: self.seconds, days)

    def advance(self, days: float) -> None:
        """Let time pass, and the lobby notice."""
        self.seconds += days * DAY
        self.lobby.turn_if_due()


class Visitor:
    """A client in memory that keeps the last session it was given."""

    def __init__(self, version: ssl.TLSVersion) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        self.context.minimum_version = self.context.maximum_version = version
        self.session: ssl.SSLSession | None = None

    def resumes(self, lobby: Lobby, *, at: HostTable | None = None) -> bool:
        """Shake hands, with the session of the time before; whether it was resumed."""
        newcomer = SimpleNamespace(host=None, server_name="", refusal="", proved={})
        server = lobby.receive(None, at or hosts(), newcomer)
        server.set_accept_state()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = self.context.wrap_bio(
            incoming, outgoing, server_hostname=NAME, session=self.session
        )
        shake_in_memory(client, incoming, outgoing, server, 4)
        with suppress(ssl.SSLWantReadError):
            client.read(1)  # the tickets of TLS 1.3
        self.session = client.session
        return bool(client.session_reused)


def hosts(resumption: str = "recheck") -> HostTable:
    """One host, made anew."""
    names: NameTable[TLSHost] = NameTable()
    names.add(NAME, tls_host(NAME, resumption=resumption))
    return HostTable(names)


@VERSIONS
def test_sessions_outlive_the_hosts_they_were_made_at(version: ssl.TLSVersion) -> None:
    """Every handshake here meets hosts of its own, as after a reload."""
    lobby, visitor = Lobby(), Visitor(version)
    assert [False, True, True] == [visitor.resumes(lobby) for _ in range(3)]


@VERSIONS
def test_ticket_keys_last_a_day(version: ssl.TLSVersion) -> None:
    """Not less, and not more."""
    time, visitor = Days(3), Visitor(version)
    visitor.resumes(time.lobby)
    time.advance(0.9)
    assert visitor.resumes(time.lobby)
    time.advance(0.1)
    assert not visitor.resumes(time.lobby)
    assert visitor.resumes(time.lobby)


def test_each_day_has_its_own_keys_also_when_those_dealt_are_spent() -> None:
    """Weeks without a look, and clocks that jump, are no more than a day that is over."""
    time, visitor = Days(2), Visitor(TLS13)
    visitor.resumes(time.lobby)
    for days in (1, 1, 1, 40, 1, 20_000):
        time.advance(days)
        assert [False, True] == [visitor.resumes(time.lobby) for _ in range(2)]
    time.advance(-30_000)
    assert visitor.resumes(time.lobby)
    assert KEYS_LAST == DAY


@VERSIONS
def test_processes_forked_of_one_have_the_same_keys_every_day(version: ssl.TLSVersion) -> None:
    """A session of the parent's day resumes in a child that has come to the same day by itself."""
    time, visitor = Days(3), Visitor(version)
    children = [forked(time, day) for day in range(3)]
    for day, (child, sock) in enumerate(children):
        time.advance(1 if day else 0)
        visitor.session = None
        visitor.resumes(time.lobby)
        with visitor.context.wrap_socket(
            sock, server_hostname=NAME, session=visitor.session
        ) as wrapped:
            assert wrapped.session_reused
        assert (child, 0) == os.waitpid(child, 0)


def forked(time: Days, days: int) -> tuple[int, socket.socket]:
    """A child that shakes hands once, some days from now, and the way to it."""
    here, there = socket.socketpair()
    child = os.fork()
    if child:
        there.close()
        here.settimeout(15)
        return child, here
    status = 1
    with suppress(Exception):  # whatever happens: a child must not go on with the tests
        time.advance(days)
        newcomer = SimpleNamespace(host=None, server_name="", refusal="", proved={})
        server = time.lobby.receive(there, hosts(), newcomer)
        server.set_accept_state()
        server.do_handshake()
        status = 0
    os._exit(status)

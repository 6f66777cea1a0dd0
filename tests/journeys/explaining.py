"""Questions to the edge, asked of a real process and of ``mtlsedge explain``."""

from __future__ import annotations

import os
import ssl
import time
from ipaddress import ip_address
from pathlib import Path
from random import Random

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mtlsedge.explain.account import Account
from mtlsedge.explain.asked import Asked, read_certificates, read_url
from mtlsedge.explain.command import load_configuration
from mtlsedge.explain.rehearsal import explain
from mtlsedge.explain.stage import Stage
from support import triples
from support.client import Client, Connection
from support.edge import Edge
from support.origin import CountingOrigin, Received
from support.stream import StreamEnded

_CHOSEN = os.environ.get("MTLSEDGE_FUZZ", "")
FULL = _CHOSEN == "full"
SEED = int(_CHOSEN) if _CHOSEN.isdigit() else 1


def question(random: Random, port: int) -> tuple[triples.Presented, Asked]:
    """Who asks, and for what."""
    who = triples.client(random)
    name = random.choice(triples.ASKED if random.random() < 0.95 else triples.STRANGERS)
    path, method, fields = triples.request(random)
    server_name, authority, _, target = read_url(f"https://{name or '127.0.0.1'}:{port}{path}")
    if name is None and random.random() < 0.7:
        authority = b"a.example.com"
    leaf, sent = (None, ()) if who.pair is None else read_certificates(who.pair.certificate)
    asked = Asked(
        path, server_name, authority, port, target, method, ip_address("127.0.0.1"), fields,
        time.time(), leaf, sent,
    )  # fmt: skip
    return who, asked


class Live:
    """Clients of the real process, one request after the other, on connections that are kept."""

    def __init__(self, edge: Edge, origin: CountingOrigin) -> None:
        self._edge = edge
        self._origin = origin
        self._clients: dict[str, Client] = {}
        self._open: dict[tuple[str, bytes | None], Connection] = {}

    def ask(self, who: triples.Presented, asked: Asked) -> tuple[int, Received | None]:
        """The status, 0 where the handshake failed; and what the origin got."""
        before = self._origin.count
        key = (who.name, asked.server_name)
        try:
            connection = self._open.get(key)
            if connection is None:
                connection = self._open[key] = self._connect(who, asked.server_name)
            answer = connection.request(asked.head())
        except (ssl.SSLError, ConnectionError, StreamEnded):
            connection = self._open.pop(key, None)
            if connection is not None:
                connection.close()
            return 0, None
        if "close" in (answer.header("Connection") or ""):
            self._open.pop(key).close()
        reached = self._origin.count > before
        return answer.status, self._origin.requests[-1] if reached else None

    def close(self) -> None:
        for connection in self._open.values():
            connection.close()

    def _connect(self, who: triples.Presented, name: bytes | None) -> Connection:
        client = self._clients.get(who.name)
        if client is None:
            client = self._clients[who.name] = Client(who.pair, names_checked=False)
        return client.connect(self._edge.port, name.decode() if name is not None else None)


def explained_all(config: Path, questions: list[Asked]) -> list[Account]:
    """What the command would say of each."""
    from twisted.internet import reactor

    stage = Stage(load_configuration(config), reactor, time.time())
    return [at_once(stage, asked) for asked in questions]


def at_once(stage: Stage, asked: Asked) -> Account:
    """The account of a question that nobody has to think about."""
    found: list[Account | Failure] = []
    Deferred.fromCoroutine(explain(stage, asked)).addBoth(found.append)
    (account,) = found
    if isinstance(account, Failure):
        account.raiseException()
    assert isinstance(account, Account)
    return account

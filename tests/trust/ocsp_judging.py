"""A judge that asks responders, at a time that a test moves."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from ocsp_making import Scripted, answer
from trust_pki import DAY, MOMENT, Minted, Moving, authority, client, client_ca, p256
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mtlsedge.identity import Identity
from mtlsedge.model import ClientCA, Ocsp
from mtlsedge.trust.judge import ClientTrust
from mtlsedge.trust.ocsp_status import StatusDesk
from support.verifiers import find_verifier

YEAR = 400 * DAY
ROOT = authority("Root", key=p256(0), end=MOMENT + YEAR)
LEAF = client("leaf", ROOT, key=p256(1), serial=0xA1, end=MOMENT + YEAR)
URL = "http://ocsp.example/"
_names = itertools.count()


def asking(*bundle: Minted, name: str = "", crls: Any = (), **more: Any) -> ClientCA:
    """A client CA whose certificates are asked about."""
    ocsp = Ocsp(**{"responders": (URL,), **more})
    name = name or f"ca {next(_names)}"  # nobody remembers what another test learnt
    return client_ca(*(bundle or (ROOT,)), name=name, ocsp=ocsp, crls=crls)


class Door:
    """A judge and its surroundings, at a time that a test moves."""

    def __init__(self, *cas: ClientCA, answers: Any = None, verifiers: Any = find_verifier) -> None:
        self.clock = Clock()
        self.time = Moving()
        self.post = Scripted(answers or (lambda _: answer(LEAF, ROOT)))
        self.desks = {
            ca.name: StatusDesk(ca.name, ca.ocsp, self.post, self.clock, self.time)
            for ca in cas
            if ca.ocsp is not None
        }
        self.judge = ClientTrust(cas, verifiers, self.clock, self.time, 0, self.desks)

    def come(self, leaf: Minted = LEAF, *sent: Minted) -> Identity | Deferred[Identity]:
        return self.judge.settle(leaf.der, [each.der for each in sent], "a.example")

    def settled(self, leaf: Minted = LEAF, *sent: Minted) -> Identity:
        identity = self.come(leaf, *sent)
        assert isinstance(identity, Identity)
        return identity

    def still(self, identity: Identity) -> Identity | None:
        return self.judge.still_good(identity, self.time.now)

    def change(self, identity: Identity) -> float:
        return self.judge.next_change(identity, self.time.now)

    def advance(self, seconds: float) -> None:
        self.time.now += seconds
        self.clock.advance(seconds)


def later(pending: list[Deferred[bytes]]) -> Callable[[bytes], Deferred[bytes]]:
    """Answers that come when a test gives them."""

    def make(_: bytes) -> Deferred[bytes]:
        pending.append(Deferred())
        return pending[-1]

    return make

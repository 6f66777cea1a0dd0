"""A host's judge, and clients to come before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trust_pki import NOW, Minted, authority, client, client_ca, crl, p256, pem, source
from twisted.internet.task import Clock

from mtlsedge.identity import Identity
from mtlsedge.model import ClientCA
from mtlsedge.trust.judge import ClientTrust
from support.verifiers import find_verifier

ROOT = authority("Root", key=p256(0))
OTHER = authority("Other", key=p256(2))
LEAF = client("c", ROOT, key=p256(1), serial=0xA1)
REVOKED = client("r", ROOT, key=p256(1), serial=0xB2)
CRL = source(pem(crl(ROOT, [0xB2])))


def trust(
    *cas: ClientCA,
    verifiers: dict[str, Any] | None = None,
    now: Callable[[], float] = lambda: NOW,
    clock: Clock | None = None,
) -> ClientTrust:
    find = verifiers.__getitem__ if verifiers is not None else find_verifier
    return ClientTrust(cas or (client_ca(ROOT),), find, clock or Clock(), now, 5.0)


def settled(judge: ClientTrust, leaf: Minted | None, *sent: Minted) -> Identity:
    identity = judge.settle(leaf and leaf.der, [each.der for each in sent], "a.example")
    assert isinstance(identity, Identity)
    return identity

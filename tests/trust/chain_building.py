"""Client CAs, clients, and whether the one leads to the other."""

from __future__ import annotations

from typing import Any

from trust_pki import NOW, Minted, authority, client, client_ca, p256, peer

from mtlsedge.identity import PeerChain
from mtlsedge.model import ClientCA
from mtlsedge.trust.authorities import Authority
from mtlsedge.trust.chains import ChainBuilder
from mtlsedge.trust.outcomes import Built, Failed

ROOT = authority("Root", key=p256(0))
OTHER = authority("Other", key=p256(2))
MIDDLE = authority("Middle", ROOT, key=p256(3))
LEAF = client("c", ROOT, key=p256(1))
LOW_LEAF = client("low", MIDDLE, key=p256(1))


def builder(*cas: ClientCA, now: Any = lambda: NOW) -> ChainBuilder:
    return ChainBuilder([Authority(ca) for ca in cas], now)


def build(presented: PeerChain, *cas: ClientCA) -> Built | Failed:
    return builder(*(cas or (client_ca(ROOT),))).build(presented)


def failed(presented: PeerChain, *cas: ClientCA) -> Failed:
    outcome = build(presented, *cas)
    assert isinstance(outcome, Failed)
    return outcome


def ders(*minted: Minted) -> list[bytes]:
    return [each.der for each in minted]


def chain_of(outcome: Built) -> list[bytes]:
    return [certificate.der for certificate in outcome.chain]


def other_client() -> PeerChain:
    return peer(client("c", OTHER, key=p256(1)))

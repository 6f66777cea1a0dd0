"""A client that comes back while what its verifiers said holds: nobody is asked again."""

from __future__ import annotations

import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from trust_pki import authority, p256
from twisted.internet.task import Clock

from mtlsedge import model
from mtlsedge.identity import Identity, PeerChain, Verdict
from mtlsedge.trust.asking import LONGEST_KEPT
from mtlsedge.trust.judge import ClientTrust
from support import certs

LEAF = certs.client("device-1")


class Told:
    """A verifier that says what it is told to, and counts."""

    def __init__(self, says: Verdict) -> None:
        self.says = says
        self.asked = 0

    def verify(self, peer: PeerChain, host: str) -> Verdict:
        self.asked += 1
        return self.says


class Scene:
    """A host whose one client CA has verifiers."""

    def __init__(self, match: Any = "all", **verifiers: Told) -> None:
        pem = certs.authority().certificate.public_bytes(Encoding.PEM)
        ca = model.ClientCA(
            "ca", pem, ("h", "other"), verifiers=tuple(verifiers), verifiers_match=match
        )
        self.now = time.time()
        made: Any = verifiers
        self.trust = ClientTrust([ca], lambda spec: made[spec], Clock(), lambda: self.now, 5.0)

    def comes(self, host: str = "h") -> Identity:
        """The client, to this host."""
        identity = self.trust.settle(LEAF.der, (), host)
        assert isinstance(identity, Identity)
        return identity


def kept(seconds: float, accepted: bool = True, **attributes: str) -> Verdict:
    """A verdict that holds for so long."""
    return Verdict(accepted, attributes=attributes, cache_for=seconds)


def test_it_is_the_same_identity_until_a_word_ends() -> None:
    """The first that does; then everybody whose word has ended is heard again."""
    one, two = Told(kept(10, ward="3")), Told(kept(30))
    scene = Scene(one=one, two=two)
    first = scene.comes()
    assert (True, {"ward": "3"}) == (first.verified, dict(first.attributes))
    one.says = two.says = kept(10, accepted=False)
    scene.now += 9.9
    assert first is scene.comes()
    assert (1, 1) == (one.asked, two.asked)
    scene.now += 0.1
    assert not scene.comes().verified
    assert (2, 1) == (one.asked, two.asked)


@pytest.mark.parametrize("match", ["all", "any"])
def test_one_word_for_a_single_handshake_is_asked_for_in_each(match: str) -> None:
    """Whatever the others say."""
    says = match == "all"
    brief, lasting = Told(kept(0, says)), Told(kept(60))
    scene = Scene(match, brief=brief, lasting=lasting)
    for number in range(1, 4):
        assert scene.comes().verified
        assert (number, 1) == (brief.asked, lasting.asked)


def test_another_host_is_another_question() -> None:
    """A verifier may tell hosts apart."""
    one = Told(kept(60))
    scene = Scene(one=one)
    scene.comes()
    scene.comes()
    one.says = kept(60, accepted=False)
    assert [True, False] == [scene.comes().verified, scene.comes("other").verified]


def test_a_no_and_a_clock_that_is_set_back_are_heard_again() -> None:
    """What is remembered lets nobody in that the verifier's own desk would not."""
    one = Told(kept(60))
    scene = Scene(one=one)
    scene.comes()
    one.says = kept(60, accepted=False)
    scene.now -= 100_000
    assert not scene.comes().verified
    one.says = kept(60)
    scene.now += 200_000
    assert scene.comes().verified


def test_a_certificate_that_ends_does_so_while_words_hold() -> None:
    """Its time is looked at each time."""
    scene = Scene(one=Told(kept(3600)))
    chain = scene.comes().chain
    assert chain is not None
    scene.now = chain.leaf.not_after - 10
    assert scene.comes().verified
    scene.now += 11.5
    assert not scene.comes().verified


def test_nothing_is_kept_for_longer_than_a_day() -> None:
    """Whatever a verifier says."""
    one = Told(kept(1e9))
    scene = Scene(one=one)
    scene.comes("other")  # so that the chain is known, and the first word is remembered
    for after in (0.0, LONGEST_KEPT - 1, 2.0):
        scene.now += after
        scene.comes()
    assert 1 + 2 == one.asked


def test_who_no_verifier_is_about_is_the_same_each_time() -> None:
    """The host has another client CA, and that one has verifiers."""
    other = authority("Other", key=p256(0)).pem
    pem = certs.authority().certificate.public_bytes(Encoding.PEM)
    cas = [model.ClientCA("a", other, ("h",), verifiers=("v",)), model.ClientCA("b", pem, ("h",))]
    verifier: Any = Told(kept(60, accepted=False))
    trust = ClientTrust(cas, lambda spec: verifier, Clock(), time.time, 5.0)
    trust.settle(LEAF.der, (), "h")
    first, again = (trust.settle(LEAF.der, (), "h") for _ in range(2))
    assert first is again
    assert isinstance(first, Identity)
    assert (True, ("b",)) == (first.verified, first.client_cas)
    assert 0 == verifier.asked

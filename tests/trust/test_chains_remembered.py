"""A chain is built once, and what is remembered of it never outlives what it rests on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from chain_building import LEAF, LOW_LEAF, MIDDLE, ROOT, builder, chain_of, ders, other_client
from cryptography import x509
from trust_pki import MOMENT, Moving, authority, client, client_ca, mint, p256, peer

from mtlsedge.identity import Reason
from mtlsedge.trust import chains
from mtlsedge.trust.authorities import Authority
from mtlsedge.trust.caches import BoundedCache
from mtlsedge.trust.outcomes import Built, Failed


def count_attempts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    tried: list[str] = []
    original = Authority.chain

    def chain(self: Authority, *arguments: Any) -> tuple[bytes, ...]:
        tried.append(self.name)
        return original(self, *arguments)

    monkeypatch.setattr(Authority, "chain", chain)
    return tried


def test_a_chain_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same certificates again are a look-up; others are not."""
    tried = count_attempts(monkeypatch)
    chain_builder = builder(client_ca(ROOT))
    first = chain_builder.build(peer(LEAF))
    assert first is chain_builder.build(peer(LEAF))
    assert ["ca"] == tried
    chain_builder.build(peer(LEAF, MIDDLE))
    assert ["ca", "ca"] == tried


def test_builders_of_the_same_client_cas_remember_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As those of a configuration and of the next; of others, nothing is remembered."""
    tried = count_attempts(monkeypatch)
    first = builder(client_ca(ROOT)).build(peer(LEAF))
    assert first is builder(client_ca(ROOT)).build(peer(LEAF))
    assert ["ca"] == tried
    for others in (
        [client_ca(ROOT, name="b")],
        [client_ca(ROOT, MIDDLE)],
        [client_ca(ROOT), client_ca(authority("Other", key=p256(2)), name="c")],
    ):
        assert first is not builder(*others).build(peer(LEAF))
    assert ["ca", "b", "ca", "ca"] == tried


def test_what_is_remembered_ends_when_its_first_certificate_does() -> None:
    """The clock is looked at every time."""
    now = Moving()
    chain_builder = builder(client_ca(ROOT), now=now)
    assert isinstance(chain_builder.build(peer(LEAF)), Built)
    now.now = LEAF.read.not_after + 1
    outcome = chain_builder.build(peer(LEAF))
    assert isinstance(outcome, Failed)
    assert Reason.EXPIRED is outcome.reason


def test_a_refusal_is_never_remembered() -> None:
    """What was too early is right later; and strangers fill no memory."""
    now = Moving()
    early = client("c", ROOT, key=p256(1), start=MOMENT + timedelta(minutes=1))
    chain_builder = builder(client_ca(ROOT), now=now)
    assert isinstance(chain_builder.build(peer(early)), Failed)
    assert 0 == len(chain_builder._built)
    now.now += 61
    assert isinstance(chain_builder.build(peer(early)), Built)


def test_only_the_client_cas_that_a_chain_mentions_are_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thousand client CAs cost a look-up."""
    tried = count_attempts(monkeypatch)
    many = [client_ca(authority(f"CA {n}", key=p256(2)), name=f"ca-{n}") for n in range(50)]
    leaf = client("c", authority("CA 7", key=p256(2)), key=p256(1))
    chain_builder = builder(*many)
    assert isinstance(chain_builder.build(peer(leaf)), Built)
    chain_builder.build(other_client())
    assert ["ca-7"] == tried


def test_a_resumed_session_is_judged_with_the_intermediates_of_the_first() -> None:
    """The chain that was sent is gone then; without it the leaf would be a stranger."""
    chain_builder = builder(client_ca(ROOT))
    assert isinstance(chain_builder.build(peer(LOW_LEAF)), Failed)
    chain_builder.build(peer(LOW_LEAF, MIDDLE))
    outcome = chain_builder.build(peer(LOW_LEAF))
    assert isinstance(outcome, Built)
    assert ders(LOW_LEAF, MIDDLE, ROOT) == chain_of(outcome)
    assert isinstance(chain_builder.build(peer(client("x", MIDDLE, key=p256(1)))), Failed)


def test_remembered_intermediates_are_judged_again() -> None:
    """They help to build and prove nothing: an end in the chain is an end."""
    now = Moving()
    short = authority("Short", ROOT, key=p256(4), end=MOMENT + timedelta(hours=1))
    leaf = client("c", short, key=p256(1))
    chain_builder = builder(client_ca(ROOT), now=now)
    assert isinstance(chain_builder.build(peer(leaf, short)), Built)
    now.now += 3601
    outcome = chain_builder.build(peer(leaf))
    assert isinstance(outcome, Failed)
    assert (Reason.EXPIRED, 1) == (outcome.reason, outcome.depth)


def test_both_memories_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By count, for all hosts together, and what is long is not kept at all."""
    for name in ("_built", "_intermediates"):
        monkeypatch.setattr(chains, name, BoundedCache(3))
    for number in range(6):
        chain_builder = builder(client_ca(ROOT, name=f"ca-{number % 2}"))
        leaf = client(f"c{number}", MIDDLE, key=p256(1))
        assert isinstance(chain_builder.build(peer(leaf, MIDDLE)), Built)
    assert (3, 3) == (len(chain_builder._built), len(chain_builder._intermediates))
    padding = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), bytes(17_000)), False)
    long = mint("long", ROOT, key=p256(1), extensions=[padding])
    before = list(chain_builder._built._entries)
    assert isinstance(chain_builder.build(peer(long)), Built)
    assert before == list(chain_builder._built._entries)


def test_a_remembered_chain_is_not_valid_before_its_time() -> None:
    """A clock that was ahead and is put right leaves nobody admitted early."""
    now = Moving()
    now.now += 120
    early = client("c", ROOT, key=p256(1), start=MOMENT + timedelta(minutes=1))
    chain_builder = builder(client_ca(ROOT), now=now)
    assert isinstance(chain_builder.build(peer(early)), Built)
    now.now -= 120
    outcome = chain_builder.build(peer(early))
    assert isinstance(outcome, Failed)
    assert Reason.NOT_YET_VALID is outcome.reason

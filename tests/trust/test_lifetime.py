"""Is who was let in still good? Every way to stop being so, and when."""

from __future__ import annotations

import math
from typing import Any

import pytest
from trust_pki import (
    DAY,
    MOMENT,
    NOW,
    Minted,
    Moving,
    authority,
    client,
    client_ca,
    crl,
    p256,
    pem,
    source,
)
from twisted.internet.task import Clock

from mtlsedge.identity import ANONYMOUS, Identity, Reason
from mtlsedge.trust import chains
from mtlsedge.trust.judge import ClientTrust
from support.verifiers import find_verifier

ROOT = authority("Root", key=p256(0))
MIDDLE = authority("Middle", ROOT, key=p256(3), end=MOMENT + DAY / 2)
LEAF = client("leaf", ROOT, key=p256(1), serial=0xA1)
LOW = client("low", MIDDLE, key=p256(1), serial=0xC3)
HOUR = DAY / 24
FRESH = {"start": MOMENT - HOUR}


def trust(*cas: Any, clock: Moving | None = None) -> ClientTrust:
    return ClientTrust(cas, find_verifier, Clock(), clock or Moving(), 0)


def listing(data: bytes, *bundle: Minted, name: str = "ca", **more: Any) -> Any:
    return client_ca(*(bundle or (ROOT,)), name=name, crls=(source(data),), **more)


def settled(judge: ClientTrust, leaf: Minted = LEAF, *sent: Minted) -> Identity:
    identity = judge.settle(leaf.der, [each.der for each in sent], "a.example")
    assert isinstance(identity, Identity)
    assert identity.verified, identity.detail
    return identity


def reason(identity: Identity | None) -> Reason | None:
    return None if identity is None else identity.reason


def test_an_identity_stands_as_long_as_nothing_happens() -> None:
    """Asked again and again, the answer is that nothing changed."""
    judge = trust(listing(pem(crl(ROOT))))
    identity = settled(judge)
    assert None is judge.still_good(identity, NOW)
    assert None is judge.still_good(identity, NOW + 3600)


def test_a_revocation_ends_it_and_no_other() -> None:
    """Exactly the listed ones."""
    judge = trust(listing(pem(crl(ROOT, number=1))))
    other = client("other", ROOT, key=p256(1), serial=0xA2)
    first, second = settled(judge), settled(judge, other)
    lists = judge.lists["ca"]
    assert lists.replace("ca.crl", pem(crl(ROOT, [0xA1], number=2, **FRESH)), NOW).changed
    refused = judge.still_good(first, NOW)
    assert refused is not None
    assert (False, Reason.REVOKED) == (refused.verified, refused.reason)
    assert "is revoked by ca.crl" in refused.detail
    assert None is judge.still_good(second, NOW)


def test_a_revoked_intermediate_ends_what_it_issued() -> None:
    """Also a client's own, which the operator's bundle does not have."""
    judge = trust(listing(pem(crl(ROOT, number=1), crl(MIDDLE))))
    low, leaf = settled(judge, LOW, MIDDLE), settled(judge)
    new = crl(ROOT, [MIDDLE.x509.serial_number], number=2, **FRESH)
    judge.lists["ca"].replace("ca.crl", pem(new), NOW)
    assert Reason.REVOKED is reason(judge.still_good(low, NOW))
    assert None is judge.still_good(leaf, NOW)


@pytest.mark.parametrize(("policy", "expected"), [("require", Reason.CRL_UNUSABLE), ("warn", None)])
def test_a_list_that_goes_stale_ends_it_if_lists_are_required(policy: str, expected: Any) -> None:
    """At the second of its nextUpdate and its grace."""
    data = pem(crl(ROOT, end=MOMENT + HOUR))
    judge = trust(listing(data, crl_policy=policy, crl_grace=60.0))
    identity = settled(judge)
    assert NOW + 3660 == judge.next_change(identity, NOW)
    assert None is judge.still_good(identity, NOW + 3659)
    assert expected is reason(judge.still_good(identity, NOW + 3660))


def test_the_end_of_a_certificate_ends_it() -> None:
    """The leaf's, or that of a CA above it."""
    judge = trust(client_ca(ROOT))
    leaf, low = settled(judge), settled(judge, LOW, MIDDLE)
    assert NOW + 86401 == judge.next_change(leaf, NOW)
    assert NOW + 43201 == judge.next_change(low, NOW)
    assert None is judge.still_good(low, NOW + 43200.9)
    assert Reason.EXPIRED is reason(judge.still_good(low, NOW + 43201))
    assert None is judge.still_good(leaf, NOW + 43201)
    assert Reason.EXPIRED is reason(judge.still_good(leaf, NOW + 86401))


def test_an_intermediate_that_was_renewed_keeps_it() -> None:
    """The chain that the client brought ends; the operator's bundle has another."""
    renewed = authority("Middle", ROOT, key=p256(3), end=MOMENT + 5 * DAY)
    judge = trust(client_ca(ROOT, renewed))
    identity = settled(judge, LOW, MIDDLE)
    assert None is judge.still_good(identity, NOW + 43201)


def test_the_next_change_is_the_first_of_all() -> None:
    """A list that begins later is one; nothing is left after the last."""
    soon = crl(ROOT, [0xA1], number=2, start=MOMENT + HOUR)
    judge = trust(listing(pem(crl(ROOT, number=1), soon)))
    identity = settled(judge)
    assert NOW + 3600 == judge.next_change(identity, NOW)
    assert None is judge.still_good(identity, NOW + 3599)
    assert Reason.REVOKED is reason(judge.still_good(identity, NOW + 3600))


def test_who_proved_nothing_has_nothing_to_lose() -> None:
    """Whoever was refused, or had no certificate, stays what it is."""
    judge = trust(listing(pem(crl(ROOT, [0xA1]))))
    refused = judge.settle(LEAF.der, [], "a.example")
    assert isinstance(refused, Identity)
    assert not refused.verified
    for identity in (ANONYMOUS, refused):
        assert None is judge.still_good(identity, NOW + 10**9)
        assert math.inf == judge.next_change(identity, NOW)


# -- several client CAs -----------------------------------------------------------------------


def test_of_two_client_cas_one_word_of_revocation_is_enough() -> None:
    """Whichever of them names the list; as when the connection began."""
    judge = trust(client_ca(ROOT, name="plain"), listing(pem(crl(ROOT)), name="listing"))
    identity = settled(judge)
    assert ("plain", "listing") == identity.client_cas
    assert None is judge.still_good(identity, NOW)
    new = crl(ROOT, [0xA1], number=2, **FRESH)
    judge.lists["listing"].replace("ca.crl", pem(new), NOW)
    assert Reason.REVOKED is reason(judge.still_good(identity, NOW))


def test_a_client_ca_that_did_not_count_at_first_may_revoke_all_the_same() -> None:
    """Its list could not be used when the connection began, and now it can."""
    judge = trust(client_ca(ROOT, name="plain"), listing(b"damaged", name="listing"))
    identity = settled(judge)
    assert ("plain",) == identity.client_cas
    assert None is judge.still_good(identity, NOW)
    judge.lists["listing"].replace("ca.crl", pem(crl(ROOT, [0xA1])), NOW)
    assert Reason.REVOKED is reason(judge.still_good(identity, NOW))


def test_an_identity_may_lose_one_of_its_client_cas() -> None:
    """It is another identity then: rules may have named the one it lost."""
    data = pem(crl(ROOT, end=MOMENT + HOUR))
    judge = trust(client_ca(ROOT, name="plain"), listing(data, name="listing"))
    identity = settled(judge)
    assert NOW + 3600 == judge.next_change(identity, NOW)
    later = judge.still_good(identity, NOW + 3600)
    assert later is not None
    assert (True, ("plain",)) == (later.verified, later.client_cas)
    assert identity.chain == later.chain
    assert ((), ["listing"]) == (identity.in_doubt, [name for name, _ in later.in_doubt])
    assert None is judge.still_good(later, NOW + 3600)


def test_a_client_ca_that_the_host_has_no_more_ends_it() -> None:
    """Asked of the judge that a reload made."""
    identity = settled(trust(client_ca(ROOT, name="old")))
    other = authority("Other", key=p256(2))
    assert Reason.UNTRUSTED is reason(trust(client_ca(other)).still_good(identity, NOW))
    renamed = trust(client_ca(ROOT, name="new"))
    assert Reason.UNTRUSTED is reason(renamed.still_good(identity, NOW))
    assert NOW == renamed.next_change(identity, NOW)


def test_it_needs_no_chain_that_was_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed session sent no intermediates, and the cache has long forgotten them."""
    judge = trust(client_ca(ROOT), client_ca(authority("Other", key=p256(2)), name="other"))
    settled(judge, LOW, MIDDLE)
    identity = settled(judge, LOW)
    assert identity.chain is not None
    assert () == identity.chain.sent
    for cache in (chains._built, chains._intermediates):
        cache._entries.clear()
    assert None is judge.still_good(identity, NOW)
    assert NOW + 43201 == judge.next_change(identity, NOW)


def test_a_policy_that_was_added_holds_for_open_connections() -> None:
    """The judge that a reload made demands what the one before did not."""
    identity = settled(trust(client_ca(ROOT)))
    demanding = trust(client_ca(ROOT, required_policies=("1.2.3",)))
    assert Reason.UNFIT is reason(demanding.still_good(identity, NOW))

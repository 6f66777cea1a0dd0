"""How the lists are, as values and in words, before a client finds out."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from cryptography import x509
from trust_pki import DAY, MOMENT, NOW, authority, client, client_ca, crl, p256, pem, scope, source
from twisted.internet.task import Clock

from mtlsedge.trust.crl_health import CrlHealth
from mtlsedge.trust.judge import ClientTrust
from support.verifiers import find_verifier

ROOT = authority("Root", key=p256(0), end=MOMENT + 90 * DAY)
LOWER = authority("Lower", ROOT, key=p256(3), end=MOMENT + 90 * DAY)


def trust(*data: bytes, bundle: Any = (ROOT,), **more: Any) -> ClientTrust:
    sources = tuple(source(each, f"{number}.crl") for number, each in enumerate(data))
    ca = client_ca(*bundle, crls=sources, **more)
    return ClientTrust([ca], find_verifier, Clock(), lambda: NOW, 0)


def only(judge: ClientTrust, now: float = NOW) -> CrlHealth:
    (health,) = judge.health(now)
    return health


def test_the_health_of_a_list_says_how_old_it_is_and_how_long_it_lasts() -> None:
    """With its number, its entries, its place and its client CA."""
    data = pem(crl(ROOT, [1 << 70, 2 << 70], number=7, end=MOMENT + 2 * DAY))
    expected = CrlHealth(
        place="0.crl",
        issuer="CN=Root",
        kind="complete",
        number=7,
        this_update=NOW - 86400,
        next_update=NOW + 172800,
        age=86400 + 60,
        remaining=172800 + 10 - 60,
        entries=2,
        usable=True,
        error="",
        client_ca="ca",
    )
    assert expected == only(trust(data, crl_grace=10.0), NOW + 60)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (pem(crl(ROOT, end=MOMENT)), "it is stale since"),
        (pem(crl(ROOT, start=MOMENT + DAY / 2)), "it is not valid before"),
        (pem(crl(ROOT, key=p256(2))), "it is not signed by its issuer"),
        (b"damaged", "0.crl: not a CRL"),
        (b"", "0.crl is empty"),
    ],
)
def test_what_cannot_be_used_says_why(data: bytes, words: str) -> None:
    """And a place without any list is there, too."""
    health = only(trust(data))
    assert not health.usable
    assert words in health.error


def test_the_last_error_of_a_place_stands_beside_the_list_that_serves() -> None:
    """It is usable, and somebody should look."""
    judge = trust(pem(crl(ROOT)))
    judge.lists["ca"].replace("0.crl", b"damaged", NOW)
    health = only(judge)
    assert health.usable
    assert "not a CRL" in health.error


def test_deltas_and_indirect_lists_are_called_so() -> None:
    """What a person sees in the table."""
    delta = crl(ROOT, number=2, extensions=[(x509.DeltaCRLIndicator(1), True)])
    indirect = crl(ROOT, extensions=[scope(indirect_crl=True)])
    found = trust(pem(crl(ROOT)), pem(delta), pem(indirect)).health(NOW)
    assert ["complete", "delta", "indirect"] == [health.kind for health in found]


def test_a_list_in_its_last_days_is_warned_of() -> None:
    """The last tenth of its life, and a week at the most."""
    short = trust(pem(crl(ROOT, start=MOMENT - 9 * DAY, end=MOMENT + 1.1 * DAY)))
    assert () == short.troubles()
    short = trust(pem(crl(ROOT, start=MOMENT - 9 * DAY, end=MOMENT + 0.9 * DAY)))
    assert "goes stale at 2027-01-16T05:36:00Z; put a new one there before" in short.troubles()[0]
    long = trust(pem(crl(ROOT, start=MOMENT - 300 * DAY, end=MOMENT + 8 * DAY)))
    assert () == long.troubles()
    long = trust(pem(crl(ROOT, start=MOMENT - 300 * DAY, end=MOMENT + 6 * DAY)))
    assert 1 == len(long.troubles())


def test_the_state_of_a_list_is_one_word_and_lasts_until_its_next_change() -> None:
    """Good, then ending in its last tenth, then unusable; failing where its place is spoiled."""
    judge = trust(pem(crl(ROOT, start=MOMENT - 9 * DAY, end=MOMENT + 1.1 * DAY)))
    health = only(judge)
    late = health.next_change(NOW)
    assert NOW + 1.1 * 86400 - 1.01 * 86400 == pytest.approx(late)
    assert ["good", "ending"] == [only(judge, late + d).state for d in (-1, 1)]
    stale = only(judge, late + 1).next_change(late + 1)
    assert NOW + 1.1 * 86400 == pytest.approx(stale)
    assert "unusable" == only(judge, stale + 1).state
    assert inf == only(judge, stale + 1).next_change(stale + 1)
    judge.lists["ca"].replace("0.crl", b"damaged", NOW)
    assert "failing" == only(judge).state


def test_a_list_of_tomorrow_changes_tomorrow() -> None:
    """When it begins to count."""
    judge = trust(pem(crl(ROOT, start=MOMENT + DAY / 2, end=MOMENT + 90 * DAY)))
    assert ("unusable", NOW + 43200) == (only(judge).state, only(judge).next_change(NOW))
    assert "good" == only(judge, NOW + 43200).state


def test_a_list_of_tomorrow_beside_the_one_of_today_closes_nobody_out() -> None:
    """Today's serves until then, and nobody is told that there is none; the clocks are."""
    judge = trust(pem(crl(ROOT)))
    tomorrow = crl(ROOT, number=9, start=MOMENT + DAY / 2, end=MOMENT + 2 * DAY)
    judge.lists["ca"].replace("0.crl", pem(tomorrow), NOW)
    assert {"ca": ()} == judge.closed(NOW)
    assert {"failing", "unusable"} == {each.state for each in judge.health(NOW)}
    assert all("check the clocks" in each.error for each in judge.health(NOW))
    assert not any("no usable CRL" in trouble for trouble in judge.troubles())
    reloaded = trust(pem(tomorrow))
    assert {"ca": ("CN=Root",)} == reloaded.closed(NOW)
    reloaded.adopt(judge.lists)
    assert {"ca": ()} == reloaded.closed(NOW)
    leaf = client("leaf", ROOT, key=p256(1))
    assert getattr(reloaded.settle(leaf.der, [], "a.example"), "verified", False)


def test_an_issuer_without_a_usable_list_is_closed() -> None:
    """By client CA, for `mtlsedge check`; a client CA that only warns closes nobody out."""
    judge = trust(pem(crl(ROOT)), bundle=(ROOT, LOWER))
    assert {"ca": ("CN=Lower",)} == judge.closed(NOW)
    assert {"ca": ("CN=Root", "CN=Lower")} == judge.closed(NOW + 86400)
    assert {"ca": ()} == trust(b"", crl_policy="warn").closed(NOW)
    assert {"ca": ()} == trust().closed(NOW)


def test_lists_for_some_certificates_only_do_not_make_an_issuer_closed() -> None:
    """Whether they speak of a certificate depends on it."""
    users = crl(ROOT, extensions=[scope(only_contains_user_certs=True)])
    assert {"ca": ()} == trust(pem(users)).closed(NOW)
    indirect = crl(ROOT, extensions=[scope(indirect_crl=True)])
    assert {"ca": ()} == trust(pem(indirect), bundle=(ROOT, LOWER)).closed(NOW)


def test_a_list_whose_number_is_endless_is_unusable_and_can_be_told() -> None:
    """RFC 5280 §5.2.3: 20 octets. Python writes no number of 6,000 digits into a log."""
    endless = only(trust(pem(crl(ROOT, number=2**20_000))))
    assert ("unusable", 0) == (endless.state, endless.number)
    assert "more than 20 octets" in endless.error
    longest = only(trust(pem(crl(ROOT, number=2**159))))
    assert 2**159 == longest.number


def test_an_issuer_s_name_ends_no_line_of_a_log() -> None:
    """Whoever answers in a CRL server's place may write what they like into it."""
    evil = authority("evil\nfake line\x1b[2J\u202e", key=p256(3))
    issuer = only(trust(pem(crl(evil)))).issuer
    assert issuer.isprintable()

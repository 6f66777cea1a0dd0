"""Lists that are replaced while the edge serves: the better one stays, and no door opens."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from trust_pki import (
    DAY,
    MOMENT,
    NOW,
    Minted,
    authority,
    client,
    client_ca,
    p256,
    pem,
    scope,
    source,
)
from trust_pki import crl as any_crl
from twisted.internet.task import Clock

from mtlsedge.errors import BadCrl
from mtlsedge.identity import Reason
from mtlsedge.trust.crl_issuers import CrlIssuers
from mtlsedge.trust.judge import ClientTrust
from mtlsedge.trust.outcomes import Failed
from mtlsedge.trust.revocation import RevocationLists
from support.verifiers import find_verifier

ROOT = authority("Root", key=p256(0))
OTHER = authority("Other", key=p256(2))
GOOD = client("good", ROOT, key=p256(1), serial=0xA1)
BAD = client("bad", ROOT, key=p256(1), serial=0xB2)
KNOWN = CrlIssuers([ROOT.read], [], [ROOT.der])
HOUR = DAY / 24


def crl(issuer: Minted, serials: Any = (), **more: Any) -> x509.CertificateRevocationList:
    """A list of an hour ago."""
    return any_crl(issuer, serials, **{"start": MOMENT - HOUR, **more})


FIRST = crl(ROOT, [0xB2], number=1, start=MOMENT - 2 * HOUR)
"""What serves at first, and revokes one of two."""


def serving(*lists: x509.CertificateRevocationList, **more: Any) -> RevocationLists:
    data = pem(*(lists or (FIRST,)))
    return RevocationLists([source(data)], "require", issuers=KNOWN, **more)


def check(lists: RevocationLists, minted: Minted, now: float = NOW) -> Failed | None:
    return lists.check((minted.read, ROOT.read), now)


def holds(lists: RevocationLists, now: float = NOW) -> bool:
    """Whether the first list serves on: one is good, the other revoked."""
    revoked = check(lists, BAD, now)
    return check(lists, GOOD, now) is None and revoked is not None


# -- better ones ------------------------------------------------------------------------------


def test_a_newer_list_takes_over_at_once() -> None:
    """For certificates that were judged before, too."""
    lists = serving()
    assert None is check(lists, GOOD)
    replaced = lists.replace("ca.crl", pem(crl(ROOT, [0xA1, 0xB2], number=2)), NOW)
    assert None is not check(lists, GOOD)
    assert (True, ("CN=Root",), ()) == (replaced.changed, replaced.issuers, replaced.problems)


def test_a_certificate_on_hold_may_come_back() -> None:
    """What is newer counts, also where it has fewer entries."""
    lists = serving()
    assert lists.replace("ca.crl", pem(crl(ROOT, number=2)), NOW).changed
    assert None is check(lists, BAD)


def test_the_same_content_again_changes_nothing() -> None:
    """A file that was touched, or fetched again."""
    lists = serving()
    replaced = lists.replace("ca.crl", pem(FIRST), NOW)
    assert (False, ()) == (replaced.changed, replaced.problems)
    assert holds(lists)


def test_two_lists_of_one_second_are_taken_in_the_order_they_come() -> None:
    """`cfssl gencrl` twice within a second: no number, and the same thisUpdate."""
    lists = serving(crl(ROOT, number=None, start=MOMENT - HOUR))
    second = crl(ROOT, [0xB2], number=None, start=MOMENT - HOUR)
    assert lists.replace("ca.crl", pem(second), NOW).changed
    assert holds(lists)


def test_a_list_can_come_where_there_was_none() -> None:
    """Damaged at start, and put right later."""
    lists = RevocationLists([source(b"damaged")], "require", issuers=KNOWN)
    assert None is not check(lists, GOOD)
    assert lists.replace("ca.crl", pem(FIRST), NOW).changed
    assert holds(lists)
    assert () == lists.warnings


def test_a_stale_list_is_replaced_by_anything_newer() -> None:
    """Even by one that is stale as well: both close, and the newer one knows more."""
    stale = crl(ROOT, number=1, start=MOMENT - 3 * DAY, end=MOMENT - 2 * DAY)
    newer = crl(ROOT, [0xB2], number=2, start=MOMENT - 2 * DAY, end=MOMENT - DAY)
    lists = serving(stale)
    assert lists.replace("ca.crl", pem(newer), NOW).changed
    assert "2027-01-14" in str(check(lists, GOOD))


def test_a_place_may_hold_lists_of_several_issuers() -> None:
    """Each has its own line of succession."""
    known = CrlIssuers([ROOT.read, OTHER.read], [], [ROOT.der, OTHER.der])
    both = pem(FIRST, crl(OTHER, number=7))
    lists = RevocationLists([source(both)], "require", issuers=known)
    replaced = lists.replace("ca.crl", pem(FIRST, crl(OTHER, [0xC3], number=8)), NOW)
    assert ("CN=Other",) == replaced.issuers
    assert holds(lists)
    theirs = client("c", OTHER, key=p256(1), serial=0xC3)
    assert None is not lists.check((theirs.read, OTHER.read), NOW)


# -- worse ones -------------------------------------------------------------------------------

WORSE: list[tuple[str, Callable[[], bytes], str]] = [
    ("empty", lambda: b"", "ca.crl is empty: put a CRL there"),
    ("truncated", lambda: pem(crl(ROOT, number=2))[:-40], "no -----END X509 CRL----- line"),
    ("garbage", lambda: b"<html>502 Bad Gateway</html>", "make it again"),
    ("another issuer's", lambda: pem(crl(OTHER)), "no longer holds a CRL of CN=Root"),
    ("unsigned", lambda: pem(crl(ROOT, number=2, key=p256(2))), "is not signed by"),
    (
        "stale",
        lambda: pem(crl(ROOT, number=2, start=MOMENT - HOUR, end=MOMENT)),
        "is not taken: it is stale since 2027-01-15T08:00:00Z",
    ),
    ("future-dated", lambda: pem(crl(ROOT, number=2, start=MOMENT + HOUR)), "check the clocks"),
    (
        "older",
        lambda: pem(crl(ROOT, number=0, start=MOMENT - 3 * HOUR)),
        "older than the one of 2027-01-15T06:00:00Z that serves",
    ),
    (
        "of the same time and a lower number",
        lambda: pem(crl(ROOT, number=0, start=MOMENT - 2 * HOUR)),
        "older than",
    ),
    (
        "with an unknown critical extension",
        lambda: pem(
            crl(
                ROOT,
                number=2,
                extensions=[
                    (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\5\0"), True)
                ],
            )
        ),
        "critical extension that is not known",
    ),
    (
        "about some certificates only",
        lambda: pem(crl(ROOT, number=2, extensions=[scope(only_contains_ca_certs=True)])),
        "no longer holds a CRL of CN=Root",
    ),
    (
        "a delta without its base",
        lambda: pem(crl(ROOT, number=9, extensions=[(x509.DeltaCRLIndicator(8), True)])),
        "no longer holds a CRL of CN=Root",
    ),
]


@pytest.mark.parametrize(("what", "data", "words"), WORSE, ids=[what for what, _, _ in WORSE])
def test_what_is_worse_does_not_take_over(what: str, data: Callable[[], bytes], words: str) -> None:
    """The last good one serves on until it goes stale, and then the door is closed."""
    lists = serving()
    replaced = lists.replace("ca.crl", data(), NOW)
    told = " ".join(replaced.problems)
    assert "ca.crl" in told
    assert words in told
    assert replaced.problems == lists.warnings
    assert holds(lists)
    assert holds(lists, NOW + 1800)
    ends = check(lists, GOOD, NOW + 86400)
    assert ends is None or ends.reason is Reason.CRL_UNUSABLE
    assert ends is not None or what == "future-dated"


@pytest.mark.parametrize(("what", "data", "words"), WORSE, ids=[what for what, _, _ in WORSE])
def test_what_is_worse_opens_nothing_at_start(
    what: str, data: Callable[[], bytes], words: str
) -> None:
    """Alone it is no list; but an older one is good as long as it is not stale."""
    lists = RevocationLists([source(data())], "require", issuers=KNOWN)
    outcome = check(lists, GOOD)
    if "older" in what or "lower number" in what:
        assert None is outcome
    else:
        assert outcome is not None
        assert Reason.CRL_UNUSABLE is outcome.reason
        assert "ca.crl" in outcome.detail or "deltas" in outcome.detail


def test_a_list_from_the_future_serves_when_its_time_comes() -> None:
    """Nobody has to put it there again."""
    lists = serving()
    assert lists.replace("ca.crl", pem(crl(ROOT, [0xA1], number=2, start=MOMENT + HOUR)), NOW)
    assert holds(lists, NOW + 3599)
    assert None is not check(lists, GOOD, NOW + 3600)
    assert None is check(lists, BAD, NOW + 3600)


def test_a_number_that_went_back_is_told_and_taken() -> None:
    """The CA lost its counter; its newer word counts, or a revocation would wait for ever."""
    lists = serving(crl(ROOT, number=9, start=MOMENT - 2 * HOUR))
    replaced = lists.replace("ca.crl", pem(crl(ROOT, [0xB2], number=3)), NOW)
    assert replaced.changed
    assert "has the number 3 after 9" in replaced.problems[0]
    assert holds(lists)


def test_what_is_good_of_a_file_is_taken() -> None:
    """One of its lists is replayed; the other is new."""
    known = CrlIssuers([ROOT.read, OTHER.read], [], [ROOT.der, OTHER.der])
    both = pem(FIRST, crl(OTHER, number=7, start=MOMENT - HOUR))
    lists = RevocationLists([source(both)], "require", issuers=known)
    older = crl(OTHER, [0xB2], number=6, start=MOMENT - 2 * HOUR)
    replaced = lists.replace("ca.crl", pem(crl(ROOT, [0xA1], number=2), older), NOW)
    assert ("CN=Root",) == replaced.issuers
    assert 1 == len(replaced.problems)


def test_the_grace_of_a_stale_list_is_counted() -> None:
    """A list within its grace is not replaced by one without."""
    graced = crl(ROOT, [0xB2], number=1, start=MOMENT - 2 * DAY, end=MOMENT - HOUR)
    lists = serving(graced, grace=7200.0)
    assert holds(lists)
    gone = crl(ROOT, number=2, start=MOMENT - DAY, end=MOMENT - 3 * HOUR)
    assert not lists.replace("ca.crl", pem(gone), NOW).changed
    assert holds(lists)


# -- an intermediate that only its clients bring ----------------------------------------------


def test_a_list_of_an_issuer_that_nobody_knows_yet_is_held_for_it() -> None:
    """Its signature is verified when a chain brings the certificate; and then it counts."""
    middle = authority("Middle", ROOT, key=p256(3))
    low = client("low", middle, key=p256(1), serial=0xD4)
    chain = (low.read, middle.read, ROOT.read)
    lists = serving(FIRST)
    assert lists.replace("middle.crl", pem(crl(middle)), NOW).changed
    assert None is lists.check(chain, NOW)
    forged = crl(middle, number=2, key=p256(2))
    replaced = lists.replace("middle.crl", pem(forged), NOW)
    assert not replaced.changed
    assert None is lists.check(chain, NOW)
    assert lists.replace("middle.crl", pem(crl(middle, [0xD4], number=3)), NOW).changed
    assert None is not lists.check(chain, NOW)


def test_a_forged_list_hides_none_of_an_issuer_that_nobody_knows_yet() -> None:
    """Not even where a missing list is no refusal: who was revoked stays so."""
    middle = authority("Middle", ROOT, key=p256(3))
    low = client("low", middle, key=p256(1), serial=0xD4)
    lists = RevocationLists([source(b"", "middle.crl")], "warn", issuers=KNOWN)
    lists.replace("middle.crl", pem(crl(middle, [0xD4], start=MOMENT - 3 * HOUR)), NOW)
    for ago in (2, 1):
        forged = crl(middle, number=9, key=p256(2), start=MOMENT - ago * HOUR)
        lists.replace("middle.crl", pem(forged), NOW)
    failed = lists.check((low.read, middle.read, ROOT.read), NOW)
    assert failed is not None
    assert Reason.REVOKED is failed.reason


# -- how it is done ---------------------------------------------------------------------------


def test_reading_can_be_left_to_a_thread() -> None:
    """`prepare` changes nothing; `replace` takes what it made."""
    lists = serving()
    prepared: list[Any] = []
    data = pem(crl(ROOT, [0xA1], number=2))
    thread = threading.Thread(target=lambda: prepared.append(lists.prepare("ca.crl", data)))
    thread.start()
    thread.join()
    assert holds(lists)
    assert lists.replace("ca.crl", prepared[0], NOW).changed
    assert None is not check(lists, GOOD)
    with pytest.raises(BadCrl, match=r"ca\.crl"):
        lists.prepare("ca.crl", b"damaged")


def test_a_fetch_that_failed_is_remembered_until_one_succeeds() -> None:
    """For the log, and for `health`."""
    lists = serving()
    lists.complain("ca.crl", "ca.crl: the server did not answer")
    assert "did not answer" in lists.warnings[0]
    assert "until then the last good one serves" in lists.warnings[0]
    assert holds(lists)
    lists.replace("ca.crl", pem(FIRST), NOW)
    assert () == lists.warnings


# -- over a reload ----------------------------------------------------------------------------


@pytest.mark.parametrize(("what", "data", "words"), WORSE, ids=[what for what, _, _ in WORSE])
def test_a_reload_keeps_what_is_better(what: str, data: Callable[[], bytes], words: str) -> None:
    """The new configuration's file is worse: the running one's list is carried over."""
    later = RevocationLists([source(data())], "require", issuers=KNOWN)
    later.adopt(serving(), NOW)
    assert holds(later)
    assert any("ca.crl" in warning for warning in later.warnings)


def test_a_reload_keeps_what_is_better_of_an_issuer_that_only_clients_brought() -> None:
    """Its list was set back meanwhile: the running one's is carried over all the same."""
    middle = authority("Middle", ROOT, key=p256(3))
    chain = (client("low", middle, key=p256(1), serial=0xD4).read, middle.read, ROOT.read)
    before = serving(FIRST, crl(middle, [0xD4], number=2))
    assert None is not before.check(chain, NOW)
    old = crl(middle, number=1, start=MOMENT - 2 * HOUR)
    later = RevocationLists([source(pem(FIRST, old))], "require", issuers=KNOWN)
    later.adopt(before, NOW)
    failed = later.check(chain, NOW)
    assert failed is not None
    assert Reason.REVOKED is failed.reason


def test_a_reload_takes_what_is_newer_and_drops_what_is_not_named() -> None:
    """A place that the configuration names no more has no say."""
    later = RevocationLists([source(pem(crl(ROOT, [0xA1], number=2)))], "require", issuers=KNOWN)
    later.adopt(serving(), NOW)
    assert (None, False) == (check(later, BAD), check(later, GOOD) is None)
    elsewhere = RevocationLists([source(b"", "new.crl")], "require", issuers=KNOWN)
    elsewhere.adopt(serving(), NOW)
    outcome = check(elsewhere, GOOD)
    assert outcome is not None
    assert "new.crl is empty" in outcome.detail


def test_a_reload_does_not_carry_over_what_another_ca_signed() -> None:
    """The client CA was replaced by one of the same name."""
    impostor = authority("Root", key=p256(9))
    known = CrlIssuers([impostor.read], [], [impostor.der])
    later = RevocationLists([source(b"damaged")], "require", issuers=known)
    before = serving()
    assert holds(before)
    later.adopt(before, NOW)
    leaf = client("c", impostor, key=p256(1))
    assert None is not later.check((leaf.read, impostor.read), NOW)
    assert "" == later.health(NOW)[0].issuer


def test_hosts_take_over_by_the_name_of_the_client_ca() -> None:
    """`ClientTrust.adopt`, which a reload calls."""

    def trust(data: bytes) -> ClientTrust:
        ca = client_ca(ROOT, crls=(source(data),))
        return ClientTrust([ca], find_verifier, Clock(), lambda: NOW, 0)

    before, after = trust(pem(FIRST)), trust(b"damaged")
    after.adopt(before.lists)
    assert holds(after.lists["ca"])
    assert any("ca.crl" in trouble for trouble in after.troubles())

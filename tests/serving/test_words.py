"""Conditions in words: for grep, and for people."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtlsedge.identity import Identity, PeerChain, Reason
from mtlsedge.serving.words import (
    client_line,
    crl_line,
    crl_summary,
    crl_table,
    printable,
    span,
)
from mtlsedge.trust.certificates import read_certificate
from mtlsedge.trust.crl_health import CrlHealth
from support import certs

GOOD = CrlHealth(
    place="/etc/edge/ca.crl",
    issuer="CN=Root",
    number=7,
    this_update=1_800_000_000.0,
    next_update=1_800_604_800.0,
    age=3600.0,
    remaining=601_200.0,
    entries=12,
    usable=True,
    client_ca="Devices",
)
NOTHING = CrlHealth(place="b.crl", client_ca="Devices", error="b.crl is empty")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.0, "0s"),
        (59.9, "59s"),
        (61.0, "1m1s"),
        (3600.0, "1h"),
        (3659.0, "1h"),
        (86400.0 * 5 + 22 * 3600, "5d22h"),
        (86400.0 * 5 + 59 * 60, "5d"),
        (86400.0 * 4000, "4000d"),
        (-3600.0 * 3 - 300, "-3h5m"),
        (-0.5, "0s"),
    ],
)
def test_a_span_has_its_two_greatest_units(seconds: float, expected: str) -> None:
    assert expected == span(seconds)


def test_a_list_is_one_line_of_keys_and_values() -> None:
    """By its state first, which is what one looks for."""
    expected = (
        'crl state=good client_ca="Devices" issuer="CN=Root" place="/etc/edge/ca.crl" '
        "kind=complete number=7 age=1h next_update=2027-01-22T08:00:00Z left=6d23h entries=12"
    )
    assert expected == crl_line(GOOD)
    assert expected.replace("number=7", "number=none") == crl_line(replace(GOOD, number=-1))


def test_a_place_without_a_list_says_why() -> None:
    expected = (
        'crl state=unusable client_ca="Devices" issuer="" place="b.crl" error="b.crl is empty"'
    )
    assert expected == crl_line(NOTHING)


def test_no_name_ends_its_line_or_its_quotes() -> None:
    """Whoever chose it chose nothing else in the log."""
    line = crl_line(replace(GOOD, issuer='CN=a"\ncrl state=good\\', error="\u202etxt\udc80"))
    assert r'issuer="CN=a\"\ncrl state=good\\"' in line
    assert r'error="\u202etxt\udc80"' in line
    assert 1 == len(line.splitlines())


def test_what_is_endless_is_cut() -> None:
    assert "a" * 500 + "\u2026" == printable("a" * 10_000)


def test_all_lists_are_counted_by_their_states() -> None:
    failing = replace(GOOD, error="b.crl is empty")
    ending = replace(GOOD, remaining=1.0)
    expected = "crl summary lists=5 good=2 ending=1 failing=1 unusable=1"
    assert expected == crl_summary([GOOD, NOTHING, failing, GOOD, ending])


def test_the_table_has_its_columns_under_each_other() -> None:
    """With what is wrong below the list that it is about."""
    heading, first, second, wrong = crl_table([GOOD, replace(NOTHING, client_ca="Others, too")])
    assert "  state     client CA    issuer   number  age  ends in  entries  from" == heading
    assert (
        "  good      Devices      CN=Root       7   1h    6d23h       12  /etc/edge/ca.crl" == first
    )
    assert second.startswith("  unusable  Others, too  ")
    assert heading.index("from") == second.index("b.crl")
    assert "    b.crl is empty" == wrong


def test_a_client_certificate_is_named_in_full() -> None:
    """By whatever one may look it up."""
    pair = certs.client()
    leaf = read_certificate(pair.der)
    identity = Identity(
        True, True, Reason.NONE, chain=PeerChain(leaf), client_cas=("Devices", "All")
    )
    line = client_line(identity, "iot.example.com", leaf.not_after - 86400 * 3)
    assert line.startswith("client certificate ends soon: left=3d not_after=")
    assert (
        f'subject="CN=device-1" serial={pair.serial} fingerprint_sha256={pair.fingerprint} '
        'client_ca="Devices, All" host="iot.example.com"'
    ) in line

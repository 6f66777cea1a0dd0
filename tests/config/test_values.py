"""How single values are written, and the one form in which each arrives."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from config_making import at, broken, load, problems

from mtlsedge.config.files import Files
from mtlsedge.config.reader import Loading, Place, Wrong
from mtlsedge.config.values import duration, instant, size, spell_seconds
from mtlsedge.model import Domain, Rule

PLACE = Place(Loading(Path("/"), 0.0, lambda spec: None, Files()), "key")


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("24h", 86400.0),
        ("30m", 1800.0),
        ("90s", 90.0),
        ("1h30m", 5400.0),
        ("7d", 604800.0),
        ("250ms", 0.25),
        ("1m5ms", 60.005),
        ("1.5h", 5400.0),
        ("2w", 1209600.0),
        (30, 30.0),
        (0.25, 0.25),
        ("0s", 0.0),
    ],
)
def test_durations(said: object, seconds: float) -> None:
    """Every unit, alone and together, and plain numbers of seconds."""
    assert seconds == duration(0, 1e9)(said, PLACE)


@pytest.mark.parametrize(
    "said", ["", "24", "h", "30m1h", "1h1h", "1 h", "-1s", "1e3s", "\u0661s", True, None, []]
)
def test_what_is_no_duration(said: object) -> None:
    """A number without a unit in quotes, units out of order, other scripts' digits."""
    with pytest.raises(Wrong):
        duration(0, 1e9)(said, PLACE)


@pytest.mark.parametrize(
    ("said", "octets"),
    [("8k", 8192), ("1 MiB", 2**20), ("64KiB", 65536), ("1g", 2**30), ("512", 512), ("7 B", 7)],
)
def test_sizes(said: object, octets: int) -> None:
    """Units are of 1024."""
    assert octets == size(0, 2**40)(said, PLACE)


@pytest.mark.parametrize("said", ["", "8 kB", "1MB", "1.5k", "k", -1, True, 1.0, "9" * 30])
def test_what_is_no_size(said: object) -> None:
    """``kB`` is 1000 to some and 1024 to others, so it is neither here."""
    with pytest.raises(Wrong):
        size(0, 2**40)(said, PLACE)


def test_seconds_are_spelled_in_their_largest_unit() -> None:
    """For messages."""
    assert ["1w", "90s", "1h", "0s", "0.25s"] == [
        spell_seconds(s) for s in (604800.0, 90.0, 3600.0, 0.0, 0.25)
    ]


def test_a_date_is_its_first_moment_in_utc() -> None:
    """Dates, date-times and numbers say the same instant."""
    said = ["2027-01-31", "2027-01-31T01:00:00+01:00", 1801353600]
    assert [1801353600.0] * 3 == [instant(one, PLACE) for one in said]


@pytest.mark.parametrize(
    ("selector", "said", "expected"),
    [
        ("certificate", True, Rule("certificate")),
        ("common_name", "device-1", Rule("common_name", ("device-1",))),
        ("common_name", ["a", "b"], Rule("common_name", ("a", "b"))),
        ("san_dns", "*.Example.COM.", Rule("san_dns", ("*.example.com",))),
        ("san_email", "Ops@Example.com", Rule("san_email", ("Ops@example.com",))),
        ("san_uri", "spiffe://a/b/*", Rule("san_uri", ("spiffe://a/b/*",))),
        ("san_uri", "urn:x:*", Rule("san_uri", ("urn:x:*",))),
        ("san_ip", "2001:DB8::1", Rule("san_ip", networks=(ip_network("2001:db8::1/128"),))),
        ("ip", "192.0.2.7", Rule("ip", networks=(ip_network("192.0.2.7/32"),))),
        ("issuer", "O=Example, CN = CA", None),
        ("issuer", "CN=CA,O=Example", Rule("issuer", ("CN=CA,O=Example",))),
        (
            "issuer",
            "emailAddress=a@b.c,CN=CA",
            Rule("issuer", ("1.2.840.113549.1.9.1=a@b.c,CN=CA",)),
        ),
        ("serial", "0x00Ab", Rule("serial", ("AB",))),
        ("serial", "01:23", Rule("serial", ("123",))),
        ("serial", "0x1234", Rule("serial", ("1234",))),
        ("serial", "deadbeef", Rule("serial", ("DEADBEEF",))),
        ("fingerprint_sha256", ":".join(["AB"] * 32), Rule("fingerprint_sha256", ("ab" * 32,))),
        ("spki_sha256", "AB " * 32, Rule("spki_sha256", ("ab" * 32,))),
        ("method", ["get", "PURGE-x"], Rule("method", ("GET", "PURGE-X"))),
    ],
)
def test_rule_values_arrive_in_one_form(
    pki: Path, selector: str, said: object, expected: Rule | None
) -> None:
    """As ``model.Rule`` documents it; None where the value is refused."""
    mapping = broken(lambda m: at(m, "group", 0).update(include=[{selector: said}]))
    if expected is None:
        assert [f"group[0].include[0].{selector}"] == list(problems(mapping, pki))
    else:
        assert (expected,) == load(mapping, pki).groups[0].rules.include


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ("iot.example.com", "/"),
        ("iot.example.com/", "/"),
        ("IOT.Example.COM/Alpha/", "/Alpha"),
        ("iot.example.com/alpha/*", "/alpha/*"),
        ("iot.example.com/*", "/*"),
        ("iot.example.com/v*/x", "/v*/x"),
        ("iot.example.com/%7euser/%c3%a9", "/~user/%C3%A9"),
        ("iot.example.com/é", "/%C3%A9"),
        ("iot.example.com/.well-known/acme", "/.well-known/acme"),
        ("iot.example.com/a%20b", "/a%20b"),
    ],
)
def test_application_paths_arrive_canonical(pki: Path, said: str, path: str) -> None:
    """As request paths are before they are compared."""
    mapping: Any = broken(lambda m: at(m, "application", 0).update(domain=said))
    assert (Domain("iot.example.com", path),) == load(mapping, pki).applications[0].domains

"""What can be asked, and what cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtlsedge.explain.asked import (
    Asked,
    BadQuestion,
    read_certificates,
    read_field,
    read_moment,
    read_url,
)
from support import certs


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://iot.example.com", (b"iot.example.com", b"iot.example.com", 0, b"/")),
        ("https://IoT.Example.com./a", (b"iot.example.com", b"iot.example.com", 0, b"/a")),
        ("https://a.b:8443/x?y=1#z", (b"a.b", b"a.b:8443", 8443, b"/x?y=1")),
        ("a.b/../%2e", (b"a.b", b"a.b", 0, b"/../%2e")),
        ("https://192.0.2.7/", (None, b"192.0.2.7", 0, b"/")),
        ("https://[2001:db8::7]:1/", (None, b"[2001:db8::7]:1", 1, b"/")),
        ("https://a.b/é x", (b"a.b", b"a.b", 0, b"/%C3%A9%20x")),
    ],
)
def test_a_url_is_what_a_client_would_make_of_it(url: str, expected: tuple[object, ...]) -> None:
    """An address is no server name; the path stays as it is."""
    assert expected == read_url(url)


@pytest.mark.parametrize(
    "url", ["http://a.b/", "https://", "https://a b/", "https://u:p@a.b/", "/x"]
)
def test_what_is_no_https_url_is_refused(url: str) -> None:
    """With a word on why."""
    with pytest.raises(BadQuestion):
        read_url(url)


def test_a_host_field_of_its_own_takes_the_place_of_the_url_s() -> None:
    """So that a request to another host than the connection's can be asked about."""
    asked = Asked("", b"a.b", b"a.b", 0, b"/", fields=((b"host", b"c.d"),))
    assert b"GET / HTTP/1.1\r\nhost: c.d\r\n\r\n" == asked.head()


@pytest.mark.parametrize("line", ["no colon", "a b: c", ": x", "A: x\r\nB: y", ""])
def test_what_is_no_header_line_is_refused(line: str) -> None:
    """Nothing can stand in a request that its sender did not mean."""
    with pytest.raises(BadQuestion):
        read_field(line)


@pytest.mark.parametrize(
    "text",
    ["2026-11-23T14:00:00Z", "2026-11-23T14:00:00", "2026-11-23T15:00:00+01:00", "1795442400"],
)
def test_a_moment_may_be_said_in_several_ways(text: str) -> None:
    """Without an offset it is UTC."""
    assert 1795442400.0 == read_moment(text)


def test_a_day_is_its_first_moment() -> None:
    """In UTC."""
    assert 1795392000.0 == read_moment("2026-11-23")


@pytest.mark.parametrize("text", ["soon", "2026-13-01", "", "9" * 400])
def test_what_is_no_moment_is_refused(text: str) -> None:
    """And not taken for now."""
    with pytest.raises(BadQuestion):
        read_moment(text)


def test_a_certificate_is_read_from_pem_and_der(tmp_path: Path) -> None:
    """The key beside it is not needed."""
    pair = certs.client()
    der = tmp_path / "client.der"
    der.write_bytes(pair.der)
    assert (pair.der, ()) == read_certificates(pair.certificate) == read_certificates(der)
    der.write_bytes(b"nonsense")
    with pytest.raises(BadQuestion, match=r"client\.der"):
        read_certificates(der)

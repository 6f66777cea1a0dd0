"""A host name has one form, and one matcher decides what stands for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsedge.errors import BadHostName
from mtlsedge.names import (
    NameTable,
    canonical_host,
    canonical_pattern,
    covers,
    split_authority,
    wildcard_of,
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("iot.example.com", "iot.example.com"),
        ("IOT.Example.COM", "iot.example.com"),
        ("iot.example.com.", "iot.example.com"),
        ("localhost", "localhost"),
        ("a_b.example.com", "a_b.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("\uff49\uff4f\uff54\u3002example", "iot.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("a" * 63 + ".example", "a" * 63 + ".example"),
    ],
)
def test_a_host_name_has_one_form(text: str, name: str) -> None:
    """Case, a final dot, IDNA and the ways to write an address make no difference."""
    assert name == canonical_host(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a..b",
        ".a",
        "a.b..",
        "-a.example",
        "a-.example",
        "a b",
        "a\n",
        "a.example\n",
        "a\0.example",
        "a/b",
        "a:80",
        "*.example.com",
        "*",
        "a@b",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "1.2.3.4.",
        "0x7f.1",
        "1.0x7f",
        "\uff11.2.3.4",
        "[1.2.3.4]",
        "[::1",
        "[[::1]]",
        "[::1].",
        "fe80::1%eth0",
        "::1%\nX: y",
        "a" * 64 + ".example",
        ".".join(["a" * 60] * 5),
        "ü" * 10_000,
        "a.example\u3002",
        "\u200d.example",
    ],
)
def test_what_is_no_host_name_is_refused(text: str) -> None:
    """Nobody is to guess, and nothing slow is done first."""
    with pytest.raises(BadHostName):
        canonical_host(text)


def test_a_name_that_is_too_long_is_refused_before_anything_is_done_with_it() -> None:
    """IDNA is quadratic in what it is given, and the message does not repeat all of it."""
    with pytest.raises(BadHostName, match="too long") as caught:
        canonical_host("\u00fc" * 10_000)
    assert len(str(caught.value)) < 100


@given(st.text(max_size=40))
def test_a_canonical_name_is_its_own_canonical_name(text: str) -> None:
    """Whatever comes out goes in again, unchanged; whatever else comes is ``BadHostName``."""
    try:
        name = canonical_host(text)
    except BadHostName:
        return
    assert name == canonical_host(name)
    assert name.isascii()
    assert name == name.lower()


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("*.Example.com.", "*.example.com"),
        ("*.bücher.example", "*.xn--bcher-kva.example"),
        ("*.b1", "*.b1"),
        ("iot.example.com", "iot.example.com"),
    ],
)
def test_a_pattern_has_one_form(text: str, pattern: str) -> None:
    """As names do; the first label may be a ``*``."""
    assert pattern == canonical_pattern(text)


@pytest.mark.parametrize(
    "text", ["*", "*.", "a.*", "a*.example", "*a.example", "*.*.a", "*.1.2.3.4", "*.::1", "**.a"]
)
def test_a_star_stands_only_for_the_whole_first_label(text: str) -> None:
    """Everything else would need another matcher."""
    with pytest.raises(BadHostName):
        canonical_pattern(text)


@pytest.mark.parametrize(
    ("raw", "host", "port"),
    [
        (b"Example.com", "example.com", None),
        (b"example.com:8443", "example.com", 8443),
        (b"example.com.:443", "example.com", 443),
        (b"example.com:", "example.com", None),
        (b"[::1]:443", "::1", 443),
        (b"[::1]", "::1", None),
        (b"127.0.0.1:1", "127.0.0.1", 1),
    ],
)
def test_an_authority_is_a_host_and_a_port(raw: bytes, host: str, port: int | None) -> None:
    """RFC 9110 §7.2."""
    assert (host, port) == split_authority(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b":443",
        b"a:b",
        b"a:99999",
        b"a:-1",
        b"a:1:2",
        b"::1",
        b"[::1",
        b"[a]",
        b"[fe80::1%25eth0]",
        b"me@a",
        b"a/b",
        b"a?b",
        b"a#b",
        b"a b",
        b"a,b",
        b"a\n",
        b"a:1\n",
        b"\xff",
        b"a\x00",
        b"a" * 70_000,
    ],
)
def test_an_authority_with_any_other_reading_is_refused(raw: bytes) -> None:
    """What one reader takes for a user name or a path is not a host to another."""
    with pytest.raises(BadHostName):
        split_authority(raw)


@pytest.mark.parametrize(
    ("pattern", "name", "answer"),
    [
        ("a.example", "a.example", True),
        ("a.example", "b.a.example", False),
        ("*.example", "a.example", True),
        ("*.example", "example", False),
        ("*.example", "a.b.example", False),
        ("*.b.example", "a.b.example", True),
        ("*.example", ".example", True),
        ("*.example", "aexample", False),
        ("*.example", "a.example.org", False),
    ],
)
def test_a_star_is_exactly_one_label(pattern: str, name: str, answer: bool) -> None:
    """Neither none nor two; the names are canonical, so no label of them is empty."""
    assert answer == covers(pattern, name)


def test_the_wildcard_of_a_name_has_the_first_label_replaced() -> None:
    """There is one, so a look-up needs no search."""
    assert "*.b.c" == wildcard_of("a.b.c")


def test_a_table_finds_the_name_before_its_wildcard() -> None:
    """Two look-ups, and no entry is replaced."""
    table: NameTable[int] = NameTable()
    assert table.add("*.example", 1)
    assert table.add("a.example", 2)
    assert not table.add("a.example", 3)
    assert not table.add("a.example", 2)
    assert (2, 1, None) == (table.find("a.example"), table.find("b.example"), table.find("c"))
    assert table.find("a.b.example") is None
    assert [("*.example", 1), ("a.example", 2)] == list(table)
    assert 2 == len(table)

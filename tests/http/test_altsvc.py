"""Alt-Svc: nothing over QUIC gets through, and nothing else is touched."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsedge.http.altsvc import without_h3


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'h3=":443"; ma=86400', None),
        (b'h3=":443"; ma=86400, h3-29=":443"; ma=86400', None),
        (b'h2=":443"', b'h2=":443"'),
        (b'h3=":443"; ma=1, h2="alt.example:8443"; ma=2', b'h2="alt.example:8443"; ma=2'),
        (b'h2="a:1" ;ma=2 , h3=":443",h2="b:2"', b'h2="a:1" ;ma=2, h2="b:2"'),
        (b"clear", b"clear"),
        (b" clear\t", b" clear\t"),
        (b'h3="a,b:443", h2=":1"', b'h2=":1"'),
        (b'h2="a,h3=:443"', b'h2="a,h3=:443"'),
        (b'h2="a\\",h3=:443"', b'h2="a\\",h3=:443"'),
        (b'quic=":443"; ma=2592000; v="46,43"', None),
        (b'hq-29=":443",h2=":1"', b'h2=":1"'),
        (b'h3-Q050=":443",h2=":1"', b'h2=":1"'),
        (b'H3=":443",h2=":1"', b'h2=":1"'),
        (b'%683=":443",h2=":1"', b'h2=":1"'),
        (b'h%33-29=":443",h2=":1"', b'h2=":1"'),
        (b'h3x=":443"', b'h3x=":443"'),
        (b'w%3Dx%3Ay#z=":443"', b'w%3Dx%3Ay#z=":443"'),
        (b',, h2=":1" ,,', b',, h2=":1" ,,'),
        (b'h3=":443",, h2=":1",', b'h2=":1"'),
    ],
)
def test_what_is_left(value: bytes, expected: bytes | None) -> None:
    """QUIC alternatives go in every spelling; the rest stays byte for byte."""
    assert expected == without_h3(value)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" , ",
        b"h2",
        b"h2=:443",
        b'h2=":443',
        b'h2=":443" h3=":443"',
        b'clear, h2=":443"',
        b"CLEAR",
        b'h2=":443"; ma',
        b'h2=":443";',
        b'h2 =":443"',
        b'h2=":443\x00"',
        b'h2=":443"\r\nX: y',
        b'h%3=":443"',
        b'h%zz=":443"',
        b'h2="' + b"a" * 9000 + b'"',
    ],
)
def test_malformed_values_go_as_a_whole(value: bytes) -> None:
    """What is not a list of alternatives could be read differently by a client."""
    assert without_h3(value) is None


_protocols = st.sampled_from([b"h3", b"h3-29", b"H3", b"%68%33", b"quic", b"hq-30", b"h2", b"x"])
_quoted = st.from_regex(rb'"(?:[ -!#-\[\]-~]|\\[ -~]){0,12}"', fullmatch=True)
_entry = st.builds(
    lambda protocol, authority, rest: protocol + b"=" + authority + rest,
    _protocols,
    _quoted,
    st.sampled_from([b"", b"; ma=60", b' ;persist=1; v="4,h3=\\""']),
)


@given(st.lists(_entry, min_size=1, max_size=6))
def test_other_entries_stay_and_quic_goes(entries: list[bytes]) -> None:
    """The answer is exactly the entries that are not over QUIC, in their order."""
    kept = [entry for entry in entries if entry.startswith((b"h2=", b"x="))]
    expected = (b", ".join(kept) if len(kept) < len(entries) else b",".join(entries)) or None
    actual = without_h3(b",".join(entries))
    assert (expected if kept else None) == actual


@given(st.binary(max_size=60) | st.lists(st.sampled_from(b'h32=",;:\\ %"ma')).map(bytes))
def test_any_bytes_are_survived(value: bytes) -> None:
    """No input raises; what comes back came in, offers no h3, and is stable."""
    actual = without_h3(value)
    if actual is not None:
        assert not re.match(rb'\s*,*\s*h3(-\w*)?="', actual, re.IGNORECASE)
        assert actual == without_h3(actual)

"""The cookie: how a token is handed over, read back, and kept from the origin when it is bad."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsedge.session.cookie import SetCookie, clear_cookie, cookie_path, read, without
from mtlsedge.session.tokens import Token

TOKEN = Token("aaa.bbb.ccc", 1000.9, 900.0)


def test_set_cookie() -> None:
    """It lives no longer than the token, and no script sees it."""
    expected = (
        b"Set-Cookie: CF_Authorization=aaa.bbb.ccc; Path=/ingest; Max-Age=900; "
        b"Secure; HttpOnly; SameSite=Lax\r\n"
    )
    assert expected == SetCookie(TOKEN, "/ingest").line(100.2)


def test_an_expired_token_gives_no_negative_age() -> None:
    """Max-Age=0 removes the cookie at once."""
    assert b"; Max-Age=0;" in SetCookie(TOKEN).line(2000.0)


def test_clear_cookie() -> None:
    """The same name, path and attributes, or browsers keep the old one."""
    expected = b"CF_Authorization=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax"
    assert expected == clear_cookie()


@pytest.mark.parametrize("path", ["/a;Domain=x", "/a b", "/a\r\nX: y", "relative", "", "/\u00e9"])
def test_a_path_that_could_end_its_attribute_becomes_the_root(path: str) -> None:
    """A header cannot be split, nor another attribute be added."""
    assert b"; Path=/; " in SetCookie(TOKEN, path).line(0.0)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("/", "/"),
        ("/alpha", "/alpha"),
        ("/alpha/*", "/alpha"),
        ("/alpha/b*/c", "/alpha"),
        ("/v*/x", "/"),
        ("/*", "/"),
    ],
)
def test_cookie_path(pattern: str, expected: str) -> None:
    """The narrowest path that covers the application."""
    assert expected == cookie_path(pattern)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([b"a=b"], []),
        ([b"CF_Authorization=a.b.c"], ["a.b.c"]),
        ([b"x=1;\tCF_Authorization=a.b.c ; y=2", b"CF_Authorization=d.e.f"], ["a.b.c", "d.e.f"]),
        ([b"cf_authorization=a.b.c"], []),
        ([b'CF_Authorization="a.b.c"'], []),
        ([b"CF_Authorization=a.b"], []),
        ([b"CF_Authorization=a.b.c=; CF_Authorization=\xff.b.c"], []),
        ([b"XCF_Authorization=a.b.c"], []),
        ([b"CF_Authorization=a.b.c;" * 50], ["a.b.c"] * 8),
    ],
)
def test_read(values: list[bytes], expected: list[str]) -> None:
    """Well-formed tokens under the exact name, in order, a few at most."""
    assert expected == read(values)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"a=b; c=d", b"a=b; c=d"),
        (b"CF_Authorization=x", None),
        (b"a=b; CF_Authorization=x", b"a=b"),
        (b"CF_Authorization=x; a=b", b"a=b"),
        (b"a=b;CF_Authorization=x;  c=d", b"a=b;  c=d"),
        (b"a=1; \t CF_Authorization \t= x; b=2", b"a=1; b=2"),
        (b"a=1; cf_authorization=x", b"a=1"),
        (b'a=1; "CF_Authorization"=x', b"a=1"),
        (b"a=1; CF_Authorization", b"a=1"),
        (b"a=1; CF%5FAuthorization=x", b"a=1"),
        (b"a=1; %43F_Authorizatio%6e=x", b"a=1"),
        (b"a=1; CF.Authorization=x; CF-Authorization=x; CF[Authorization=x", b"a=1"),
        (b"a=1; CF+Authorization=x; CF Authorization=x", b"a=1"),
        (b"a=1; $Version=1, CF_Authorization=x", b"a=1"),
        (b"a=1; b=2 CF_Authorization=x", b"a=1"),
        (b'a="1; CF_Authorization=x"; b=2', b'a="1; b=2'),
        (b"a=100%; b=%zz", b"a=100%; b=%zz"),
        (b"CF_AppSession=1; CFAuthorization=2", b"CF_AppSession=1; CFAuthorization=2"),
    ],
)
def test_without(value: bytes, expected: bytes | None) -> None:
    """No spelling that an origin could take for the cookie is left; the rest is untouched."""
    assert expected == without(value)


def test_without_keeps_what_was_found_valid() -> None:
    """One of two cookies is good: that one stays, in its exact form only."""
    value = b"CF_Authorization=a.b.c; x=1; CF_Authorization=d.e.f; cf_authorization=a.b.c"
    assert b"CF_Authorization=a.b.c; x=1" == without(value, {"a.b.c"})


_pieces = st.sampled_from(
    [b"CF_Authorization", b"cf_authorization=", b"%43F", b"_Authorization", b";", b" ", b"=",
     b"a=b", b'"', b",", b"%5F", b"x.y.z", b"\t"]
)  # fmt: skip


@given(st.lists(_pieces, max_size=12).map(b"".join) | st.binary(max_size=60))
def test_nothing_like_the_cookie_is_ever_left(value: bytes) -> None:
    """What remains is some of the pairs that came, none of them suspect, none joined anew."""
    rest = without(value)
    read([value])
    if rest is not None:
        assert b"cf_authorization" not in unquote_to_bytes(rest).lower()
        came = [pair.strip(b" \t") for pair in value.split(b";")]
        assert all(pair.strip(b" \t") in came for pair in rest.split(b";"))
        assert rest == without(rest)

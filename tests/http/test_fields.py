"""What header fields may do: framing, hop-by-hop, and every name that could be forged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsedge.http.fields import (
    BadResponse,
    letters,
    read_request,
    read_response,
    read_trailers,
    response_trailers,
    tokens,
    withheld,
)
from mtlsedge.http.forwarding import EDGE_CERTIFICATE_HEADERS
from mtlsedge.http.messages import Headers, Refuse, RequestHead, render
from support.forgeries import FORGEABLE, spellings


def read(*fields: tuple[bytes, bytes], version: str = "1.1") -> RequestHead:
    return read_request("POST", b"/", version, [(b"Host", b"a.example"), *fields])


# -- framing, without the parser's help --------------------------------------------------------

LENGTH, CODING = b"Content-Length", b"Transfer-Encoding"


@pytest.mark.parametrize(
    "fields",
    [
        [(LENGTH, b"3"), (LENGTH, b"3")],
        [(LENGTH, b"0"), (LENGTH, b"3")],
        [(LENGTH, b"3"), (b"content-length", b"4")],
        [(LENGTH, b"3"), (CODING, b"chunked")],
        [(CODING, b"chunked"), (LENGTH, b"0")],
        [(CODING, b"chunked"), (CODING, b"chunked")],
        *([(LENGTH, value)] for value in (b"", b"+3", b"-3", b"0x3", b"3,3", b"3 3", b"1_0",
                                          b"\xb2", b"3\n", b"1" * 19, b"three")),
        *([(CODING, value)] for value in (b"", b"gzip", b"gzip, chunked", b"chunked, chunked",
                                          b"identity", b"xchunked", b"chunked;a=b", b"chunked,",
                                          b"\x0bchunked", b"chun\0ked", b"chunked\n")),
    ],
)  # fmt: skip
def test_the_framing_is_certain_or_refused(fields: Headers) -> None:
    """A leniency of the parser's would be caught here."""
    with pytest.raises(Refuse) as refused:
        read(*fields)
    assert (400, True) == (refused.value.status, refused.value.close)


def test_framing_goes_on_only_as_it_was_understood() -> None:
    """The origin gets one field of ours and none of the client's."""
    head = read((LENGTH, b" 007 "), (b"X", b"1"))
    assert (7, True, [(b"X", b"1")]) == (head.length, head.has_body, head.headers)
    chunked = read((CODING, b"CHUNKED\t"))
    assert (None, True, []) == (chunked.length, chunked.has_body, chunked.headers)
    assert (0, False) == (read().length, read().has_body)


def test_chunked_belongs_to_http_1_1() -> None:
    """RFC 9112 §6.1."""
    with pytest.raises(Refuse):
        read((CODING, b"chunked"), version="1.0")


@pytest.mark.parametrize(
    "name", [b"Content_Length", b"content.length", b"ContentLength", b"Content--Length",
             b"Transfer_Encoding", b"TransferEncoding", b"Transfer-Encoding_", b"HO_ST", b"Host-",
             b"Con_nection", b"Up-grade", b"T-E", b"Ex_pect"],
)  # fmt: skip
def test_a_name_that_some_origin_takes_for_framing_is_dropped(name: bytes) -> None:
    """It is not read, and it does not go on."""
    head = read((name, b"chunked"))
    assert ([], 0, b"a.example") == (head.headers, head.length, head.host)


# -- Host --------------------------------------------------------------------------------------


def test_there_is_one_host_field() -> None:
    """Two are refused even if they agree (RFC 9112 §3.2)."""
    assert b"a.example" == read().host
    for other in (b"a.example", b"b.example", b""):
        with pytest.raises(Refuse, match="Host"):
            read((b"hOsT", other))
    assert None is read_request("GET", b"/", "1.1", []).host


# -- forgeries ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(FORGEABLE))
def test_every_spelling_of_a_forgeable_name_is_withheld(name: bytes) -> None:
    """Any case, any punctuation, none at all, doubled: as a field and as a trailer."""
    for spelling in spellings(name):
        assert withheld(spelling), spelling
        assert [] == read((spelling, b"true"), (spelling, b"1")).headers
        assert [] == read_trailers([(spelling, b"true")])


def test_the_list_of_forgeable_names_has_all_that_the_edge_sets() -> None:
    """So that the test above cannot fall behind the code."""
    assert EDGE_CERTIFICATE_HEADERS <= FORGEABLE


@given(st.sampled_from(sorted(FORGEABLE)), st.data())
def test_no_spelling_slips_through(name: bytes, data: st.DataObject) -> None:
    """Punctuation of a token anywhere, letters in any case."""
    marks = st.text("!#$%&'*+-.^_`|~", max_size=2)
    spelled = "".join(
        data.draw(marks) + (c.upper() if data.draw(st.booleans()) else c)
        for c in name.decode()
        if c.isalnum()
    )
    assert withheld(spelled.encode() + data.draw(marks).encode())


@pytest.mark.parametrize(
    "name",
    [b"Accept", b"Accept-Encoding", b"Authorization", b"Cache-Control", b"Content-Type",
     b"Content-Encoding", b"Content-Range", b"If-None-Match", b"Origin", b"Referer", b"Range",
     b"User-Agent", b"Sec-WebSocket-Key", b"Sec-Fetch-Mode", b"Traceparent", b"X-Requested-With",
     b"X-Csrf-Token", b"X-Api-Key", b"Idempotency-Key", b"Priority", b"Via", b"Date", b"Trailer",
     b"Cf-Ray", b"Cf-Visitor", b"Cf-Ipcountry", b"Cdn-Loop", b"Max-Forwards", b"Forward-To",
     b"X-Forward", b"Client", b"X-Certificate", b"X-Request", b"X-Correlation-Id", b"Soapaction",
     b"-", b"~", b"!#$%&'*+.^_`|~"],
)  # fmt: skip
def test_what_a_client_may_say_goes_on(name: bytes) -> None:
    """Under the name that it was sent with."""
    assert not withheld(name)
    assert [(name, b"a")] == read((name, b"a")).headers


def test_letters_are_what_a_careless_reader_goes_by() -> None:
    """Nothing but letters and digits of ASCII, lower case."""
    assert b"cfcertverified1" == letters(b"CF_Cert.Verified-1")
    assert b"" == letters(b"-_.~!") == letters(b"\xe9\xdf")


def test_service_token_credentials_are_read_and_never_go_on() -> None:
    """They are for the edge alone; only under their own name are they read."""
    head = read((b"CF-Access-Client-Id", b"id"), (b"cf-access-client-secret", b"secret"))
    assert ("id", "secret", []) == (head.client_id, head.client_secret, head.headers)
    other = read((b"CF_Access_Client_Id", b"id"), (b"Cf.Access.Client.Secret", b"secret"))
    assert ("", "", []) == (other.client_id, other.client_secret, other.headers)


# -- Connection --------------------------------------------------------------------------------


def test_what_connection_names_ends_here() -> None:
    """RFC 9110 §7.6.1, in any case and punctuation."""
    head = read(
        (b"X-One", b"1"), (b"X_Two", b"2"), (b"X-Three", b"3"), (b"Keep-Alive", b"5"),
        (b"Proxy-Connection", b"close"), (b"Proxy-Authorization", b"a"), (b"HTTP2-Settings", b"a"),
        (b"Connection", b"x-one, X-TWO"), (b"connection", b"Close"),
    )  # fmt: skip
    assert [(b"X-Three", b"3")] == head.headers
    assert not head.keep_alive


def test_connection_cannot_take_away_what_the_edge_has_read() -> None:
    """Framing, Host, cookies and credentials stand, whatever Connection names."""
    head = read(
        (b"Connection", b"host, content-length, transfer-encoding, cookie, cf-access-client-id"),
        (LENGTH, b"3"), (b"Cookie", b"a=b"), (b"CF-Access-Client-Id", b"id"),
    )  # fmt: skip
    assert (b"a.example", 3, [b"a=b"], "id") == (
        head.host,
        head.length,
        head.cookies,
        head.client_id,
    )


@pytest.mark.parametrize(
    ("version", "value", "kept"),
    [
        ("1.1", b"", True),
        ("1.1", b"close", False),
        ("1.1", b"keep-alive, CLOSE", False),
        ("1.1", b"closed", True),
        ("1.0", b"", False),
        ("1.0", b"keep-alive", True),
        ("1.0", b"keep-alive, close", False),
    ],
)
def test_a_connection_is_kept_as_its_version_has_it(version: str, value: bytes, kept: bool) -> None:
    """RFC 9112 §9.3."""
    assert kept == read((b"Connection", value), version=version).keep_alive


@pytest.mark.parametrize(
    ("fields", "upgrade"),
    [
        ([(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")], b"websocket"),
        ([(b"Connection", b"keep-alive, upgrade"), (b"Upgrade", b"a, b/1")], b"a, b/1"),
        (
            [(b"Connection", b"upgrade"), (b"Upgrade", b"a"), (b"Upgrade", b"b")],
            b"a, b",
        ),
        ([(b"Upgrade", b"websocket")], b""),
        ([(b"Upgrade", b"websocket"), (b"Connection", b"keep-alive")], b""),
        ([(b"Connection", b"upgrade")], b""),
        ([(b"Connection", b"upgrades"), (b"Upgrade", b"websocket")], b""),
    ],
)
def test_an_upgrade_needs_both_fields(fields: Headers, upgrade: bytes) -> None:
    """RFC 9110 §7.8."""
    assert upgrade == read(*fields).upgrade


def test_an_http_1_0_client_cannot_upgrade() -> None:
    """RFC 9110 §7.8: a server must ignore it."""
    fields = [(b"Upgrade", b"websocket"), (b"Connection", b"upgrade")]
    assert b"" == read(*fields, version="1.0").upgrade


# -- Expect, TE, Cookie ------------------------------------------------------------------------


def test_expect_counts_only_with_a_body_and_in_http_1_1() -> None:
    """RFC 9110 §10.1.1; anything else that is expected cannot be met."""
    expect = (b"Expect", b"100-Continue")
    assert read(expect, (LENGTH, b"3")).expects_continue
    assert not read(expect).expects_continue
    assert not read(expect, (LENGTH, b"3"), version="1.0").expects_continue
    for value in (b"", b"200", b"100-continue, 100-continue"):
        with pytest.raises(Refuse) as refused:
            read((b"Expect", value))
        assert (417, True) == (refused.value.status, refused.value.close)


def test_te_says_only_whether_trailers_are_understood() -> None:
    """What it says of codings is between the client and the edge."""
    assert read((b"TE", b"gzip, trailers")).trailers
    assert not read((b"TE", b"gzip;q=1")).trailers
    assert [] == read((b"TE", b"trailers")).headers


def test_cookies_stand_apart_in_their_order() -> None:
    """Many fields, long ones, and bytes above ASCII."""
    values = [b"a=b; c=d", b"e=" + b"f" * 20_000, b"g=\xff"]
    head = read(*((b"Cookie", value) for value in values))
    assert (values, []) == (head.cookies, head.headers)


def test_tokens() -> None:
    """Lower case, without parameters, without empty members."""
    assert [b"a", b"b"] == tokens(b" A ;q=1,, b\t,")


# -- responses ---------------------------------------------------------------------------------


def response(*fields: tuple[bytes, bytes], status: int = 200, version: str = "1.1"):  # type: ignore[no-untyped-def]
    return read_response(status, b"", version, list(fields), bodiless=status in (204, 304))


def test_a_response_goes_on_without_what_ends_here() -> None:
    """Hop-by-hop fields, framing, HTTP/3 advertisements; obs-text stays."""
    head = response(
        (b"Set-Cookie", b"a"), (b"Set-Cookie", b"b"), (b"Connection", b"x-hop"), (b"X-Hop", b"1"),
        (b"Keep-Alive", b"1"), (b"Upgrade", b"h2"), (b"TE", b"a"), (b"Proxy-Authenticate", b"a"),
        (b"Alt-Svc", b'h3=":443"'), (b"Content-Length", b"3"), (b"X", b" \xff "),
    )  # fmt: skip
    assert [(b"Set-Cookie", b"a"), (b"Set-Cookie", b"b"), (b"X", b"\xff")] == head.headers
    assert (3, True) == (head.length, head.reusable)


@pytest.mark.parametrize(
    "fields",
    [
        [(LENGTH, b"3"), (LENGTH, b"3")],
        [(LENGTH, b"3"), (CODING, b"chunked")],
        [(CODING, b"chunked"), (LENGTH, b"3")],
        [(CODING, b"chunked"), (CODING, b"chunked")],
        [(LENGTH, b"+3")],
        [(LENGTH, b"")],
        [(CODING, b"gzip")],
        [(CODING, b"")],
    ],
)
def test_a_response_whose_end_is_uncertain_is_an_error(fields: Headers) -> None:
    """Whatever the parser makes of it."""
    with pytest.raises(BadResponse):
        response(*fields)


def test_all_that_a_101_switches_to_is_known() -> None:
    """The last of two Upgrade fields must not hide the first."""
    head = response((b"Upgrade", b"h2c"), (b"Upgrade", b"websocket"), status=101)
    assert [b"h2c", b"websocket"] == tokens(head.upgrade)


@pytest.mark.parametrize(
    ("status", "version"), [(0, "1.1"), (99, "1.1"), (200, "2.0"), (200, "0.9")]
)
def test_a_response_that_is_none_is_an_error(status: int, version: str) -> None:
    """Neither a status nor a version that HTTP/1 has."""
    with pytest.raises(BadResponse):
        response(status=status, version=version)


def test_the_trailers_of_a_response() -> None:
    """Nothing that would change what the head said."""
    fields = [(b"X-Sum", b" 1 "), (b"Set-Cookie", b"a"), (b"Set_Cookie", b"a"), (b"Location", b"a"),
              (b"Content-Length", b"1"), (b"Connection", b"a"), (b"Alt-Svc", b"h3")]  # fmt: skip
    assert [(b"X-Sum", b"1")] == response_trailers(fields)


def test_render() -> None:
    """Lines of HTTP/1.1."""
    assert b"A: b\r\nC: \r\n" == render([(b"A", b"b"), (b"C", b"")])

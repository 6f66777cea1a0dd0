"""Where requests begin and end: RFC 9112's framing rules, and nothing between the lines."""

from __future__ import annotations

import pytest
from request_transcripts import CHUNKED, GET, HOST, NEXT, POST, Transcript, bytewise, feed, read

from mtlsedge.http.messages import RequestHead
from mtlsedge.http.request_reader import RequestReader
from mtlsedge.model import Limits

# -- what is served ----------------------------------------------------------------------------


def test_a_request_is_read_with_its_body() -> None:
    """A head, the body, the end."""
    told = read(POST + b"Content-Length: 3\r\nX-A:  b \r\n\r\nabc").told
    head = ("head", "POST", b"/", "1.1", ((b"X-A", b"b"),), 3)
    assert [head, ("body", b"abc"), ("complete", ())] == told


def test_a_chunked_body_comes_without_its_framing() -> None:
    """Sizes in either case, leading zeros, extensions: all gone."""
    chunks = b'1\r\na\r\n0000A\r\n0123456789\r\na;name="v"\r\n0123456789\r\n0\r\n\r\n'
    transcript = read(CHUNKED + chunks)
    assert b"a" + b"0123456789" * 2 == transcript.body
    assert None is transcript.heads[0].length
    assert ["head", "body", "complete"] == transcript.kinds


@pytest.mark.parametrize("value", [b"chunked", b"Chunked", b"  chunked", b"\tCHUNKED "])
def test_chunked_in_any_case_is_chunked(value: bytes) -> None:
    """Names of codings are case-insensitive (§7); outer blanks are no part of a value."""
    data = POST + b"transfer-ENCODING:" + value + b"\r\n\r\n1\r\na\r\n0\r\n\r\n" + NEXT
    transcript = read(data)
    assert (b"a", [b"/", b"/next"]) == (transcript.body, transcript.targets)


@pytest.mark.parametrize("length", [b"3", b"3 ", b"\t3", b"003"])
def test_a_length_is_digits_between_blanks(length: bytes) -> None:
    """OWS is no part of the value, and leading zeros are digits."""
    assert b"abc" == read(POST + b"Content-Length:" + length + b"\r\n\r\nabc").body


def test_requests_sent_ahead_are_read_one_at_a_time() -> None:
    """Nothing of the second request is parsed before the first was answered."""
    transcript = Transcript()
    reader = RequestReader(transcript, Limits())
    reader.take(GET + b"\r\n" + NEXT)
    reader.pump()
    reader.pump()
    assert [b"/"] == transcript.targets
    assert reader.request_ended and reader.waiting
    reader.next()
    assert [b"/", b"/next"] == transcript.targets
    assert not reader.waiting


def test_a_held_reader_parses_nothing() -> None:
    """Whoever holds it in the middle of an event stops it there."""
    transcript = Transcript()
    reader = RequestReader(transcript, Limits())

    def hold(head: RequestHead) -> None:
        reader.held = True

    transcript.on_head = hold
    reader.take(POST + b"Content-Length: 3\r\n\r\nabc" + NEXT)
    reader.pump()
    assert ["head"] == transcript.kinds
    assert not reader.between_requests
    reader.held = False
    reader.pump()
    assert ["head", "body", "complete"] == transcript.kinds


def test_blank_lines_before_a_request_are_passed_over() -> None:
    """§2.2: a server should ignore at least one."""
    assert [b"/", b"/next"] == read(b"\r\n" + GET + b"\r\n" + b"\r\n\r\n" + NEXT).targets


def test_http_1_0_is_read_as_such() -> None:
    """No Host needed, and the connection ends unless the client says otherwise."""
    transcript = read(b"GET / HTTP/1.0\r\n\r\n")
    assert ("1.0", False) == (transcript.heads[0].version, transcript.heads[0].keep_alive)
    assert None is transcript.heads[0].host
    kept = read(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
    assert kept.heads[0].keep_alive


def test_bytes_above_ascii_in_a_value_pass() -> None:
    """obs-text (RFC 9110 §5.5) is opaque, not an error."""
    assert [(b"X", b"\x80\xff\t\xe9")] == read(GET + b"X: \x80\xff\t\xe9\r\n\r\n").heads[0].headers


# -- sizes -------------------------------------------------------------------------------------


SMALL = Limits(request_line=100, request_head=1000, request_headers=10)


def test_a_long_target_is_414() -> None:
    """Also where it comes in pieces and does not end."""
    line = b"GET /" + b"a" * 100
    for reads in ([line + b" HTTP/1.1\r\n"], bytewise(line)):
        assert [("refused", 414, True)] == read(*reads, limits=SMALL).told
    whole = b"GET /" + b"a" * 99 + b" HTTP/1.1\r\n" + HOST + b"\r\n"
    assert ["head", "complete"] == read(whole, limits=SMALL).kinds


def test_many_fields_are_431() -> None:
    """Those of the head; the next is one too many."""
    ten = GET + b"A: b\r\n" * 9
    assert ["head", "complete"] == read(ten + b"\r\n", limits=SMALL).kinds
    assert [("refused", 431, True)] == read(ten + b"A: b\r\n\r\n", limits=SMALL).told


@pytest.mark.parametrize("split", [False, True], ids=["at once", "byte by byte"])
@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"], ids=["endless", "whole"])
def test_a_large_head_is_431(end: bytes, split: bool) -> None:
    """Whether it ends or not."""
    data = GET + b"A: " + b"b" * 1000 + end
    transcript = read(*(bytewise(data) if split else [data]), limits=SMALL)
    assert [("refused", 431, True)] == transcript.told


def test_blank_lines_without_end_are_431() -> None:
    """They are bytes before a request, and count as its."""
    assert [("refused", 431, True)] == read(*[b"\r\n" * 10] * 100, limits=SMALL).told


@pytest.mark.parametrize(
    "endless",
    [b"0\r\nX: " + b"a" * 5000, b"0\r\n" + b"X" * 5000, b"0\r\n" + b"X: a\r\n" * 800,
     b"3;" + b"a" * 5000, b"0;a=" + b"b" * 5000, b"0" * 5000],
    ids=["a value", "a name", "fields", "an extension", "a last extension", "a size"],
)  # fmt: skip
@pytest.mark.parametrize("step", [1, 100])
def test_framing_without_end_is_431(endless: bytes, step: int) -> None:
    """No buffer grows with what a client sends between two pieces of its body."""
    data = CHUNKED + b"1\r\na\r\n" + endless
    transcript = read(*(data[at : at + step] for at in range(0, len(data), step)), limits=SMALL)
    assert ("refused", 431, True) == transcript.told[-1]
    assert ["head", "body", "refused"] == transcript.kinds


def test_a_long_body_of_small_chunks_is_no_framing_without_end() -> None:
    """Only bytes in a row that are no body count."""
    transcript = read(*[CHUNKED, *[b"1\r\na\r\n"] * 2000, b"0\r\n\r\n"], limits=SMALL)
    assert b"a" * 2000 == transcript.body
    assert "complete" == transcript.kinds[-1]


# -- trailers ----------------------------------------------------------------------------------


def test_trailers_come_with_the_end_and_only_harmless_ones() -> None:
    """Nothing about framing, routing, identity, and nothing of the edge's."""
    names = (b"X-Sum", b"Host", b"cf-cert-verified", b"CF_Cert_Verified", b"X-Forwarded-For",
             b"Authorization", b"Cookie", b"Content-Type", b"Connection", b"Content_Length",
             b"CF-Access-Client-Id", b"Cf-Access-Jwt-Assertion", b"Trailer", b"TE", b"Upgrade",
             b"Expect", b"Set-Cookie", b"Cache-Control", b"Proxy", b"X-Request-Id")  # fmt: skip
    section = b"".join(name + b": a\r\n" for name in names)
    transcript = read(CHUNKED + b"0\r\n" + section + b"\r\n" + NEXT)
    assert ("complete", ((b"X-Sum", b"a"),)) == transcript.told[1]
    assert [] == transcript.heads[1].headers


# -- large bodies ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [7, 999, 16_384, 65_536, 1 << 20])
def test_a_large_body_ends_where_its_length_says(size: int) -> None:
    """However it is cut, and whatever it looks like; the next request is read behind it."""
    body = NEXT * 2000
    stream = POST + b"Content-Length: %d\r\n\r\n" % len(body) + body + NEXT
    step = size if size > 7 else len(stream) - len(NEXT) - size
    transcript = read(*(stream[at : at + step] for at in range(0, len(stream), step)))
    assert ["head", "body", "complete", "head", "complete"] == transcript.kinds
    assert body == transcript.body
    assert [b"/", b"/next"] == transcript.targets


def test_a_large_body_is_held_like_any() -> None:
    """Nothing is told while the reader is held, and nothing is lost."""
    transcript = Transcript()
    reader = RequestReader(transcript, Limits())
    feed(reader, [POST + b"Content-Length: 100000\r\n\r\n" + b"a" * 1000])
    reader.held = True
    feed(reader, [b"b" * 50_000])
    assert b"a" * 1000 == transcript.body and reader.waiting
    reader.held = False
    feed(reader, [b"c" * 49_000])
    assert b"a" * 1000 + b"b" * 50_000 + b"c" * 49_000 == transcript.body
    assert "complete" == transcript.kinds[-1] and not reader.waiting

"""What an origin should not say is an error, and never a second answer."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from response_transcripts import (
    ANSWERS,
    CHUNKED,
    EMPTY,
    FIVE,
    LIMIT,
    OK,
    SWITCH,
    Asked,
    Transcript,
    bytewise,
)

from mtlsedge.http.fields import BadResponse
from mtlsedge.http.response_reader import ResponseReader

# -- what follows an answer --------------------------------------------------------------------


@pytest.mark.parametrize("more", [EMPTY, FIVE, b"\x00", b"HTTP", b"x" * 10000, SWITCH])
@pytest.mark.parametrize("answer", [EMPTY, FIVE, CHUNKED + b"0\r\n\r\n"])
def test_bytes_after_an_answer_are_never_another(answer: bytes, more: bytes) -> None:
    """Else one client would get what was meant for the one before (response smuggling)."""
    asked = Asked().feed(answer + more)
    assert 1 == asked.transcript.kinds.count("head") == asked.transcript.kinds.count("complete")
    assert asked.reader.spoiled
    later = Asked().feed(answer, more)
    assert 1 == later.transcript.kinds.count("head")
    assert later.reader.spoiled


def test_bytes_before_anything_was_asked_spoil_the_connection() -> None:
    """An idle connection that speaks is of no use."""
    transcript = Transcript()
    reader = ResponseReader(transcript, LIMIT)
    reader.feed(FIVE)
    assert reader.spoiled and [] == transcript.told


# -- what cannot be passed on ------------------------------------------------------------------


BAD = {
    "length and chunked": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "chunked and length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
    "two lengths": OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "two equal lengths": OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
    "a list of lengths": OK + b"Content-Length: 5, 5\r\n\r\n",
    "a signed length": OK + b"Content-Length: +5\r\n\r\n",
    "a hexadecimal length": OK + b"Content-Length: 0x5\r\n\r\n",
    "an empty length": OK + b"Content-Length:\r\n\r\n",
    "an endless length": OK + b"Content-Length: 99999999999999999999\r\n\r\n",
    "gzip": OK + b"Transfer-Encoding: gzip\r\n\r\n",
    "gzip, chunked": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "identity": OK + b"Transfer-Encoding: identity\r\n\r\n",
    "chunked twice": OK + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n",
    "an empty coding": OK + b"Transfer-Encoding:\r\n\r\n",
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\n\r\n",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\n\r\n",
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\n\r\n",
    "status 0": b"HTTP/1.1 000 No\r\n\r\n",
    "status 99": b"HTTP/1.1 099 No\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 99 No\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 No\r\n\r\n",
    "no HTTP": b"<html>\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9\r\n",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x16",
    "a bare LF": OK + b"X: a\nSet-Cookie: b=c\r\n\r\n",
    "a bare CR": OK + b"X: a\rSet-Cookie: b=c\r\n\r\n",
    "a bare LF behind the status": b"HTTP/1.1 200 OK\nX: a\r\n\r\n",
    "a bare CR in the reason": b"HTTP/1.1 200 O\rX: a\r\n\r\n",
    "a NUL": OK + b"X: a\0b\r\n\r\n",
    "a control byte": OK + b"X: a\x01b\r\n\r\n",
    "a folded value": OK + b"X: a\r\n b\r\n\r\n",
    "a blank before the colon": OK + b"Content-Length : 5\r\n\r\n",
    "no colon": OK + b"X\r\n\r\n",
    "a bad chunk": CHUNKED + b"x\r\n",
    "a bad chunk end": CHUNKED + b"1\r\nab",
    "a bare LF behind a chunk": CHUNKED + b"1\na\r\n",
    "a framing trailer": CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n",
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("split", [False, True], ids=["at once", "byte by byte"])
def test_a_doubtful_answer_is_an_error(data: bytes, split: bool) -> None:
    """502: it is not for the edge to guess, nor for the client."""
    asked = Asked()
    with pytest.raises(BadResponse):
        asked.feed(*(bytewise(data) if split else [data]))
    assert "complete" not in asked.transcript.kinds


@pytest.mark.parametrize(
    ("reason", "kept"),
    [(b"", b""), (b"OK", b"OK"), (b"Very\tgood", b"Very\tgood"), (b"Sch\xf6n", b"Sch\xf6n"),
     (b"a\x00b", b""), (b"a\x01b", b""), (b"a\x7f", b""), (b"\x1b[2J", b"")],
)  # fmt: skip
def test_a_reason_phrase_with_control_bytes_is_dropped(reason: bytes, kept: bytes) -> None:
    """The parser lets them in; a client gets the status's own phrase instead."""
    asked = Asked().feed(b"HTTP/1.1 200 " + reason + b"\r\nContent-Length: 0\r\n\r\n")
    assert kept == asked.transcript.head.reason


@pytest.mark.parametrize("step", [1, 1000])
@pytest.mark.parametrize(
    "endless",
    [OK + b"X: " + b"a" * 9000, OK + b"X" * 9000, b"HTTP/1.1 200 " + b"a" * 9000,
     OK + b"X: a\r\n" * 2000, CHUNKED + b"0\r\nX: " + b"a" * 9000, CHUNKED + b"0\r\n" + b"X" * 9000,
     CHUNKED + b"1\r\na\r\n0\r\n" + b"X: a\r\n" * 2000, CHUNKED + b"1;" + b"a" * 9000,
     b"\r\n" * 9000],
    ids=["value", "name", "reason", "fields", "trailer", "trailer name", "trailers", "extension",
         "blank lines"],
)  # fmt: skip
def test_framing_without_end_is_an_error(endless: bytes, step: int) -> None:
    """No buffer grows with what an origin sends."""
    pieces = (endless[at : at + step] for at in range(0, len(endless), step))
    with pytest.raises(BadResponse, match="too large"):
        Asked().feed(*pieces)


def test_a_large_body_is_no_framing() -> None:
    """Only bytes in a row that are no body count, in heads, extensions and trailers."""
    asked = Asked().feed(CHUNKED, *[b"1\r\na\r\n"] * 5000, b"0\r\n\r\n")
    assert ("body", b"a" * 5000) == asked.transcript.told[1]
    switched = Asked(upgrade=True).feed(SWITCH + b"x" * 2 * LIMIT)
    assert 2 * LIMIT == len(switched.reader.leftover)


# -- splits ------------------------------------------------------------------------------------


@given(st.sampled_from(ANSWERS), st.lists(st.integers(0, 120), max_size=12))
def test_reads_may_part_anywhere(answer: bytes, places: Iterable[int]) -> None:
    """Any split tells the same."""
    edges = [0, *sorted({place for place in places if 0 < place < len(answer)}), len(answer)]
    pieces = [answer[a:b] for a, b in itertools.pairwise(edges)]
    one, other = Asked().feed(answer), Asked().feed(*pieces)
    assert one.transcript.told == other.transcript.told
    assert one.reader.end_of_input() == other.reader.end_of_input()
    assert one.reader.spoiled == other.reader.spoiled


@given(st.binary(max_size=300), st.booleans(), st.sampled_from(["GET", "HEAD", "POST"]))
def test_nonsense_is_an_error_or_an_answer_and_never_two(
    junk: bytes, upgrade: bool, method: str
) -> None:
    """No other exception leaves the reader."""
    asked = Asked(method, upgrade=upgrade)
    with contextlib.suppress(BadResponse):
        asked.feed(b"HTTP/1.1 " + junk, junk, FIVE)
    assert asked.transcript.kinds.count("head") <= 1
    assert asked.transcript.kinds.count("complete") <= 1


def test_an_error_that_is_being_handled_further_up_is_not_taken_for_this_one() -> None:
    """Answers are read from within handlers of other errors."""
    try:
        raise BadResponse("another answer's")
    except BadResponse:
        for data, why in ((OK + b"X\r\n", "header"), (b"HTTP/2.0 200 OK\r\n\r\n", "HTTP 2.0")):
            with pytest.raises(BadResponse, match=why):
                Asked().feed(data)

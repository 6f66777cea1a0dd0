"""Where answers begin and end, and that nothing an origin says becomes a second answer."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsedge.http.fields import BadResponse
from mtlsedge.http.messages import Headers, ResponseHead
from mtlsedge.http.response_reader import ResponseReader

OK = b"HTTP/1.1 200 OK\r\n"
FIVE = OK + b"Content-Length: 5\r\n\r\n12345"
EMPTY = OK + b"Content-Length: 0\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LIMIT = 4096


class Transcript:
    """What a reader told; body pieces are joined."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.heads: list[ResponseHead] = []

    def response_interim(self, head: ResponseHead) -> None:
        self.told.append(("interim", head.status, tuple(head.headers)))

    def response_head(self, head: ResponseHead) -> None:
        self.heads.append(head)
        self.told.append(("head", head.status, tuple(head.headers)))

    def response_whole(self, head: ResponseHead, body: bytes) -> None:
        self.response_head(head)
        if body:
            self.response_body(body)
        self.response_complete([])

    def response_body(self, data: bytes) -> None:
        if self.told[-1][0] == "body":
            data = self.told.pop()[1] + data
        self.told.append(("body", data))

    def response_complete(self, trailers: Headers) -> None:
        self.told.append(("complete", tuple(trailers)))

    @property
    def kinds(self) -> list[str]:
        return [event[0] for event in self.told]

    @property
    def head(self) -> ResponseHead:
        assert len(self.heads) == 1
        return self.heads[0]


class Asked:
    """One reader, asked and fed."""

    def __init__(self, method: str = "GET", *, upgrade: bool = False) -> None:
        self.transcript = Transcript()
        self.reader = ResponseReader(self.transcript, LIMIT)
        self.reader.expect(method, upgrade=upgrade)

    def feed(self, *reads: bytes) -> Asked:
        for data in reads:
            self.reader.feed(data)
        return self


def bytewise(data: bytes) -> list[bytes]:
    """A read for every byte."""
    return [data[at : at + 1] for at in range(len(data))]


# -- one answer --------------------------------------------------------------------------------


def test_an_answer_of_known_length() -> None:
    """Head, body, end; the connection may go on."""
    asked = Asked().feed(OK + b"X-A:  b \r\nContent-Length: 5\r\n\r\n123", b"45")
    expected = [("head", 200, ((b"X-A", b"b"),)), ("body", b"12345"), ("complete", ())]
    assert expected == asked.transcript.told
    assert asked.transcript.head.reusable and not asked.reader.spoiled


def test_a_chunked_answer_with_trailers() -> None:
    """Without its framing; trailers that would change what was said already stay behind."""
    section = b"X-Sum: 1\r\nSet-Cookie: a=b\r\nAlt-Svc: h3\r\nConnection: x\r\n"
    asked = Asked().feed(CHUNKED + b"3;a=b\r\nabc\r\n2\r\nde\r\n0\r\n" + section + b"\r\n")
    assert ("body", b"abcde") == asked.transcript.told[1]
    assert ("complete", ((b"X-Sum", b"1"),)) == asked.transcript.told[2]


@pytest.mark.parametrize(
    ("data", "reusable"),
    [
        (OK + b"\r\n", False),
        (OK + b"Connection: keep-alive\r\n\r\n", True),  # says so, but the end is the close
        (b"HTTP/1.0 200 OK\r\n\r\n", False),
    ],
)
def test_without_framing_the_answer_ends_with_the_connection(data: bytes, reusable: bool) -> None:
    """§6.3, rule 8; such a connection is never used again."""
    asked = Asked().feed(data, b"abc", b"HTTP/1.1 200 OK\r\n\r\n")
    assert ("body", b"abcHTTP/1.1 200 OK\r\n\r\n") == asked.transcript.told[1]
    assert asked.transcript.head.until_close
    assert not asked.transcript.head.reusable
    assert asked.reader.end_of_input()
    assert "complete" == asked.transcript.kinds[-1]


def test_an_answer_cut_short_is_not_complete() -> None:
    """Neither in its head nor before its length nor between chunks."""
    for data in (b"", OK, OK + b"Content-Length: 5\r\n\r\n1234", CHUNKED + b"3\r\nabc\r\n"):
        asked = Asked()
        if data:
            asked.feed(data)
        assert not asked.reader.end_of_input()
        assert "complete" not in asked.transcript.kinds


def test_an_http_1_0_origin() -> None:
    """Its connection is used again only if it says so, and it has no chunks."""
    closing = Asked().feed(b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na")
    assert not closing.transcript.head.reusable
    keeping = Asked().feed(
        b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\na"
    )
    assert keeping.transcript.head.reusable
    assert ["head", "body", "complete"] == keeping.transcript.kinds


def test_connection_close_is_heeded_and_what_connection_names_ends_here() -> None:
    """RFC 9110 §7.6.1."""
    fields = b"Connection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nX-End: 2\r\n"
    head = Asked().feed(OK + fields + b"Content-Length: 0\r\n\r\n").transcript.head
    assert not head.reusable
    assert [(b"X-End", b"2")] == head.headers


# -- answers without a body --------------------------------------------------------------------


@pytest.mark.parametrize("framing", [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"])
@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", b"200 OK"), ("GET", b"204 None"), ("GET", b"304 Same")]
)
def test_some_answers_have_no_body_whatever_they_say(
    method: str, status: bytes, framing: bytes
) -> None:
    """HEAD, 204, 304: complete with the head, and the next answer is read afresh."""
    asked = Asked(method).feed(b"HTTP/1.1 " + status + b"\r\n" + framing + b"\r\n")
    assert ["head", "complete"] == asked.transcript.kinds
    assert 0 == asked.transcript.head.length
    assert not asked.reader.spoiled
    asked.transcript.heads.clear()
    asked.reader.expect("GET", upgrade=False)
    asked.feed(*bytewise(FIVE))
    assert ["head", "body", "complete"] == asked.transcript.kinds[2:]
    assert ("body", b"12345") == asked.transcript.told[3]
    assert not asked.reader.spoiled


def test_what_a_bodiless_answer_says_of_its_body_is_kept() -> None:
    """A client that asks HEAD wants to know."""
    assert b"5" == Asked("HEAD").feed(OK + b"Content-Length: 5\r\n\r\n").transcript.head.declared


def test_a_body_for_head_spoils_the_connection() -> None:
    """Some origins send one; it is nobody's, and no next answer."""
    for reads in ([OK + b"Content-Length: 5\r\n\r\n12345"], [OK + b"\r\n", b"12345"]):
        asked = Asked("HEAD").feed(*reads)
        assert ["head", "complete"] == asked.transcript.kinds
        assert asked.reader.spoiled


# -- interim answers ---------------------------------------------------------------------------


@pytest.mark.parametrize("split", [False, True])
def test_interim_answers_come_before_the_answer(split: bool) -> None:
    """100, 102, 103, any number but not without end."""
    data = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n"
        b"HTTP/1.1 199 New\r\n\r\n" + FIVE
    )
    asked = Asked().feed(*(bytewise(data) if split else [data]))
    expected = [
        ("interim", 100, ()),
        ("interim", 103, ((b"Link", b"</a>"),)),
        ("interim", 199, ()),
        ("head", 200, ()),
        ("body", b"12345"),
        ("complete", ()),
    ]
    assert expected == asked.transcript.told
    assert not asked.reader.spoiled


def test_interim_answers_without_end_are_an_error() -> None:
    """Each is passed on, so they must be few."""
    with pytest.raises(BadResponse, match="without end"):
        Asked().feed(*[b"HTTP/1.1 102 Busy\r\n\r\n"] * 33)


@pytest.mark.parametrize("framing", [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_an_interim_answer_with_a_body_is_an_error(framing: bytes) -> None:
    """RFC 9110 §15.2: it has none, and readers differ on one that says otherwise."""
    with pytest.raises(BadResponse, match="interim"):
        Asked().feed(b"HTTP/1.1 103 Early\r\n" + framing + b"\r\n" + FIVE)


# -- switching protocols -----------------------------------------------------------------------

SWITCH = b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"


def test_a_101_that_was_asked_for_ends_http() -> None:
    """What follows belongs to the new protocol."""
    asked = Asked(upgrade=True).feed(SWITCH + b"\x81\x00" + OK)
    assert [("head", 101, ())] == asked.transcript.told
    assert b"websocket" == asked.transcript.head.upgrade
    assert b"\x81\x00" + OK == asked.reader.leftover


def test_a_101_may_come_byte_by_byte_and_after_interim_answers() -> None:
    """Nothing of it is lost."""
    asked = Asked(upgrade=True).feed(*bytewise(b"HTTP/1.1 100 C\r\n\r\n" + SWITCH))
    assert ["interim", "head"] == asked.transcript.kinds
    assert b"" == asked.reader.leftover


def test_a_101_that_nobody_asked_for_is_an_error() -> None:
    """Invariant 7: no tunnel without a client that wants one."""
    with pytest.raises(BadResponse, match="nobody asked"):
        Asked().feed(SWITCH)


def test_a_101_to_nothing_is_an_error() -> None:
    """It must name what was switched to (RFC 9110 §15.2.2)."""
    with pytest.raises(BadResponse):
        Asked(upgrade=True).feed(b"HTTP/1.1 101 Switching\r\n\r\n")


def test_an_upgrade_that_the_origin_declines_is_an_ordinary_answer() -> None:
    """Also where it advertises what it could switch to, as Apache does."""
    fields = b"Connection: Upgrade\r\nUpgrade: h2,h2c\r\nContent-Length: 5\r\n\r\n"
    asked = Asked(upgrade=True).feed(OK + fields + b"12345")
    assert [("head", 200, ()), ("body", b"12345"), ("complete", ())] == asked.transcript.told


# -- heads that come again, and large bodies ---------------------------------------------------

ANSWERS = (
    FIVE,
    EMPTY,
    CHUNKED + b"4\r\n\r\n\r\n\r\n0\r\nX: a\r\n\r\n",
    b"HTTP/1.1 100 C\r\n\r\n" + FIVE,
    b"HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\n",
    OK + b"\r\nuntil the end",
)


class Forbidden:
    """A parser that nobody may ask."""

    def feed_data(self, data: bytes) -> None:
        raise AssertionError("it was asked")


def asked_twice(first: bytes, method: str = "GET") -> Asked:
    """A reader that has told one answer, and is about to hear a second."""
    asked = Asked(method).feed(first)
    asked.transcript.told.clear()
    asked.transcript.heads.clear()
    asked.reader.expect(method, upgrade=False)
    return asked


@pytest.mark.parametrize("at", range(len(FIVE), len(FIVE) - 6, -1))
def test_a_head_that_comes_again_is_not_parsed_again(at: int) -> None:
    """Whatever of the body comes with it."""
    asked = asked_twice(FIVE)
    asked.reader._parser = Forbidden()
    again = FIVE[:-5] + b"abcde"
    asked.feed(*(read for read in (again[:at], again[at:]) if read))
    assert [("head", 200, ()), ("body", b"abcde"), ("complete", ())] == asked.transcript.told
    assert not asked.reader.spoiled


@pytest.mark.parametrize("more", [EMPTY, FIVE, b"\x00"])
def test_bytes_behind_a_head_that_comes_again_are_never_an_answer(more: bytes) -> None:
    """As behind any other."""
    for reads in ([FIVE + more], [FIVE, more], [FIVE[:-2], FIVE[-2:] + more]):
        asked = asked_twice(FIVE).feed(*reads)
        assert [("head", 200, ()), ("body", b"12345"), ("complete", ())] == asked.transcript.told
        assert asked.reader.spoiled


def test_the_same_head_answers_head_and_get_each_in_its_way() -> None:
    """With no body, and with one."""
    asked = asked_twice(FIVE)
    asked.reader.expect("HEAD", upgrade=False)
    asked.feed(FIVE[:-5])
    assert ["head", "complete"] == asked.transcript.kinds
    asked.reader.expect("GET", upgrade=False)
    asked.feed(FIVE)
    assert ["head", "body", "complete"] == asked.transcript.kinds[2:]
    assert not asked.reader.spoiled


@given(
    st.lists(
        st.tuples(st.sampled_from(ANSWERS[:5]), st.lists(st.integers(0, 120), max_size=3)),
        min_size=2,
        max_size=6,
    )
)
def test_one_reader_tells_what_a_new_one_for_each_answer_would(
    answers: list[tuple[bytes, list[int]]],
) -> None:
    """Whatever it remembers."""
    asked, expected = Asked(), []
    for answer, places in answers:
        asked.reader.expect("GET", upgrade=False)
        edges = [0, *sorted({place for place in places if 0 < place < len(answer)}), len(answer)]
        asked.feed(*(answer[a:b] for a, b in itertools.pairwise(edges)))
        expected += Asked().feed(answer).transcript.told
    assert expected == asked.transcript.told
    assert not asked.reader.spoiled


@pytest.mark.parametrize("more", [b"", FIVE])
def test_the_end_of_a_large_body_is_where_its_length_says(more: bytes) -> None:
    """The parser does not see it; the next answer is read as any."""
    body = bytes(range(256)) * 1024
    head = OK + b"Content-Length: %d\r\n\r\n" % len(body)
    data = head + body + more
    asked = Asked().feed(data[:1000])
    asked.reader._parser = Forbidden()
    asked.feed(*(data[at : at + 60_000] for at in range(1000, len(data), 60_000)))
    assert [("head", 200, ()), ("body", body), ("complete", ())] == asked.transcript.told
    assert bool(more) == asked.reader.spoiled
    cut = Asked().feed(data[: len(head) + len(body) - 1])
    assert "complete" not in cut.transcript.kinds and not cut.reader.end_of_input()


def test_behind_a_large_body_comes_an_answer_like_any() -> None:
    """Also one that begins alike."""
    head = OK + b"Content-Length: 99999\r\n\r\n"
    asked = Asked().feed(head, b"x" * 99_999)
    for answer in (FIVE, FIVE, CHUNKED + b"1\r\na\r\n0\r\n\r\n", head + b"x" * 99_999):
        asked.transcript.told.clear()
        asked.reader.expect("GET", upgrade=False)
        asked.feed(answer)
        assert ["head", "body", "complete"] == asked.transcript.kinds
    assert not asked.reader.spoiled


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

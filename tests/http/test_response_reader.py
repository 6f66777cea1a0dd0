"""Where answers begin and end, and that nothing an origin says becomes a second answer."""

from __future__ import annotations

import pytest
from response_transcripts import CHUNKED, FIVE, OK, SWITCH, Asked, bytewise

from mtlsedge.http.fields import BadResponse

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

"""A head that comes again, and a large body: neither is parsed, and both end where they end."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from response_transcripts import ANSWERS, CHUNKED, EMPTY, FIVE, OK, Asked


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

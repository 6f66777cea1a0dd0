"""However a client's bytes are cut into reads, they tell the same, and cost what bytes cost."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from request_transcripts import CHUNKED, GET, NEXT, POST, Transcript, bytewise, feed, read

from mtlsedge.http import request_reader
from mtlsedge.http.messages import Refuse, RequestHead
from mtlsedge.http.request_reader import RequestReader
from mtlsedge.model import Limits

# -- pieces ------------------------------------------------------------------------------------


STREAM = (
    b"\r\n" + GET + b"Cookie: a=b\r\n\r\n",
    POST + b"Content-Length: 12\r\n\r\n\r\n\r\nGET / H\r",
    CHUNKED + b"4\r\n\r\n\r\n\r\n2\r\n\r\n\r\n0\r\nX-T: 1\r\n\r\n",
    b"\r\n\r\n" + CHUNKED + b"0\r\n\r\n",
    GET + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    POST + b"Content-Length: 0\r\n\r\n",
    b"HEAD /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    NEXT,
)


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """The data, cut at these places."""
    edges = [0, *sorted({place for place in places if 0 < place < len(data)}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def test_every_byte_by_itself_tells_the_same() -> None:
    """And each message of the stream is told."""
    whole = b"".join(STREAM)
    at_once = read(whole)
    assert len(STREAM) == at_once.kinds.count("complete") == at_once.kinds.count("head")
    assert [] == at_once.refusals
    assert at_once.told == read(*bytewise(whole)).told


@pytest.mark.parametrize("at", range(1, len(b"".join(STREAM))))
def test_two_reads_tell_the_same_wherever_they_part(at: int) -> None:
    """Also in the middle of a blank line, where one request was taken for two or two for one."""
    whole = b"".join(STREAM)
    assert read(whole).told == read(whole[:at], whole[at:]).told


@given(
    st.lists(st.sampled_from(STREAM), min_size=1, max_size=8),
    st.lists(st.integers(min_value=0, max_value=1500), max_size=20),
)
@example([GET + b"\r\n", NEXT], [len(GET) + 1])
def test_reads_may_part_anywhere(messages: list[bytes], places: list[int]) -> None:
    """Any split of any stream of requests tells the same."""
    whole = b"".join(messages)
    assert read(whole).told == read(*cut(whole, places)).told


@given(st.binary(max_size=200), st.integers(0, 200), st.lists(st.integers(0, 600), max_size=8))
def test_reads_of_nonsense_may_part_anywhere(junk: bytes, at: int, places: list[int]) -> None:
    """The same requests pass, however what is wrong arrives; no exception leaves the reader."""
    stream = STREAM[0] + STREAM[2] + STREAM[1]
    data = stream[:at] + junk + stream[at:]
    one, other = read(data), read(*cut(data, places))
    assert one.targets == other.targets
    assert one.kinds.count("complete") == other.kinds.count("complete")
    assert len(one.refusals) == len(other.refusals)


def test_a_request_within_a_request_would_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the cutting into pieces ever failed, two requests must not become one."""
    monkeypatch.setattr(RequestReader, "_behind_blank_line", lambda self, start: len(self._waiting))
    transcript = read(GET + b"\r\n" + NEXT)
    assert ("refused", 400, True) == transcript.told[-1]
    assert b"/next" not in transcript.targets


def test_early_bytes_of_an_upgrade_are_kept() -> None:
    """They belong to the new protocol, if there is to be one."""
    transcript = Transcript()
    reader = RequestReader(transcript, Limits())
    head = GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    early = b"\x81\x85\r\n\r\nGET / HTTP/1.1\r\n\r\n"
    reader.take(head + early)
    reader.pump()
    assert ["head", "complete"] == transcript.kinds
    assert b"websocket" == transcript.heads[0].upgrade
    assert early == reader.take_waiting()
    assert not reader.waiting


def test_an_upgrade_that_is_not_taken_up_leads_to_the_next_request() -> None:
    """The parser goes on behind it."""
    head = GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert [b"/", b"/next"] == read(head + NEXT).targets


# -- cost --------------------------------------------------------------------------------------


class Counted(bytes):
    """Bytes that know how many of them were looked at or copied."""

    looked = 0

    def find(self, sub: Any, start: Any = 0, end: Any = None) -> int:
        found = super().find(sub, start)
        Counted.looked += (found if found >= 0 else len(self)) - start
        return found

    def __getitem__(self, key: Any) -> Any:
        taken = super().__getitem__(key)
        Counted.looked += len(taken) if isinstance(taken, bytes) else 1
        return taken


def test_a_read_full_of_blank_lines_costs_what_its_bytes_cost() -> None:
    """Each byte is looked at and copied once, into however many pieces it falls."""
    many = 4096
    Counted.looked = 0
    read(Counted(b"\r\n\r\n" * many), limits=Limits(request_head=1 << 20))
    assert 2 * 4 * many >= Counted.looked > 0


def test_small_chunks_of_one_read_are_told_as_one() -> None:
    """Else 16 KiB would cost the origin's side thousands of writes."""
    calls: list[bytes] = []

    class Listener(Transcript):
        def request_body(self, data: bytes) -> None:
            calls.append(data)

    reader = RequestReader(Listener(), Limits())
    feed(reader, [CHUNKED, b"4\r\n\r\n\r\n\r\n" * 1000, b"1\r\na\r\n" * 1000 + b"0\r\n\r\n"])
    assert [b"\r\n\r\n" * 1000, b"a" * 1000] == calls


def test_an_error_of_our_own_is_a_refusal_and_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in a callback must not look like the client's mistake, nor like a request."""
    logged: list[object] = []

    def broken(*_: object) -> RequestHead:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(request_reader, "read_request", broken)
    monkeypatch.setattr(request_reader._log, "error", lambda text, cause: logged.append(cause))
    assert [("refused", 500, True)] == read(GET + b"\r\n" + NEXT).told
    assert [ZeroDivisionError] == [type(cause) for cause in logged]


def test_an_error_that_is_being_handled_further_up_is_not_taken_for_this_one() -> None:
    """A reader goes on from within handlers of other requests' and origins' errors."""
    try:
        raise Refuse(431, "too_large", "another request's")
    except Refuse:
        transcript = read(GET + b"X: \0\r\n\r\n")
        assert [("refused", 400, True)] == transcript.told
        assert [("refused", 414, True)] == read(b"GET /" + b"a" * 9000).told


def test_an_idle_connection_keeps_no_buffer() -> None:
    """Ten thousand of them wait at a time."""
    reader = RequestReader(Transcript(), Limits())
    data = GET + b"X: " + b"a" * 4000 + b"\r\n\r\n"
    feed(reader, [data])
    assert reader.between_requests
    assert not [held for held in gc.get_referents(reader.__dict__) if held == data]

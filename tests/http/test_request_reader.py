"""Where requests begin and end: RFC 9112's framing rules, and nothing between the lines."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mtlsedge.http import request_reader
from mtlsedge.http.messages import Headers, Refuse, RequestHead
from mtlsedge.http.request_reader import CommonFields, RequestReader
from mtlsedge.model import Limits
from support.hostile import BAD_CHUNKS, BAD_HEADS, BAD_LINES

HOST = b"Host: a.example\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST
POST = b"POST / HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\n" + HOST + b"\r\n"


class Transcript:
    """What a reader told, as a list that reads like a transcript; body pieces are joined."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.heads: list[RequestHead] = []
        self.refusals: list[Refuse] = []
        self.on_head: Callable[[RequestHead], None] = lambda head: None

    def request_head(self, head: RequestHead) -> None:
        self.heads.append(head)
        fields = tuple(head.headers)
        self.told.append(("head", head.method, head.target, head.version, fields, head.length))
        self.on_head(head)

    def request_body(self, data: bytes) -> None:
        if self.told[-1][0] == "body":
            data = self.told.pop()[1] + data
        self.told.append(("body", data))

    def request_complete(self, trailers: Headers) -> None:
        self.told.append(("complete", tuple(trailers)))

    def request_refused(self, refusal: Refuse) -> None:
        self.refusals.append(refusal)
        self.told.append(("refused", refusal.status, refusal.close))

    @property
    def targets(self) -> list[bytes]:
        return [head.target for head in self.heads]

    @property
    def kinds(self) -> list[str]:
        return [event[0] for event in self.told]

    @property
    def body(self) -> bytes:
        return b"".join(event[1] for event in self.told if event[0] == "body")


def read(*reads: bytes, limits: Limits = Limits()) -> Transcript:  # noqa: B008
    """Everything that these reads make a reader tell, each request answered at once."""
    transcript = Transcript()
    reader = RequestReader(transcript, limits)
    feed(reader, reads)
    return transcript


def feed(reader: RequestReader, reads: Iterable[bytes]) -> None:
    """As a connection does whose every exchange is over at once."""
    for data in reads:
        reader.take(data)
        reader.pump()
        while reader.request_ended:
            reader.next()


def bytewise(data: bytes) -> list[bytes]:
    """A read for every byte."""
    return [data[at : at + 1] for at in range(len(data))]


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


# -- what is refused, and closes ---------------------------------------------------------------


@pytest.mark.parametrize("lines", BAD_HEADS.values(), ids=BAD_HEADS.keys())
@pytest.mark.parametrize("split", [False, True], ids=["at once", "byte by byte"])
def test_a_doubtful_head_is_refused_and_nothing_behind_it_is_read(
    lines: bytes, split: bool
) -> None:
    """400, close, and not a request."""
    data = POST + lines + b"\r\n3\r\nabc\r\n0\r\n\r\n" + NEXT
    transcript = read(*(bytewise(data) if split else [data]))
    assert [("refused", 400, True)] == transcript.told


@pytest.mark.parametrize(("line", "status"), BAD_LINES.values(), ids=BAD_LINES.keys())
def test_a_doubtful_request_line_is_refused(line: bytes, status: int) -> None:
    """And nothing behind it is read."""
    transcript = read(line + HOST + b"\r\n" + NEXT)
    assert [("refused", status, True)] == transcript.told


def test_the_http2_preface_is_refused() -> None:
    """RFC 9113 §3.4; whoever speaks it was not asked to."""
    assert [("refused", 400, True)] == read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").told


@pytest.mark.parametrize("chunks", BAD_CHUNKS.values(), ids=BAD_CHUNKS.keys())
@pytest.mark.parametrize("split", [False, True], ids=["at once", "byte by byte"])
def test_a_doubtful_chunk_is_refused(chunks: bytes, split: bool) -> None:
    """The head was told already; the request never completes and nothing follows it."""
    data = CHUNKED + chunks + NEXT
    transcript = read(*(bytewise(data) if split else [data]))
    assert [b"/"] == transcript.targets
    assert "complete" not in transcript.kinds
    assert ("refused", 400, True) == transcript.told[-1]


def test_chunked_in_http_1_0_is_refused() -> None:
    """§6.1: its framing is faulty."""
    data = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert [("refused", 400, True)] == read(data).told


@pytest.mark.parametrize("value", [b"200-ok", b"100-continue, x", b"", b"100-continue;q=1"])
def test_another_expectation_is_refused(value: bytes) -> None:
    """RFC 9110 §10.1.1."""
    data = POST + b"Expect: " + value + b"\r\nContent-Length: 1\r\n\r\na"
    assert [("refused", 417, True)] == read(data).told


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 3\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]
)
@pytest.mark.parametrize("connection", [b"upgrade", b"Upgrade, keep-alive", b"upgrade;q=1"])
def test_an_upgrade_with_a_body_is_refused(framing: bytes, connection: bytes) -> None:
    """Some readers take the body for the new protocol, some the new protocol for the body."""
    data = POST + b"Connection: " + connection + b"\r\nUpgrade: websocket\r\n" + framing
    assert [("refused", 400, True)] == read(data).told


def test_connect_is_told_and_what_follows_is_not_parsed() -> None:
    """``ruling`` refuses it; the parser would take everything behind it for a tunnel."""
    transcript = Transcript()
    reader = RequestReader(transcript, Limits())
    reader.take(b"CONNECT a.example:443 HTTP/1.1\r\n" + HOST + b"\r\n" + NEXT)
    reader.pump()
    assert [("CONNECT", b"a.example:443")] == [(h.method, h.target) for h in transcript.heads]
    assert NEXT == reader.take_waiting()


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


# -- requests that are known already -----------------------------------------------------------


@pytest.mark.parametrize("first", [b"1.0", b"1.1"])
def test_the_same_fields_below_another_version_are_not_familiar(first: bytes) -> None:
    """What keeps a connection alive differs, and what may be sent."""
    fields = b"\r\n" + HOST + b"Connection: keep-alive\r\n\r\n"
    other = b"1.1" if first == b"1.0" else b"1.0"
    told = read(*(b"GET / HTTP/" + version + fields for version in (first, first, other, first)))
    versions = [event[3] for event in told.told if event[0] == "head"]
    assert [version.decode() for version in (first, first, other, first)] == versions


def test_a_request_that_is_passed_over_is_read_by_nobody() -> None:
    """It has ended, and the next comes behind it; at any other time none can be."""
    transcript = Transcript()
    reader = RequestReader(transcript, Limits())
    assert reader.pass_over() and reader.request_ended
    assert not reader.pass_over()
    feed(reader, [NEXT])
    assert ["head", "complete"] == transcript.kinds
    feed(reader, [GET[:1]])
    assert not reader.pass_over()
    feed(reader, [GET[1:] + b"\r\n"])
    assert [b"/next", b"/"] == transcript.targets
    feed(reader, [b"\r\n"])
    assert not reader.pass_over(), "a blank line is the beginning of a request"


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


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1", b"SOURCE / ICE/1.1"])
@pytest.mark.parametrize("before", [b"\r\n", b"\n"])
def test_what_stood_below_an_empty_line_is_never_familiar(before: bytes, line: bytes) -> None:
    """Or a request line could later pass for a field: what the parser refuses stays refused."""
    first = before + line + b"\r\n" + HOST + b"\r\n"
    transcript = Transcript()
    reader = RequestReader(transcript, Limits())
    for data in (first, b"GET /next HTTP/1.1" + first):
        reader.take(data)
        reader.pump()
        if reader.request_ended:
            reader.next()
    assert [b"/"] == transcript.targets
    assert [400] == [refusal.status for refusal in transcript.refusals]


# -- what other connections said -----------------------------------------------------------------

PLAIN = b"GET /first HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\n\r\n"


def _read(
    data: bytes,
    common: CommonFields,
    limits: Limits = Limits(),  # noqa: B008
) -> tuple[Transcript, bool]:
    """What a new connection's reader tells of a request, and whether the parser was asked."""
    transcript = Transcript()
    reader = RequestReader(transcript, limits, common)
    reader.take(data)
    reader.pump()
    return transcript, reader._parser is not None


@pytest.mark.parametrize("close", [b"", b"Connection: close\r\n"])
def test_a_request_that_others_made_is_read_as_theirs(close: bytes) -> None:
    """Below another request line, and without the parser; as the parser would have read it."""
    common: CommonFields = {}
    first = PLAIN.replace(b"Accept", close + b"Accept")
    other = first.replace(b"GET /first", b"DELETE /other?q")
    assert _read(first, common)[1]
    (read, parsed), (wanted, _) = _read(other, common), _read(other, {})
    assert not parsed
    assert wanted.told == read.told
    (theirs,), (ours,) = wanted.heads, read.heads
    assert (theirs.host, theirs.keep_alive) == (ours.host, ours.keep_alive)
    assert theirs.lines == ours.lines
    assert b"/first" not in b"".join(head.target + head.raw for head in common.values())


@pytest.mark.parametrize(
    "field",
    [
        b"Cookie: a=b",
        b"Authorization: Basic Zm9v",
        b"X-Auth-Token: 1234",
        b"CF-Access-Client-Id: x\r\nCF-Access-Client-Secret: y",
        b"X-Long: " + 512 * b"x",
        b"Content-Length: 0",
    ],
)
def test_what_is_somebodys_own_is_not_kept_for_others(field: bytes) -> None:
    """Nor what is long, or says anything of a body."""
    common: CommonFields = {}
    _read(PLAIN.replace(b"Accept: */*", field), common)
    assert {} == common


def test_without_host_a_request_is_its_connections_own() -> None:
    """HTTP/1.0 knows none: the name in the handshake takes its place."""
    common: CommonFields = {}
    _read(b"GET / HTTP/1.0\r\nAccept: */*\r\n\r\n", common)
    assert {} == common


def test_not_more_is_kept_for_others_than_there_is_room_for() -> None:
    """However many different things clients say."""
    common: CommonFields = {}
    for number in range(40):
        _read(PLAIN.replace(b"*/*", b"text/%d" % number), common)
        assert len(common) <= 16


def test_limits_hold_for_what_others_said_too() -> None:
    """A request line may be longer than theirs was."""
    common: CommonFields = {}
    tight = Limits(request_line=8)
    _read(PLAIN.replace(b"/first", b"/"), common, tight)
    transcript, _ = _read(PLAIN.replace(b"/first", b"/too/long/a/path"), common, tight)
    assert [414] == [refusal.status for refusal in transcript.refusals]

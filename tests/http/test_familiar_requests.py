"""What is read again without a parser is read as a parser would have read it."""

from __future__ import annotations

import pytest
from request_transcripts import GET, HOST, NEXT, Transcript, feed, read

from mtlsedge.http.request_reader import CommonFields, RequestReader
from mtlsedge.model import Limits

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


# -- what other connections said ---------------------------------------------------------------


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

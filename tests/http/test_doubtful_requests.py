"""What could be read in two ways is refused, and nothing behind it is read."""

from __future__ import annotations

import pytest
from request_transcripts import CHUNKED, HOST, NEXT, POST, Transcript, bytewise, read

from mtlsedge.http.request_reader import RequestReader
from mtlsedge.model import Limits
from support.hostile import BAD_CHUNKS, BAD_HEADS, BAD_LINES


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

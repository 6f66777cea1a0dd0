"""Bulk transfers: every byte counts, and nothing but a whole transfer does."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import perf_samples
import pytest

from perf import bulk, cli, report
from perf.bulk import MOST_PIECE, PERIOD, Check, content
from perf.catalogue import PEERS, Setting, prepare
from perf.client import Failed
from perf.cpu import choose_cores
from perf.keys import make_keys
from perf.load import run
from perf.options import parser, plans_from
from perf.plan import Plan
from perf.process import Server, free_port, new_directory
from perf.proofs import Facts
from perf.rounds import Measured, start_origin
from perf.sink import Reader
from perf.transfer import check_head
from perf.units import OPERATIONS, unit_of
from perf.values import Load, Sample

SIZE = 700_001
LOAD = dataclasses.replace(
    perf_samples.LOAD, workload="download", connections=2, seconds=0.05, path="/bulk", size=SIZE
)

needs_nginx = pytest.mark.usefixtures("nginx")


def _bytes(size: int) -> bytes:
    return (content()[:PERIOD] * (size // PERIOD + 1))[:size]


def test_the_content_is_one_period_over_and_over(tmp_path: Path) -> None:
    """In a file and in pieces it is the same."""
    bulk.write(tmp_path / "bulk", SIZE)
    assert _bytes(SIZE) == (tmp_path / "bulk").read_bytes()
    assert PERIOD + MOST_PIECE == len(content())


@pytest.mark.parametrize("step", [1000, 16384, MOST_PIECE])
def test_pieces_of_any_length_are_compared_with_what_was_sent(step: int) -> None:
    """Also where a period ends within one."""
    check, whole = Check(content(), PERIOD), _bytes(SIZE)
    assert all(check.take(whole[at : at + step]) for at in range(0, SIZE, step))
    assert SIZE == check.got


@pytest.mark.parametrize("lost", [16384, 65536, 262144])
def test_a_lost_buffer_shows(lost: int) -> None:
    """The period is a multiple of no buffer's size."""
    check, whole = Check(content(), PERIOD), _bytes(SIZE)
    assert check.take(whole[:1000])
    assert not check.take(whole[1000 + lost : 2000 + lost])


def test_an_upload_is_answered_after_its_last_byte() -> None:
    """And the next one on the connection is another."""
    reader = Reader(content())
    head = f"POST / HTTP/1.1\r\ncontent-length: {SIZE}\r\n\r\n".encode()
    for _ in range(2):
        whole = _bytes(SIZE)
        assert b"" == reader.feed(head[:20])
        assert b"" == reader.feed(head[20:] + whole[:100])
        assert b"" == reader.feed(whole[100:60_000])
        for at in range(60_000, SIZE - 1, MOST_PIECE):
            assert b"" == reader.feed(whole[at : min(at + MOST_PIECE, SIZE - 1)])
        assert reader.feed(whole[-1:]).startswith(b"HTTP/1.1 200 OK\r\n")


def test_an_upload_of_other_bytes_is_refused() -> None:
    """One wrong byte is enough; so is a length that was not said."""
    head = b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n"
    wrong = content()[:9] + bytes([content()[9] ^ 1])
    assert Reader(content()).feed(head + wrong).startswith(b"HTTP/1.1 400 ")
    assert Reader(content()).feed(head + content()[:11]).startswith(b"HTTP/1.1 400 ")
    chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert Reader(content()).feed(chunked).startswith(b"HTTP/1.1 411 ")
    assert Reader(content()).feed(b"GET / HTTP/1.1\r\n\r\n").endswith(b"ok\n")


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 700001",
        b"HTTP/1.1 200 OK\r\nContent-Length: 700000",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked",
    ],
)
def test_only_an_answer_of_the_announced_length_counts(head: bytes) -> None:
    """A refusal, another length, or none."""
    check_head(b"HTTP/1.1 200 OK\r\ncontent-length: 700001", SIZE)
    with pytest.raises(Failed):
        check_head(head, SIZE)


def test_a_request_for_a_transfer_is_a_get_or_a_post_with_a_length() -> None:
    """The body of an upload follows it."""
    assert LOAD.request().startswith(b"GET /bulk HTTP/1.1\r\n")
    upload = dataclasses.replace(LOAD, workload="upload").request()
    assert upload.startswith(b"POST /bulk HTTP/1.1\r\n")
    assert b"\r\nContent-Length: 700001\r\n" in upload


def test_a_transfer_is_shown_by_the_byte() -> None:
    """64 MB that took 64 ms of CPU took 1 ns for each byte; 10 of them in a second are 640 MB."""
    unit = unit_of(dataclasses.replace(LOAD, size=64_000_000))
    assert (1.0, 640.0) == (64_000 * unit.cost_factor, 10 * unit.rate_factor)
    assert OPERATIONS == unit_of(dataclasses.replace(LOAD, size=0))


def test_rounds_in_which_the_load_had_no_time_left_are_told() -> None:
    """Of transfers only: their server writes more cheaply then."""
    facts = Facts("TLSv1.3", "TLS_AES_128_GCM_SHA256", (), b"ok\n", idle_tickets=False)
    calm = Sample(10, 0, "", 1_000, 900, 300, 500, 1, 1)
    busy = dataclasses.replace(calm, client_cpu_ns=700)
    samples = [calm, busy, busy]
    (note,) = report.notes([Measured("edge", "1", LOAD, facts, 1, None, samples)])
    assert note.startswith("edge: in 2 of 3 rounds client and origin had no time left")
    small = dataclasses.replace(LOAD, size=0)
    assert [] == report.notes([Measured("edge", "1", small, facts, 1, None, samples)])


def test_a_transfer_is_planned_in_both_directions(tmp_path: Path) -> None:
    """Each with a directory of its own; ab cannot do it."""
    parse = parser().parse_args
    kept = str(tmp_path / "kept")
    plans = plans_from(parse(["transfer", "--size", "2", "--keep", kept]), tmp_path)
    assert [("download", "/bulk"), ("upload", "/perf")] == [(p.workload, p.path) for p in plans]
    assert [2 << 20, 2 << 20] == [plan.size for plan in plans]
    assert ["download", "upload"] == [p.directory.name for p in plans if p.directory]
    (down,) = plans_from(parse(["transfer", "--direction", "down", "--quick"]), tmp_path)
    assert ("download", 16 << 20, 3) == (down.workload, down.size, down.rounds)
    with pytest.raises(ValueError, match="does not know transfer"):
        plans_from(parse(["transfer", "--client", "ab"]), tmp_path)


@contextmanager
def _nginx(workload: str, directory: Path) -> Iterator[Load]:
    keys = make_keys(new_directory(directory, "keys"), "p256", "localhost")
    cores, port = choose_cores(), free_port()
    plan = Plan("download" if workload == "download" else "upload", None, (), size=SIZE)
    with start_origin(plan, cores, directory) as origin:
        setting = Setting(new_directory(directory, "it"), port, origin.port, "localhost", keys)
        with Server("it", prepare(PEERS["nginx"], setting), port, cores.server) as server:
            yield dataclasses.replace(
                LOAD,
                workload=plan.workload,
                address=("127.0.0.1", port),
                client_pem=str(keys.client_pem),
                server_pids=server.pids(),
            )


@needs_nginx
@pytest.mark.parametrize("workload", ["download", "upload"])
def test_a_transfer_that_is_not_whole_is_an_error(workload: str, tmp_path: Path) -> None:
    """A refusal, or other content, is never counted."""
    with _nginx(workload, tmp_path) as good:
        sample = run(good)
        assert (0, "") == (sample.errors, sample.first_error)
        assert sample.operations >= LOAD.connections
        bad = [dataclasses.replace(good, client_pem="")]
        if workload == "download":
            bad.append(dataclasses.replace(good, size=SIZE - 1))
            bad.append(dataclasses.replace(good, path="/other"))
            bad.append(dataclasses.replace(good, body=b"?" * SIZE))
        else:
            bad.append(dataclasses.replace(good, body=b"no\n"))
        for one in bad:
            sample = run(one)
            assert 0 == sample.operations
            assert sample.errors > 0


@needs_nginx
def test_the_edge_and_nginx_transfer_in_turn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both directions, by the byte, in JSON and as a page that fetches nothing."""
    written, page = tmp_path / "all.json", tmp_path / "page.html"
    short = ("--rounds", "1", "--seconds", "0.1", "--size", "1", "--connections", "2")
    files = ("--json", str(written), "--html", str(page))
    status = cli.main(("transfer", "--against", "nginx", *short, *files))
    said = capsys.readouterr()
    assert 0 == status, said
    assert 2 == said.out.count("CPU ns/byte")
    result = json.loads(written.read_text())
    assert ["download", "upload"] == list(result)
    assert 1 == len(result["upload"]["cpu_ratios"]["edge/nginx"]["rounds"])
    html = page.read_text()
    assert html.count("<svg") >= 6
    assert not re.search(r"https?://|<script|<link|@import|url\(", html)

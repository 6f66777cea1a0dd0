"""Which answers count as a success, of the harness's own client and of ab?"""

from __future__ import annotations

import dataclasses

import pytest
from perf_samples import LOAD

from perf import ab
from perf.client import Failed, check_begun, check_whole
from perf.values import Workload

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"


def test_a_good_answer_counts_in_whole_and_in_part() -> None:
    """Every beginning of a good answer may become one."""
    check_whole(GOOD, b"ok\n")
    for end in range(1, len(GOOD)):
        check_begun(GOOD[:end], b"ok\n")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 403 Forbidden\r\n\r\nok\n",
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok\nand more",
    ],
)
def test_no_other_answer_counts(answer: bytes) -> None:
    """Refusals, cut answers and other bodies are errors."""
    with pytest.raises(Failed):
        check_whole(answer, b"ok\n")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 5", b"HTTP/1.1 200 OK\r\n\r\nno"])
def test_a_wrong_answer_is_known_from_its_beginning(answer: bytes) -> None:
    """A kept-alive connection does not wait for the rest of it."""
    with pytest.raises(Failed):
        check_begun(answer, b"ok\n")


def test_a_request_is_whole_and_closes_only_where_each_operation_connects() -> None:
    """The bytes that go out, once per workload."""
    closing = dataclasses.replace(LOAD, cookie="a=b").request()
    expected = (
        b"GET /perf HTTP/1.1\r\nHost: localhost\r\nUser-Agent: perf\r\nAccept: */*\r\n"
        b"Cookie: a=b\r\nConnection: close\r\n\r\n"
    )
    assert expected == closing
    assert b"Connection" not in dataclasses.replace(LOAD, workload="requests").request()


AB_SAYS = """
Document Path:          /perf
Document Length:        3 bytes
Concurrency Level:      4
Time taken for tests:   2.025 seconds
Complete requests:      354
Failed requests:        {failed}
{more}
Requests per second:    174.84 [#/sec] (mean)
"""


@pytest.mark.parametrize(
    ("failed", "more", "workload", "expected"),
    [
        (0, "", "handshakes", (354, 0)),
        (4, "", "handshakes", (350, 4)),
        (0, "Non-2xx responses:      354", "handshakes", (0, 354)),
        (0, "Keep-Alive requests:    354", "requests", (354, 0)),
        (0, "Keep-Alive requests:    300", "requests", (300, 54)),
    ],
)
def test_ab_is_believed_only_where_it_saw_successes(
    failed: int, more: str, workload: Workload, expected: tuple[int, int]
) -> None:
    """ab calls a 403 of constant length a complete request."""
    load = dataclasses.replace(LOAD, workload=workload)
    operations, errors, first = ab.read_counts(AB_SAYS.format(failed=failed, more=more), load)
    assert expected == (operations, errors)
    assert bool(errors) == bool(first)


def test_ab_that_got_another_body_saw_no_success() -> None:
    """Its only word on the body is the length."""
    load = dataclasses.replace(LOAD, body=b"four")
    operations, errors, _ = ab.read_counts(AB_SAYS.format(failed=0, more=""), load)
    assert (0, 354) == (operations, errors)


def test_the_percentiles_of_ab_are_milliseconds() -> None:
    """They come as a table with a heading."""
    said = "Percentage served,Time in ms\n0,1.5\n50,2.25\n99,40.0\n"
    assert {0: 1_500_000, 50: 2_250_000, 99: 40_000_000} == ab.read_percentiles(said)

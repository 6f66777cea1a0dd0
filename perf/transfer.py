"""How are whole downloads and uploads driven, and every byte of them checked, at little cost?

A transfer counts only if it is whole: ``200``, the length announced, every byte the expected
one; for an upload, an answer that came after its last byte (the sink checked the bytes).
"""

from __future__ import annotations

import re
import select
from time import perf_counter_ns

from OpenSSL import SSL

from perf.bulk import MOST_PIECE, PERIOD, Check, content
from perf.client import (
    FOUND,
    STALL_SECONDS,
    Failed,
    check_begun,
    check_whole,
    client_context,
    connect,
)
from perf.loops import FAILURES, Tally, shake
from perf.values import Load

_RECORD = 16384
_TURN = 16  # records, before another connection has its turn
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n", re.IGNORECASE)


class _Flow:
    __slots__ = ("answer", "check", "sent", "started", "tls")

    def __init__(self, tls: SSL.Connection) -> None:
        self.tls = tls
        self.started = 0
        self.answer = b""
        self.check: Check | None = None
        self.sent = 0


class _TransferLoop:
    """Kept-alive connections, one transfer at a time on each."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._request = load.request()
        self._epoll = select.epoll()
        self._flows: dict[int, _Flow] = {}
        context = client_context(load)
        for _ in range(load.connections):
            tls = connect(load, context)
            shake(tls)
            self._flows[tls.fileno()] = _Flow(tls)
            self._epoll.register(tls.fileno(), select.EPOLLIN)

    def run(self, seconds: float) -> Tally:
        """Begin transfers for so long, and wait for the last of them."""
        tally = Tally()
        until = perf_counter_ns() + int(seconds * 1e9)
        for flow in self._flows.values():
            self._begin(flow)
        live = set(self._flows)
        while live:
            ready = self._epoll.poll(STALL_SECONDS)
            if not ready:
                tally.fail(TimeoutError(f"no progress for {STALL_SECONDS:.0f} s"))
                break
            for descriptor, _ in ready:
                if not self._turn(descriptor, tally):
                    continue
                if descriptor in self._flows and perf_counter_ns() < until:
                    self._begin(self._flows[descriptor])
                else:
                    live.discard(descriptor)
        return tally

    def close(self) -> None:
        """Close every connection."""
        for descriptor in tuple(self._flows):
            self._flows.pop(descriptor).tls.close()
        self._epoll.close()

    def _turn(self, descriptor: int, tally: Tally) -> bool:
        """Do what can be done now; True when the transfer is over, well or badly."""
        flow = self._flows[descriptor]
        try:
            if not self._step(flow):
                return False
        except SSL.WantReadError:
            return False
        except FAILURES as error:
            tally.fail(error)
            self._flows.pop(descriptor).tls.close()
        else:
            tally.latencies.append(perf_counter_ns() - flow.started)
        return True

    def _begin(self, flow: _Flow) -> None:
        flow.started = perf_counter_ns()
        flow.answer = b""
        flow.check = None
        flow.sent = 0
        flow.tls.send(self._request)

    def _step(self, flow: _Flow) -> bool:
        raise NotImplementedError


class DownloadLoop(_TransferLoop):
    """Each operation: a request, and ``load.size`` bytes of body."""

    def __init__(self, load: Load) -> None:
        super().__init__(load)
        # A foreign target's content is what it was when it was tried.
        foreign = len(load.body) == load.size
        self._expected = load.body if foreign else content()
        self._period = len(load.body) if foreign else PERIOD

    def _step(self, flow: _Flow) -> bool:
        for _ in range(_TURN):
            piece = flow.tls.recv(_RECORD)
            if flow.check is None:
                flow.answer += piece
                head, blank, piece = flow.answer.partition(b"\r\n\r\n")
                if not blank:
                    continue
                check_head(head, self._load.size)
                flow.check = Check(self._expected, self._period)
            if not flow.check.take(piece):
                raise Failed(f"other bytes than were sent, before byte {flow.check.got}")
            if flow.check.got >= self._load.size:
                if flow.check.got > self._load.size:
                    raise Failed("more bytes than were announced")
                return True
        return False


class UploadLoop(_TransferLoop):
    """Each operation: a request with ``load.size`` bytes of body, and its answer after that."""

    def __init__(self, load: Load) -> None:
        super().__init__(load)
        self._content = memoryview(content())

    def _begin(self, flow: _Flow) -> None:
        super()._begin(flow)
        self._epoll.modify(flow.tls.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def _step(self, flow: _Flow) -> bool:
        size = self._load.size
        if flow.sent < size:
            self._send(flow)
            if flow.sent < size:
                self._no_answer_yet(flow)
                return False
            self._epoll.modify(flow.tls.fileno(), select.EPOLLIN)
        flow.answer += flow.tls.recv(_RECORD)
        if not flow.answer.endswith(b"\r\n\r\n" + self._load.body):
            check_begun(flow.answer, self._load.body)
            return False
        check_whole(flow.answer, self._load.body)
        return True

    def _send(self, flow: _Flow) -> None:
        size = self._load.size
        for _ in range(_TURN):
            at = flow.sent % PERIOD
            piece = self._content[at : at + min(MOST_PIECE, size - flow.sent)]
            try:
                flow.sent += flow.tls.send(piece)
            except SSL.WantWriteError:
                return
            if flow.sent == size:
                return

    def _no_answer_yet(self, flow: _Flow) -> None:
        try:
            early = flow.tls.recv(_RECORD)
        except SSL.WantReadError:
            return
        raise Failed(f"answered before the body ended: {early[:60]!r}")


def check_head(head: bytes, size: int) -> None:
    """Raise unless this is the head of an answer that counts, with a body of ``size`` bytes."""
    if not head.startswith(FOUND):
        raise Failed(f"answered {head[:40]!r}")
    length = _LENGTH.search(head + b"\r\n")
    if length is None or int(length[1]) != size:
        raise Failed(f"announces another length than {size} bytes: {head[:200]!r}")

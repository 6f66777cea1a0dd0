"""What does a server hold for connections that do nothing? Runs on the load's core.

Each connection makes its handshake and one request, alone, so that one connection to the origin
does for all; then it is left open. After the reading each must answer once more: memory is
counted only of connections that live.
"""

from __future__ import annotations

import resource
import time
from contextlib import ExitStack
from dataclasses import dataclass

from OpenSSL import SSL

from perf.client import Failed, check_begun, client_context, connect
from perf.loops import FAILURES, shake, wait_readable
from perf.memory import Usage, usage
from perf.process import DESCRIPTORS, raise_descriptors
from perf.values import Load

WARM = 64  # connections before the first reading: what a server allocates once is not theirs
_SPARE = 256  # descriptors that are needed for other things
_SETTLE_SECONDS = 0.5
_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Idle:
    """One server's memory before and after ``count`` connections were opened to it.

    ``client_seconds`` is the CPU time that this took the client.
    """

    count: int
    errors: int
    first_error: str
    before: Usage | None = None
    after: Usage | None = None
    client_seconds: float = 0.0

    @property
    def void(self) -> bool:
        """Nothing may be concluded from it."""
        return self.errors > 0 or self.before is None or self.after is None

    @property
    def pss_each(self) -> float | None:
        """Bytes per connection, shared pages counted once."""
        if self.before is None or self.after is None or self.void:
            return None
        return (self.after.pss - self.before.pss) / self.count

    @property
    def rss_each(self) -> float | None:
        """Bytes per connection, as every process has them mapped."""
        if self.before is None or self.after is None or self.void:
            return None
        return (self.after.rss - self.before.rss) / self.count


def room() -> int:
    """How many connections the descriptors of one process here allow."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return min(hard, DESCRIPTORS) - WARM - _SPARE


def run(load: Load) -> Idle:
    """Open ``load.connections``, read the server's memory before and after, and ask them all."""
    raise_descriptors()
    begun = time.process_time()
    context = client_context(load)
    request = load.request()
    with ExitStack() as stack:
        try:
            warm = [_opened(load, context, request, stack) for _ in range(WARM)]
            time.sleep(_SETTLE_SECONDS)
            before = usage(load.server_pids)
            opened = [_opened(load, context, request, stack) for _ in range(load.connections)]
            time.sleep(_SETTLE_SECONDS)
            after = usage(load.server_pids)
        except FAILURES as error:
            return Idle(load.connections, 1, f"{type(error).__name__}: {error}")
        errors, first = 0, ""
        for tls in (*warm, *opened):
            try:
                _ask(tls, request, load.body)
            except FAILURES as error:
                errors, first = errors + 1, first or f"{type(error).__name__}: {error}"
    spent = time.process_time() - begun
    return Idle(load.connections, errors, first, before, after, spent)


def _opened(load: Load, context: SSL.Context, request: bytes, stack: ExitStack) -> SSL.Connection:
    tls = connect(load, context)
    stack.callback(tls.close)
    shake(tls)
    _ask(tls, request, load.body)
    return tls


def _ask(tls: SSL.Connection, request: bytes, body: bytes) -> None:
    """One request and its whole answer; anything else is an error."""
    tls.send(request)
    answer = b""
    while not answer.endswith(b"\r\n\r\n" + body):
        wait_readable(tls)
        try:
            answer += tls.recv(_CHUNK)
        except SSL.WantReadError:
            continue
        if len(answer) > _CHUNK:
            raise Failed(f"the answer does not end: {answer[:80]!r}")
        check_begun(answer, body)

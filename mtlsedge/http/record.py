"""What will the log say of an exchange? Collected as it goes, written once at its end."""

from __future__ import annotations

from itertools import count
from os import urandom

from mtlsedge.http.messages import RequestHead
from mtlsedge.http.site import Caller
from mtlsedge.ops.accesslog import request_line
from mtlsedge.policy.question import Decision
from mtlsedge.target import Target

_PREFIX = urandom(8).hex()
_numbers = count(int.from_bytes(urandom(4), "big"))


def _request_id() -> str:
    """Unlike any other, of any worker: 64 random bits of this process, and a number."""
    return f"{_PREFIX}{next(_numbers):016x}"


class Record:
    """The account of one exchange."""

    __slots__ = (
        "_asked",
        "_began",
        "_caller",
        "_head",
        "_origin_time",
        "_wall",
        "bytes_in",
        "bytes_out",
        "decision",
        "event",
        "origin",
        "reason",
        "request_id",
        "status",
        "target",
    )

    def __init__(self, caller: Caller, head: RequestHead) -> None:
        self.request_id = _request_id()
        self.event = "request"
        self.target: Target | None = None
        self.decision: Decision | None = None
        self.status = 0
        self.reason = ""
        self.origin = ""
        self.bytes_in = self.bytes_out = 0
        self._caller = caller
        self._head = head
        self._began = caller.front.deadlines.seconds()
        self._wall = caller.front.now()
        self._asked = 0.0
        self._origin_time: float | None = None

    def origin_asked(self, name: str) -> None:
        """A request went to an origin."""
        self.origin = name
        self._asked = self._caller.front.deadlines.seconds()

    def origin_answered(self) -> None:
        """Its head came back."""
        self._origin_time = self._caller.front.deadlines.seconds() - self._asked

    def write(self) -> None:
        """Write the line."""
        caller, decision, target = self._caller, self.decision, self.target
        log = caller.front.log
        if not log.enabled:
            return
        application = decision.application if decision is not None else None
        log.write(
            request_line(
                time=self._wall,
                request_id=self.request_id,
                client=caller.client_log,
                cert=caller.certificate_log,
                tls=caller.tls_log,
                host=target.host if target is not None else caller.server_name,
                method=self._head.method,
                path=target.request_path.path if target is not None else self._raw_path(),
                status=self.status,
                bytes_in=self.bytes_in,
                bytes_out=self.bytes_out,
                duration=caller.front.deadlines.seconds() - self._began,
                origin_time=self._origin_time,
                origin=self.origin,
                decision=decision.word if decision is not None else "",
                application=application.name if application is not None else "",
                policy=decision.policy if decision is not None else "",
                reason=self.reason or (decision.reason if decision is not None else ""),
                event=self.event,
            )
        )

    def _raw_path(self) -> str:
        """A target that could not be read, as it was sent and without its query."""
        return self._head.target.partition(b"?")[0].decode("latin-1")

"""What will the log say of an exchange? Collected as it goes, written once at its end."""

from __future__ import annotations

from itertools import count
from os import register_at_fork, urandom

from mtlsedge.http.messages import Refuse, RequestHead
from mtlsedge.http.passage import Passage, noted
from mtlsedge.http.site import Caller
from mtlsedge.ops.accesslog import asked_fragment, judged_fragment, request_line
from mtlsedge.policy.question import AmbiguousPath, Decision, ambiguous
from mtlsedge.target import Target

_PREFIX = ""
_numbers = count()


def _begin_numbering() -> None:
    """In every process anew: what is forked must not go on where its parent was."""
    global _PREFIX, _numbers
    _PREFIX = urandom(8).hex()
    _numbers = count((1 << 60) + int.from_bytes(urandom(4), "big"))  # of 16 digits at once


_begin_numbering()
register_at_fork(after_in_child=_begin_numbering)


def _request_id() -> str:
    """Unlike any other, of any worker: 64 random bits of this process, and a number."""
    return f"{_PREFIX}{next(_numbers):x}"


class Record:
    """The account of one exchange."""

    __slots__ = (
        "_asked",
        "_began",
        "_caller",
        "_ended",
        "_head",
        "_origin_time",
        "bytes_in",
        "bytes_out",
        "decision",
        "event",
        "origin",
        "passage",
        "reason",
        "request_id",
        "status",
        "target",
        "wall",
    )

    def __init__(self, caller: Caller, head: RequestHead) -> None:
        self.request_id = _request_id()
        self.event = "request"
        self.target: Target | None = None
        self.decision: Decision | None = None
        self.passage: Passage | None = None  # which says both, too
        self.status = 0
        self.reason = ""
        self.origin = ""
        self.bytes_in = self.bytes_out = 0
        self._caller = caller
        self._head = head
        self._began = caller.front.deadlines.seconds()
        self.wall = caller.front.now()
        self._asked = self._ended = 0.0
        self._origin_time: float | None = None

    def origin_asked(self, name: str) -> None:
        """A request went to an origin."""
        self.origin = name
        self._asked = self._caller.front.deadlines.seconds()

    def origin_answered(self) -> None:
        """Its head came back."""
        self._origin_time = self._caller.front.deadlines.seconds() - self._asked

    def answered(self, status: int, size: int) -> None:
        """Its whole answer came, and with it the exchange's end."""
        self._ended = ended = self._caller.front.deadlines.seconds()
        self._origin_time = ended - self._asked
        self.status = status
        self.bytes_out += size

    def refused(self, refuse: Refuse) -> None:
        """The edge says no."""
        self.reason = refuse.detail
        if isinstance(refuse.__cause__, AmbiguousPath):
            self.decision = ambiguous(refuse.__cause__)

    def judged_again(self, caller: Caller, decision: Decision | None = None) -> None:
        """Something changed while it was under way: who the caller is now, what policy says now."""
        self._caller = caller
        if decision is not None:
            self.decision, self.passage = decision, None

    def write(self) -> None:
        """Write the line."""
        caller = self._caller
        front = caller.front
        if not front.log.enabled:
            return
        passage = self.passage
        asked = self._asked_for() if passage is None else passage.asked_log
        judged = self._judged() if passage is None or self.reason else passage.judged_log
        front.log.write(
            request_line(
                self.wall,
                self.event,
                self.request_id,
                caller.client_log,
                asked,
                self.status,
                self.bytes_in,
                self.bytes_out,
                (self._ended or front.deadlines.seconds()) - self._began,
                self._origin_time,
                self.origin,
                judged,
                caller.certificate_log,
                caller.tls_log,
            )
        )

    def _asked_for(self) -> str:
        target = self.target
        if target is None:
            return asked_fragment(self._caller.server_name, self._head.method, self._raw_path())
        return asked_fragment(target.host, target.method, target.request_path.path)

    def _judged(self) -> str:
        decision = self.decision
        if decision is None:
            return judged_fragment("", "", "", self.reason)
        application = decision.application.name if decision.application is not None else ""
        reason = self.reason or decision.reason
        words = judged_fragment(decision.word, application, decision.policy, reason)
        return words + noted(decision)

    def _raw_path(self) -> str:
        """A target that could not be read, as it was sent and without its query."""
        return self._head.target.partition(b"?")[0].decode("latin-1")

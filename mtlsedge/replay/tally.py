"""What changes? The lines of a log, compared with what would be decided, and counted in groups."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from mtlsedge.ops.logfiles import Line, Reading
from mtlsedge.replay.judging import Judged, Judging
from mtlsedge.replay.logged import NotLogged, Verdict, asked_in, moment_of, verdict_of

Kind = Literal["refused", "admitted", "otherwise", "cannot_tell"]
_JUDGED = frozenset({"request", "tunnel"})
_EXAMPLES = 3
_MOST_CLIENTS = 100_000  # that are told apart


@dataclass(frozen=True, slots=True)
class Sample:
    """One request of a group."""

    request_id: str
    time: str
    client: str
    method: str
    path: str
    subject: str


@dataclass(slots=True)
class Group:
    """Requests of one host that were decided alike and would be decided alike.

    Attributes:
        kind: ``refused`` or ``admitted`` where they were not before, decided ``otherwise`` with
            the same end, or ``cannot_tell``.
        before: what was decided.
        after: what would be; all that is possible, where it cannot be told.
        depends_on: what the log does not say: selectors of rules.
        clients: how many addresses asked.
    """

    kind: Kind
    host: str
    before: Verdict
    after: tuple[Verdict, ...]
    depends_on: tuple[str, ...] = ()
    count: int = 0
    clients: int = 0
    samples: list[Sample] = field(default_factory=list)


_Key = tuple[Kind, str, Verdict, tuple[Verdict, ...]]


@dataclass(slots=True)
class Tally:
    """What was found.

    Attributes:
        requests: that were decided then, and judged now.
        unchanged: of them, those decided as they were.
        other_policy: of the unchanged, those that another policy would decide so.
        unjudged: requests that no policy was asked about, such as malformed ones.
        handshakes: that failed; what their clients wanted is not known.
        incomplete: lines that have not the fields of a request.
        given: what was taken as given.
    """

    reading: Reading = field(default_factory=Reading)
    requests: int = 0
    unchanged: int = 0
    other_policy: int = 0
    unjudged: int = 0
    handshakes: int = 0
    incomplete: int = 0
    given: tuple[str, ...] = ()
    _groups: dict[_Key, Group] = field(default_factory=dict)
    _clients: dict[_Key, set[str]] = field(default_factory=dict)

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups: who is refused first, then the largest first."""
        order = ("refused", "admitted", "otherwise", "cannot_tell")
        return tuple(
            sorted(self._groups.values(), key=lambda each: (order.index(each.kind), -each.count))
        )

    @property
    def changed(self) -> int:
        """Requests that would certainly be decided otherwise."""
        return sum(each.count for each in self.groups if each.kind != "cannot_tell")

    @property
    def untold(self) -> int:
        """Requests of which the log says too little."""
        return sum(each.count for each in self.groups if each.kind == "cannot_tell")

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "lines": self.reading.lines,
            "damaged": self.reading.damaged,
            "incomplete": self.incomplete,
            "requests": self.requests,
            "unchanged": self.unchanged,
            "by_another_policy": self.other_policy,
            "changed": self.changed,
            "cannot_tell": self.untold,
            "not_judged": self.unjudged,
            "failed_handshakes": self.handshakes,
            "groups": [asdict(each) for each in self.groups],
            "taken_as_given": list(self.given),
        }

    def count(self, line: Line, before: Verdict, judged: Judged) -> None:
        """Count one request."""
        self.requests += 1
        kind = _kind(before, judged)
        if kind is None:
            self.unchanged += 1
            self.other_policy += judged.possible[0].policy != before.policy
            return
        key = (kind, str(line["host"]), before, judged.possible)
        group = self._groups.get(key)
        if group is None:
            group = Group(kind, str(line["host"]), before, judged.possible, judged.depends_on)
            self._groups[key] = group
        group.count += 1
        clients = self._clients.setdefault(key, set())
        if len(clients) < _MOST_CLIENTS:
            clients.add(str(line["client"]))
        group.clients = len(clients)
        if len(group.samples) < _EXAMPLES:
            group.samples.append(_sample(line))


def replay(lines: Iterable[Line], judging: Judging, reading: Reading) -> Tally:
    """Put every line to a configuration. ``reading`` is how reading the lines goes."""
    tally = Tally(reading, given=judging.grounds.given)
    for line in lines:
        try:
            _count(line, judging, tally)
        except NotLogged:
            tally.incomplete += 1
    return tally


def _count(line: Line, judging: Judging, tally: Tally) -> None:
    event = line.get("event")
    if event == "handshake":
        tally.handshakes += 1
    elif event in _JUDGED:
        before = verdict_of(line)
        if before is None:
            tally.unjudged += 1
        else:
            tally.count(line, before, judging.judge(asked_in(line), moment_of(line)))
    else:
        tally.unjudged += 1


def _kind(before: Verdict, judged: Judged) -> Kind | None:
    """How a request's fate changes; None if it does not."""
    ends = {verdict.admitted for verdict in judged.possible}
    if ends == {not before.admitted}:
        return "refused" if before.admitted else "admitted"
    if len(judged.possible) > 1:
        return "cannot_tell"
    after = judged.possible[0]
    if (after.word, after.application) == (before.word, before.application):
        return None
    return "otherwise"


def _sample(line: Line) -> Sample:
    cert = line.get("cert")
    subject = cert.get("subject", "") if isinstance(cert, dict) else ""
    request_id, time, client, method, path = (
        str(line.get(key, "")) for key in ("request_id", "time", "client", "method", "path")
    )
    return Sample(request_id, time, client, method, path, str(subject))

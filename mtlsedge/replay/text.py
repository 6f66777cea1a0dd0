"""How do people read it? What changes, group by group, and what could not be told."""

from __future__ import annotations

from collections.abc import Iterator

from mtlsedge.replay.logged import Verdict
from mtlsedge.replay.tally import Group, Kind, Tally

_TITLES: dict[Kind, str] = {
    "refused": "admitted then, refused now",
    "admitted": "refused then, admitted now",
    "otherwise": "decided otherwise, with the same end",
    "cannot_tell": "cannot be told from the log",
}


def lines_of(tally: Tally) -> Iterator[str]:
    """The tally, in lines for a person to read."""
    yield _summary(tally)
    kind = ""
    for group in tally.groups:
        if group.kind != kind:
            kind = group.kind
            total = sum(each.count for each in tally.groups if each.kind == kind)
            yield ""
            yield f"{_TITLES[group.kind]}: {_count(total, 'request')}"
        yield from _group(group)
    yield ""
    yield from _rest(tally)
    yield "taken as given: " + "; ".join(tally.given)


def _summary(tally: Tally) -> str:
    parts = [f"{_count(tally.requests, 'request')}: {tally.changed} would be decided otherwise"]
    if tally.untold:
        parts.append(f"{tally.untold} cannot be told")
    parts.append(f"{tally.unchanged} as they were")
    return ", ".join(parts)


def _group(group: Group) -> Iterator[str]:
    after = " or ".join(spell(verdict) for verdict in group.after)
    clients = _count(group.clients, "client")
    yield f"  {group.count:>7}  {group.host}  {spell(group.before)} -> {after}  ({clients})"
    if group.depends_on:
        yield f"           depends on {', '.join(group.depends_on)}"
    for sample in group.samples:
        who = sample.subject or "no certificate"
        yield (
            f"           {sample.method} {sample.path}  {sample.client}, {who}  {sample.request_id}"
        )


def spell(verdict: Verdict) -> str:
    """A verdict, in a few words."""
    if verdict.word == "unprotected":
        return "unprotected, passed" if verdict.admitted else "unprotected, denied"
    if verdict.word == "handshake":
        return "refused in the handshake"
    if verdict.word == "no host":
        return "no such host"
    if not verdict.application:
        return f"{verdict.word} path"
    if not verdict.policy:
        return f"{verdict.application}: no policy matches"
    return f"{verdict.application}: {verdict.word} by {verdict.policy!r}"


def _rest(tally: Tally) -> Iterator[str]:
    counts = (
        (tally.other_policy, "of the unchanged would be decided by another policy"),
        (tally.unjudged, "were answered before any policy was asked, and are left out"),
        (tally.handshakes, "handshakes failed; what their clients wanted is not known"),
        (tally.incomplete, "lines have not the fields of a request, and are left out"),
        (tally.reading.damaged, "lines are damaged, and are left out"),
    )
    for count, words in counts:
        if count:
            yield f"{count} {words}"


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"

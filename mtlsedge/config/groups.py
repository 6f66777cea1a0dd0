"""What do ``[[group]]`` tables say, and does none of them contain itself?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from mtlsedge.config.clients import Unique
from mtlsedge.config.reader import Place, Table
from mtlsedge.config.rules import Scope, read_rule_set
from mtlsedge.model import Group, RuleSet

_MOST_NESTED = 32


class GroupReader:
    """Reads the groups of one configuration."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._name = Unique("rules know a group by its name, so give each its own")

    def read(self, table: Table) -> Group:
        """A ``[[group]]`` table."""
        return Group(
            name=table.need("name", self._name, "", "rules call the group by it"),
            rules=read_rule_set(table, self._scope),
        )


def refuse_cycles(groups: tuple[Group, ...], place: Place) -> None:
    """Report every way in which a group contains itself, at a rule that closes the circle.

    Then those that contain groups in groups deeper than anyone could follow. ``place`` is that
    of the array ``group``.
    """
    contained = {
        group.name: _mentions(group.rules, place.item(index)) for index, group in enumerate(groups)
    }
    while cycle := _cycle(contained):
        outer, inner = cycle[1], cycle[0]
        path = " in ".join(repr(name) for name in cycle[:8])
        contained[outer].pop(inner).problem(f"makes a group contain itself ({path}); take it out")
    depths: dict[str, int] = {}
    for name in TopologicalSorter(contained).static_order():
        inside = contained.get(name, {})
        depths[name] = 1 + max((depths[inner] for inner in inside), default=0)
        if depths[name] == _MOST_NESTED + 1:
            message = f"nests more than {_MOST_NESTED} groups in one another; flatten them"
            inside[max(inside, key=depths.__getitem__)].problem(message)


def _mentions(rules: RuleSet, place: Place) -> dict[str, Place]:
    """The groups that a rule set names, each with a place where it does."""
    found: dict[str, Place] = {}
    for part in ("include", "require", "exclude"):
        for index, rule in enumerate(getattr(rules, part)):
            if rule.selector == "group":
                at = place.key(part).item(index).key("group")
                found.update((name, at) for name in rule.values)
    return found


def _cycle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """Names that each are in the next, the first and the last the same; empty if none are."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        return cycle
    return []

"""Does a rule set match? Any of ``include``, all of ``require``, none of ``exclude``.

A rule that is in doubt (``doubt.py``) counts as what does not admit. On which side that is, is
settled when the rule is compiled: a policy that admits must not match for it, one that blocks
must; an ``exclude`` turns that round, each time it is met on the way into nested groups.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from mtlsedge.errors import ConfigurationError, Problem
from mtlsedge.model import Group, Rule, RuleSet
from mtlsedge.policy.doubt import Doubts, compile_doubts, or_in_doubt
from mtlsedge.policy.question import Question
from mtlsedge.policy.selectors import VERIFIER_SELECTORS, Predicate, compile_selector

Clause = Literal["include", "require", "exclude"]
CLAUSES: tuple[Clause, ...] = ("include", "require", "exclude")
_NESTED = 32  # groups within groups; deeper is a mistake


def _no_doubts(question: Question) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """One rule and whether it was true; for a group, with the rules of each group it names.

    With ``doubts``, what somebody could not tell, it is not known, and only counts as that.
    """

    clause: Clause
    rule: Rule
    true: bool
    within: tuple[tuple[str, tuple[RuleTrace, ...]], ...] = ()
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule, its predicate, the groups that it names, and what it may be in doubt for."""

    rule: Rule
    test: Predicate
    groups: tuple[tuple[str, CompiledRules], ...] = ()
    doubts: Doubts = _no_doubts

    def trace(self, clause: Clause, question: Question) -> RuleTrace:
        """Evaluate this rule and everything below it, whether it matters or not."""
        within = tuple((name, tuple(rules.trace(question))) for name, rules in self.groups)
        true, doubts = self.test(question), self.doubts(question)
        return RuleTrace(clause, self.rule, true, within, doubts)


@dataclass(frozen=True, slots=True)
class CompiledRules:
    """A rule set that can be asked. ``verifiers`` are those its answer depends on."""

    include: tuple[CompiledRule, ...]
    require: tuple[CompiledRule, ...]
    exclude: tuple[CompiledRule, ...]
    matches: Predicate
    verifiers: frozenset[str]

    def clauses(self) -> Iterator[tuple[Clause, CompiledRule]]:
        """Every rule with the clause it stands in, in the order of evaluation."""
        for clause in CLAUSES:
            for rule in getattr(self, clause):
                yield clause, rule

    def trace(self, question: Question) -> Iterator[RuleTrace]:
        """Evaluate every rule, also those that the answer no longer depends on."""
        for clause, rule in self.clauses():
            yield rule.trace(clause, question)


class RuleCompiler:
    """Compiles rule sets that may name groups, each group once for each side of doubt."""

    def __init__(self, groups: Iterable[Group] = ()) -> None:
        self._sources: Mapping[str, Group] = {group.name: group for group in groups}
        self._compiled: dict[tuple[str, bool], CompiledRules] = {}
        self._open: list[str] = []

    def group(self, name: str, *, doubt: bool) -> CompiledRules:
        """The compiled rules of a group that there is.

        Raises:
            ConfigurationError: it contains itself, or a rule that the edge cannot evaluate.
        """
        if (name, doubt) not in self._compiled:
            where = f"group {name!r}"
            if name in self._open or len(self._open) >= _NESTED:
                path = " -> ".join([*self._open, name])
                raise _error(where, f"the group contains itself, or too many others: {path}")
            self._open.append(name)
            try:
                found = self.rules(self._sources[name].rules, where, doubt=doubt)
                self._compiled[name, doubt] = found
            finally:
                self._open.pop()
        return self._compiled[name, doubt]

    def rules(self, source: RuleSet, where: str, *, doubt: bool) -> CompiledRules:
        """Compile one rule set.

        Args:
            source: what the operator wrote.
            where: what errors call its place.
            doubt: whether it matches where it is in doubt.

        Raises:
            ConfigurationError: a rule cannot be evaluated.
        """
        clauses = [
            tuple(
                self._rule(
                    rule,
                    f"{where}, {clause}[{index}].{rule.selector}",
                    doubt=doubt is not (clause == "exclude"),
                )
                for index, rule in enumerate(getattr(source, clause))
            )
            for clause in CLAUSES
        ]
        tests = [tuple(rule.test for rule in rules) for rules in clauses]
        verifiers = frozenset(_verifiers(rule for rules in clauses for rule in rules))
        include, require, exclude = clauses
        return CompiledRules(include, require, exclude, _matcher(*tests), verifiers)

    def _rule(self, rule: Rule, where: str, *, doubt: bool) -> CompiledRule:
        named = rule.values if rule.selector == "group" else ()
        groups = tuple(
            (name, self.group(name, doubt=doubt)) for name in named if name in self._sources
        )
        try:
            test = compile_selector(rule, {name: rules.matches for name, rules in groups})
        except ValueError as error:
            raise _error(where, str(error)) from error
        doubts = compile_doubts(rule)
        if doubts is None:
            return CompiledRule(rule, test, groups)
        counts = or_in_doubt(rule, test) if doubt else test
        return CompiledRule(rule, counts, groups, _unless(test, doubts))


def _unless(certain: Predicate, doubts: Doubts) -> Doubts:
    return lambda question: () if certain(question) else doubts(question)


def _verifiers(rules: Iterable[CompiledRule]) -> Iterator[str]:
    for rule in rules:
        if rule.rule.selector in VERIFIER_SELECTORS:
            yield from rule.rule.values
        for _, group in rule.groups:
            yield from group.verifiers


def _matcher(
    include: tuple[Predicate, ...],
    require: tuple[Predicate, ...],
    exclude: tuple[Predicate, ...],
) -> Predicate:
    if len(include) == 1 and not require and not exclude:
        return include[0]

    def matches(question: Question) -> bool:
        for test in include:
            if test(question):
                break
        else:
            return False
        for test in require:
            if not test(question):
                return False
        return not any(test(question) for test in exclude) if exclude else True

    return matches


def _error(where: str, message: str) -> ConfigurationError:
    return ConfigurationError((Problem(where, message),))

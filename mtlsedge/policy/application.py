"""May they, here? One application's policies, in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mtlsedge.model import Application, DecisionWord, Policy
from mtlsedge.policy.question import Decision, Question
from mtlsedge.policy.rules import CompiledRules, RuleCompiler, RuleTrace

_FIRST: frozenset[DecisionWord] = frozenset({"bypass", "service_auth"})


def in_order(policies: tuple[Policy, ...]) -> tuple[Policy, ...]:
    """Policies as they are evaluated: bypass and service_auth, then allow and block."""
    return tuple(sorted(policies, key=lambda policy: policy.decision not in _FIRST))


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """A policy with its rules compiled, and the decision it gives when they match."""

    name: str
    rules: CompiledRules
    decision: Decision


@dataclass(frozen=True, slots=True)
class PolicyTrace:
    """One policy, asked: its rules, whether they match, and whether that was the decision."""

    policy: CompiledPolicy
    rules: tuple[RuleTrace, ...]
    matched: bool
    decisive: bool


class CompiledApplication:
    """An application that can be asked.

    Attributes:
        name, aud, domains, session_duration: as in ``model.Application``.
        policies: in the order of evaluation.
        verifiers: the strings of the verifiers whose verdicts ``decide`` needs; sorted.
        no_match: the decision where no policy matches.
    """

    __slots__ = (
        "_steps",
        "aud",
        "domains",
        "name",
        "no_match",
        "policies",
        "session_duration",
        "verifiers",
    )

    def __init__(self, source: Application, compiler: RuleCompiler) -> None:
        """Compile an application.

        Raises:
            ConfigurationError: one of its rules cannot be evaluated.
        """
        self.name = source.name
        self.aud = source.aud
        self.domains = source.domains
        self.session_duration = source.session_duration
        self.policies = tuple(self._compiled(p, compiler) for p in in_order(source.policies))
        self.verifiers = tuple(sorted({v for p in self.policies for v in p.rules.verifiers}))
        self.no_match = Decision("block", False, self, "", "no policy matched")
        self._steps = tuple((policy.rules.matches, policy.decision) for policy in self.policies)

    def _compiled(self, policy: Policy, compiler: RuleCompiler) -> CompiledPolicy:
        rules = compiler.rules(policy.rules, f"application {self.name!r}, policy {policy.name!r}")
        word, verb = policy.decision, _VERBS[policy.decision]
        reason = f"policy {policy.name!r} {verb}"
        return CompiledPolicy(
            policy.name, rules, Decision(word, word != "block", self, policy.name, reason)
        )

    def decide(self, question: Question) -> Decision:
        """The decision of the first policy that matches; none is a denial."""
        for matches, decision in self._steps:
            if matches(question):
                return decision
        return self.no_match

    def trace(self, question: Question) -> Iterator[PolicyTrace]:
        """Ask every policy, also those behind the one that decides."""
        decided = False
        for policy in self.policies:
            matched = policy.rules.matches(question)
            rules = tuple(policy.rules.trace(question))
            yield PolicyTrace(policy, rules, matched, matched and not decided)
            decided = decided or matched

    def __repr__(self) -> str:
        return f"<CompiledApplication {self.name!r}>"


_VERBS: dict[DecisionWord, str] = {
    "allow": "allows",
    "block": "blocks",
    "bypass": "lets pass",
    "service_auth": "admits",
}

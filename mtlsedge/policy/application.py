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
class ShadowPolicy:
    """A policy that is evaluated and not enforced, in its place behind ``ahead`` that are."""

    policy: CompiledPolicy
    ahead: int


@dataclass(frozen=True, slots=True)
class PolicyTrace:
    """One policy, asked: its rules, whether they match, and whether that was the decision.

    A shadow policy's would have been it, were it enforced.
    """

    policy: CompiledPolicy
    rules: tuple[RuleTrace, ...]
    matched: bool
    decisive: bool


class CompiledApplication:
    """An application that can be asked.

    Attributes:
        name, aud, domains, session_duration: as in ``model.Application``.
        policies: in the order of evaluation.
        shadows: those that are not enforced, in order.
        verifiers: the strings of the verifiers whose verdicts the policies need; sorted.
        heeded: those of them that policies which are enforced name.
        no_match: the decision where no policy matches.
    """

    __slots__ = (
        "_steps",
        "aud",
        "domains",
        "heeded",
        "name",
        "no_match",
        "policies",
        "session_duration",
        "shadows",
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
        policies: list[CompiledPolicy] = []
        shadows: list[ShadowPolicy] = []
        for each in in_order(source.policies):
            compiled = self._compiled(each, compiler)
            if each.shadow:
                shadows.append(ShadowPolicy(compiled, len(policies)))
            else:
                policies.append(compiled)
        self.policies, self.shadows = tuple(policies), tuple(shadows)
        asked = (*policies, *(shadow.policy for shadow in shadows))
        self.verifiers = tuple(sorted({v for policy in asked for v in policy.rules.verifiers}))
        self.heeded = frozenset(v for policy in policies for v in policy.rules.verifiers)
        self.no_match = Decision("block", False, self, "", "no policy matched")
        self._steps = tuple((policy.rules.matches, policy.decision) for policy in self.policies)

    def _compiled(self, policy: Policy, compiler: RuleCompiler) -> CompiledPolicy:
        word, verb = policy.decision, _VERBS[policy.decision]
        where = f"application {self.name!r}, policy {policy.name!r}"
        rules = compiler.rules(policy.rules, where, doubt=word == "block")
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

    def enforced(self, question: Question) -> Question:
        """The question with what this application's own verifiers said, and nobody else.

        A connection may have verdicts that other applications asked for, or shadows did. Rules on
        attributes would hear them, and answer as the connection's history has it.
        """
        return question.hearing(self.heeded)

    def shadow(self, question: Question) -> tuple[Decision, ...]:
        """What each shadow policy would have decided that would have had the last word.

        Each is taken as if it alone were enforced, beside those that are.
        """
        heard = question.hearing(frozenset(self.verifiers))
        return tuple(
            shadow.policy.decision for shadow in self.shadows if self._decisive(shadow, heard)
        )

    def trace(self, question: Question) -> Iterator[PolicyTrace]:
        """Ask every policy that is enforced, also those behind the one that decides."""
        decided = False
        for policy in self.policies:
            matched = policy.rules.matches(question)
            rules = tuple(policy.rules.trace(question))
            yield PolicyTrace(policy, rules, matched, matched and not decided)
            decided = decided or matched

    def trace_shadows(self, question: Question) -> Iterator[PolicyTrace]:
        """Ask every shadow policy."""
        question = question.hearing(frozenset(self.verifiers))
        for shadow in self.shadows:
            rules = shadow.policy.rules
            matched, decisive = rules.matches(question), self._decisive(shadow, question)
            yield PolicyTrace(shadow.policy, tuple(rules.trace(question)), matched, decisive)

    def _decisive(self, shadow: ShadowPolicy, question: Question) -> bool:
        if not shadow.policy.rules.matches(question):
            return False
        ahead = self.policies[: shadow.ahead]
        return not any(policy.rules.matches(question) for policy in ahead)

    def __repr__(self) -> str:
        return f"<CompiledApplication {self.name!r}>"


_VERBS: dict[DecisionWord, str] = {
    "allow": "allows",
    "block": "blocks",
    "bypass": "lets pass",
    "service_auth": "admits",
}

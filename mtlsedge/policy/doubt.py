"""What can a rule not know, because somebody could not tell? When in doubt the answer is no.

A verifier that raised, hung or talked nonsense has said neither yes nor no, and what it would
have attached is missing. A rule on its word is then in doubt, unless something else makes it
true. It counts as whatever does not admit, which depends on where it stands (``rules.py``):
false in the ``include`` of a policy that admits, true in its ``exclude``, and in a policy that
blocks the other way round.

It is the same with a client CA whose lists or responders cannot tell of a revocation, where the
client verified by another one: a rule that names the first cannot know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from mtlsedge.identity import Verdict
from mtlsedge.model import Rule
from mtlsedge.policy.question import Question
from mtlsedge.policy.selectors import VERIFIER_SELECTORS, Predicate

Doubts = Callable[[Question], tuple[str, ...]]
"""What somebody could not tell, but for which a rule might be true; () where nobody failed."""


def compile_doubts(rule: Rule) -> Doubts | None:
    """What a rule that is not true may be in doubt for; None if it never is.

    Where the certificate did not verify nobody was asked, and nothing is in doubt.
    """
    maker = _MAKERS.get(rule.selector)
    return maker(rule) if maker is not None else None


def or_in_doubt(rule: Rule, certain: Predicate) -> Predicate:
    """Whether a rule is true for ``certain``, or in doubt."""
    if rule.selector in VERIFIER_SELECTORS:
        return _unless_all_say_no(rule)
    doubts = compile_doubts(rule)
    if doubts is None:
        return certain
    return lambda question: certain(question) or bool(doubts(question))


def _unless_all_say_no(rule: Rule) -> Predicate:
    """In one go: requests are asked for it."""
    specs = tuple(rule.values)

    def predicate(question: Question) -> bool:
        verdicts = question.verdicts
        for spec in specs:
            said = verdicts.get(spec)
            if said is None:
                if question.identity.verified:
                    return True
            elif said.accepted is not False or said.failed is not False:
                return True
        return False

    return predicate


def _of_verifiers(rule: Rule) -> Doubts:
    specs = tuple(rule.values)

    def doubts(question: Question) -> tuple[str, ...]:
        if not question.identity.verified:
            return ()
        verdicts = question.verdicts
        return tuple([_trouble(s, verdicts.get(s)) for s in specs if _failed(verdicts.get(s))])

    return doubts


def _of_attributes(rule: Rule) -> Doubts:
    """Whoever failed may have withheld it, of the client CAs' verifiers as of the rules'."""

    def doubts(question: Question) -> tuple[str, ...]:
        identity = question.identity
        if not identity.verified:
            return ()
        withheld = [why for _, why in identity.in_doubt] if identity.in_doubt else []
        for spec, verdict in question.verdicts.items():
            if verdict.failed is not False or type(verdict.accepted) is not bool:
                withheld.append(_trouble(spec, verdict))
        return tuple(withheld)

    return doubts


def _of_client_cas(rule: Rule) -> Doubts:
    wanted = frozenset(rule.values)

    def doubts(question: Question) -> tuple[str, ...]:
        identity = question.identity
        if not identity.verified or not identity.in_doubt:
            return ()
        return tuple([why for name, why in identity.in_doubt if name in wanted])

    return doubts


def _failed(verdict: Verdict | None) -> bool:
    """Anything but a plain yes or no."""
    return verdict is None or verdict.failed is not False or type(verdict.accepted) is not bool


def _trouble(spec: str, verdict: Verdict | None) -> str:
    if verdict is not None and verdict.reason:
        return verdict.reason
    return f"the verifier {spec.partition(':')[0]!r} has said nothing"


_MAKERS: Mapping[str, Callable[[Rule], Doubts]] = MappingProxyType(
    {
        "verifier": _of_verifiers,
        "external_evaluation": _of_verifiers,
        "attribute": _of_attributes,
        "client_ca": _of_client_cas,
    }
)

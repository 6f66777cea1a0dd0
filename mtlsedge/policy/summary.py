"""What would a client get that we know only a little of? Answers for ``mtlsedge check``.

Of a client that is not there yet one knows whether it has a certificate, and not its names or
address. So rules are true, false, or not known (None, as in Kleene's logic); where the answer
is certain all the same, the production code is asked for it. ``mtlsedge replay`` knows more of
its clients, and asks ``weigh`` with what it knows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address
from typing import cast

from cryptography import x509

from mtlsedge.identity import ANONYMOUS, Certificate, Identity, PeerChain, Reason
from mtlsedge.policy.application import CompiledApplication
from mtlsedge.policy.question import Decision, Question
from mtlsedge.policy.rules import CompiledRule, CompiledRules
from mtlsedge.policy.selectors import CERTIFICATE_SELECTORS
from mtlsedge.target import RequestPath, Target

Truth = bool | None
Tells = Callable[[CompiledRule], Truth]
"""Whether a rule that names no group is true."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a kind of client gets from an application.

    Attributes:
        possible: the decisions it may get, in the order of evaluation; one where it is certain.
        depends_on: the selectors on which it depends, each once; none where it is certain.
    """

    possible: tuple[Decision, ...]
    depends_on: tuple[str, ...] = ()

    @property
    def decision(self) -> Decision | None:
        """The decision, None where it depends."""
        return self.possible[0] if len(self.possible) == 1 else None

    @property
    def admitted(self) -> bool | None:
        """Whether such a client gets through, None where that depends."""
        answers = {decision.admitted for decision in self.possible}
        return answers.pop() if len(answers) == 1 else None

    def __str__(self) -> str:
        word = {True: "admitted", False: "refused", None: "admitted or refused"}[self.admitted]
        if self.decision is not None:
            return f"{word} ({self.decision.reason})"
        return f"{word}, depends on {', '.join(self.depends_on)}"


@dataclass(frozen=True, slots=True)
class Summary:
    """What one application on one host gives each kind of client.

    Attributes:
        without: a client with no certificate.
        verified: one with a certificate of a client CA of the host; None where the host has no
            client CA, so that none is ever asked for.
        other: one with a certificate of another CA.
    """

    application: CompiledApplication
    without: Outcome
    verified: Outcome | None
    other: Outcome


def summarise(application: CompiledApplication, client_cas: Collection[str]) -> Summary:
    """What clients get from an application on a host with these client CAs (their names)."""
    verified = _identity(tuple(client_cas)) if client_cas else None
    stranger = Identity(presented=True, reason=Reason.UNTRUSTED) if client_cas else ANONYMOUS
    return Summary(
        application,
        outcome(application, ANONYMOUS),
        outcome(application, verified) if verified else None,
        outcome(application, stranger),
    )


def of_client_ca(application: CompiledApplication, client_ca: str) -> Outcome:
    """What a client gets of whom nothing is known but that its certificate is of one client CA."""
    return outcome(application, _identity((client_ca,)))


def outcome(application: CompiledApplication, identity: Identity) -> Outcome:
    """What a client gets of whom nothing is known but ``identity.verified``.

    ``identity.client_cas`` are the client CAs that its certificate may be of.
    """
    found = weigh(application, partial(_truth, identity=identity))
    if found.decision is not None:
        return Outcome((application.decide(_question(identity)),))
    return found


def weigh(application: CompiledApplication, tells: Tells) -> Outcome:
    """What a client may get of whom ``tells`` says which rules are true."""
    possible: list[Decision] = []
    depends: list[str] = []
    for policy in application.policies:
        true = _match(policy.rules, tells)
        if true is False:
            continue
        possible.append(policy.decision)
        if true:
            break
        depends += _unknown(policy.rules, tells)
    else:
        possible.append(application.no_match)
    if len(possible) == 1:
        return Outcome((possible[0],))
    return Outcome(tuple(possible), tuple(dict.fromkeys(depends)))


def _match(rules: CompiledRules, tells: Tells) -> Truth:
    include = _any(_told(rule, tells) for rule in rules.include)
    require = [_told(rule, tells) for rule in rules.require]
    exclude = [_not(_told(rule, tells)) for rule in rules.exclude]
    return _not(_any(map(_not, [include, *require, *exclude])))


def _told(rule: CompiledRule, tells: Tells) -> Truth:
    if rule.rule.selector == "group":
        return _any(_match(rules, tells) for _, rules in rule.groups)
    return tells(rule)


def _truth(rule: CompiledRule, identity: Identity) -> Truth:
    selector = rule.rule.selector
    if selector == "everyone":
        return True
    if selector not in CERTIFICATE_SELECTORS:
        return None
    if not identity.verified:
        return False
    if selector == "client_ca":
        return _all_or_none(name in rule.rule.values for name in identity.client_cas)
    return True if selector == "certificate" else None


def _unknown(rules: CompiledRules, tells: Tells) -> Iterator[str]:
    for _, rule in rules.clauses():
        if _told(rule, tells) is not None:
            continue
        if rule.groups:
            for _, group in rule.groups:
                yield from _unknown(group, tells)
        else:
            yield rule.rule.selector


def _any(truths: Iterable[Truth]) -> Truth:
    known = set(truths)
    return True if True in known else None if None in known else False


def _not(truth: Truth) -> Truth:
    return None if truth is None else not truth


def _all_or_none(truths: Iterable[bool]) -> Truth:
    known = set(truths)
    return known.pop() if len(known) == 1 else None


def _identity(client_cas: tuple[str, ...]) -> Identity:
    return Identity(
        presented=True,
        verified=True,
        reason=Reason.NONE,
        chain=PeerChain(_NAMELESS),
        client_cas=client_cas,
    )


def _question(identity: Identity) -> Question:
    return Question(identity, Target("GET", "", RequestPath("/")), IPv4Address(0))


_NAMELESS = Certificate(
    der=b"",
    subject="",
    issuer="",
    serial="",
    common_names=(),
    organizations=(),
    organizational_units=(),
    san_dns=(),
    san_uri=(),
    san_email=(),
    san_ip=(),
    not_before=0.0,
    not_after=0.0,
    fingerprint_sha256="",
    spki_sha256="",
    # No selector looks at it; verifiers do, and none is asked here.
    x509=cast(x509.Certificate, None),
)

"""How do people read it? The account as lines: the answer first, then how it came about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mtlsedge.explain.account import (
    Account,
    Answer,
    Attempt,
    Certificate,
    Handshake,
    Link,
    List,
    Origin,
    Path,
    PolicyFound,
    RuleFound,
    Spoken,
)
from mtlsedge.serving.words import span

_LABEL = 13


def lines_of(account: Account) -> Iterator[str]:
    """The account, in lines for a person to read."""
    question = account.question
    yield f"{question.method} {question.url}  from {question.client}, {question.at}"
    yield verdict(account.answer)
    yield ""
    yield from _labelled("host", _host(account.handshake))
    yield from _labelled("handshake", _handshake(account.handshake))
    if account.certificate is not None:
        yield from _labelled("certificate", _certificate(account.certificate))
    if account.path is not None:
        yield from _labelled("path", _path(account.path))
        yield from _labelled("application", _application(account.path))
    yield from _labelled("verifiers", map(_spoken, account.rule_verifiers))
    yield from _labelled("policies", _policies(account.policies))
    yield from _labelled("decision", _decision(account.answer))
    if account.origin is not None:
        yield from _labelled("origin gets", _origin(account.origin))
    yield from _labelled("note", account.notes)


def verdict(answer: Answer) -> str:
    """What the client gets, in a line."""
    if answer.by == "handshake":
        return "refused in the TLS handshake, with an alert"
    if answer.by == "refusal":
        return f"refused: {answer.status} {answer.reason_class}"
    if answer.by == "edge":
        return f"answered by the edge itself: {answer.status}"
    return "admitted"


def _labelled(label: str, lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield f"{label:<{_LABEL}}{line}".rstrip()
        label = ""


def _host(handshake: Handshake) -> Iterator[str]:
    if not handshake.host:
        yield "none"
        return
    names = ", ".join(handshake.host)
    yield names if names == handshake.server_name else f"{handshake.server_name or names} ({names})"


def _handshake(handshake: Handshake) -> Iterator[str]:
    if handshake.host:
        cas = ", ".join(map(repr, handshake.client_cas))
        verb = "demands" if handshake.required else "asks for"
        yield f"{verb} a certificate of {cas}" if cas else "asks for no certificate"
    if not handshake.completed:
        yield f"fails: {handshake.reason}"


def _certificate(found: Certificate) -> Iterator[str]:
    if not found.presented:
        yield "none"
        return
    if found.leaf is not None:
        yield _link(found.leaf)
    for kind, values in found.names.items():
        yield f"{kind}: {', '.join(values)}"
    if found.sent:
        yield f"sent with {found.sent} more"
    for attempt in found.attempts:
        yield from _attempt(attempt)
    if found.verified:
        yield f"verified, by {', '.join(map(repr, found.client_cas))}"
    else:
        yield f"not verified ({found.reason}): {found.detail}"
    for key, value in found.attributes.items():
        yield f"attribute {key} = {value}"
    for name, why in found.in_doubt.items():
        yield f"in doubt for client CA {name!r}: {why}"


def _link(link: Link) -> str:
    until = f"{link.not_before} to {link.not_after}"
    return f"{link.subject or 'no subject'}  serial {link.serial}, {until}"


def _attempt(attempt: Attempt) -> Iterator[str]:
    yield f"client CA {attempt.client_ca!r}"
    yield f"  chain       {attempt.built or f'of {len(attempt.chain)}, built and sound'}"
    for depth, link in enumerate(attempt.chain):
        yield f"    {depth}  {_link(link)}"
    for each in attempt.lists:
        yield f"  CRL         {_list(each)}"
    if not attempt.built:
        unsaid = "no list has anything against it" if attempt.lists else "it names no crl"
        yield f"  revocation  {attempt.revocation or unsaid}"
    if attempt.ocsp is not None:
        yield f"  OCSP        {attempt.ocsp or 'no responder has anything against it'}"
    for said in attempt.verifiers:
        yield f"  verifier    {_spoken(said)}"


def _list(found: List) -> str:
    if found.age is None or found.remaining is None:
        return f"{found.place}: {found.error}"
    ends = f"good for {span(found.remaining)} more"
    if found.remaining < 0:
        ends = f"stale since {span(-found.remaining)}"
    usable = "" if found.usable else f"; not usable: {found.error}"
    kind = "" if found.kind == "complete" else f", {found.kind}"
    count = f"{found.entries} entr{'y' if found.entries == 1 else 'ies'}"
    return f"{found.place}: {span(found.age)} old, {ends}, {count}{kind}{usable}"


def _spoken(said: Spoken) -> str:
    verb = "fails" if said.failed else "rejects"
    word = "accepts" if said.accepted else f"{verb}: {said.reason}"
    learned = ", ".join(f"{key}={value}" for key, value in said.attributes.items())
    return f"{said.verifier}  {word}{f'  ({learned})' if learned else ''}"


def _path(path: Path) -> Iterator[str]:
    yield path.path
    for reading in path.readings:
        yield f"an origin may read {reading.path}: {reading.application}"


def _application(path: Path) -> Iterator[str]:
    yield path.application
    for each in path.covering:
        yield f"  {each.domain}  ({each.application})  {each.why}"


def _policies(policies: tuple[PolicyFound, ...]) -> Iterator[str]:
    for number, policy in enumerate(policies, 1):
        outcome = "matches" if policy.matches else "does not match"
        if policy.shadow:
            outcome += "; would decide" if policy.decisive else "; would not decide"
        elif policy.decisive:
            outcome += "; decides"
        shadow = "shadow, " if policy.shadow else ""
        yield f"{number}. {policy.name} ({shadow}{policy.decision})  {outcome}"
        yield from _rules(policy.rules, "   ")


def _rules(rules: tuple[RuleFound, ...], indent: str) -> Iterator[str]:
    for rule in rules:
        word = "true" if rule.true else "false"
        yield f"{indent}{word:<6}{rule.clause:<8} {rule.rule}"
        for doubt in rule.doubts:
            yield f"{indent}      in doubt, which counts as {word}: {doubt}"
        for name, within in rule.within:
            if len(rule.within) > 1:
                yield f"{indent}      group {name}"
            yield from _rules(within, indent + "      ")


def _decision(answer: Answer) -> Iterator[str]:
    if answer.by == "handshake":
        return
    yield f"{answer.decision or 'none'}: {answer.reason}"
    if answer.service_token:
        yield f"by service token {answer.service_token!r}"
    for shadow in answer.shadow:
        yield f"shadow policy {shadow['policy']!r} would decide: {shadow['decision']}"


def _origin(origin: Origin) -> Iterator[str]:
    turns = f" (or {', '.join(origin.others)}, in turn)" if origin.others else ""
    yield f"{origin.name}{turns}"
    for line in origin.lines:
        yield f"  {line}"
    if origin.set_cookie:
        yield f"and the client, with the answer, {origin.set_cookie}"

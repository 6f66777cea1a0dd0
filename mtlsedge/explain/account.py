"""Values: everything that was found. JSON has it field by field; times are ISO 8601 in UTC."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked, as it was understood."""

    url: str
    method: str
    target: str
    server_name: str | None
    client: str
    at: str
    certificate: str  # the subject, "" without one


@dataclass(frozen=True, slots=True)
class Handshake:
    """What the TLS handshake comes to.

    Attributes:
        server_name: canonical.
        host: names of the host that answers; none where nobody does.
        client_cas: whose certificates it asks for; none where it asks for no certificate.
        required: it refuses in the handshake what does not verify.
        completed: the client gets as far as a request.
        reason: why not.
    """

    server_name: str
    host: tuple[str, ...] = ()
    client_cas: tuple[str, ...] = ()
    required: bool = False
    completed: bool = True
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """One certificate of a chain, the leaf first."""

    subject: str
    serial: str
    not_before: str
    not_after: str
    fingerprint_sha256: str


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a verifier said; where it ``failed``, that is neither yes nor no."""

    verifier: str
    accepted: bool
    reason: str
    attributes: dict[str, str]
    failed: bool = False


@dataclass(frozen=True, slots=True)
class List:
    """One certificate revocation list that has a say; seconds."""

    place: str
    issuer: str
    kind: str
    age: float | None
    remaining: float | None
    entries: int
    usable: bool
    error: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """A client CA that the certificate's chain could end at.

    Attributes:
        chain: leaf first, anchor last; empty where it does not end there.
        built: why there is no chain, or none that is good enough; "" where there is one.
        revocation: what its lists have against the chain; "" if nothing, or it names none.
        ocsp: what OCSP responders have against it; "" if nothing, None where none was asked.
        lists: those of the issuers in the chain.
        verifiers: what its verifiers said, as far as they were asked.
    """

    client_ca: str
    chain: tuple[Link, ...]
    built: str
    revocation: str
    ocsp: str | None
    lists: tuple[List, ...]
    verifiers: tuple[Spoken, ...]


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the client proved.

    ``reason`` is the class of why it did not verify, ``detail`` all of it, ``depth`` where in
    the chain; ``sent`` counts the certificates that came with the leaf. ``in_doubt`` has client
    CAs that it might be of as well, with why: a verifier failed, or revocation cannot be told.
    """

    presented: bool
    verified: bool
    reason: str = ""
    detail: str = ""
    depth: int = 0
    leaf: Link | None = None
    sent: int = 0
    names: dict[str, list[str]] = field(default_factory=dict)
    client_cas: tuple[str, ...] = ()
    attributes: dict[str, str] = field(default_factory=dict)
    in_doubt: dict[str, str] = field(default_factory=dict)
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What some origin may take the path for, and whose it is then."""

    path: str
    application: str


@dataclass(frozen=True, slots=True)
class Covering:
    """A domain that covers the path, and why its application governs, or does not."""

    application: str
    domain: str
    governs: bool
    why: str


@dataclass(frozen=True, slots=True)
class Path:
    """The path, in its one canonical form, and who governs it."""

    path: str
    readings: tuple[Reading, ...]
    application: str
    covering: tuple[Covering, ...]


@dataclass(frozen=True, slots=True)
class RuleFound:
    """A rule, whether it is true, and for groups the rules that they are made of.

    With ``doubts``, what verifiers did that failed, or lists that cannot tell, it is not known, and
    counts as ``true`` says.
    """

    clause: str
    rule: str
    true: bool
    within: tuple[tuple[str, tuple[RuleFound, ...]], ...] = ()
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyFound:
    """A policy, asked. ``decisive``: it decided; a shadow policy would have, if enforced."""

    name: str
    decision: str
    matches: bool
    decisive: bool
    shadow: bool
    rules: tuple[RuleFound, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client gets.

    Attributes:
        admitted: the request goes to an origin, or the edge itself serves it.
        by: ``origin``, ``edge`` (a path of its own), ``refusal`` or ``handshake``.
        status: of a refusal or the edge's own answer; 0 where an origin says, or there is none.
        decision: the decision's word; "" where no policy was asked.
        policy: that decided.
        reason: for the log.
        reason_class: what a refused client is told.
        shadow: shadow policies with what each would have decided.
    """

    admitted: bool
    by: str
    status: int = 0
    decision: str = ""
    application: str = ""
    policy: str = ""
    reason: str = ""
    reason_class: str = ""
    service_token: str = ""
    shadow: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """What an origin gets: the request line and the header lines. Tokens stand as their claims."""

    name: str
    others: tuple[str, ...]
    lines: tuple[str, ...]
    set_cookie: str


@dataclass(frozen=True, slots=True)
class Account:
    """The whole reasoning. What was not come to is None."""

    question: Question
    handshake: Handshake
    certificate: Certificate | None = None
    path: Path | None = None
    rule_verifiers: tuple[Spoken, ...] = ()
    policies: tuple[PolicyFound, ...] = ()
    answer: Answer = Answer(False, "handshake")
    origin: Origin | None = None
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)

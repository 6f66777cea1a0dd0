"""What would another configuration decide? One line of the log, put to the edge's own policies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from mtlsedge.errors import BadHostName, BadTarget
from mtlsedge.identity import Certificate
from mtlsedge.model import Configuration, Host, ServiceToken
from mtlsedge.names import NameTable, canonical_host
from mtlsedge.policy.application import CompiledApplication
from mtlsedge.policy.question import AmbiguousPath, Decision, Question
from mtlsedge.policy.rules import CompiledRule
from mtlsedge.policy.summary import Outcome, weigh
from mtlsedge.policy.tree import PolicyTree
from mtlsedge.replay.grounds import Grounds, Known
from mtlsedge.replay.logged import Asked, NotLogged, Verdict
from mtlsedge.target import Target, read_path

_OF_REQUEST = frozenset({"everyone", "ip", "method"})
_OF_TOKEN = frozenset({"service_token", "any_valid_service_token"})
_MOST_REMEMBERED = 200_000

NO_HOST = Verdict(False, "no host")
IN_HANDSHAKE = Verdict(False, "handshake")
BAD_PATH = Verdict(False, "malformed")
AMBIGUOUS = Verdict(False, "ambiguous")


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdicts that are possible, one where it is certain; and on what it depends."""

    possible: tuple[Verdict, ...]
    depends_on: tuple[str, ...] = ()


class Judging:
    """A new configuration, and what it would decide.

    Args:
        configuration: the new one.
        old: the one that served when the log was written, if it is known.
        certificates: of clients, as far as they are at hand.

    Raises:
        ConfigurationError: it cannot be served after all.
    """

    def __init__(
        self,
        configuration: Configuration,
        old: Configuration | None = None,
        certificates: Iterable[Certificate] = (),
    ) -> None:
        self.grounds = Grounds(configuration, old, certificates)
        self._tree = PolicyTree(configuration.applications, configuration.groups)
        self._tokens: Mapping[str, ServiceToken] = {
            token.name: token for token in configuration.service_tokens
        }
        self._hosts: NameTable[tuple[str, Host]] = NameTable()
        for host in configuration.hosts:
            for name in host.names:
                self._hosts.add(name, (name, host))
        self._remembered: dict[tuple[Asked, str | None], Judged] = {}

    def judge(self, asked: Asked, at: float) -> Judged:
        """What would become of a request; ``at`` is when, in seconds since the epoch.

        Raises:
            NotLogged: what the line says is nothing that can be asked.
        """
        token = self._valid_token(asked.service_token, at)
        key = (asked, token)
        judged = self._remembered.get(key)
        if judged is None:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            judged = self._remembered[key] = self._judge(asked, token)
        return judged

    def _valid_token(self, name: str | None, at: float) -> str | None:
        if name is None:
            return None
        token = self._tokens.get(name)
        if token is None or (token.expires is not None and token.expires <= at):
            return ""
        return name

    def _judge(self, asked: Asked, token: str | None) -> Judged:
        try:
            host_name, client = canonical_host(asked.host), ip_address(asked.client)
        except (BadHostName, ValueError) as error:
            raise NotLogged(str(error)) from error
        found = self._hosts.find(host_name)
        if found is None:
            return Judged((NO_HOST,))
        name, host = found
        known = self.grounds.known(asked.shown, name)
        try:
            path = read_path(asked.path.encode("latin-1"))
            application = self._tree.for_host(host_name).governing(path)
        except AmbiguousPath:
            judged = Judged((AMBIGUOUS,))
        except (BadTarget, UnicodeEncodeError):
            judged = Judged((BAD_PATH,))
        else:
            target = Target(asked.method, host_name, path)
            question = Question(known.identity, target, client, token or "")
            judged = _decide(application, host, question, known, token_known=token is not None)
        return _through_handshake(judged, host, known)


def _through_handshake(judged: Judged, host: Host, known: Known) -> Judged:
    """What is left of it where the handshake refuses whoever does not verify."""
    if host.handshake != "require" or known.verified:
        return judged
    if known.verified is False:
        return Judged((IN_HANDSHAKE,))
    return Judged((IN_HANDSHAKE, *judged.possible), ("certificate", *judged.depends_on))


def _decide(
    application: CompiledApplication | None,
    host: Host,
    question: Question,
    known: Known,
    *,
    token_known: bool,
) -> Judged:
    if application is None:
        return Judged((Verdict(host.unprotected == "pass", "unprotected"),))
    if known.verified is False and token_known:
        return Judged((_verdict(application.decide(question)),))

    def tells(rule: CompiledRule) -> bool | None:
        if rule.rule.selector in _OF_TOKEN:
            return rule.test(question) if token_known else None
        return _tells(rule, question, known)

    outcome: Outcome = weigh(application, tells)
    possible = tuple(dict.fromkeys(map(_verdict, outcome.possible)))
    return Judged(possible, outcome.depends_on)


def _tells(rule: CompiledRule, question: Question, known: Known) -> bool | None:
    """Whether a rule is true, as far as that is known."""
    selector = rule.rule.selector
    if selector in _OF_REQUEST or known.verified is False:
        return rule.test(question)
    if known.verified is None or selector not in known.selectors:
        return None
    true = rule.test(question)
    if selector == "client_ca" and not true and not known.perhaps.isdisjoint(rule.rule.values):
        return None
    return true


def _verdict(decision: Decision) -> Verdict:
    application = decision.application.name if decision.application is not None else ""
    return Verdict(decision.admitted, decision.word, application, decision.policy)

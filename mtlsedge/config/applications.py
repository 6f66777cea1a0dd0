"""What does each ``[[application]]`` say: where is it, and whom does it let in?"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote

from mtlsedge.config.clients import Unique
from mtlsedge.config.network import host_pattern
from mtlsedge.config.reader import Place, Table, Wrong, meant, show
from mtlsedge.config.rules import Scope, read_rule_set
from mtlsedge.config.values import boolean, choice, duration, many, text, visible
from mtlsedge.errors import BadTarget
from mtlsedge.model import Application, DecisionWord, Domain, Policy
from mtlsedge.names import wildcard_of
from mtlsedge.target import read_path

_DAY = 86400.0
_SESSIONS = duration(1.0, 366 * _DAY)
_DOT_SEGMENT = re.compile(r"/(?:\.|%2e){1,2}(?=/|\Z)", re.IGNORECASE)
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))

_DECISIONS: Final[Mapping[str, DecisionWord]] = {
    "allow": "allow",
    "block": "block",
    "bypass": "bypass",
    "service_auth": "service_auth",
    "deny": "block",
    "non_identity": "service_auth",
}


class ApplicationReader:
    """Reads the applications of one configuration."""

    def __init__(self, host_names: Iterable[str], scope: Scope) -> None:
        self._host_names = frozenset(host_names)
        # A wildcard may stand for several hosts that are configured one by one.
        self._served = self._host_names | {wildcard_of(name) for name in self._host_names}
        self._scope = scope
        self._name = Unique("logs know an application by its name, so give each its own")
        self._aud = Unique("a token for one application must not pass at another", visible)
        self._domains: dict[Domain, str] = {}

    def read(self, table: Table) -> Application:
        """An ``[[application]]`` table."""
        name = table.need("name", self._name, "", "logs and pages call the application by it")
        remedy = "say where it is, such as domain = 'iot.example.com/ingest'"
        domains = table.need("domain", many(self._domain), (), remedy)
        policy_name = Unique("logs know a policy by its name, so give each its own")
        policies = table.each("policy", lambda child: self._policy(child, policy_name))
        if not policies:
            table.at("policy").warn("is missing: the application refuses everybody")
        elif all(policy.shadow for policy in policies):
            table.at("policy").warn("has nothing but shadows: the application refuses everybody")
        return Application(
            name=name,
            domains=domains,
            policies=policies,
            aud=self._audience(table, name, domains),
            session_duration=table.take("session_duration", _SESSIONS, _DAY),
        )

    def _audience(self, table: Table, name: str, domains: tuple[Domain, ...]) -> str:
        if "aud" in table:
            return table.take("aud", self._aud, "")
        return audience(name, domains)

    def _policy(self, table: Table, name: Unique) -> Policy:
        remedy = "write allow, block, bypass or service_auth"
        return Policy(
            name=table.need("name", name, "", "logs call the policy by it"),
            decision=table.need("decision", choice(_DECISIONS), _DECISIONS["block"], remedy),
            rules=read_rule_set(table, self._scope),
            shadow=table.take("shadow", boolean, False),
        )

    def _domain(self, value: object, place: Place) -> Domain:
        domain = read_domain(value, place)
        if domain.host not in self._served and wildcard_of(domain.host) not in self._host_names:
            near = meant(domain.host, self._host_names)
            raise Wrong(f"{domain.host!r} is served by no [[host]]; {near}")
        other = self._domains.setdefault(domain, place.where)
        if other != place.where:
            raise Wrong(f"{str(domain)!r} is the domain of {other} too; only one can govern it")
        return domain


def audience(name: str, domains: Iterable[Domain]) -> str:
    """The ``aud`` of an application that was given none: the same for the same name and domains."""
    said = "\0".join([name, *sorted(str(domain) for domain in domains)])
    return hashlib.sha256(said.encode()).hexdigest()


def read_domain(value: object, place: Place) -> Domain:
    """A host pattern and a path pattern, such as ``iot.example.com/ingest``.

    A ``Convert``. The path comes out canonical, as request paths do before they are compared.
    """
    spelled = text(value, place).strip()
    if "://" in spelled:
        raise Wrong(f"{show(spelled)} has a scheme; write only host and path")
    if "?" in spelled or "#" in spelled:
        raise Wrong(f"{show(spelled)} has a query or fragment; policies judge paths alone")
    host, slash, path = spelled.partition("/")
    if not host:
        raise Wrong(f"{show(spelled)} lacks its host; write 'iot.example.com{spelled}'")
    return Domain(host_pattern(host, place), _path_pattern(slash + path))


def _path_pattern(path: str) -> str:
    if path in ("", "/"):
        return "/"
    if any(segment.count("*") > 1 for segment in path.split("/")):
        raise Wrong(f"{show(path)}: at most one '*' may stand in each segment")
    if " " in path:
        raise Wrong(f"{show(path)} has a blank in it; write %20")
    if _DOT_SEGMENT.search(path):
        raise Wrong(f"{show(path)} has '.' or '..' in it; write the path that it leads to")
    if "//" in path:
        raise Wrong(f"{show(path)} has an empty segment; origins differ on '//': take one out")
    path = path.removesuffix("/")
    try:
        read = read_path(quote(path, safe=_PRINTABLE).encode("ascii"))
    except BadTarget as error:
        raise Wrong(f"{show(path)} is not a path pattern: {error}") from error
    if read.readings:
        raise Wrong(
            f"{show(path)} can be read in several ways, as {show(read.readings[0])} too, and "
            "requests for it would be refused as ambiguous; name a plainer path"
        )
    return read.path

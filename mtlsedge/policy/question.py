"""What is asked of a policy, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from mtlsedge.errors import BadTarget
from mtlsedge.identity import Identity, Verdict
from mtlsedge.target import Target

if TYPE_CHECKING:
    from mtlsedge.policy.application import CompiledApplication

Word = Literal["allow", "service_auth", "bypass", "block", "unprotected", "ambiguous"]

_NO_VERDICTS: Mapping[str, Verdict] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Question:
    """One request, as far as policy is concerned.

    Attributes:
        identity: what the connection proved.
        target: what is asked for.
        client_ip: whose connection it is; the address is never taken from a header here.
        service_token: the *name* of the service token that the request proved, or "".
        verdicts: by verifier string, what the verifiers of the governing application
            (``CompiledApplication.verifiers``) said. One that is missing said neither yes nor
            no, if the certificate verified.
    """

    identity: Identity
    target: Target
    client_ip: IPv4Address | IPv6Address
    service_token: str = ""
    verdicts: Mapping[str, Verdict] = field(default_factory=lambda: _NO_VERDICTS)

    def hearing(self, verifiers: Set[str]) -> Question:
        """The same, of all verdicts with those of these verifiers alone."""
        if self.verdicts.keys() <= verifiers:
            return self
        heard = {spec: said for spec, said in self.verdicts.items() if spec in verifiers}
        return replace(self, verdicts=heard)


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a request, and on whose word.

    Attributes:
        word: the decision of the policy that matched; ``block`` where none did;
            ``unprotected`` where no application covers the path; ``ambiguous`` where it is
            not certain which one does.
        admitted: whether the request goes to the origin.
        application: the one that governs, None for ``unprotected`` and ``ambiguous``.
        policy: the name of the policy that matched, "" where none did.
        reason: for the log, never for the client.
        service_token: the name of the service token that the request proved, or "".
        shadow: what each shadow policy would have decided that would have had the last word.
    """

    word: Word
    admitted: bool
    application: CompiledApplication | None = field(repr=False)
    policy: str
    reason: str
    service_token: str = ""
    shadow: tuple[Decision, ...] = ()


class AmbiguousPath(BadTarget):
    """The path and what an origin may make of it fall under different applications: a 400."""


UNPROTECTED_PASS = Decision("unprotected", True, None, "", "host is unprotected = pass")
UNPROTECTED_DENY = Decision("unprotected", False, None, "", "host is unprotected = deny")


def ambiguous(error: AmbiguousPath) -> Decision:
    """The decision on a request whose governing application is not certain."""
    return Decision("ambiguous", False, None, "", str(error))

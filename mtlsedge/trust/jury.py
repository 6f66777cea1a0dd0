"""What do the verifiers of one client CA say together? All of them accept, or any one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from twisted.internet.defer import Deferred

from mtlsedge.identity import NO_ATTRIBUTES, PeerChain
from mtlsedge.trust.asking import VerifierDesk


@dataclass(frozen=True, slots=True)
class Jury:
    """The verifiers of a client CA, in the order in which they are asked."""

    desks: tuple[VerifierDesk, ...]
    match: Literal["all", "any"] = "all"

    async def hear(self, peer: PeerChain, host: str, timeout: float) -> Mapping[str, str] | str:
        """What they learned of a verified chain; or, as text, why they do not accept it.

        They are asked one after the other, until it is settled. Of ``all``, every one must
        accept, and the first objection is the answer; of ``any``, the first that accepts is.
        """
        if not self.desks:
            return NO_ATTRIBUTES
        learned: dict[str, str] = {}
        objections: list[str] = []
        for desk in self.desks:
            answer = desk.ask(peer, host, timeout)
            verdict = await answer if isinstance(answer, Deferred) else answer
            if verdict.accepted:
                if self.match == "any":
                    return verdict.attributes
                if verdict.attributes:
                    learned.update(verdict.attributes)
            elif self.match == "all":
                return verdict.reason
            else:
                objections.append(verdict.reason)
        return "; ".join(objections) if objections else learned or NO_ATTRIBUTES

"""What do OCSP responders say of whole chains? For the client CAs of one host that want it asked.

As with revocation lists: a certificate that is revoked closes every path of its leaf, wherever
in the chain it is; one whose status nobody can tell closes the paths of the client CAs that
require it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mtlsedge.identity import Certificate, Reason
from mtlsedge.model import ClientCA
from mtlsedge.trust.caches import BoundedCache
from mtlsedge.trust.ocsp import BadAnswer, Question
from mtlsedge.trust.ocsp_signers import UNKNOWN_STATUS, Vouch
from mtlsedge.trust.ocsp_status import Key, Known, StatusDesk
from mtlsedge.trust.outcomes import Failed, Path
from mtlsedge.trust.revocation import RevocationLists

_log = Logger()
_KEPT = 4096  # chains whose questions are remembered

NO_DESKS: Mapping[str, StatusDesk] = MappingProxyType({})

Found = Mapping[tuple[str, Key], Known]
"""What was just found out, by client CA and certificate: it counts whatever its time."""

UNTOLD = "its status could not be asked for"

_NOTHING: Found = MappingProxyType({})


class Statuses:
    """The status of certificates, for the client CAs that have a desk to ask at.

    Args:
        desks: by the name of the client CA.
        lists: the revocation lists of each client CA, which speak of delegated signers, too.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        desks: Mapping[str, StatusDesk],
        lists: Mapping[str, RevocationLists],
        now: Callable[[], float],
    ) -> None:
        self._now = now
        self._cas = {name: _OfCA(desk, lists[name], now) for name, desk in desks.items()}

    def concern(self, paths: Sequence[Path]) -> bool:
        """Whether anything is to be asked of these paths."""
        return any(path.client_ca in self._cas for path in paths)

    def look(
        self, paths: tuple[Path, ...], found: Found = _NOTHING
    ) -> tuple[Path, ...] | Failed | None:
        """The paths that nothing known speaks against, ``paths`` itself where that is all.

        Why there is none, if there is none; and None where that must be asked first.
        """
        now = self._now()
        open_paths = []
        closed: Failed | None = None
        unasked = False
        for path in paths:
            ca = self._cas.get(path.client_ca)
            failed = ca.judge(path.chain, now, found) if ca is not None else None
            if failed is None:
                open_paths.append(path)
            elif failed is _UNASKED:
                unasked = True
            elif failed.reason is Reason.REVOKED:
                return failed
            else:
                closed = closed or failed
        if unasked:
            return None
        if closed is None:
            return paths
        return tuple(open_paths) or closed

    async def ask(self, paths: Sequence[Path]) -> Found:
        """Find out what is not known of these paths, all of it at the same time."""
        asked = [
            ((path.client_ca, question.key), ca.ask(path.chain, depth, question))
            for path in paths
            if (ca := self._cas.get(path.client_ca)) is not None
            for depth, question in ca.unknown(path.chain, self._now())
        ]
        return {key: await answer for key, answer in asked}

    async def told(self, paths: tuple[Path, ...]) -> tuple[Path, ...] | Failed:
        """The paths that no responder speaks against, or why there is none; it asks first."""
        told = self.look(paths)
        if told is None:
            told = self.look(paths, await self.ask(paths))
        return told or Failed(Reason.CRL_UNUSABLE, UNTOLD)

    def against(self, client_ca: str, chain: tuple[Certificate, ...], now: float) -> Failed | None:
        """What speaks against a chain that was let in. It is asked anew meanwhile, if it is time.

        A status that nobody remembers is no reason yet, only to ask.
        """
        ca = self._cas.get(client_ca)
        return ca.against(chain, now) if ca is not None else None

    def doubt(self, path: Path) -> str:
        """What could not be found out about a path that is let pass all the same; or ""."""
        ca = self._cas.get(path.client_ca)
        return ca.doubt(path.chain, self._now()) if ca is not None else ""

    def until(self, client_ca: str, chain: tuple[Certificate, ...], now: float) -> float:
        """When to ask `against` again, in seconds since the epoch."""
        ca = self._cas.get(client_ca)
        return ca.until(chain, now) if ca is not None else math.inf


def statuses_of(
    cas: Sequence[ClientCA],
    desks: Mapping[str, StatusDesk],
    lists: Mapping[str, RevocationLists],
    clock: IReactorTime,
    now: Callable[[], float],
) -> Statuses | None:
    """The statuses of some client CAs; None where none of them wants OCSP asked.

    One that does, and has no desk, is not let off: nobody can tell the status then.
    """
    asking = {
        ca.name: desks.get(ca.name) or StatusDesk(ca.name, ca.ocsp, _nowhere, clock, now)
        for ca in cas
        if ca.ocsp is not None
    }
    return Statuses(asking, lists, now) if asking else None


async def _nowhere(_: str, __: bytes) -> bytes:
    raise BadAnswer("no responder is asked from here")


_UNASKED = Failed(Reason.CRL_UNUSABLE, "its status was not asked for")

_Step = tuple[int, Question, Key]


class _OfCA:
    """The same, for one client CA."""

    def __init__(self, desk: StatusDesk, lists: RevocationLists, now: Callable[[], float]) -> None:
        self._desk = desk
        self._lists = lists
        self._now = now
        self._requires = desk.ocsp.policy == "require"
        self._leaf_only = desk.ocsp.check == "leaf"
        self._steps: BoundedCache[int, tuple[object, tuple[_Step, ...]]] = BoundedCache(_KEPT)
        self._told: BoundedCache[Key, str] = BoundedCache(_KEPT)

    def judge(self, chain: tuple[Certificate, ...], now: float, found: Found) -> Failed | None:
        failed: Failed | None = None
        for depth, question, key in self._questions(chain):
            known = self._desk.known(key)
            if found:
                known = found.get((self._desk.name, key), known)
            elif known is None or now >= known.until:
                failed = _UNASKED
                continue
            if known is None:
                failed = _UNASKED
            elif known.revoked:
                return self._failed(Reason.REVOKED, known, chain, depth)
            elif known.fault:
                failed = failed or self._unknown(known, chain, depth)
            elif now >= known.again:
                self._desk.renew(question, self._vouch(chain, depth))
        return failed

    def unknown(self, chain: tuple[Certificate, ...], now: float) -> list[tuple[int, Question]]:
        found = []
        for depth, question, key in self._questions(chain):
            known = self._desk.known(key)
            if known is None or now >= known.until:
                found.append((depth, question))
        return found

    def ask(
        self, chain: tuple[Certificate, ...], depth: int, question: Question
    ) -> Deferred[Known]:
        return self._desk.ask(question, self._vouch(chain, depth))

    def against(self, chain: tuple[Certificate, ...], now: float) -> Failed | None:
        failed: Failed | None = None
        for depth, question, key in self._questions(chain):
            known = self._desk.known(key)
            if known is None or now >= known.again:
                self._desk.renew(question, self._vouch(chain, depth))
            if known is None:
                continue
            if known.revoked:
                return self._failed(Reason.REVOKED, known, chain, depth)
            if known.fault or now >= known.until:
                failed = failed or self._unknown(known, chain, depth)
        return failed

    def doubt(self, chain: tuple[Certificate, ...], now: float) -> str:
        for depth, _, key in self._questions(chain):
            known = self._desk.known(key)
            if known is not None and (known.fault or now >= known.until):
                return _let_pass(self._failed(Reason.CRL_UNUSABLE, known, chain, depth))
        return ""

    def until(self, chain: tuple[Certificate, ...], now: float) -> float:
        moments = []
        for _, _, key in self._questions(chain):
            known = self._desk.known(key)
            moments.append(now if known is None else known.again)
        return min(moments, default=math.inf)

    def _questions(self, chain: tuple[Certificate, ...]) -> tuple[_Step, ...]:
        # By identity, as revocation lists do it; the chain is kept with its questions.
        remembered = self._steps.get(id(chain))
        if remembered is not None and remembered[0] is chain:
            return remembered[1]
        depths = range(min(1, len(chain) - 1) if self._leaf_only else len(chain) - 1)
        questions = [(depth, Question(chain[depth], chain[depth + 1])) for depth in depths]
        steps = tuple((depth, question, question.key) for depth, question in questions)
        self._steps.put(id(chain), (chain, steps))
        return steps

    def _unknown(self, known: Known, chain: tuple[Certificate, ...], depth: int) -> Failed | None:
        failed = self._failed(Reason.CRL_UNUSABLE, known, chain, depth)
        if self._requires:
            return failed
        key = Question(chain[depth], chain[depth + 1]).key
        if self._told.get(key) != failed.detail:
            self._told.put(key, failed.detail)
            _log.warn("{detail}", detail=_let_pass(failed))
        return None

    def _failed(
        self, reason: Reason, known: Known, chain: tuple[Certificate, ...], depth: int
    ) -> Failed:
        who = f"{chain[depth].subject} (serial {chain[depth].serial})"
        if known.revoked:
            detail = f"{who} is revoked by OCSP ({known.revoked})"
        else:
            why = known.fault or "what was told is too old, and there is no newer answer yet"
            detail = f"no usable OCSP answer about {who}: {why}"
        return Failed(reason, detail, depth, chain)

    def _vouch(self, chain: tuple[Certificate, ...], depth: int) -> Vouch:
        return partial(self._speaks_against, chain[depth + 1 :])

    def _speaks_against(
        self, above: tuple[Certificate, ...], delegate: Certificate, needs_status: bool
    ) -> str:
        """What speaks against a delegated signer, by the lists that the client CA has."""
        if not self._lists.places:
            return UNKNOWN_STATUS if needs_status else ""
        failed = self._lists.check((delegate, *above), self._now())
        if failed is None:
            return ""
        if failed.reason is Reason.REVOKED:
            return f"but {failed.detail}"
        return f"whose own status is not known: {failed.detail}" if needs_status else ""


def _let_pass(failed: Failed) -> str:
    return f'{failed.detail} (let pass, as ocsp_policy is "warn")'

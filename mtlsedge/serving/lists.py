"""How does a new revocation list come into force in this process?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import DeferredLock
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from mtlsedge.errors import BadCrl
from mtlsedge.serving.words import crl_line
from mtlsedge.trust.judge import ClientTrust
from mtlsedge.trust.revocation import Replaced, RevocationLists

_log = Logger()

_LARGE = 256 * 1024  # bytes; reading more would keep every client waiting


class ListsInForce:
    """Replaces revocation lists in whatever configuration is in force.

    Args:
        reactor: has the threads in which large lists are read; None reads them at once, which
            a process without clients may, and one that forks must.
        now: the wall clock, in seconds since the epoch.
        trusts: the judges in force.
        changed: called when certificates may be judged differently.

    Attributes:
        changes: how often a list was replaced, or could not be.
    """

    def __init__(
        self,
        reactor: Any,
        now: Callable[[], float],
        trusts: Callable[[], Sequence[ClientTrust]],
        changed: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._now = now
        self._trusts = trusts
        self._changed = changed
        self._turns: dict[str, DeferredLock] = {}  # by place
        self._told: dict[str, frozenset[str]] = {}  # what the log knows of each place
        self.changes = 0

    async def replace(self, place: str, data: bytes, *, quiet: bool = False) -> str:
        """Take the new content of a place; why nothing of it was taken, or "".

        ``quiet``: another process writes what came of it into the log.
        """
        turn = self._turns.setdefault(place, DeferredLock())
        await turn.acquire()  # a small list must not overtake a large one that is still read
        try:
            outcomes = await self._replace_everywhere(place, data)
        finally:
            turn.release()
        problems = tuple(dict.fromkeys(each for one in outcomes.values() for each in one.problems))
        if not quiet:
            self._tell(place, outcomes, problems)
        if any(outcome.changed for outcome in outcomes.values()):
            self._changed()
            return ""
        return "; ".join(problems)

    def complain(self, place: str, problem: str) -> None:
        """Nothing can be read at a place; what it held serves on."""
        self.changes += 1
        for lists in self._of(place):
            lists.complain(place, problem)

    async def _replace_everywhere(self, place: str, data: bytes) -> dict[RevocationLists, Replaced]:
        outcomes: dict[RevocationLists, Replaced] = {}
        # A reload may put other lists into force while these are read.
        while waiting := [lists for lists in self._of(place) if lists not in outcomes]:
            outcomes[waiting[0]] = await self._replace(waiting[0], place, data)
            self.changes += 1
        return outcomes

    async def _replace(self, lists: RevocationLists, place: str, data: bytes) -> Replaced:
        try:
            if self._reactor is None or len(data) < _LARGE:
                crls = lists.prepare(place, data)
            else:
                pool = self._reactor.getThreadPool()
                crls = await deferToThreadPool(self._reactor, pool, lists.prepare, place, data)
        except BadCrl as error:
            return lists.complain(place, str(error))
        return lists.replace(place, crls, self._now())

    def _report(self, lists: RevocationLists, place: str) -> None:
        everywhere = (pair for trust in self._trusts() for pair in trust.lists.items())
        name = next((name for name, its in everywhere if its is lists), "")
        for health in lists.health(self._now()):
            if health.place == place:
                _log.info("{line}", line=crl_line(replace(health, client_ca=name)))

    def _of(self, place: str) -> list[RevocationLists]:
        """The lists of every client CA that names a place; hosts share them."""
        found = (lists for trust in self._trusts() for lists in trust.lists.values())
        return list(dict.fromkeys(lists for lists in found if place in lists.places))

    def _tell(
        self,
        place: str,
        outcomes: Mapping[RevocationLists, Replaced],
        problems: Sequence[str],
    ) -> None:
        """Say what came of new content; of a URL that is asked again and again, once."""
        known = self._told.get(place, frozenset())
        self._told[place] = frozenset(problems)
        for problem in problems:
            if problem not in known:
                _log.error("{problem}", problem=problem)
        for lists, outcome in outcomes.items():
            begun = (crl for crl in outcome.taken if crl.this_update <= self._now())
            for crl in begun:
                _log.info(
                    "{place}: a CRL of {issuer}, number {number}, is in force",
                    place=place,
                    issuer=crl.issuer,
                    number=crl.number,
                )
            if outcome.changed or problems:
                self._report(lists, place)

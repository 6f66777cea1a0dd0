"""What do the lists at hand say about one issuer's certificates, and until when? (§6.3.3)

The algorithm of RFC 5280 §6.3.3 is run once for all certificates that it treats alike, and its
outcome, a ``Standing``, holds until the clock passes a date in one of the lists. What is left
for each client is one look-up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mtlsedge.identity import Certificate, NameKey
from mtlsedge.trust.certificates import name_key
from mtlsedge.trust.crl_entries import REASONS, REMOVED, Serials
from mtlsedge.trust.crl_issuers import CrlIssuers, key_identifier, may_sign_crls
from mtlsedge.trust.crls import Crl
from mtlsedge.trust.distribution import ALL_REASONS, Point, Reasons, points_of
from mtlsedge.trust.outcomes import moment

_LATER = 60.0
"""Seconds after which a signer whose own path did not verify is tried again."""

_NONE: Serials = {}


@dataclass(frozen=True, slots=True)
class Asked:
    """Certificates that the lists treat alike.

    Attributes:
        above: the chain above them, their issuer first and the anchor last.
        points: their distribution points.
        is_ca: they are CAs'.
    """

    above: tuple[Certificate, ...]
    points: tuple[Point, ...]
    is_ca: bool

    @classmethod
    def about(cls, chain: Sequence[Certificate], depth: int) -> Asked:
        """Those that are like the certificate at a place of a verified chain."""
        certificate = chain[depth]
        return cls(tuple(chain[depth + 1 :]), points_of(certificate), certificate.is_ca)


class Listed(NamedTuple):
    """What one list has on an issuer's certificates; a delta goes before its complete list."""

    crl: Crl
    serials: Serials
    delta: Crl | None = None
    changes: Serials = _NONE

    def reason(self, serial: int) -> int | None:
        """The reason why a serial number is revoked; None if it is not."""
        reason = self.changes.get(serial)
        if reason is None:
            reason = self.serials.get(serial)
        return None if reason == REMOVED else reason


@dataclass(frozen=True, slots=True)
class Standing:
    """The outcome, good from ``since`` until just before ``until`` (seconds since the epoch).

    Attributes:
        listed: the lists that count.
        fault: why they do not suffice to call a certificate unrevoked; None if they do.
        plain: where a look-up in one table is all it takes, that table.
    """

    since: float
    until: float
    listed: tuple[Listed, ...] = ()
    fault: str | None = None
    plain: Serials | None = field(default=None, repr=False)

    def revocation(self, serial: int) -> tuple[Crl, str] | None:
        """The list that revokes a serial number, and the reason in words; None if none does."""
        for listed in self.listed:
            reason = listed.reason(serial)
            if reason is not None:
                by = listed.delta if listed.delta and serial in listed.changes else listed.crl
                return by, REASONS[reason]
        return None


NEVER = Standing(math.inf, -math.inf)
"""Of no moment: what stands where nothing was asked yet."""


class _Complaint(NamedTuple):
    """What keeps a list from being used; the least ``rank`` is the nearest miss."""

    rank: int
    text: str


class _Signed(NamedTuple):
    """A list, and the certificate that signed it."""

    crl: Crl
    signer: Certificate


class Ledger:
    """All lists that one client CA has at one time, and who may have signed them.

    Args:
        crls: the lists, from whatever places.
        issuers: certificates, beside a chain's own, that may sign lists.
        grace: seconds for which a list is good beyond its ``nextUpdate``.
        whole: the signer of a list must itself be unrevoked.
        lenient: of a signer whose own status cannot be told, nothing worse is assumed.
    """

    def __init__(
        self,
        crls: Iterable[Crl],
        issuers: CrlIssuers,
        *,
        grace: float = 0.0,
        whole: bool = True,
        lenient: bool = False,
    ) -> None:
        self._complete: dict[NameKey, list[Crl]] = {}
        self._deltas: dict[NameKey, list[Crl]] = {}
        self._issuers = issuers
        self.grace = grace
        self._whole = whole
        self._lenient = lenient
        # Of those that are equally new, the one that came last counts.
        came = sorted(enumerate(crls), key=lambda each: (each[1].order, each[0]), reverse=True)
        for _, crl in came:
            kind = self._complete if crl.base is None else self._deltas
            kind.setdefault(crl.issuer_key, []).append(crl)

    def named(self, issuer: NameKey) -> tuple[Crl, ...]:
        """Every list of an issuer's name, complete lists first."""
        return (*self._complete.get(issuer, ()), *self._deltas.get(issuer, ()))

    def indirect(self) -> Iterator[Crl]:
        """Every indirect list."""
        return (crl for crls in self._complete.values() for crl in crls if crl.scope.indirect)

    def standing(self, asked: Asked, now: float, pending: frozenset[str] = frozenset()) -> Standing:
        """What the lists say at a moment.

        ``pending`` has the fingerprints of signers whose own status is being looked up.
        """
        return _Inquiry(self, self._issuers, asked, now, pending).run()

    def ends(self, crl: Crl) -> float:
        """When a list goes stale, in seconds since the epoch."""
        return crl.next_update + self.grace

    def stale(self, crl: Crl) -> str:
        """That a list is stale, in words."""
        late = f", and the grace of {self.grace:g} seconds is over" if self.grace else ""
        return f"{crl.place} is stale since {moment(crl.next_update)}{late}"

    def complete(self, issuers: Iterable[NameKey]) -> list[Crl]:
        """The complete lists of some names, the newest first."""
        return _newest_first(self._complete, issuers)

    def deltas(self, crl: Crl) -> list[Crl]:
        """The deltas that add something to a complete list; §6.3.3 (c), and the newest first."""
        return [
            delta
            for delta in self._deltas.get(crl.issuer_key, ())
            if delta.base is not None
            and delta.scope == crl.scope
            and delta.base <= crl.number < delta.number
            and delta.key_identifier == crl.key_identifier
        ]

    def has_only_deltas(self, issuer: NameKey) -> bool:
        """Whether there are deltas of a name and nothing that they add to."""
        return issuer in self._deltas and issuer not in self._complete

    def objection(
        self, path: tuple[Certificate, ...], now: float, pending: frozenset[str]
    ) -> tuple[str, float]:
        """Why the path of a signer will not do, "" if it will; and until when that holds."""
        until = min(each.not_after for each in path)
        if not self._whole:
            return "", until
        for depth in range(len(path) - 1):
            standing = self.standing(Asked.about(path, depth), now, pending)
            until = min(until, standing.until)
            if standing.revocation(path[depth].x509.serial_number):
                return "is revoked", until
            if standing.fault is not None and not self._lenient:
                return "cannot be told to be unrevoked", until
        return "", until


class _Inquiry:
    """One run of the algorithm."""

    def __init__(
        self,
        ledger: Ledger,
        issuers: CrlIssuers,
        asked: Asked,
        now: float,
        pending: frozenset[str],
    ) -> None:
        self._ledger = ledger
        self._issuers = issuers
        self._asked = asked
        self._now = now
        self._pending = pending
        self._until = math.inf
        self._complaints: list[_Complaint] = []
        self._delta_is_missing = False
        self._own = name_key(asked.above[0].x509.subject)

    def run(self) -> Standing:
        names = {self._own}.union(*(point.issuers for point in self._asked.points))
        signed = self._governing(self._ledger.complete(names))
        fresh = [each for each in signed if self._is_current(each.crl)]
        listed: dict[int, Listed] = {}
        covered: Reasons = frozenset()
        for point, crl in self._matches(fresh):
            adds = point.reasons & crl.scope.reasons
            if not adds <= covered:
                covered |= adds
                listed.setdefault(id(crl), self._with_delta(crl))
        enough = covered == ALL_REASONS and not self._delta_is_missing
        fault = None if enough else self._fault()
        if covered != ALL_REASONS:
            # A stale list opens nothing, but whom it revokes is not let in by its age.
            stale = [each for each in signed if each not in fresh]
            for _, crl in self._matches(stale):
                listed.setdefault(id(crl), Listed(crl, self._serials(crl)))
        return self._standing(tuple(listed.values()), fault)

    def _standing(self, listed: tuple[Listed, ...], fault: str | None) -> Standing:
        simple = fault is None and len(listed) == 1 and listed[0].delta is None
        plain = listed[0].serials if simple else None
        return Standing(self._now, self._until, listed, fault, plain)

    def _matches(self, signed: Iterable[_Signed]) -> Iterator[tuple[Point, Crl]]:
        """The lists that speak of each point, §6.3.3 (b)."""
        for point in self._asked.points:
            for crl, _ in signed:
                issuers = point.issuers or {self._own}
                if crl.issuer_key in issuers and crl.scope.covers(point, is_ca=self._asked.is_ca):
                    yield point, crl

    def _governing(self, crls: Sequence[Crl]) -> list[_Signed]:
        """Of each scope and signer the newest list that has begun; those of the issuer first."""
        found: dict[tuple[object, ...], _Signed] = {}
        for crl in crls:
            if not self._speaks(crl):
                self._complain(4, f"{crl.place} is not about certificates of this kind")
                continue
            signer = self._signer(crl)
            if signer is None or not self._has_begun(crl):
                continue
            found.setdefault((crl.issuer_key, crl.scope, signer.spki_sha256), _Signed(crl, signer))
        direct = self._asked.above[0].spki_sha256
        return sorted(found.values(), key=lambda each: each.signer.spki_sha256 != direct)

    def _speaks(self, crl: Crl) -> bool:
        return any(True for _ in self._matches([_Signed(crl, self._asked.above[0])]))

    def _has_begun(self, crl: Crl) -> bool:
        if crl.this_update <= self._now:
            return True
        self._until = min(self._until, crl.this_update)
        self._complain(1, f"{crl.place} is not valid before {moment(crl.this_update)}")
        return False

    def _is_current(self, crl: Crl) -> bool:
        ends = self._ledger.ends(crl)
        if self._now < ends:
            self._until = min(self._until, ends)
            return True
        self._complain(0, self._ledger.stale(crl))
        return False

    def _with_delta(self, crl: Crl) -> Listed:
        """A complete list, with what the newest usable delta changes.

        Where the operator named deltas and none is usable, what they were to tell is missing.
        A stale one's word against a certificate stands; its word for one does not.
        """
        against: tuple[Crl, Serials] | None = None
        for delta in self._ledger.deltas(crl):
            if self._signer(delta) is None:
                self._delta_is_missing = True
            elif self._has_begun(delta):
                changes = self._serials(delta)
                if self._is_current(delta):
                    self._delta_is_missing = False
                    return Listed(crl, self._serials(crl), delta, changes)
                self._delta_is_missing = True
                revoking = {n: reason for n, reason in changes.items() if reason != REMOVED}
                against = against or (delta, revoking)
        return Listed(crl, self._serials(crl), *(against or ()))

    def _serials(self, crl: Crl) -> Serials:
        if crl.issuer_key == self._own:
            return crl.entries.own
        return crl.entries.others.get(self._own, _NONE)

    # -- who signed it ---------------------------------------------------------------------

    def _signer(self, crl: Crl) -> Certificate | None:
        """The certificate that signed a list, valid for that now; None where there is none."""
        above = self._asked.above
        others = [c for c in self._issuers.named(crl.issuer_key) if c not in above]
        named = [c for c in above if name_key(c.x509.subject) == crl.issuer_key] + others
        named.sort(key=lambda c: key_identifier(c) != crl.key_identifier)
        complaint = _Complaint(3, f"there is no certificate of who signed {crl.place}")
        for certificate in named:
            objection = self._objection(crl, certificate)
            if objection is None:
                return certificate
            complaint = min(complaint, objection)
        self._complaints.append(complaint)
        return None

    def _objection(self, crl: Crl, signer: Certificate) -> _Complaint | None:
        if not may_sign_crls(signer):
            return _Complaint(2, f"its key usage does not allow it to sign CRLs ({crl.place})")
        if not crl.signed_by(signer):
            return _Complaint(3, f"{crl.place} is not signed by it")
        if crl.fault:
            return _Complaint(1, f"{crl.place} cannot be used: {crl.fault}")
        if signer in self._asked.above:
            return None
        return self._path_objection(crl, signer)

    def _path_objection(self, crl: Crl, signer: Certificate) -> _Complaint | None:
        who = f"{crl.place} was signed with another certificate, {signer.subject}"
        if signer.fingerprint_sha256 in self._pending:
            return _Complaint(2, f"{who}, whose own status only that list could tell")
        path = self._issuers.path(signer, self._asked.above, self._now)
        if not path or path[-1].der != self._asked.above[-1].der:
            self._until = min(self._until, self._now + _LATER)
            return _Complaint(2, f"{who}, which does not lead to the same anchor now")
        pending = self._pending | {signer.fingerprint_sha256}
        objection, until = self._ledger.objection(path, self._now, pending)
        self._until = min(self._until, until)
        return _Complaint(2, f"{who}, which {objection}") if objection else None

    # -- what is wrong ---------------------------------------------------------------------

    def _complain(self, rank: int, text: str) -> None:
        self._complaints.append(_Complaint(rank, text))

    def _fault(self) -> str:
        """Why there is no answer; "" if there is no list at all."""
        if self._complaints:
            return min(self._complaints, key=lambda each: each.rank).text
        if self._ledger.has_only_deltas(self._own):
            return "there are only deltas, and no complete list that they add to"
        crls = self._ledger.complete([self._own])
        return f"{crls[0].place} is only about some reasons for revocation" if crls else ""


def _newest_first(crls: dict[NameKey, list[Crl]], names: Iterable[NameKey]) -> list[Crl]:
    found = [crl for name in names for crl in crls.get(name, ())]
    return sorted(found, key=lambda crl: crl.order, reverse=True)

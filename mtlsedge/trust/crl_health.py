"""How are the lists? Values and words for people: ages, ends, and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal

from mtlsedge.identity import Certificate
from mtlsedge.trust.certificates import name_key
from mtlsedge.trust.crl_issuers import may_sign_crls
from mtlsedge.trust.crls import Crl
from mtlsedge.trust.outcomes import moment
from mtlsedge.trust.standing import Ledger

_LAST_PART = 0.1  # of a list's life, in which its successor should have come
_MOST_NOTICE = 7 * 86400.0
_SHORT = 10**9  # the least serial that a random one of 64 bits or more is likely to have


@dataclass(frozen=True, slots=True)
class CrlHealth:
    """The condition of one list at one moment; times and durations are in seconds.

    Attributes:
        place: where it is from.
        issuer: its issuer's name as RFC 4514 text; "" where a place holds no list.
        kind: ``complete``, ``delta`` or ``indirect``.
        number: its CRL number; -1 where it has none.
        this_update, next_update: since the epoch.
        age: since ``this_update``.
        remaining: until it goes stale, the grace included; negative since then.
        entries: how many there are.
        usable: whether it counts now.
        error: why it does not, or what was wrong with the latest content of its place.
        client_ca: the client CA that it is listed for.
    """

    place: str
    issuer: str = ""
    kind: str = "complete"
    number: int = -1
    this_update: float = 0.0
    next_update: float = 0.0
    age: float = 0.0
    remaining: float = 0.0
    entries: int = 0
    usable: bool = False
    error: str = ""
    client_ca: str = ""

    @property
    def state(self) -> Literal["good", "ending", "failing", "unusable"]:
        """Ending: its successor should be there. Failing: it serves, and something is wrong."""
        if not self.usable:
            return "unusable"
        if self.error:
            return "failing"
        return "ending" if self.remaining <= notice(self.this_update, self.next_update) else "good"

    def next_change(self, now: float) -> float:
        """When time alone may change its state, in seconds since the epoch; or infinity."""
        ends = now + self.remaining
        late = ends - notice(self.this_update, self.next_update)
        return min((each for each in (self.this_update, late, ends) if each > now), default=inf)


def notice(this_update: float, next_update: float) -> float:
    """The last part of a list's life, in seconds, in which its successor should be there."""
    return min(_MOST_NOTICE, _LAST_PART * (next_update - this_update))


def condition(crl: Crl, now: float, grace: float, last_error: str, *, forged: bool) -> CrlHealth:
    """The condition of a list; ``forged`` if none of its issuer's keys signed it."""
    ends = crl.next_update + grace
    fault = ""
    if forged:
        fault = "it is not signed by its issuer"
    elif crl.fault:
        fault = crl.fault
    elif now < crl.this_update:
        fault = f"it is not valid before {moment(crl.this_update)}; check the clocks"
    elif now >= ends:
        fault = f"it is stale since {moment(crl.next_update)}; issue a new CRL"
    return CrlHealth(
        place=crl.place,
        issuer=crl.issuer,
        kind=_kind(crl),
        number=crl.number,
        this_update=crl.this_update,
        next_update=crl.next_update,
        age=now - crl.this_update,
        remaining=ends - now,
        entries=crl.entries.count,
        usable=not fault,
        error=fault or last_error,
    )


def missing(ledger: Ledger, issuer: Certificate, now: float) -> str | None:
    """Why an issuer has no usable list, "" if there is none of its name; None if it has one.

    Only whether there is one, not whether it speaks of every certificate.
    """
    name = name_key(issuer.x509.subject)
    fault = ""
    for crl in ledger.complete([name]):
        fault = _unusable(ledger, crl, issuer, now)
        if not fault:
            return None
        if "stale" in fault:
            break  # nothing older is any better; but what is not valid yet follows one that is
    if not fault and any(now < ledger.ends(crl) for crl in ledger.indirect()):
        return None
    return fault


def _unusable(ledger: Ledger, crl: Crl, issuer: Certificate, now: float) -> str:
    if not crl.signed_by(issuer):
        return f"{crl.place} is not signed by it"
    if not may_sign_crls(issuer):
        return "its key usage does not allow it to sign CRLs"
    if crl.fault:
        return f"{crl.place} cannot be used: {crl.fault}"
    if now < crl.this_update:
        return f"{crl.place} is not valid before {moment(crl.this_update)}"
    return ledger.stale(crl) if now >= ledger.ends(crl) else ""


def soon(crl: Crl, now: float, grace: float) -> str:
    """That a list is in the last tenth of its life (a week at the most); "" if it is not."""
    left = crl.next_update + grace - now
    if crl.fault or not 0 < left <= notice(crl.this_update, crl.next_update):
        return ""
    return (
        f"{crl.place}, the CRL of {crl.issuer}, goes stale at {moment(crl.next_update)}; put a "
        "new one there before"
    )


def misread(crl: Crl) -> str:
    """That a list was made by ``cfssl gencrl`` from hexadecimal serials; "" if it was not.

    It reads decimal ones, and silently keeps of others the digits before the first letter: 0
    where there are none, else a few. Its lists have no CRL number.
    """
    shortest = crl.entries.least
    if shortest != 0 and (crl.number >= 0 or not 0 < shortest < _SHORT):
        return ""
    return (
        f"{crl.place} revokes serial {shortest}, which is hardly anybody's: `cfssl gencrl` "
        "reads decimal serials, and of a hexadecimal one only the digits before its first letter; "
        "make the list again with decimal serials, or nobody is revoked by it"
    )


def _kind(crl: Crl) -> str:
    if crl.base is not None:
        return "delta"
    return "indirect" if crl.scope.indirect else "complete"

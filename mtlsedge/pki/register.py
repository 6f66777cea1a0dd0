"""Which certificates are there, and what became of each? The ledger's records, added up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from mtlsedge.errors import PkiError
from mtlsedge.pki.keys import name_of
from mtlsedge.pki.ledger import Ledger, Record, moment, read_moment
from mtlsedge.pki.serials import hexadecimal

HOLD = "certificateHold"
LIFTED = "removeFromCRL"
UNSPECIFIED = "unspecified"
REASONS = {flag.value: flag for flag in x509.ReasonFlags}
"""Reasons for revoking by the names of RFC 5280 §5.3.1."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """That a certificate was revoked; ``place`` says at which record of the ledger."""

    serial: int
    time: datetime
    reason: str
    place: int


@dataclass(frozen=True, slots=True)
class CrlMade:
    """A CRL that was made; ``place`` says at which record of the ledger."""

    number: int
    is_delta: bool
    place: int


@dataclass(frozen=True, slots=True)
class Draft:
    """A CRL to be: its number, when the next one is due, what is in it, and a delta's base."""

    number: int
    start: datetime
    next_update: datetime
    entries: tuple[Revocation, ...] = field(repr=False)
    base: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One certificate as the ledger has it; what it does not know is "" or None."""

    serial: int
    subject: str = ""
    names: tuple[str, ...] = ()
    profile: str = ""
    not_after: datetime | None = None
    fingerprint: str = ""
    revoked: Revocation | None = None

    def status(self, now: datetime, within: timedelta) -> str:
        """``revoked``, ``expired``, ``expiring`` (within that time) or ``valid``."""
        if self.revoked is not None:
            return "revoked"
        if self.not_after is None:
            return "unknown"
        if self.not_after <= now:
            return "expired"
        return "expiring" if self.not_after <= now + within else "valid"


@dataclass(slots=True)
class Register:
    """Everything that one authority issued, revoked and listed."""

    issued: dict[int, Entry] = field(default_factory=dict)
    revoked: dict[int, Revocation] = field(default_factory=dict)
    lifted: dict[int, int] = field(default_factory=dict)
    """Serials whose hold was lifted, and at which record."""
    crls: list[CrlMade] = field(default_factory=list)

    def entries(self) -> list[Entry]:
        """Every certificate that is known of, those issued elsewhere last."""
        strangers = [Entry(s, revoked=r) for s, r in self.revoked.items() if s not in self.issued]
        ours = [replace(e, revoked=self.revoked.get(e.serial)) for e in self.issued.values()]
        return ours + strangers

    def last_number(self) -> int:
        """The highest CRL number so far; 0 if there is none."""
        return max((crl.number for crl in self.crls), default=0)

    def base(self, number: int | None) -> CrlMade:
        """The full CRL of this number, or the last one, for a delta to begin at.

        Raises:
            PkiError: there is none.
        """
        full = [crl for crl in self.crls if not crl.is_delta]
        found = [crl for crl in full if number in (None, crl.number)]
        if not found:
            there = ", ".join(str(crl.number) for crl in full[-5:]) or "none"
            which = "no full CRL" if number is None else f"no full CRL of number {number}"
            raise PkiError(
                f"a delta needs a full CRL to begin at, and the ledger has {which} (it has: "
                f"{there}): make one first, without --delta"
            )
        return found[-1]


def add_up(ledger: Ledger) -> Register:
    """What the records come to.

    Raises:
        PkiError: one of them is not as this program writes it.
    """
    register = Register()
    for place, record in enumerate(ledger.records):
        try:
            _add(register, place, record)
        except (KeyError, ValueError, TypeError) as error:
            raise PkiError(
                f"{ledger.path}: the record of {record.get('time')} ({record.get('event')}) is "
                f"not as it was written ({error!r}): restore the file from a copy"
            ) from error
    return register


def record_issued(
    ledger: Ledger, certificate: x509.Certificate, now: datetime, *, profile: str
) -> None:
    """Write down that a certificate was issued."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        shown = [str(each.value) for each in names]
    except x509.ExtensionNotFound:
        shown = []
    ledger.append(
        now,
        {
            "event": "issued",
            **_numbered(certificate.serial_number),
            "subject": certificate.subject.rfc4514_string(),
            "names": shown,
            "profile": profile,
            "key": name_of(certificate.public_key()),
            "not_before": moment(certificate.not_valid_before_utc),
            "not_after": moment(certificate.not_valid_after_utc),
            "fingerprint_sha256": certificate.fingerprint(hashes.SHA256()).hex(),
        },
    )


def record_revoked(ledger: Ledger, serials: Iterable[int], now: datetime, reason: str) -> None:
    """Write down that certificates were revoked, or the hold on them lifted."""
    ledger.append(
        now, *({"event": "revoked", **_numbered(each), "reason": reason} for each in serials)
    )


def record_crl(ledger: Ledger, made: Draft, now: datetime, *, file: str, digest: str) -> None:
    """Write down that a CRL was made."""
    ledger.append(
        now,
        {
            "event": "crl",
            "number": made.number,
            "base": made.base,
            "this_update": moment(made.start),
            "next_update": moment(made.next_update),
            "entries": len(made.entries),
            "file": file,
            "sha256": digest,
        },
    )


def revoke(ledger: Ledger, register: Register, serial: int, reason: str, now: datetime) -> str:
    """Revoke a certificate, once; gives what came of it in words.

    A revocation is for good, but for a hold: that can be lifted, or made a revocation. One without
    a reason may get one.

    Raises:
        PkiError: that cannot be done to this certificate.
    """
    before = register.revoked.get(serial)
    shown = hexadecimal(serial)
    if reason == LIFTED and (before is None or before.reason != HOLD):
        raise PkiError(f"{shown} is not on hold, and only a hold can be lifted")
    if before is not None and not _may_become(before.reason, reason):
        return f"{shown} was revoked already, on {moment(before.time)} ({before.reason})"
    record_revoked(ledger, [serial], now, reason)
    if reason == LIFTED:
        return f"the hold on {shown} is lifted"
    known = register.issued.get(serial)
    whose = f", {known.subject}" if known else ", which is not one that this ledger knows"
    return f"revoked {shown}{whose} ({reason})"


def _may_become(before: str, after: str) -> bool:
    """Whether a revocation for one reason may become one for another."""
    if before == HOLD:
        return after != HOLD
    return before == UNSPECIFIED and after not in (UNSPECIFIED, HOLD)


def _add(register: Register, place: int, record: Record) -> None:
    if record["event"] == "issued":
        serial = _serial(record)
        register.issued[serial] = Entry(
            serial,
            str(record["subject"]),
            tuple(record["names"]),
            str(record["profile"]),
            read_moment(record["not_after"]),
            str(record["fingerprint_sha256"]),
        )
    elif record["event"] == "revoked":
        _add_revoked(register, place, record)
    elif record["event"] == "crl":
        made = CrlMade(int(record["number"]), record["base"] is not None, place)
        register.crls.append(made)


def _add_revoked(register: Register, place: int, record: Record) -> None:
    serial, reason = _serial(record), str(record["reason"])
    if reason not in REASONS:
        raise ValueError(reason)
    if reason == LIFTED:
        register.revoked.pop(serial, None)
        register.lifted[serial] = place
        return
    register.lifted.pop(serial, None)
    before = register.revoked.get(serial)  # its time stays, whatever the reason becomes
    time = before.time if before else read_moment(record["time"])
    register.revoked[serial] = Revocation(serial, time, reason, place)


def _serial(record: Record) -> int:
    serial = int(record["serial"], 16)
    if str(serial) != record["serial_decimal"]:
        raise ValueError(f"{record['serial']} is not {record['serial_decimal']}")
    return serial


def _numbered(serial: int) -> dict[str, Any]:
    return {"serial": hexadecimal(serial), "serial_decimal": str(serial)}

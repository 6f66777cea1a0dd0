"""Which serials does a CRL list, and why? Its entries, walked without an object for each.

``cryptography`` has parsed the whole list before this is asked, so what is walked here is DER;
it is checked all the same, and what is not as expected is an error, never a guess. A list of a
million entries takes a fifth of a second this way, and no longer than a few milliseconds
without letting another thread run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mtlsedge.errors import BadCrl
from mtlsedge.identity import NameKey
from mtlsedge.trust.der import (
    BOOLEAN,
    ENUMERATED,
    GENERALIZED_TIME,
    INTEGER,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    UTC_TIME,
    BadDer,
    Value,
    dotted,
    inside,
    value_at,
)

Serials = dict[int, int]
"""Revoked serial numbers, and the reason for each (`REASONS`)."""

REMOVED = 8
"""The reason ``removeFromCRL``: no longer revoked, or no longer listed since it expired."""

REASONS = {
    0: "",
    1: "key compromise",
    2: "CA compromise",
    3: "affiliation changed",
    4: "superseded",
    5: "cessation of operation",
    6: "certificate hold",
    REMOVED: "removed from the list",
    9: "privilege withdrawn",
    10: "AA compromise",
}
"""CRLReason (RFC 5280 §5.3.1) in words; 0 is "unspecified", as is none at all."""

MOST_UNUSUAL = 1_000_000
"""Entries whose extensions must be read each for itself; a list with more is refused."""

MOST_ISSUERS = 100_000
"""Entries that name another issuer; a list with more is refused."""

_KEPT_TAILS = 4096
_REASON = b"\x55\x1d\x15"
_INVALIDITY_DATE = b"\x55\x1d\x18"
_CERTIFICATE_ISSUER = b"\x55\x1d\x1d"
_TIMES = (UTC_TIME, GENERALIZED_TIME)
_from_bytes = int.from_bytes

NameOf = Callable[[bytes], NameKey]
"""Reads the ``GeneralNames`` of a certificateIssuer extension."""


@dataclass(frozen=True, slots=True)
class Extras:
    """What the extensions of one entry say.

    ``issuer`` is whose certificate this entry and those after it are about, None where it is
    not said; ``fault`` is why no certificate may be judged by this list (RFC 5280 §5.3).
    """

    reason: int = 0
    issuer: NameKey | None = None
    fault: str = ""


@dataclass(slots=True)
class Entries:
    """The entries of one list.

    Attributes:
        own: serials of certificates of the list's own issuer.
        others: those of other issuers, by name; only in indirect lists.
        count: how many entries there are.
        least: the least of the list's own serials; -1 where there is none.
        fault: why the list may not be used; "" if it may.
    """

    own: Serials = field(default_factory=dict, repr=False)
    others: dict[NameKey, Serials] = field(default_factory=dict, repr=False)
    count: int = 0
    least: int = -1
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Anatomy:
    """Where the parts of a CertificateList are in its DER (RFC 5280 §5.1).

    ``signed`` is what the signature is over; ``revoked`` the list of entries, None where there
    is none.
    """

    signed: Value
    inner_algorithm: Value
    outer_algorithm: Value
    revoked: Value | None


def dissect(der: bytes) -> Anatomy:
    """Find the parts of a list.

    Raises:
        BadCrl: it is not built as RFC 5280 §5.1 has it.
    """
    try:
        outer = value_at(der, 0, len(der))
        if outer.end != len(der):
            raise BadDer("something stands after it")
        signed, algorithm, _ = inside(der, outer, SEQUENCE)
        parts = inside(der, signed, SEQUENCE)
        if parts[0].tag == INTEGER:
            parts = parts[1:]
        inner, _, this_update, *more = parts
        if this_update.tag not in _TIMES:
            raise BadDer("there is no thisUpdate where it should be")
    except ValueError as error:  # BadDer, or another number of parts
        raise BadCrl(f"its parts cannot be told apart: {error}") from error
    if more and more[0].tag in _TIMES:
        more = more[1:]
    revoked = more[0] if more and more[0].tag == SEQUENCE else None
    return Anatomy(signed, inner, algorithm, revoked)


def scan(der: bytes, revoked: Value | None, issuer: NameKey, name_of: NameOf) -> Entries:
    """Read the entries of a list; ``issuer`` is its issuer's name.

    Raises:
        BadCrl: they are not built as RFC 5280 §5.1 has them, or there are too many unusual ones.
    """
    entries = Entries()
    if revoked is not None:
        try:
            _Walk(der, revoked, issuer, name_of, entries).run()
        except (ValueError, IndexError) as error:
            raise BadCrl(f"its entries cannot be read: {error}") from error
        entries.least = min(entries.own, default=-1)
    return entries


class _Walk:
    """One walk over the entries of one list."""

    def __init__(
        self, der: bytes, revoked: Value, issuer: NameKey, name_of: NameOf, entries: Entries
    ) -> None:
        self._der = der
        self._revoked = revoked
        self._issuer = issuer
        self._name_of = name_of
        self._entries = entries
        self._serials = entries.own
        self._tails: dict[bytes, Extras] = {}
        self._unusual = 0
        self._issuers = 0

    def run(self) -> None:
        """Fill in the entries.

        The loop takes the form that nearly every entry has, and leaves the others to `_slowly`.
        """
        der, end, tails = self._der, self._revoked.end, self._tails
        position = self._revoked.content
        serials = self._serials
        count = 0
        while position < end:
            count += 1
            length = der[position + 1]
            at = position + 4
            after = at + der[position + 3]  # the serial's end
            tail = after + 15  # and a UTCTime's
            following = position + 2 + length
            if (
                length < 0x80  # which bounds the rest
                and following <= end
                and der[position] == SEQUENCE
                and der[position + 2] == INTEGER
                and at < after < following
                and der[at] < 0x80
                and der[after] == UTC_TIME
                and der[after + 1] == 13
            ):
                serial = _from_bytes(der[at:after], "big")
                if tail == following:
                    reason = 0
                    known = True
                else:
                    extras = tails.get(der[tail:following])
                    known = extras is not None
                    if extras is not None:
                        reason = extras.reason
                if known and serial not in serials:
                    serials[serial] = reason
                    position = following
                    continue
            position = self._slowly(position)
            serials = self._serials
        self._entries.count = count

    def _slowly(self, position: int) -> int:
        """Take one entry of whatever form; where the next one begins."""
        der = self._der
        entry = value_at(der, position, self._revoked.end)
        serial, when, *more = inside(der, entry, SEQUENCE)
        if serial.tag != INTEGER or when.tag not in _TIMES or len(more) > 1:
            raise BadDer("an entry has other parts than it should")
        if serial.content == serial.end:
            raise BadDer("a serial number has no octets")
        extras = self._extras(more[0]) if more else Extras()
        if extras.fault:
            self._entries.fault = extras.fault
        if extras.issuer == self._issuer:
            self._serials = self._entries.own
        elif extras.issuer is not None:
            self._serials = self._entries.others.setdefault(extras.issuer, {})
        number = _from_bytes(der[serial.content : serial.end], "big", signed=True)
        # Listed twice, the word that revokes counts.
        if self._serials.get(number, REMOVED) == REMOVED:
            self._serials[number] = extras.reason
        return entry.end

    def _extras(self, extensions: Value) -> Extras:
        tail = self._der[extensions.start : extensions.end]
        extras = self._tails.get(tail)
        if extras is None:
            self._unusual += 1
            extras = read_extras(tail, self._name_of)
            self._issuers += extras.issuer is not None
            if self._unusual > MOST_UNUSUAL or self._issuers > MOST_ISSUERS:
                raise BadDer("too many of them have extensions like no other's")
            # What changes the issuer, or the verdict on the list, must come by here each time.
            if extras.issuer is None and not extras.fault and len(self._tails) < _KEPT_TAILS:
                self._tails[tail] = extras
        return extras


def read_extras(tail: bytes, name_of: NameOf) -> Extras:
    """What the extensions of an entry (RFC 5280 §5.3) say; ``tail`` is their DER.

    Raises:
        BadDer: they cannot be read, or one stands twice.
    """
    reason, issuer, fault = 0, None, ""
    seen: set[bytes] = set()
    outer = value_at(tail, 0, len(tail))
    if outer.end != len(tail):
        raise BadDer("something stands after the extensions of an entry")
    for extension in inside(tail, outer, SEQUENCE):
        oid, critical, content = _extension(tail, extension)
        if oid in seen:
            raise BadDer("an extension stands twice in an entry")
        seen.add(oid)
        if oid == _REASON:
            reason = _reason(content)
        elif oid == _CERTIFICATE_ISSUER:
            issuer = name_of(content)
        elif oid != _INVALIDITY_DATE and critical:
            fault = f"an entry has a critical extension that is not known, {dotted(oid)}"
    return Extras(reason, issuer, fault)


def _extension(tail: bytes, extension: Value) -> tuple[bytes, bool, bytes]:
    oid, *more = inside(tail, extension, SEQUENCE)
    critical = False
    if len(more) == 2 and more[0].tag == BOOLEAN:
        critical = tail[more[0].content : more[0].end] != b"\0"
        more = more[1:]
    if oid.tag != OBJECT_IDENTIFIER or len(more) != 1 or more[0].tag != OCTET_STRING:
        raise BadDer("an extension of an entry has other parts than it should")
    return tail[oid.content : oid.end], critical, tail[more[0].content : more[0].end]


def _reason(content: bytes) -> int:
    value = value_at(content, 0, len(content))
    if value.tag != ENUMERATED or value.end != len(content) or value.end - value.content != 1:
        raise BadDer("a reason code is none")
    reason = content[value.content]
    if reason not in REASONS:
        raise BadDer(f"{reason} is no reason code")
    return reason

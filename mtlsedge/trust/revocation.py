"""Is any certificate of a verified chain revoked? A client CA's revocation lists, as data.

RFC 5280 §6.3 for complete lists: each certificate but the anchor needs a list of its issuer,
signed by that issuer's key and current. One that is missing, stale, damaged or another's fails
closed, for its issuer only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from cryptography import x509
from twisted.logger import Logger

from mtlsedge.errors import BadCrl
from mtlsedge.identity import Certificate, Reason
from mtlsedge.model import CrlSource
from mtlsedge.trust.caches import BoundedCache
from mtlsedge.trust.certificates import NameKey, name_key
from mtlsedge.trust.crls import Crl, read_crls
from mtlsedge.trust.outcomes import Failed, moment

_log = Logger()
_ISSUERS = 256  # whose lists are found and their signatures verified
_SHORT = 10**9  # the least serial that a random one of 64 bits or more is likely to have


class RevocationLists:
    """The CRLs that one client CA names; without any, nothing is revoked.

    Attributes:
        warnings: what is wrong with the files themselves, each with its remedy.
    """

    def __init__(self, sources: Sequence[CrlSource], policy: Literal["require", "warn"]) -> None:
        self._named = tuple(source.place for source in sources)
        self._policy = policy
        self._by_issuer: dict[NameKey, list[Crl]] = {}
        self._trusted: BoundedCache[str, _IssuersLists] = BoundedCache(_ISSUERS)
        self._told: BoundedCache[str, str] = BoundedCache(_ISSUERS)
        warnings: list[str] = []
        for source in sources:
            warnings += self._load(source)
        self.warnings = tuple(warnings)

    def _load(self, source: CrlSource) -> list[str]:
        try:
            crls = read_crls(source.place, source.data)
        except BadCrl as error:
            return [str(error)]
        for crl in crls:
            self._by_issuer.setdefault(crl.issuer_key, []).append(crl)
        faults = [f"{crl.place} cannot be used: {crl.fault}" for crl in crls if crl.fault]
        return faults + [_misread(crl) for crl in crls if _looks_misread(crl)]

    def check(self, chain: Sequence[Certificate], now: float) -> Failed | None:
        """Why a verified chain (leaf first, anchor last) may not pass, or None.

        ``now`` is in seconds since the epoch. A revoked certificate is the answer wherever in
        the chain it is; with the policy ``warn`` it is the only one.
        """
        if not self._named:
            return None
        unusable = None
        for depth in range(len(chain) - 1):
            certificate, issuer = chain[depth], chain[depth + 1]
            crl = self._lists_of(issuer).current(now)
            if isinstance(crl, Crl):
                if certificate.x509.serial_number in crl.revoked:
                    return Failed(Reason.REVOKED, _revoked(certificate, crl), depth)
            elif unusable is None:
                unusable = Failed(Reason.CRL_UNUSABLE, self._described(crl, issuer), depth)
        if unusable is None or self._policy == "require":
            return unusable
        self._tell(chain[unusable.depth + 1], unusable.detail)
        return None

    def troubles(self, issuers: Sequence[Certificate], now: float) -> tuple[str, ...]:
        """What is wrong at a moment: with the files, and with the lists of these issuers."""
        if not self._named:
            return ()
        answers = [(self._lists_of(issuer).current(now), issuer) for issuer in issuers]
        fate = "; until then whom it issued is refused" if self._policy == "require" else ""
        found = [self._described(a, issuer) + fate for a, issuer in answers if isinstance(a, str)]
        return (*self.warnings, *found)

    def _lists_of(self, issuer: Certificate) -> _IssuersLists:
        lists = self._trusted.get(issuer.fingerprint_sha256)
        if lists is None:
            lists = _IssuersLists(issuer, self._by_issuer.get(name_key(issuer.x509.subject), ()))
            self._trusted.put(issuer.fingerprint_sha256, lists)
        return lists

    def _described(self, fault: str, issuer: Certificate) -> str:
        if not fault:
            fault = (
                f"none of {', '.join(self._named)} holds a CRL of it"
                f"{''.join('; ' + warning for warning in self.warnings)}"
            )
        return (
            f"no usable CRL of {issuer.subject}: {fault}; issue a new CRL and put it in its place"
        )

    def _tell(self, issuer: Certificate, detail: str) -> None:
        if self._told.get(issuer.fingerprint_sha256) != detail:
            self._told.put(issuer.fingerprint_sha256, detail)
            _log.warn('{detail} (let pass, as crl_policy is "warn")', detail=detail)


class _IssuersLists:
    """The lists that one issuer signed, newest first."""

    __slots__ = ("_crls", "_fault")

    def __init__(self, issuer: Certificate, crls: Sequence[Crl]) -> None:
        self._crls: tuple[Crl, ...] = ()
        self._fault = ""
        if crls and not _may_sign_lists(issuer):
            self._fault = "its key usage does not allow it to sign CRLs"
            return
        signed = [crl for crl in crls if crl.signed_by(issuer)]
        usable = [crl for crl in signed if not crl.fault]
        self._crls = tuple(
            sorted(usable, key=lambda crl: (crl.this_update, crl.number), reverse=True)
        )
        if crls and not signed:
            self._fault = f"{_places(crls)} is not signed by it"
        elif crls and not usable:
            self._fault = f"{signed[0].place} cannot be used: {signed[0].fault}"

    def current(self, now: float) -> Crl | str:
        """The newest list that is valid at a moment, or why there is none ("": it has none)."""
        for crl in self._crls:
            if crl.this_update <= now < crl.next_update:
                return crl
        if not self._crls:
            return self._fault
        newest = self._crls[0]
        if now < newest.this_update:
            return f"{newest.place} is not valid before {moment(newest.this_update)}"
        return f"{newest.place} is stale since {moment(newest.next_update)}"


def _looks_misread(crl: Crl) -> bool:
    """Whether a list was made by `cfssl gencrl` from hexadecimal serials.

    It reads decimal ones, and silently keeps of others the digits before the first letter: 0
    where there are none, else a few. Its lists have no CRL number.
    """
    shortest = min(crl.revoked, default=_SHORT)
    return shortest == 0 or (crl.number < 0 and shortest < _SHORT)


def _misread(crl: Crl) -> str:
    return (
        f"{crl.place} revokes serial {min(crl.revoked)}, which is hardly anybody's: `cfssl gencrl` "
        "reads decimal serials, and of a hexadecimal one only the digits before its first letter; "
        "make the list again with decimal serials, or nobody is revoked by it"
    )


def _may_sign_lists(issuer: Certificate) -> bool:
    try:
        usage = issuer.x509.extensions.get_extension_for_class(x509.KeyUsage)
    except x509.ExtensionNotFound:
        return True  # RFC 5280 §6.3.3 (f): only a usage that is stated can forbid it
    return usage.value.crl_sign


def _revoked(certificate: Certificate, crl: Crl) -> str:
    return f"{certificate.subject} (serial {certificate.serial}) is revoked by {crl.place}"


def _places(crls: Sequence[Crl]) -> str:
    return ", ".join(dict.fromkeys(crl.place for crl in crls))

"""Is any certificate of a verified chain revoked? A client CA's revocation lists, as data.

RFC 5280 §6.3: each certificate but the anchor needs a list that speaks of it, signed and
current. One that is missing, stale, damaged or another's fails closed, for its issuer only.
Lists can be replaced while the edge serves, place by place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from twisted.logger import Logger

from mtlsedge.errors import BadCrl
from mtlsedge.identity import Certificate, NameKey, Reason
from mtlsedge.model import CrlSource
from mtlsedge.trust.caches import BoundedCache
from mtlsedge.trust.certificates import name_key
from mtlsedge.trust.crl_health import CrlHealth, condition, misread, missing, soon
from mtlsedge.trust.crl_issuers import CrlIssuers
from mtlsedge.trust.crl_lookup import KEPT, Cell, Lookups
from mtlsedge.trust.crl_update import merge
from mtlsedge.trust.crls import Crl, read_crls
from mtlsedge.trust.outcomes import Failed
from mtlsedge.trust.standing import Ledger, Standing

_log = Logger()


@dataclass(frozen=True, slots=True)
class Replaced:
    """What became of new lists for a place.

    Attributes:
        place: where they are from.
        changed: whether certificates may be judged differently now.
        issuers: the names (RFC 4514) of the CRLs' issuers that this is about.
        problems: what was not taken and why, each with its remedy; also what is odd.
        taken: the lists that serve now and did not before.
    """

    place: str
    changed: bool = False
    issuers: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    taken: tuple[Crl, ...] = ()


@dataclass(frozen=True, slots=True)
class _Held:
    """What one place holds, and what was wrong with its latest content."""

    crls: tuple[Crl, ...] = ()
    problems: tuple[str, ...] = ()


class RevocationLists:
    """The CRLs that one client CA names; without any, nothing is revoked."""

    def __init__(
        self,
        sources: Sequence[CrlSource],
        policy: Literal["require", "warn"],
        *,
        check: Literal["chain", "leaf"] = "chain",
        grace: float = 0.0,
        issuers: CrlIssuers | None = None,
    ) -> None:
        """Read the lists of a client CA. One that cannot be read is no error: it is refused.

        Args:
            sources: the files, as they were when the configuration was read.
            policy: whether a certificate without a usable list is refused.
            check: the certificates that need one: all but the anchor, or the leaf alone.
            grace: seconds for which a list is good beyond its ``nextUpdate``.
            issuers: certificates, beside a chain's own, that may have signed lists.
        """
        self.policy = policy
        self.leaf_only = check == "leaf"
        self._grace = grace
        self._issuers = issuers or CrlIssuers()
        self._seen: BoundedCache[str, tuple[NameKey, Certificate]] = BoundedCache(KEPT)
        self._told: BoundedCache[str, str] = BoundedCache(KEPT)
        self._held: dict[str, _Held] = {}
        for source in sources:
            held = _read(source)
            known = self._held.get(source.place, _Held())
            self._held[source.place] = _Held(known.crls + held.crls, known.problems + held.problems)
        self._state = self._stated()

    # -- for every client ------------------------------------------------------------------

    def check(self, chain: Sequence[Certificate], now: float) -> Failed | None:
        """Why a verified chain (leaf first, anchor last) may not pass, or None.

        ``now`` is in seconds since the epoch. A revoked certificate is the answer wherever in
        the chain it is; with the policy ``warn`` it is the only one.
        """
        if not self._held:
            return None
        unusable: Failed | None = None
        for cell, serial, depth in self._state.steps(chain):
            standing = cell.standing
            if not standing.since <= now < standing.until:
                standing = self._renewed(cell, chain[depth + 1], now)
            plain = standing.plain
            if plain is not None and serial not in plain:
                continue
            revocation = standing.revocation(serial)
            if revocation is not None:
                return Failed(Reason.REVOKED, _revoked(chain[depth], *revocation), depth)
            if standing.fault is not None and unusable is None:
                detail = self._described(standing.fault, chain[depth + 1])
                unusable = Failed(Reason.CRL_UNUSABLE, detail, depth)
        if unusable is None or self.policy == "require":
            return unusable
        self._tell(chain[unusable.depth + 1], unusable.detail)
        return None

    def until(self, chain: Sequence[Certificate], now: float) -> float:
        """When time alone may change the answer about a chain, in seconds since the epoch.

        Infinity where nothing here ends by itself.
        """
        if not self._held:
            return float("inf")
        steps = self._state.steps(chain)
        return min((cell.at(now).until for cell, _, _ in steps), default=float("inf"))

    # -- while the edge serves -------------------------------------------------------------

    @property
    def places(self) -> tuple[str, ...]:
        """Where the lists are from, as the configuration names them."""
        return tuple(self._held)

    def prepare(self, place: str, data: bytes) -> tuple[Crl, ...]:
        """Read new lists for a place and verify their signatures, changing nothing.

        It may be called in any thread: a million entries take most of a second, in which other
        threads run on. `replace` takes what it returns.

        Raises:
            BadCrl: they cannot be read.
        """
        crls = read_crls(place, data)
        for crl in crls:
            self._signer(crl)
        return crls

    def replace(self, place: str, new: bytes | Sequence[Crl], now: float) -> Replaced:
        """Put new lists into a place, all at once; ``now`` is in seconds since the epoch.

        What is damaged, unsigned, stale, or older than what serves is not taken, and what the
        place no longer holds serves on until it goes stale. It never raises for what is in it.
        """
        if isinstance(new, bytes):
            try:
                new = self.prepare(place, new)
            except BadCrl as error:
                return self.complain(place, str(error))
        held = self._held.get(place, _Held())
        merged = merge(held.crls, new, now, self._grace, self._signer)
        misreads = tuple(filter(None, map(misread, merged.crls)))
        problems = merged.problems + misreads
        self._held[place] = _Held(merged.crls, problems)
        if not merged.taken:
            return Replaced(place, problems=problems)
        self._state = self._stated()
        issuers = tuple(dict.fromkeys(crl.issuer for crl in merged.taken))
        return Replaced(place, True, issuers, problems, merged.taken)

    def complain(self, place: str, problem: str) -> Replaced:
        """Note that a place has nothing to offer now; what it held serves on."""
        held = self._held.get(place, _Held())
        if held.crls:
            problem = f"{problem}; until then the last good one serves"
        self._held[place] = _Held(held.crls, (problem,))
        return Replaced(place, problems=(problem,))

    def adopt(self, earlier: RevocationLists, now: float, *, anchored: bool = True) -> None:
        """Take over what served before, where these lists are worse.

        For a new configuration that names the same places: neither a file that was damaged
        meanwhile nor one that was set back undoes a revocation. ``now`` is in seconds since
        the epoch. Lists that are not ``anchored`` know no issuer but those of the chains that
        they were asked about: what the earlier ones have not found to be forged counts then.
        """
        self._learn(earlier, now)
        for place, held in self._held.items():
            before = earlier._held.get(place, _Held()).crls
            sound = [
                crl
                for crl in before
                if not crl.fault and (self._signer(crl) if anchored else earlier._signer(crl) != "")
            ]
            if not sound:
                continue
            merged = merge(sound, held.crls, now, self._grace, self._signer)
            problems = dict.fromkeys(held.problems + merged.problems)
            self._held[place] = _Held(merged.crls, tuple(problems))
        self._state = self._stated()

    # -- for people ------------------------------------------------------------------------

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with the latest content of the places, each with its remedy."""
        return tuple(problem for held in self._held.values() for problem in held.problems)

    def troubles(self, issuers: Sequence[Certificate], now: float) -> tuple[str, ...]:
        """What is wrong at a moment: with the files, and with the lists of these issuers."""
        if not self._held:
            return ()
        fate = "; until then whom it issued is refused" if self.policy == "require" else ""
        found = [f"{self._described(fault, i)}{fate}" for i, fault in self.closed(issuers, now)]
        return (*self.warnings, *found, *self.expiring(now))

    def closed(self, issuers: Iterable[Certificate], now: float) -> list[tuple[Certificate, str]]:
        """The issuers of which no list is usable at a moment, each with the reason."""
        if not self._held:
            return []
        faults = [(issuer, missing(self._state.ledger, issuer, now)) for issuer in issuers]
        return [(issuer, fault) for issuer, fault in faults if fault is not None]

    def expiring(self, now: float) -> tuple[str, ...]:
        """The lists that will soon go stale, in words."""
        crls = [crl for held in self._held.values() for crl in held.crls]
        return tuple(filter(None, (soon(crl, now, self._grace) for crl in crls)))

    def health(self, now: float) -> tuple[CrlHealth, ...]:
        """The condition of each list, and of each place that holds none."""
        found = []
        for place, held in self._held.items():
            last = "; ".join(held.problems)
            if not held.crls:
                found.append(CrlHealth(place=place, error=last or "nothing has been read yet"))
            for crl in held.crls:
                signer = self._signer(crl)
                found.append(condition(crl, now, self._grace, last, forged=signer == ""))
        return tuple(found)

    # -- parts -----------------------------------------------------------------------------

    def _stated(self) -> Lookups:
        ledger = Ledger(
            (crl for held in self._held.values() for crl in held.crls),
            self._issuers,
            grace=self._grace,
            whole=not self.leaf_only,
            lenient=self.policy == "warn",
        )
        return Lookups(ledger, leaf_only=self.leaf_only)

    def _renewed(self, cell: Cell, issuer: Certificate, now: float) -> Standing:
        self._seen.put(issuer.fingerprint_sha256, (name_key(issuer.x509.subject), issuer))
        return cell.at(now)

    def _learn(self, earlier: RevocationLists, now: float) -> None:
        """Take over the issuers that only clients sent, as far as they lead to these anchors."""
        seen = earlier._seen.values()
        between = [issuer for _, issuer in seen]
        for name, issuer in seen:
            if issuer not in self._issuers.named(name) and self._issuers.path(issuer, between, now):
                self._seen.put(issuer.fingerprint_sha256, (name, issuer))

    def _signer(self, crl: Crl) -> str | None:
        """See ``crl_update.Signer``: by the certificates that are configured or were seen."""
        known = [
            *self._issuers.named(crl.issuer_key),
            *(issuer for name, issuer in self._seen.values() if name == crl.issuer_key),
        ]
        if not known:
            return None
        return next((c.spki_sha256 for c in known if crl.signed_by(c)), "")

    def _described(self, fault: str, issuer: Certificate) -> str:
        if not fault:
            fault = (
                f"none of {', '.join(self._held)} holds a CRL of it"
                f"{''.join('; ' + warning for warning in self.warnings)}"
            )
        return (
            f"no usable CRL of {issuer.subject}: {fault}; issue a new CRL and put it in its place"
        )

    def _tell(self, issuer: Certificate, detail: str) -> None:
        if self._told.get(issuer.fingerprint_sha256) != detail:
            self._told.put(issuer.fingerprint_sha256, detail)
            _log.warn('{detail} (let pass, as crl_policy is "warn")', detail=detail)


def _read(source: CrlSource) -> _Held:
    if source.remote and not source.data:
        return _Held(problems=(f"{source.place} has not answered yet",))
    try:
        crls = read_crls(source.place, source.data)
    except BadCrl as error:
        return _Held(problems=(str(error),))
    faults = [f"{crl.place} cannot be used: {crl.fault}" for crl in crls if crl.fault]
    return _Held(crls, (*faults, *filter(None, map(misread, crls))))


def _revoked(certificate: Certificate, crl: Crl, reason: str) -> str:
    why = f" ({reason})" if reason else ""
    return f"{certificate.subject} (serial {certificate.serial}) is revoked by {crl.place}{why}"

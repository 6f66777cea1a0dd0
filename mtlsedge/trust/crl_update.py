"""Which lists serve after a place has new ones? What is worse never takes the place of better.

A new list takes over only if it is signed, in use now and not older than the one that it would
replace. What a place no longer holds serves on until it goes stale (invariant 6 of the design).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mtlsedge.trust.crls import Crl
from mtlsedge.trust.outcomes import moment

Signer = Callable[[Crl], str | None]
"""The SHA-256 of the key that signed a list; "" if none of those that could did; None if
nobody is known who could have."""

_Line = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Merged:
    """What a place holds now.

    Attributes:
        crls: its lists.
        taken: those of them that are new.
        problems: why others were not taken, or what is odd about those that were.
    """

    crls: tuple[Crl, ...]
    taken: tuple[Crl, ...] = ()
    problems: tuple[str, ...] = ()


def merge(
    held: Sequence[Crl], new: Sequence[Crl], now: float, grace: float, signer: Signer
) -> Merged:
    """What a place should hold, after what it held and what it has to offer.

    ``now`` and ``grace`` are in seconds.
    """
    return _Merging(held, now, grace, signer).merge(new)


class _Merging:
    def __init__(self, held: Sequence[Crl], now: float, grace: float, signer: Signer) -> None:
        self._now = now
        self._grace = grace
        self._signer = signer
        self._lines: dict[_Line, list[Crl]] = {}
        for crl in held:
            self._lines.setdefault(self._line(crl), []).append(crl)

    def merge(self, new: Sequence[Crl]) -> Merged:
        named = {self._line(crl) for crl in new}
        taken: list[Crl] = []
        problems: list[str] = []
        for crl in sorted(new, key=lambda each: each.order):
            line = self._lines.setdefault(self._line(crl), [])
            if any(crl.der == each.der for each in line):
                continue
            objection = self._objection(crl, line)
            if objection:
                problems.append(objection)
                continue
            problems += self._oddities(crl, line)
            self._supersede(crl, line)
            taken.append(crl)
        problems += self._missing(named)
        crls = tuple(crl for line in self._lines.values() for crl in line)
        return Merged(crls, tuple(taken), tuple(problems))

    def _line(self, crl: Crl) -> _Line:
        """What two lists share of which the newer stands for the older."""
        key = self._signer(crl) or crl.key_identifier
        return crl.issuer_key, crl.scope, crl.base is None, key

    def _objection(self, crl: Crl, line: Sequence[Crl]) -> str:
        what = f"{crl.place}: the new CRL of {crl.issuer}"
        if not self._is_sound(crl):
            fault = crl.fault or "it is not signed by a certificate of its issuer"
            # Beside nothing better it stays, to be complained of by its name.
            return f"{what} is not taken: {fault}; make it again" if self._has_sound() else ""
        best = self._best(line)
        if best is None:
            return ""
        if crl.order < best.order:
            return (
                f"{what} is not taken: it is of {moment(crl.this_update)}, older than the one of "
                f"{moment(best.this_update)} that serves; put a newer one there, or restart"
            )
        if self._ends(crl) <= self._now < self._ends(best):
            return f"{what} is not taken: it is stale since {moment(crl.next_update)}; make it anew"
        return ""

    def _oddities(self, crl: Crl, line: Sequence[Crl]) -> Iterator[str]:
        best = self._best(line)
        if crl.this_update > self._now:
            yield (
                f"{crl.place}: the new CRL of {crl.issuer} is not valid before "
                f"{moment(crl.this_update)}, and serves from then on; check the clocks"
            )
        elif best is not None and -1 < crl.number < best.number:
            yield (
                f"{crl.place}: the new CRL of {crl.issuer} has the number {crl.number} after "
                f"{best.number}; CRL numbers only rise, see to the CA's counter"
            )

    def _supersede(self, crl: Crl, line: list[Crl]) -> None:
        begun = crl.this_update <= self._now
        if begun and self._is_sound(crl):
            # Nobody can tell yet whether this one is forged: it hides the first one, no more.
            kept = line[:1] if self._signer(crl) is None else []
            line[:] = [each for each in line if each.order > crl.order or each in kept]
        elif self._is_sound(crl):
            line[:] = [each for each in line if each.this_update <= self._now]
        line.append(crl)

    def _missing(self, named: set[_Line]) -> Iterator[str]:
        for line, crls in self._lines.items():
            best = self._best(crls)
            if line in named or best is None or self._ends(best) <= self._now:
                continue
            yield (
                f"{best.place} no longer holds a CRL of {best.issuer}; the last one serves until "
                f"{moment(self._ends(best))}; put a new one there"
            )

    def _best(self, line: Sequence[Crl]) -> Crl | None:
        """The newest list of a line that is sound and has begun."""
        begun = (crl for crl in line if crl.this_update <= self._now and self._is_sound(crl))
        return max(begun, key=lambda crl: crl.order, default=None)

    def _has_sound(self) -> bool:
        return any(self._is_sound(crl) for line in self._lines.values() for crl in line)

    def _is_sound(self, crl: Crl) -> bool:
        return not crl.fault and self._signer(crl) != ""

    def _ends(self, crl: Crl) -> float:
        return crl.next_update + self._grace

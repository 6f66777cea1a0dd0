"""What is to be looked up for one chain? Worked out once, and kept with the lists of one moment."""

from __future__ import annotations

from collections.abc import Sequence

from mtlsedge.identity import Certificate
from mtlsedge.trust.caches import BoundedCache
from mtlsedge.trust.standing import NEVER, Asked, Ledger, Standing

KEPT = 1024
"""Chains, kinds of certificates, issuers and messages that one client CA's lists remember."""


class Cell:
    """One kind of certificate, with what the lists say about it as long as that holds."""

    __slots__ = ("_asked", "_ledger", "standing")

    def __init__(self, ledger: Ledger, asked: Asked) -> None:
        self._ledger = ledger
        self._asked = asked
        self.standing = NEVER

    def at(self, now: float) -> Standing:
        """What the lists say at a moment, in seconds since the epoch."""
        standing = self.standing
        if not standing.since <= now < standing.until:
            standing = self.standing = self._ledger.standing(self._asked, now)
        return standing


Step = tuple[Cell, int, int]
"""What to look up for one certificate of a chain: its kind, its serial number, its depth."""


class Lookups:
    """The lists of one moment, and what was worked out from them; replaced as a whole."""

    __slots__ = ("_cells", "_leaf_only", "_steps", "ledger")

    def __init__(self, ledger: Ledger, *, leaf_only: bool) -> None:
        self.ledger = ledger
        self._leaf_only = leaf_only
        self._cells: BoundedCache[tuple[object, ...], Cell] = BoundedCache(KEPT)
        self._steps: BoundedCache[int, tuple[Sequence[Certificate], tuple[Step, ...]]] = (
            BoundedCache(KEPT)
        )

    def steps(self, chain: Sequence[Certificate]) -> tuple[Step, ...]:
        """What to look up for a verified chain, leaf first and anchor last."""
        # By identity: chains are remembered where they are built, and hashing one is dear. The
        # chain is kept with its steps, so that no other object can get its address meanwhile.
        known = self._steps.get(id(chain))
        if known is not None and known[0] is chain:
            return known[1]
        depths = range(min(1, len(chain) - 1) if self._leaf_only else len(chain) - 1)
        steps = tuple(
            (self._cell(chain, depth), chain[depth].x509.serial_number, depth) for depth in depths
        )
        self._steps.put(id(chain), (chain, steps))
        return steps

    def _cell(self, chain: Sequence[Certificate], depth: int) -> Cell:
        asked = Asked.about(chain, depth)
        above = tuple(certificate.fingerprint_sha256 for certificate in asked.above)
        key = (above, asked.points, asked.is_ca)
        cell = self._cells.get(key)
        if cell is None:
            cell = Cell(self.ledger, asked)
            self._cells.put(key, cell)
        return cell

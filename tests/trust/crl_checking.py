"""Certificates, and what lists say of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from trust_pki import NOW, Minted, authority, client, p256, source

from mtlsedge.identity import Certificate, Reason
from mtlsedge.model import CrlSource
from mtlsedge.trust.outcomes import Failed
from mtlsedge.trust.revocation import RevocationLists

ROOT = authority("Root", key=p256(0))
MIDDLE = authority("Middle", ROOT, key=p256(3))
OTHER = authority("Other", key=p256(2))
GOOD = client("good", ROOT, key=p256(1), serial=0xA1)
BAD = client("bad", ROOT, key=p256(1), serial=0xB2)
LOW = client("low", MIDDLE, key=p256(1), serial=0xC3)
SECOND = timedelta(seconds=1)


def chain(*minted: Minted) -> tuple[Certificate, ...]:
    return tuple(each.read for each in minted)


def check(
    data: bytes | list[CrlSource], *minted: Minted, now: float = NOW, policy: Any = "require"
) -> Failed | None:
    sources = data if isinstance(data, list) else [source(data)]
    return RevocationLists(sources, policy).check(chain(*minted), now)


def unusable(data: bytes | list[CrlSource], *minted: Minted, now: float = NOW) -> str:
    """Why there is no usable CRL; and with the policy ``warn`` it passes."""
    asked = minted or (GOOD, ROOT)
    outcome = check(data, *asked, now=now)
    assert outcome is not None
    assert Reason.CRL_UNUSABLE is outcome.reason
    assert None is check(data, *asked, now=now, policy="warn")
    return outcome.detail

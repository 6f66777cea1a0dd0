"""The verifier that a string names, by itself: for those who ask it without its terms."""

from __future__ import annotations

from mtlsedge.interfaces import IVerifier
from mtlsedge.trust.verifiers import make_verifier


def find_verifier(spec: str) -> IVerifier:
    """What `make_verifier` makes; raises as that does."""
    return make_verifier(spec).verifier

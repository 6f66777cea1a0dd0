"""The verifier ``pin``: only these certificates, or only these keys."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode

from twisted.plugin import IPlugin
from zope.interface import implementer

from mtlsedge.errors import BadVerifier
from mtlsedge.identity import PeerChain, Verdict
from mtlsedge.interfaces import IVerifier, IVerifierFactory
from mtlsedge.trust.arguments import read_arguments

_HEX = re.compile(r"[0-9a-f]{64}\Z")
_AN_HOUR = 3600.0  # the answer about a certificate never changes
_ACCEPTED = Verdict(True, cache_for=_AN_HOUR)


@implementer(IVerifier)
class PinVerifier:
    """Accepts a leaf by the SHA-256 of the certificate or of its key."""

    def __init__(self, fingerprints: frozenset[str], keys: frozenset[str]) -> None:
        """Both are lower-case hexadecimal, as ``Certificate`` has them."""
        self._fingerprints = fingerprints
        self._keys = keys

    def verify(self, peer: PeerChain, host: str) -> Verdict:
        """See ``IVerifier``."""
        leaf = peer.leaf
        if leaf.fingerprint_sha256 in self._fingerprints or leaf.spki_sha256 in self._keys:
            return _ACCEPTED
        return Verdict(
            False,
            f"neither sha256={leaf.fingerprint_sha256} nor spki={leaf.spki_sha256} is pinned",
            cache_for=_AN_HOUR,
        )


@implementer(IPlugin, IVerifierFactory)
class PinFactory:
    """Makes ``PinVerifier`` of digests."""

    name = "pin"
    syntax = "pin:sha256=HEX[,sha256=HEX][,spki=HEX-OR-BASE64]"
    help = (
        "Accepts a certificate whose SHA-256 fingerprint is listed (sha256=), or whose public "
        "key is (spki=, the SHA-256 of the SubjectPublicKeyInfo in hexadecimal or base64). "
        "Any of them is enough. Colons in hexadecimal do no harm."
    )

    def makeVerifier(self, spec: str) -> PinVerifier:
        """See ``IVerifierFactory``."""
        pins = read_arguments(spec, ("sha256", "spki"))
        return PinVerifier(
            frozenset(_hexadecimal(value) for key, value in pins if key == "sha256"),
            frozenset(_digest(value) for key, value in pins if key == "spki"),
        )


def _hexadecimal(text: str) -> str:
    plain = text.replace(":", "").lower()
    if _HEX.match(plain) is None:
        raise BadVerifier(f"{text!r} is not a SHA-256 digest in hexadecimal (64 digits)")
    return plain


def _digest(text: str) -> str:
    try:
        return _hexadecimal(text)
    except BadVerifier:
        pass
    try:
        digest = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 32:
        raise BadVerifier(f"{text!r} is not a SHA-256 digest in hexadecimal or base64")
    return digest.hex()

"""Values: who is on the other end. What one connection proved, and nothing about what it may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from cryptography import x509

NO_ATTRIBUTES: Mapping[str, str] = MappingProxyType({})

Doubts = tuple[tuple[str, str], ...]
"""Names, each with why there is doubt about what it stands for."""

NameKey = tuple[frozenset[tuple[str, str | bytes]], ...]
"""What is equal for two distinguished names that may be one (``trust.certificates.name_key``)."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the edge reads from one certificate, read once and kept by its bytes.

    Attributes:
        der: the certificate as it was sent.
        subject, issuer: distinguished names as RFC 4514 text.
        serial: the serial number as upper-case hexadecimal, without leading zeros.
        common_names: every common name in the subject, in order, as it stands.
        not_before, not_after: the validity, in seconds since the epoch.
        fingerprint_sha256: of the DER bytes, lower-case hexadecimal.
        spki_sha256: of the SubjectPublicKeyInfo, lower-case hexadecimal.
        x509: the parsed certificate, for verifiers that want more.
        issuer_key: the issuer's name, for comparisons.
        key_kind: ``RSA``, ``EC``, ``Ed25519`` or ``Ed448``; "" for a key of another kind.
        key_bits: its size; 0 where the kind says it all.
        is_ca: its basic constraints say that it is a CA's.
    """

    der: bytes = field(repr=False)
    subject: str
    issuer: str
    serial: str
    common_names: tuple[str, ...]
    organizations: tuple[str, ...]
    organizational_units: tuple[str, ...]
    san_dns: tuple[str, ...]
    san_uri: tuple[str, ...]
    san_email: tuple[str, ...]
    san_ip: tuple[str, ...]
    not_before: float
    not_after: float
    fingerprint_sha256: str
    spki_sha256: str
    x509: x509.Certificate = field(repr=False, compare=False)
    issuer_key: NameKey = field(default=(), repr=False, compare=False)
    key_kind: str = ""
    key_bits: int = 0
    is_ca: bool = False

    @property
    def common_name(self) -> str:
        """The common name, or "" where there is none that one can rely on.

        A subject with several common names, or one with a NUL in it, has none: readers differ
        on which they take (invariant 8).
        """
        if len(self.common_names) == 1 and "\0" not in self.common_names[0]:
            return self.common_names[0]
        return ""


@dataclass(frozen=True, slots=True)
class PeerChain:
    """The certificates of one peer.

    ``sent`` is what came after the leaf, untrusted and in the peer's order; ``verified`` is the
    chain that was built, leaf first and anchor last, empty where none could be.
    """

    leaf: Certificate
    sent: tuple[Certificate, ...] = ()
    verified: tuple[Certificate, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """A verifier's answer.

    Attributes:
        accepted: whether the peer may be who it says.
        reason: why not, for the log; empty when accepted.
        attributes: what the verifier learned, for rules to match and headers to carry.
        cache_for: seconds for which the same certificate gets the same answer; 0 is never.
        failed: this is no answer, as none could be found. It does not accept, and a rule that
            would need to know is in doubt, which admits nobody.
    """

    accepted: bool
    reason: str = ""
    attributes: Mapping[str, str] = field(default_factory=lambda: NO_ATTRIBUTES)
    cache_for: float = 0.0
    failed: bool = False


class Reason(Enum):
    """Why a certificate did not verify, in the classes that a refusal may name to the client."""

    NONE = ""
    NOT_PRESENTED = "no_certificate"
    EXPIRED = "certificate_expired"
    NOT_YET_VALID = "certificate_not_yet_valid"
    UNTRUSTED = "certificate_untrusted"
    REVOKED = "certificate_revoked"
    CRL_UNUSABLE = "revocation_unknown"
    UNFIT = "certificate_unfit"
    REJECTED = "certificate_rejected"


@dataclass(frozen=True, slots=True)
class Identity:
    """What one connection proved. Settled once, after the handshake, before the first byte.

    Attributes:
        presented: the client sent a certificate and proved that it holds its key.
        verified: the chain, its revocation and every verifier of its client CA said yes.
        reason: why not, as a class; ``detail`` says it in full, for the log only.
        depth: the place in the chain where the error was; 0 is the leaf.
        chain: the certificates, None where none was presented.
        client_cas: the names of the host's client CAs that the chain ends at.
        attributes: what accepting verifiers attached.
        in_doubt: client CAs of whose verifiers one failed, or whose revocation cannot be told,
            each with why: the chain might be theirs as well, or have further attributes.
        testimony: what the judge who settled it wants to remember, and nobody else reads.
    """

    presented: bool = False
    verified: bool = False
    reason: Reason = Reason.NOT_PRESENTED
    detail: str = ""
    depth: int = 0
    chain: PeerChain | None = None
    client_cas: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=lambda: NO_ATTRIBUTES)
    in_doubt: Doubts = ()
    testimony: object = field(default=None, compare=False, repr=False)


ANONYMOUS = Identity()
"""The identity of every client that presented nothing."""

"""What was found about the certificate? Chains, lists and verifiers, client CA by client CA."""

from __future__ import annotations

from contextlib import suppress

from mtlsedge import identity as values
from mtlsedge.errors import BadCertificate
from mtlsedge.explain.account import Attempt, Certificate, Link, List
from mtlsedge.explain.hearing import Hearing
from mtlsedge.identity import Identity, PeerChain
from mtlsedge.trust.certificates import read_certificate
from mtlsedge.trust.crl_health import CrlHealth
from mtlsedge.trust.judge import ClientTrust
from mtlsedge.trust.outcomes import Failed, Path, moment


def subject_of(der: bytes | None) -> str:
    """The subject of a certificate, "" for none."""
    if der is None:
        return ""
    try:
        return read_certificate(der).subject
    except BadCertificate:
        return "a certificate that cannot be read"


def describe_identity(
    identity: Identity,
    trust: ClientTrust | None = None,
    hearing: Hearing | None = None,
    at: float = 0.0,
) -> Certificate:
    """Who the client is; without ``trust``, in short."""
    chain = identity.chain
    attempts: tuple[Attempt, ...] = ()
    if trust is not None and hearing is not None and chain is not None:
        attempts = _attempts(chain, trust, hearing, at)
    return Certificate(
        identity.presented,
        identity.verified,
        identity.reason.value,
        identity.detail,
        identity.depth,
        leaf=_link(chain.leaf) if chain is not None else None,
        sent=len(chain.sent) if chain is not None else 0,
        names=_names(chain.leaf) if chain is not None else {},
        client_cas=identity.client_cas,
        attributes=dict(identity.attributes),
        in_doubt=dict(identity.in_doubt),
        attempts=attempts,
    )


def _attempts(
    chain: PeerChain, trust: ClientTrust, hearing: Hearing, at: float
) -> tuple[Attempt, ...]:
    found = trust.attempts(PeerChain(chain.leaf, chain.sent))
    if isinstance(found, Failed):
        return ()
    return tuple(_attempt(name, outcome, trust, hearing, at) for name, outcome in found)


def _attempt(
    name: str, outcome: Path | Failed, trust: ClientTrust, hearing: Hearing, at: float
) -> Attempt:
    lists = trust.lists[name]
    failed = lists.check(outcome.chain, at) if isinstance(outcome, Path) else None
    issuers = {certificate.subject for certificate in outcome.chain[1:]}
    return Attempt(
        client_ca=name,
        chain=tuple(map(_link, outcome.chain)),
        built="" if isinstance(outcome, Path) else outcome.detail,
        revocation=failed.detail if failed is not None else "",
        ocsp=trust.told(outcome) if isinstance(outcome, Path) else None,
        lists=tuple(
            _list(health)
            for health in lists.health(at)
            if not health.issuer or not issuers or health.issuer in issuers
        ),
        verifiers=hearing.of(outcome.chain) if isinstance(outcome, Path) else (),
    )


def _link(certificate: values.Certificate) -> Link:
    return Link(
        certificate.subject,
        certificate.serial,
        moment(certificate.not_before),
        moment(certificate.not_after),
        certificate.fingerprint_sha256,
    )


def _names(leaf: values.Certificate) -> dict[str, list[str]]:
    """What rules may ask of the leaf beyond its subject."""
    sans = {kind: getattr(leaf, f"san_{kind}") for kind in ("dns", "uri", "email", "ip")}
    return {f"san_{kind}": list(found) for kind, found in sans.items() if found}


def _list(health: CrlHealth) -> List:
    aged = bool(health.issuer)
    remaining = None
    if aged:
        with suppress(OverflowError, ValueError):
            remaining = round(health.remaining)
    return List(
        health.place,
        health.issuer,
        health.kind,
        round(health.age) if aged else None,
        remaining,
        health.entries,
        health.usable,
        health.error,
    )

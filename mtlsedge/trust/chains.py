"""Does a certificate lead to one of a host's client CAs? Chains, built once per certificate.

Built after the handshake and not in it, so that a full handshake, a resumed session and
``mtlsedge explain`` are judged by the same lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from hashlib import sha256

from OpenSSL import crypto

from mtlsedge.errors import BadCertificate
from mtlsedge.identity import Certificate, NameKey, PeerChain, Reason
from mtlsedge.openssl import load_certificate
from mtlsedge.trust.authorities import Authority
from mtlsedge.trust.caches import LARGEST_CACHED, BoundedCache
from mtlsedge.trust.certificates import read_certificate
from mtlsedge.trust.outcomes import Built, Failed, Path, accepted, moment
from mtlsedge.trust.policies import policy_failure
from mtlsedge.trust.strength import weakness

MOST_SENT = 16
"""Intermediates that a client may send; one that sends more is refused."""

LONGEST_CHAIN = 10
"""Certificates in a verified chain, leaf and anchor included."""

_CACHED = 8192  # chains, and leaves whose intermediates are remembered, of all hosts together

# X509_V_ERR_* of OpenSSL's X509_STORE_CTX_get_error(3); every other code makes a chain unfit.
_REASONS = {
    2: Reason.UNTRUSTED,  # unable to get issuer certificate
    7: Reason.UNTRUSTED,  # certificate signature failure
    9: Reason.NOT_YET_VALID,
    10: Reason.EXPIRED,
    18: Reason.UNTRUSTED,  # self-signed leaf
    19: Reason.UNTRUSTED,  # self-signed certificate in chain
    20: Reason.UNTRUSTED,  # unable to get local issuer certificate
    21: Reason.UNTRUSTED,  # unable to verify the first certificate
    27: Reason.UNTRUSTED,  # certificate not trusted
    29: Reason.UNTRUSTED,  # subject issuer mismatch
    30: Reason.UNTRUSTED,  # authority and subject key identifier mismatch
    31: Reason.UNTRUSTED,  # authority and issuer serial number mismatch
}

_Key = tuple[bytes, ...]
_Mention = NameKey | bytes
Attempt = tuple[str, Path | Failed]
"""The name of a client CA, and whether a chain ends there."""

_built: BoundedCache[_Key, Built] = BoundedCache(_CACHED)
_intermediates: BoundedCache[_Key, tuple[Certificate, ...]] = BoundedCache(_CACHED)


def read_peer(leaf: bytes, sent: Sequence[bytes]) -> PeerChain:
    """What a client presented, of its DER.

    Raises:
        BadCertificate: the leaf cannot be read.
    """
    # One more than is allowed is enough to see that there are too many.
    return PeerChain(read_certificate(leaf), tuple(_readable(sent[: MOST_SENT + 1])))


def _readable(sent: Sequence[bytes]) -> Iterator[Certificate]:
    """What cannot be read is left out: no chain can then be built with it."""
    for der in sent:
        with suppress(BadCertificate):
            yield read_certificate(der)


class ChainBuilder:
    """Builds and remembers chains to the client CAs of one host; ``digest`` stands for these.

    ``now`` gives seconds since the epoch. What verified is remembered until a certificate of
    its chain expires; what did not is judged again each time, so that strangers cannot push
    out those who are known. All hosts remember together: each finds what was built with the
    same client CAs, be it in a configuration before this one.
    """

    def __init__(self, authorities: Sequence[Authority], now: Callable[[], float]) -> None:
        self._now = now
        self._by_mention: dict[_Mention, list[Authority]] = {}
        for authority in authorities:
            ders: list[_Mention] = [certificate.der for certificate in authority.certificates]
            for mention in (*authority.subjects, *ders):
                self._by_mention.setdefault(mention, []).append(authority)
        self._order = {authority: at for at, authority in enumerate(authorities)}
        self._built, self._intermediates = _built, _intermediates
        self.digest = sha256(b"".join(authority.digest for authority in authorities)).digest()

    def build(self, peer: PeerChain, now: float | None = None) -> Built | Failed:
        """The chains from a peer's leaf to the host's client CAs, or why there is none.

        ``now`` is in seconds since the epoch; None is the present.

        Where the peer sent nothing but its leaf, as in a resumed session, the intermediates
        that verified with this leaf before are tried: whether they are sent or remembered, it
        is their signatures that count.
        """
        key = (self.digest, peer.leaf.der, *[each.der for each in peer.sent])
        known = self._valid(key)
        if known is not None and (now is None or known.since <= now < known.until):
            return known
        built = self._build(peer, self._now() if now is None else now)
        if isinstance(built, Built):
            self._remember(key, peer.leaf, built)
        return built

    def known(self, leaf: bytes, sent: Sequence[bytes]) -> Built | None:
        """What was built for exactly this leaf and what was sent with it, if it is valid now."""
        return self._valid((self.digest, leaf, *sent))

    def _valid(self, key: _Key) -> Built | None:
        built = self._built.get(key)
        if built is None or built.since <= self._now() < built.until:
            return built
        self._built.discard(key)
        return None

    def attempts(self, peer: PeerChain, now: float) -> tuple[Attempt, ...] | Failed:
        """What became of each client CA that a chain could end at; or why none was tried.

        ``now`` is in seconds since the epoch.
        """
        if len(peer.sent) > MOST_SENT:
            return Failed(
                Reason.UNFIT, f"{len(peer.sent)} intermediates were sent; {MOST_SENT} are the most"
            )
        leaf = peer.leaf
        helpers = peer.sent or self._intermediates.get((self.digest, leaf.der)) or ()
        candidates = self._candidates(leaf, helpers)
        if not candidates:
            return Failed(Reason.UNTRUSTED, _stranger(leaf, helpers))
        try:
            subject = load_certificate(leaf.der)
            links = [load_certificate(helper.der) for helper in helpers]
        except crypto.Error as error:
            return Failed(Reason.UNFIT, f"OpenSSL cannot read a certificate: {error}")
        return tuple((each.name, _attempt(each, subject, links, now)) for each in candidates)

    def _build(self, peer: PeerChain, now: float) -> Built | Failed:
        attempts = self.attempts(peer, now)
        if isinstance(attempts, Failed):
            return attempts
        outcomes = [outcome for _, outcome in attempts]
        paths = tuple(outcome for outcome in outcomes if isinstance(outcome, Path))
        if paths:
            everyone = [certificate for path in paths for certificate in path.chain]
            since = max(certificate.not_before for certificate in everyone)
            until = min(certificate.not_after for certificate in everyone)
            return Built(paths, since, until, accepted(peer, paths))
        return _telling([outcome for outcome in outcomes if isinstance(outcome, Failed)])

    def _candidates(self, leaf: Certificate, helpers: Sequence[Certificate]) -> list[Authority]:
        """The client CAs that a chain could end at, in the host's order.

        A host may have a thousand client CAs; a chain is tried against those whose names its
        certificates have as their issuer's, and those that have the leaf itself in their bundle.
        """
        mentions: set[_Mention] = {each.issuer_key for each in (leaf, *helpers)}
        mentions.add(leaf.der)
        found = {a for mention in mentions for a in self._by_mention.get(mention, ())}
        return sorted(found, key=self._order.__getitem__)

    def _remember(self, key: _Key, leaf: Certificate, built: Built) -> None:
        if sum(map(len, key)) <= LARGEST_CACHED:
            self._built.put(key, built)
        between = {c.der: c for path in built.paths for c in path.chain[1:-1]}
        if between and sum(map(len, between)) <= LARGEST_CACHED:
            self._intermediates.put((self.digest, leaf.der), tuple(between.values()))


def _attempt(
    authority: Authority, leaf: crypto.X509, links: list[crypto.X509], now: float
) -> Path | Failed:
    try:
        ders = authority.chain(leaf, links, now)
    except crypto.X509StoreContextError as error:
        return _failure(error)
    if ders[-1] not in authority.anchors:
        return Failed(Reason.UNTRUSTED, "the chain ends at no anchor", len(ders) - 1)
    if len(ders) > LONGEST_CHAIN:
        return Failed(
            Reason.UNFIT, f"the chain has {len(ders)} certificates; {LONGEST_CHAIN} are the most"
        )
    # All of these were read before, as the peer's or the operator's: none can be unreadable.
    chain = tuple(read_certificate(der) for der in ders)
    required = authority.required_policies
    return weakness(chain) or policy_failure(chain, required) or Path(authority.name, chain)


def reason_of(code: int) -> Reason:
    """The class of an ``X509_V_ERR_*``."""
    return _REASONS.get(code, Reason.UNFIT)


def _failure(error: crypto.X509StoreContextError) -> Failed:
    code, depth, words = error.errors
    reason = reason_of(code)
    try:
        certificate = read_certificate(
            crypto.dump_certificate(crypto.FILETYPE_ASN1, error.certificate)
        )
    except (ValueError, crypto.Error):
        return Failed(reason, words, depth)
    when = ""
    if reason is Reason.EXPIRED:
        when = f" at {moment(certificate.not_after)}"
    elif reason is Reason.NOT_YET_VALID:
        when = f" until {moment(certificate.not_before)}"
    return Failed(reason, f"{certificate.subject}: {words}{when}", depth)


def _stranger(leaf: Certificate, helpers: Sequence[Certificate]) -> str:
    sent = f" and {len(helpers)} intermediates that were sent" if helpers else ""
    return f"issued by {leaf.issuer}{sent}, which lead to none of this host's client CAs"


def _telling(failures: Sequence[Failed]) -> Failed:
    """Of several failures the one that says most: a chain that was found and not good enough."""
    return next((f for f in failures if f.reason is not Reason.UNTRUSTED), failures[0])

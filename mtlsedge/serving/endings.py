"""What ends, and when? The certificates of an edge: its hosts', and its client CAs'."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from cryptography import x509

from mtlsedge.model import Configuration, Host
from mtlsedge.serving.words import printable
from mtlsedge.trust.outcomes import moment

_MOST_NOTICE = 14 * 86400.0
_LAST_PART = 0.25


def last_days(not_before: float, not_after: float) -> float:
    """When the last days of a certificate begin, in seconds since the epoch.

    Two weeks before its end; of one that lives for less than eight weeks, with its last
    quarter: whatever renews short ones by itself has done so before.
    """
    return not_after - min(_MOST_NOTICE, _LAST_PART * (not_after - not_before))


@dataclass(frozen=True, slots=True)
class Ending:
    """A certificate that somebody has to renew; times are in seconds since the epoch."""

    what: str
    not_before: float
    not_after: float

    def is_near(self, now: float) -> bool:
        """Whether these are its last days, or it is over."""
        return now >= last_days(self.not_before, self.not_after)

    def next_change(self, now: float) -> float:
        """When time alone changes what is to be said of it; or infinity."""
        near = last_days(self.not_before, self.not_after)
        return min((each for each in (near, self.not_after) if each > now), default=inf)

    def words(self, now: float) -> str:
        """For a person who can renew it."""
        verb = "expired" if now >= self.not_after else "expires"
        return f"{self.what} {verb} on {moment(self.not_after)}; renew it"


def endings(configuration: Configuration) -> tuple[Ending, ...]:
    """Every certificate that a configuration holds, each once.

    What cannot be read is left out: whoever uses it has said so.
    """
    found = [each for host in configuration.hosts for each in _of_host(host)]
    for ca in configuration.client_cas:
        found += _each(ca.certificates, f"client CA {ca.name!r}", f"client CA {ca.name!r}")
        signer = f"the CRL signer of client CA {ca.name!r}"
        found += _each(ca.crl_issuers, signer, signer)
    return tuple(dict.fromkeys(found))


def _of_host(host: Host) -> Iterator[Ending]:
    server = f"the server certificate of {host.name}"
    yield from _each(host.key_pair.certificate, server, f"an intermediate of {server}")
    if host.upstream_tls.client is not None:
        client = f"the certificate that {host.name} shows its origin"
        pem = host.upstream_tls.client.certificate
        yield from _each(pem, client, f"an intermediate of {client}")


def _each(pem: bytes, first: str, others: str) -> Iterator[Ending]:
    if not pem:
        return
    try:
        certificates = x509.load_pem_x509_certificates(pem)
        for number, certificate in enumerate(certificates):
            yield Ending(
                f"{others if number else first} ({_subject(certificate)})",
                certificate.not_valid_before_utc.timestamp(),
                certificate.not_valid_after_utc.timestamp(),
            )
    except ValueError:
        return


def _subject(certificate: x509.Certificate) -> str:
    try:
        return printable(certificate.subject.rfc4514_string())
    except ValueError:
        return "its subject cannot be read"

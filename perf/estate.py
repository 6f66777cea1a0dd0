"""What does a large configuration look like? The usual one, with one of its parts multiplied.

Everything added is what an operator would have: each host its own certificate, each CA its own
key, each application its own policy, each revoked serial its own entry in a signed CRL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from perf.catalogue import EDGE, TEMPLATES
from perf.keys import KeyFiles, make_authorities, make_servers, signing_key

DOMAIN = "perf.test"
_FIRST_SERIAL = 1 << 60  # of the revoked; real ones here have 159 random bits
_CA_HOSTS = 'hosts = ["@name@"]\n'


@dataclass(frozen=True, slots=True)
class Estate:
    """A template for the edge, and what is asked of it, where that is not the usual."""

    template: Path
    names: tuple[str, ...] = ()
    path: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """Something of which a configuration may have many; ``build`` writes one with so many."""

    title: str
    usual: int
    build: Callable[[Path, KeyFiles, int], Estate] = field(repr=False)


def one(directory: Path, keys: KeyFiles, count: int = 1) -> Estate:
    """One host, one client CA, one application, and ``count`` revoked serials."""
    return _written(directory, keys, "", revoked=count)


def hosts(directory: Path, keys: KeyFiles, count: int) -> Estate:
    """So many hosts more, all with the one client CA; they are asked in turn."""
    names = _names(count)
    text = _host_tables(directory, names) + _application("the hosts", f"*.{DOMAIN}")
    return Estate(_written(directory, keys, text, names).template, names)


def cas_on_one_host(directory: Path, keys: KeyFiles, count: int) -> Estate:
    """So many client CAs more, on the one host."""
    text = _ca_tables(directory, ["@name@"] * count)
    return _written(directory, keys, text)


def cas_on_many_hosts(directory: Path, keys: KeyFiles, count: int) -> Estate:
    """So many client CAs more, each on a host of its own."""
    names = _names(count)
    return _written(directory, keys, _host_tables(directory, names) + _ca_tables(directory, names))


def applications(directory: Path, keys: KeyFiles, count: int) -> Estate:
    """So many applications more on the one host; one in the middle is asked for."""
    tables = [_application(f"application {n}", f"@name@/app-{n}") for n in range(count)]
    template = _written(directory, keys, "".join(tables)).template
    return Estate(template, path=f"/app-{count // 2}/perf")


PARTS: Mapping[str, Part] = {
    "hosts": Part("hosts", 10_000, hosts),
    "cas": Part("CAs on one host", 1_000, cas_on_one_host),
    "cas-spread": Part("CAs, a host each", 1_000, cas_on_many_hosts),
    "applications": Part("applications", 10_000, applications),
    "revoked": Part("revoked serials", 100_000, one),
    "revoked-more": Part("revoked serials", 1_000_000, one),
}


def revocation_list(keys: KeyFiles, count: int) -> bytes:
    """A CRL of the client CA with so many serials, none of them in use (DER)."""
    issuer = x509.load_pem_x509_certificate(keys.client_ca.read_bytes())
    now = datetime.now(UTC).replace(microsecond=0)
    entry = x509.RevokedCertificateBuilder().revocation_date(now - timedelta(hours=1))
    revoked = [entry.serial_number(_FIRST_SERIAL + n).build() for n in range(count)]
    # The builder's add_revoked_certificate copies the list each time.
    builder = x509.CertificateRevocationListBuilder(
        issuer.subject, now - timedelta(hours=1), now + timedelta(days=30), [], revoked
    )
    signed = builder.sign(signing_key(keys.client_ca_key), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)


def _written(
    directory: Path, keys: KeyFiles, more: str, names: tuple[str, ...] = (), revoked: int = 1
) -> Estate:
    crl = directory / "client.crl"
    crl.write_bytes(revocation_list(keys, revoked))
    usual = (TEMPLATES / EDGE.template).read_text()
    assert _CA_HOSTS in usual
    listed = ", ".join(f'"{name}"' for name in ("@name@", *names))
    text = usual.replace(_CA_HOSTS, f'hosts = [{listed}]\ncrl = ["{crl}"]\n')
    template = directory / "estate.toml"
    template.write_text(text + more)
    return Estate(template)


def _names(count: int) -> tuple[str, ...]:
    return tuple(f"h{n}.{DOMAIN}" for n in range(count))


def _host_tables(directory: Path, names: tuple[str, ...]) -> str:
    return "".join(
        f'\n[[host]]\nnames = ["{name}"]\ncertificate = "{pem}"\nkey = "{pem}"\n'
        'upstream = ["http://127.0.0.1:@origin_port@"]\n'
        for name, pem in zip(names, make_servers(directory, names), strict=True)
    )


def _ca_tables(directory: Path, names: list[str] | tuple[str, ...]) -> str:
    return "".join(
        f'\n[[client_ca]]\nname = "ca {n}"\ncertificate = "{pem}"\nhosts = ["{name}"]\n'
        for n, (name, pem) in enumerate(
            zip(names, make_authorities(directory, len(names)), strict=True)
        )
    )


def _application(name: str, domain: str) -> str:
    return (
        f'\n[[application]]\nname = "{name}"\ndomain = "{domain}"\nsession_duration = "24h"\n'
        f'\n[[application.policy]]\nname = "the load client"\ndecision = "service_auth"\n'
        'include = [{ certificate = true }]\nrequire = [{ common_name = ["@client_names@"] }]\n'
    )

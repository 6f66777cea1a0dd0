"""Certificates for tests: each is minted once per run, by name, into one temporary directory."""

from __future__ import annotations

import atexit
import hashlib
import shutil
import ssl
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache, wraps
from pathlib import Path
from typing import Any, TypeVar, cast

from mtlsedge.pki.files import write_authority, write_issued
from mtlsedge.pki.mint import (
    CLIENT,
    SERVER,
    Authority,
    Issued,
    KeyType,
    distinguished_name,
    make_key,
)
from mtlsedge.pki.profiles import BUILT_IN
from mtlsedge.pki.signing import Asked, sign

CLIENT_CA = "Test Client CA"
OTHER_CA = "Other Client CA"
SERVER_CA = "Test Server CA"

_Make = TypeVar("_Make", bound=Callable[..., Any])
_minting = threading.RLock()


def _once(make: _Make) -> _Make:
    """As ``functools.cache``, but once also where several threads ask for the same at a time."""
    cached = cache(make)

    @wraps(make)
    def made(*args: Any, **more: Any) -> Any:
        with _minting:
            return cached(*args, **more)

    return cast(_Make, made)


@dataclass(frozen=True)
class Pair:
    """A certificate chain and its key, as files, with what was minted.

    It stands in a configuration as ``**pair.as_host()`` and in a client as ``pair.files``.
    """

    certificate: Path
    key: Path
    issued: Issued

    @property
    def files(self) -> tuple[str, str]:
        """The pair of paths that ``requests``, ``httpx`` and ``load_cert_chain`` take."""
        return str(self.certificate), str(self.key)

    @property
    def serial(self) -> str:
        """The serial number as the access log writes it."""
        return f"{self.issued.x509.serial_number:X}"

    @property
    def der(self) -> bytes:
        """The leaf's bytes."""
        first = self.issued.certificate.decode().partition("-----END CERTIFICATE-----")
        return ssl.PEM_cert_to_DER_cert(first[0] + first[1])

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the leaf, lower-case hexadecimal."""
        return hashlib.sha256(self.der).hexdigest()


@_once
def directory() -> Path:
    """Where everything is minted; it goes when the run ends."""
    made = Path(tempfile.mkdtemp(prefix="mtlsedge-certs-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def authority(name: str = CLIENT_CA, key_type: KeyType = "ec-p256") -> Authority:
    """The root of this name and kind of key."""
    # A cache tells a default from the same value said aloud; there must be one root for both.
    return _authority(name, key_type)


@_once
def _authority(name: str, key_type: KeyType) -> Authority:
    return Authority.make_root(name, key_type)


@_once
def intermediate(name: str, under: str = CLIENT_CA) -> Authority:
    """An intermediate of this name under the root of that name."""
    return authority_below(authority(under), name)


def authority_below(issuer: Authority, name: str, path_length: int | None = None) -> Authority:
    """A new authority under another. ``path_length`` bounds the CAs below it."""
    key = make_key("ec-p256")
    asked = Asked(distinguished_name(name), (), key.public_key())
    profile = replace(BUILT_IN.profile("intermediate"), path_length=path_length)
    signed = sign(issuer, asked, profile, datetime.now(UTC))
    return Authority(signed.certificate, key, issuer.links())


def ca_file(name: str = CLIENT_CA, key_type: KeyType = "ec-p256") -> Path:
    """The certificate of the root of this name, as a file."""
    return _ca_file(name, key_type)


@_once
def _ca_file(name: str, key_type: KeyType) -> Path:
    stem = _stem(name, key_type)
    write_authority(directory(), stem, authority(name, key_type), force=True)
    return directory() / f"{stem}.pem"


def server(*names: str, ca: str = SERVER_CA, key_type: KeyType = "ec-p256") -> Pair:
    """A server certificate for these names."""
    return _server(names, ca, key_type)


@_once
def _server(names: tuple[str, ...], ca: str, key_type: KeyType) -> Pair:
    issued = authority(ca).issue(names[0], names, SERVER, key_type=key_type)
    return store(_stem("server", *names, ca, key_type), issued)


def client(
    common_name: str = "device-1",
    ca: str = CLIENT_CA,
    hosts: tuple[str, ...] = (),
    key_type: KeyType = "ec-p256",
    ca_key_type: KeyType = "ec-p256",
) -> Pair:
    """A client certificate for this common name (and these alternative names)."""
    return _client(common_name, ca, hosts, key_type, ca_key_type)


@_once
def _client(
    common_name: str, ca: str, hosts: tuple[str, ...], key_type: KeyType, ca_key_type: KeyType
) -> Pair:
    issued = authority(ca, ca_key_type).issue(common_name, hosts, CLIENT, key_type=key_type)
    return store(_stem("client", common_name, ca, *hosts, key_type, ca_key_type), issued)


def expired_client(common_name: str = "expired", ca: str = CLIENT_CA) -> Pair:
    """A client certificate that was good until yesterday."""
    return _expired_client(common_name, ca)


@_once
def _expired_client(common_name: str, ca: str) -> Pair:
    start = datetime.now(UTC) - timedelta(days=30)
    issued = authority(ca).issue(common_name, not_before=start, lifetime=timedelta(days=29))
    return store(_stem("expired", common_name, ca), issued)


def store(stem: str, issued: Issued) -> Pair:
    """Put something minted by hand among the files."""
    write_issued(directory(), stem, issued, force=True)
    return Pair(directory() / f"{stem}.pem", directory() / f"{stem}-key.pem", issued)


def crl_file(name: str, *revoked: Pair, ca: str = CLIENT_CA) -> Path:
    """A fresh CRL of the root ``ca`` that revokes these, under this file name."""
    path = directory() / name
    path.write_bytes(authority(ca).crl([pair.issued.x509.serial_number for pair in revoked]))
    return path


def _stem(*parts: str) -> str:
    """A file name that tells people what it is and differs where the parts differ."""
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]
    readable = "-".join("".join(c if c.isalnum() else "_" for c in part) for part in parts[:2])
    return f"{readable}-{digest}"

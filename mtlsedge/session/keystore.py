"""How do the signing keys rest on disk, so that no one else reads them and no crash breaks them?

One file, ``signing-keys.json``, mode 0600 in a directory of mode 0700. It is only ever replaced
whole, by a rename, and only by whoever holds the lock beside it, so that two workers that start
at once end with the same keys. A file that cannot be trusted stops the edge; it is never
replaced, since that would silently end every session it signed.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from mtlsedge.errors import EdgeError

FILE = "signing-keys.json"
_LOCK = "signing-keys.lock"
_NEW = "signing-keys.new"
_VERSION = 1
_LARGEST = 1024 * 1024  # bytes; a ring of a handful of keys is some kilobytes
_KEY_BITS = 2048
_CERTIFICATE_LIFE = timedelta(days=3650)


class BadKeyRing(EdgeError):
    """The signing keys cannot be read, kept or trusted. The message names the remedy."""


@dataclass(frozen=True, slots=True, eq=False)
class SigningKey:
    """One RSA key of the ring.

    Attributes:
        kid: its RFC 7638 thumbprint (SHA-256, base64url).
        signs_from: when it begins to sign, in seconds since the epoch; it is published before.
        key: the private key.
        certificate: PEM of a self-signed wrapper, for verifiers that want a certificate.
        public: the public JWK (RFC 7517) with ``kid``, ``alg`` and ``use``.
    """

    kid: str
    signs_from: float
    key: RSAKey
    certificate: str
    public: dict[str, Any]


def make_key(signs_from: float) -> SigningKey:
    """A new RSA-2048 key that begins to sign at ``signs_from``; takes some tens of ms."""
    key = RSAKey.generate_key(_KEY_BITS)
    return _signing_key(key, signs_from, _wrapper(key, signs_from))


def load(state: Path) -> tuple[SigningKey, ...] | None:
    """The keys in the state directory, oldest first; None where there are none yet.

    Raises:
        BadKeyRing: they are there and cannot be trusted or read.
    """
    place = state / FILE
    raw = _read_private(place)
    if raw is None:
        return None
    try:
        keys = _parse(raw)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, JoseError) as error:
        raise BadKeyRing(
            f"{place}: this is not a key ring that mtlsedge wrote ({error}); restore it from a "
            "backup, or move it away to have new keys made, which ends every session"
        ) from error
    return tuple(sorted(keys, key=lambda key: key.signs_from))


def save(state: Path, keys: tuple[SigningKey, ...]) -> None:
    """Replace the ring on disk, whole or not at all. The caller holds the lock.

    Raises:
        BadKeyRing: it cannot be written; what was there is untouched.
    """
    place, new = state / FILE, state / _NEW
    try:
        new.unlink(missing_ok=True)  # what a crash left behind: nobody else writes under the lock
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(new, flags, 0o600), "wb") as file:
            file.write(_serialize(keys))
            file.flush()
            os.fsync(file.fileno())
        new.rename(place)
        _sync_directory(state)
    except OSError as error:
        raise BadKeyRing(f"{place}: the signing keys cannot be written ({error})") from error


def stamp(state: Path) -> tuple[int, int, int]:
    """What changes whenever the ring on disk is replaced; (0, 0, 0) where there is none."""
    try:
        status = (state / FILE).stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_ino, status.st_mtime_ns, status.st_size)


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """Hold the ring alone, among processes too. Waits for another that makes a key.

    Raises:
        BadKeyRing: the directory cannot be made, or others may write to it.
    """
    _check_directory(state)
    place = state / _LOCK
    try:
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BadKeyRing(f"{place}: cannot be opened ({error})") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)  # and with it the lock


def _check_directory(state: Path) -> None:
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = state.stat()
    except OSError as error:
        raise BadKeyRing(f"{state}: the state directory cannot be made ({error})") from error
    if status.st_mode & 0o022:
        raise BadKeyRing(
            f"{state}: others may write to the state directory (mode "
            f"{stat.S_IMODE(status.st_mode):04o}) and so replace its keys; chmod 0700 {state}"
        )


def _read_private(place: Path) -> bytes | None:
    """The bytes of a file that only its owner may read; None if there is no such file."""
    try:
        # Not blocking, so that a FIFO in its place is refused and not waited for.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(place, flags)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadKeyRing(f"{place}: the signing keys cannot be read ({error})") from error
    with open(descriptor, "rb") as file:
        _check_private(place, os.fstat(file.fileno()))
        return file.read(_LARGEST)


def _check_private(place: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise BadKeyRing(f"{place}: not a regular file")
    if status.st_mode & 0o077:
        raise BadKeyRing(
            f"{place}: others may read or write the signing keys (mode "
            f"{stat.S_IMODE(status.st_mode):04o}); chmod 0600 {place}, and if anyone could have "
            "read them, move the file away to have new keys made"
        )
    user = os.geteuid()
    if user != 0 and status.st_uid not in (0, user):
        raise BadKeyRing(
            f"{place}: belongs to user {status.st_uid}, not to the edge's; chown {user} {place}"
        )


def _parse(raw: bytes) -> list[SigningKey]:
    document = json.loads(raw, parse_constant=_refuse_constant)
    if document["version"] != _VERSION:
        raise ValueError(f"version {document['version']!r}, where {_VERSION} was expected")
    keys = [_parse_key(entry) for entry in document["keys"]]
    if not keys:
        raise ValueError("no key in it")
    return keys


def _parse_key(entry: dict[str, Any]) -> SigningKey:
    signs_from = float(entry["signs_from"])
    if not isfinite(signs_from):
        raise ValueError("signs_from is not a time")
    key = RSAKey.import_key(entry["jwk"])
    # Written out anew: what the file says of the key beside its numbers is not taken over.
    private = key.private_key
    if private is None or private.key_size < _KEY_BITS:
        raise ValueError("a key in it is not a private RSA key of 2048 bits or more")
    certificate = entry["certificate"]
    wrapped = x509.load_pem_x509_certificate(certificate.encode("ascii")).public_key()
    if wrapped != private.public_key():
        raise ValueError("a certificate in it belongs to another key")
    return _signing_key(RSAKey.import_key(private), signs_from, certificate)


def _signing_key(key: RSAKey, signs_from: float, certificate: str) -> SigningKey:
    kid = key.thumbprint()
    public: dict[str, Any] = {
        "kid": kid,
        "kty": "RSA",
        "alg": "RS256",
        "use": "sig",
        "e": key["e"],
        "n": key["n"],
    }
    return SigningKey(kid, signs_from, key, certificate, public)


def _wrapper(key: RSAKey, made: float) -> str:
    private = key.private_key
    assert private is not None
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mtlsedge token signing")])
    # A day of slack, for verifiers whose clocks are behind.
    start = datetime.fromtimestamp(int(made), UTC) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + _CERTIFICATE_LIFE)
        .sign(private, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM).decode("ascii")


def _serialize(keys: tuple[SigningKey, ...]) -> bytes:
    entries = [
        {
            "signs_from": key.signs_from,
            "jwk": key.key.as_dict(private=True),
            "certificate": key.certificate,
        }
        for key in keys
    ]
    return json.dumps({"version": _VERSION, "keys": entries}, indent=1).encode("ascii") + b"\n"


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")

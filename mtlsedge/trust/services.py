"""What do verifiers tell services, and where may those be? What ``http`` and ``external`` share."""

from __future__ import annotations

import os
import stat
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from mtlsedge.errors import BadCertificate, BadVerifier
from mtlsedge.identity import Certificate, PeerChain
from mtlsedge.trust.arguments import Pairs, the_one
from mtlsedge.trust.certificates import read_bundle

_LARGEST_BUNDLE = 1024 * 1024


def service_url(pairs: Pairs, key: str, ca: bytes, *, signed: bool = False) -> str:
    """The URL under a key: https by the CAs given, or http to this very machine.

    What a service says lets clients in, so whoever can answer in its place could. Where answers
    are ``signed`` by somebody who is trusted already, http may go anywhere.

    Raises:
        BadVerifier: it is neither.
    """
    url = the_one(pairs, key)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise BadVerifier(f"{key}={url!r} is not a URL: {error}") from error
    if not url.isascii() or not url.isprintable() or " " in url or not host:
        raise BadVerifier(f"{key}={url!r} is not a URL such as https://decide.example.com/v1")
    if parts.username is not None or parts.fragment:
        raise BadVerifier(f"{key}={url!r} may hold neither user nor fragment")
    if parts.scheme == "https" and not ca:
        raise BadVerifier(f"{key} is https; name the CA file of the service, ca=FILE")
    if parts.scheme == "http" and not (signed or _is_here(host)):
        raise BadVerifier(f"{key} is http to {host}, where others may answer; use https and ca=")
    if parts.scheme not in ("http", "https"):
        raise BadVerifier(f"{key}={url!r} is neither https nor http")
    return url


def service_ca(pairs: Pairs) -> bytes:
    """The PEM bundle that ``ca=`` names; b"" where it does not.

    Raises:
        BadVerifier: it cannot be read.
    """
    path = the_one(pairs, "ca", "")
    if not path:
        return b""
    bundle = read_file(path, _LARGEST_BUNDLE)
    try:
        read_bundle(bundle)
    except BadCertificate as error:
        raise BadVerifier(f"ca={path}: {error}") from error
    return bundle


def read_file(path: str, most: int) -> bytes:
    """What a file holds.

    Raises:
        BadVerifier: it cannot be read, is no regular file, or has more than ``most`` bytes.
    """
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise BadVerifier(f"{path} is not a regular file")
            content = file.read(most + 1)
    except (OSError, ValueError) as error:
        raise BadVerifier(f"{path} cannot be read: {error}") from error
    if len(content) > most:
        raise BadVerifier(f"{path} has more than {most} bytes")
    return content


def described(peer: PeerChain) -> dict[str, Any]:
    """What services are told of a leaf and of the chain above it."""
    return {
        **_certificate(peer.leaf),
        "common_name": peer.leaf.common_name,
        "organizations": peer.leaf.organizations,
        "organizational_units": peer.leaf.organizational_units,
        "san": {
            "dns": peer.leaf.san_dns,
            "uri": peer.leaf.san_uri,
            "email": peer.leaf.san_email,
            "ip": peer.leaf.san_ip,
        },
        "chain": [_certificate(each) for each in peer.verified[1:]],
    }


def _certificate(certificate: Certificate) -> dict[str, Any]:
    return {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "serial": certificate.serial,
        "not_before": int(certificate.not_before),
        "not_after": int(certificate.not_after),
        "fingerprint_sha256": certificate.fingerprint_sha256,
        "spki_sha256": certificate.spki_sha256,
    }


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a FIFO that nobody writes to would keep everybody waiting."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False

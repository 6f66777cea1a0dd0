"""Where do keys and certificates go? Files named as cfssl names them; keys for the owner only."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from mtlsedge.pki.mint import Authority, Issued


def write_authority(
    directory: Path, stem: str, authority: Authority, *, force: bool = False
) -> None:
    """Write ``<stem>.pem`` and ``<stem>-key.pem``.

    Raises:
        FileExistsError: one of them is there, and ``force`` is not; nothing was written.
    """
    _write_pair(directory, stem, authority.pem, authority.key_pem, force)


def write_issued(directory: Path, stem: str, issued: Issued, *, force: bool = False) -> None:
    """Write ``<stem>.pem`` (leaf, then intermediates) and ``<stem>-key.pem``.

    Raises:
        FileExistsError: one of them is there, and ``force`` is not; nothing was written.
    """
    _write_pair(directory, stem, issued.certificate, issued.key, force)


def write_file(path: Path, data: bytes, *, mode: int = 0o644, force: bool = True) -> None:
    """Put a whole file in place at once: whoever reads sees the old one or the new one.

    Raises:
        FileExistsError: the file is there, and ``force`` is not.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    # Created with its final mode: a key is never readable by others, not even for a moment.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if force:
            temporary.replace(path)
        else:
            os.link(temporary, path)  # unlike a rename, refuses a name that is taken
    finally:
        temporary.unlink(missing_ok=True)


def _write_pair(directory: Path, stem: str, certificate: bytes, key: bytes, force: bool) -> None:
    certificate_path = directory / f"{stem}.pem"
    key_path = directory / f"{stem}-key.pem"
    for path in (key_path, certificate_path):
        if path.exists() and not force:
            raise FileExistsError(f"{path} is there already: remove it, or say so with --force")
    write_file(key_path, key, mode=0o600, force=force)
    write_file(certificate_path, certificate, force=force)

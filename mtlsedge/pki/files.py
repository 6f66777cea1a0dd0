"""Where do keys and certificates go? Files named as cfssl names them; keys for the owner only."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from mtlsedge.pki.mint import Authority, Issued

PUBLIC = 0o644
SECRET = 0o600


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


def write_file(path: Path, data: bytes, *, mode: int = PUBLIC, force: bool = True) -> None:
    """Put a whole file in place at once: whoever reads sees the old one or the new one.

    Raises:
        FileExistsError: the file is there, and ``force`` is not.
    """
    write_all([NewFile(path, data, mode)], force=force)


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to be written: its name, its content, and who may read it."""

    path: Path
    data: bytes = field(repr=False)
    mode: int = PUBLIC


def write_all(
    files: Sequence[NewFile], *, force: bool = False, then: Callable[[], None] | None = None
) -> None:
    """Put files in place, all of them or none; the last step may be ``then``.

    Each is on the disk, under another name, before the first is put in place. If anything fails,
    ``then`` included, everything is as it was. With ``force``, a symbolic link stays one, and the
    file that it leads to is replaced.

    Raises:
        FileExistsError: one of them is there, and ``force`` is not; or it is no regular file.
    """
    if force:
        files = [replace(file, path=Path(os.path.realpath(file.path))) for file in files]
        refuse_special(file.path for file in files)
    else:
        refuse_taken(file.path for file in files)
    with _staged(files) as staged:
        undo: list[Callable[[], object]] = []
        try:
            for file, temporary in zip(files, staged, strict=True):
                undo.append(_put(temporary, file.path, force=force))
            if then is not None:
                then()
        except BaseException:
            for step in reversed(undo):
                step()
            raise
        finally:
            for file in files:
                _old(file.path).unlink(missing_ok=True)


def refuse_taken(paths: Iterable[Path]) -> None:
    """See that none of these names is taken.

    Raises:
        FileExistsError: one of them is.
    """
    for path in paths:
        if os.path.lexists(path):
            raise FileExistsError(f"{path} is there already: remove it, or say so with --force")


def refuse_special(paths: Iterable[Path]) -> None:
    """See that none of these is a device, a pipe, or a directory: such things are not replaced.

    Raises:
        FileExistsError: one of them is.
    """
    for path in paths:
        if path.exists() and not path.is_file():
            raise FileExistsError(f"{path} is not a regular file: name another")


@contextmanager
def _staged(files: Sequence[NewFile]) -> Iterator[list[Path]]:
    """The files under names of their own, next to where they go; away again at the end."""
    names: list[Path] = []
    try:
        for file in files:
            names.append(file.path.with_name(f".{file.path.name}.{secrets.token_hex(4)}"))
            _create(names[-1], file)
        yield names
    finally:
        for name in names:
            name.unlink(missing_ok=True)


def _create(path: Path, file: NewFile) -> None:
    # Created with its final mode: a key is never readable by others, not even for a moment.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, file.mode)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(file.data)
        opened.flush()
        os.fsync(opened.fileno())


def _put(temporary: Path, path: Path, *, force: bool) -> Callable[[], object]:
    """Put one file in place; gives what undoes it."""
    if not force:
        os.link(temporary, path)  # unlike a rename, refuses a name that is taken
        return path.unlink
    old = _old(path)
    kept = False
    with suppress(FileNotFoundError):
        os.link(path, old, follow_symlinks=False)
        kept = True
    temporary.replace(path)
    return (lambda: old.replace(path)) if kept else path.unlink


def _old(path: Path) -> Path:
    """Under which name of this process's own an old file is kept while a new one is put in."""
    return path.with_name(f".{path.name}.{os.getpid()}.old")


def _write_pair(directory: Path, stem: str, certificate: bytes, key: bytes, force: bool) -> None:
    files = [
        NewFile(directory / f"{stem}-key.pem", key, SECRET),
        NewFile(directory / f"{stem}.pem", certificate),
    ]
    write_all(files, force=force)

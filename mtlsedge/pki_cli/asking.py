"""Where does a passphrase come from? A file, or a person at a terminal; never the command line."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from pathlib import Path

from mtlsedge.errors import PkiError
from mtlsedge.pki.loading import read

_TRIES = 3


def secret_from(file: Path | None, prompt: str) -> Callable[[], bytes]:
    """What gives the secret when it is needed: the first line of a file, or who sits there."""
    if file is None:
        return lambda: ask_for(prompt)
    return lambda: first_line(file)


def first_line(file: Path) -> bytes:
    """A file's first line.

    Raises:
        PkiError: it cannot be read, or the line is empty.
    """
    line = read(file).split(b"\n", 1)[0].rstrip(b"\r")
    if not line:
        raise PkiError(f"{file}: its first line is empty, and should be the secret")
    return line


def from_environment(name: str) -> bytes:
    """The secret in an environment variable.

    Raises:
        PkiError: there is none.
    """
    value = os.environ.get(name, "")
    if not value:
        raise PkiError(f"the environment variable {name} is not set, or empty")
    return os.fsencode(value)


def ask_for(prompt: str, *, twice: bool = False) -> bytes:
    """Ask at the terminal; ``twice`` for a new secret, until both are the same.

    Raises:
        PkiError: nobody is there, or the two were never the same.
    """
    _check_terminal(prompt)
    for _ in range(_TRIES):
        first = getpass.getpass(prompt)
        if not first:
            raise PkiError("nothing was typed: nothing was done")
        if not twice or first == getpass.getpass("Once more: "):
            return first.encode()
        prompt = "The two differ. Again: "
    raise PkiError("the two differed every time: nothing was done")


def _check_terminal(prompt: str) -> None:
    # getpass would read the secret from standard input, and show it, where there is no terminal.
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError as error:
        asked = prompt.rstrip(": ").casefold()
        raise PkiError(
            f"there is no terminal to ask on ({asked}): give it in a file, by the option whose "
            "name ends with -file"
        ) from error

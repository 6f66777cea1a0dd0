"""What proves us to a service? The bearer token that a file holds, as it is now (RFC 6750)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from twisted.logger import Logger

from mtlsedge.errors import BadVerifier
from mtlsedge.trust.arguments import Pairs, the_one
from mtlsedge.trust.services import read_file

_log = Logger()

_LARGEST = 8192  # bytes of a file
_TOKEN = re.compile(rb"[\x21-\x7e]+")  # visible ASCII: nothing that could end a header line


class BearerToken:
    """The token in a file, which is watched. No message has it, and neither has ``repr``."""

    def __init__(self, path: Path) -> None:
        """Read it.

        Raises:
            BadVerifier: the file cannot be read, or holds anything but one token.
        """
        self._path = path
        self._content = read_file(str(path), _LARGEST)
        self._text = _token(path, self._content)
        self._watch: Any = None

    @property
    def text(self) -> str:
        """What stands behind ``Bearer``."""
        return self._text

    def start(self, edge: Any) -> None:
        """Watch the file; ``edge`` provides ``IEdge``."""
        self._watch = edge.watch({self._path: self._content}, self._changed, self._troubled)

    def stop(self) -> None:
        """Watch it no more."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.stop()

    def _changed(self, path: Path, content: bytes) -> None:
        try:
            self._text = _token(path, content)
        except BadVerifier as error:
            self._troubled(path, str(error))
            return
        self._content = content
        _log.info("the token in {path} was read again", path=str(path))

    def _troubled(self, path: Path, trouble: str) -> None:
        _log.error(
            "the token in {path} cannot be used: {trouble}; the last good one serves on",
            path=str(path),
            trouble=trouble,
        )


def service_token(pairs: Pairs) -> BearerToken | None:
    """The token in the file that ``token_file=`` names; None where it does not.

    Raises:
        BadVerifier: it cannot be read, or holds none.
    """
    path = the_one(pairs, "token_file", "")
    return BearerToken(Path(path)) if path else None


def _token(path: Path, content: bytes) -> str:
    token = content.strip()
    if not _TOKEN.fullmatch(token):
        # What it holds instead may be a secret all the same.
        raise BadVerifier(f"token_file={path} is to hold one token, a line of visible ASCII")
    return token.decode("ascii")

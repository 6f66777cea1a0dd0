"""What did a URL hold when it last answered? Contents kept on disk, for restarts."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

from mtlsedge.ops.fetching import Fetched, Validators

_LONGEST_HEADING = 16 * 1024  # bytes


class FeedStore:
    """A directory with one file for each URL: a line of JSON about it, and then the content.

    Nothing in it is trusted more than what comes from the URL itself.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def load(self, url: str) -> Fetched | None:
        """What was kept of a URL; None where there is nothing, or nothing that can be read."""
        try:
            with self._file(url).open("rb") as file:
                heading = json.loads(file.readline(_LONGEST_HEADING))
                content = file.read()
            if heading["url"] != url or heading["sha256"] != sha256(content).hexdigest():
                return None
            known = Validators(str(heading["etag"]), str(heading["last_modified"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return Fetched(content, known)

    def save(self, url: str, fetched: Fetched) -> None:
        """Keep what a URL held, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        digest = sha256(fetched.content).hexdigest()
        heading = {"url": url, "sha256": digest, **asdict(fetched.validators)}
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = self._file(url)
        new = target.with_suffix(f".{os.getpid()}")
        try:
            with new.open("wb") as file:
                file.write(json.dumps(heading).encode("ascii") + b"\n")
                file.write(fetched.content)
                file.flush()
                os.fsync(file.fileno())
            new.replace(target)
        finally:
            new.unlink(missing_ok=True)

    def _file(self, url: str) -> Path:
        return self._directory / f"{sha256(url.encode()).hexdigest()[:32]}.feed"

"""The how-to with quicker keys, what ``mtlsedge pki`` came to, and OpenSSL to ask about it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from support import how_to
from support.needs import needs

QUICK = {"algo": "ecdsa", "size": 256}
CA_CSR = {**how_to.CA_CSR, "key": QUICK}
CLIENT_CSR = {**how_to.CLIENT_CSR, "key": QUICK}


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    status: int
    out: str
    err: str


Pki = Callable[..., Done]


def write(path: Path, content: object) -> Path:
    """A JSON file."""
    path.write_text(json.dumps(content))
    return path


def openssl(*arguments: str | Path) -> str:
    """What openssl says, all of it."""
    done = subprocess.run([needs("openssl"), *arguments], capture_output=True, text=True)
    return done.stdout + done.stderr

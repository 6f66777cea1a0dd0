"""The how-to's JSON files, what ``mtlsedge pki`` came to, and OpenSSL to ask about it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.needs import needs

CA_CSR: dict[str, Any] = {
    "CN": "Access Testing CA",
    "key": {"algo": "ecdsa", "size": 256},
    "names": [{"C": "US", "L": "Austin", "O": "Access Testing", "OU": "TX", "ST": "Texas"}],
}
CA_CONFIG: dict[str, Any] = {
    "signing": {
        "default": {"expiry": "8760h"},
        "profiles": {
            "server": {
                "usages": ["signing", "key encipherment", "server auth"],
                "expiry": "8760h",
            },
            "client": {
                "usages": ["signing", "key encipherment", "client auth"],
                "expiry": "8760h",
            },
        },
    }
}
CLIENT_CSR: dict[str, Any] = {
    "CN": "James Royal",
    "hosts": [""],
    "key": {"algo": "ecdsa", "size": 256},
    "names": [{"C": "US", "L": "Austin", "O": "Access", "OU": "Access Admins", "ST": "Texas"}],
}


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

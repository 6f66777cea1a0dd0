"""curl, as people use it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from support import certs
from support.needs import needs


@dataclass(frozen=True)
class Curled:
    """What ``curl -i`` printed: the last response's status, its header lines, its body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str

    def all(self, name: str) -> list[str]:
        """The values of every field of this name, in any case."""
        return [value for each, value in self.headers if each.lower() == name.lower()]


def run_curl(*arguments: str | Path, cwd: Path | None = None) -> Curled:
    """Run curl with ``-i`` and these arguments; a failure of curl itself fails the test."""
    quiet = ["--silent", "--show-error", "--max-time", "20", "--noproxy", "*"]
    command = [needs("curl"), *quiet, "-i", *arguments]
    done = subprocess.run(command, capture_output=True, cwd=cwd)
    assert 0 == done.returncode, done.stderr.decode()
    return parse(done.stdout.decode())


def get(
    port: int,
    host: str,
    path: str = "/",
    client: certs.Pair | None = None,
    ca: Path | None = None,
    *more: str,
) -> Curled:
    """GET from an edge, the name resolved to loopback."""
    arguments: list[str | Path] = ["--cacert", ca or certs.ca_file(certs.SERVER_CA)]
    if client is not None:
        arguments += ["--cert", client.certificate, "--key", client.key]
    arguments += ["--resolve", f"{host}:{port}:127.0.0.1", *more]
    return run_curl(*arguments, f"https://{host}:{port}{path}")


def parse(output: str) -> Curled:
    """What ``curl -i`` prints, read; interim responses are passed over."""
    status = 100
    while status < 200:
        head, _, output = output.replace("\r\n", "\n").partition("\n\n")
        first, *lines = head.split("\n")
        status = int(first.split()[1])
    split = (line.partition(":") for line in lines)
    return Curled(status, tuple((name, value.strip()) for name, _, value in split), output)

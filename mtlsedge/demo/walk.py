"""What is there to try? One command for each thing the edge does, with the status it gets."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mtlsedge.demo.files import DEVICES_HOST, STAFF_HOST

_FIRST_CURL_THAT_KNOWS_LOCALHOST = (7, 84)  # that *.localhost is this machine (RFC 6761 §6.3)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to try: what is asked for, with whose certificate, and what comes of it."""

    status: int
    title: str
    client: str = ""
    host: str = DEVICES_HOST
    path: str = "/"


STEPS = (
    Step(403, "No certificate: refused, and told why"),
    Step(200, "A device: admitted; see what the origin got, and the cookie", "device-1"),
    Step(403, "A certificate of another host's CA: refused", "staff-1"),
    Step(200, "The same certificate at its own host: admitted", "staff-1", STAFF_HOST),
    Step(403, "A path that wants another name: the device is refused", "device-1", path="/admin"),
    Step(200, "The same path as the administrator: admitted", "admin", path="/admin"),
)


def walk(directory: Path, port: int) -> str:
    """The steps as text, each with a line to paste into a shell."""
    resolve = needs_resolve()
    return "\n".join(
        f"{number}. {step.title} ({step.status}).\n   {command(step, directory, port, resolve)}\n"
        for number, step in enumerate(STEPS, 1)
    )


def command(step: Step, directory: Path, port: int, resolve: bool) -> str:
    """The curl line of one step."""
    words = ["curl", "-i", "--cacert", str(directory / "server-ca.pem")]
    if step.client:
        words += ["--cert", str(directory / f"{step.client}.pem")]
        words += ["--key", str(directory / f"{step.client}-key.pem")]
    if resolve:
        words += ["--resolve", f"{step.host}:{port}:127.0.0.1"]
    return shlex.join([*words, f"https://{step.host}:{port}{step.path}"])


def needs_resolve() -> bool:
    """Whether curl must be told where ``*.localhost`` is: neither it nor the system knows."""
    try:
        socket.getaddrinfo(DEVICES_HOST, None)
    except OSError:
        return _curl_version() < _FIRST_CURL_THAT_KNOWS_LOCALHOST
    return False


def _curl_version() -> tuple[int, ...]:
    try:
        said = subprocess.run(["curl", "--version"], capture_output=True, text=True).stdout  # noqa: S607
    except OSError:
        return (0, 0)
    found = re.match(r"curl (\d+)\.(\d+)", said)
    return tuple(map(int, found.groups())) if found else (0, 0)

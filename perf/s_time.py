"""What does OpenSSL's own handshake client find? ``openssl s_time -new`` in our client's place.

One connection at a time, so that a server is never busy all the time. It sends no server name and
an HTTP/1.0 request without ``Host``: only servers that answer whoever comes can be asked by it.
"""

from __future__ import annotations

import re

from perf.programs import Told, drive
from perf.values import Load, Sample

_REAL = re.compile(
    r"(?P<count>\d+) connections in (?P<seconds>\d+) real seconds, (?P<bytes>\d+) bytes read"
)


def run(load: Load) -> Sample:
    """One round; latencies are not known.

    Raises:
        FileNotFoundError: openssl is not installed.
    """
    return drive(load, arguments(load), lambda out, err: Told(*read_counts(out + err, load)))


def arguments(load: Load) -> list[str]:
    """The command line: full handshakes, the client's certificate, the page."""
    found = ["openssl", "s_time", "-new", f"-tls1_{load.tls[-1]}"]
    found += ["-connect", f"{load.address[0]}:{load.address[1]}", "-www", load.path]
    found += ["-time", str(max(1, round(load.seconds)))]
    if load.client_pem:
        found += ["-cert", load.client_pem, "-key", load.client_pem]
    return found


def read_counts(output: str, load: Load) -> tuple[int, int, str]:
    """Connections, failures and what the failure was.

    It tells only the bytes of an average answer: fewer than the least head and the body have
    are no answer.
    """
    said = _REAL.search(output)
    if said is None:
        return 0, 1, f"s_time: {output.strip()[-200:]}"
    count, each = int(said["count"]), int(said["bytes"])
    if each < len(b"HTTP/1.1 200 OK\r\n\r\n") + len(load.body):
        return 0, max(1, count), f"s_time: answers of {each} bytes"
    return count, 0, ""

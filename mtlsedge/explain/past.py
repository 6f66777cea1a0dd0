"""What was asked then? A line of the access log, as far as it can be asked again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mtlsedge.errors import BadCertificate
from mtlsedge.explain.asked import Asked, BadQuestion, read_address, read_certificates, read_url
from mtlsedge.ops.logfiles import Line, Reading, read_logs
from mtlsedge.trust.certificates import read_certificate

_EVENTS = ("request", "tunnel", "cut")


@dataclass(frozen=True, slots=True)
class Past:
    """A request of the past.

    Attributes:
        asked: what can be asked again.
        line: what the log has.
        missing: what cannot be, and why, in sentences.
    """

    asked: Asked
    line: Line
    missing: tuple[str, ...]


def find_line(request_id: str, logs: Iterable[Path]) -> Line:
    """The line of a request.

    Raises:
        BadQuestion: no log has it.
        UnreadableLog: a file cannot be read.
    """
    logs = tuple(logs)
    for line in read_logs(reversed(logs), Reading()):
        if line.get("request_id") == request_id:
            return line
    where = ", ".join(map(str, logs))
    raise BadQuestion(f"no request {request_id!r} is in {where}; name another file with --log")


def read_past(line: Line, certificates: Iterable[Path], at: float | None) -> Past:
    """A line as a question; of several certificates the one that the client had.

    ``at`` is another moment than the line's, in seconds since the epoch.

    Raises:
        BadQuestion: the line has not what it takes.
        OSError: a certificate cannot be read.
    """
    if line.get("event") not in _EVENTS:
        raise BadQuestion(f"that line is of a {line.get('event')!r}; only requests are explained")
    host, path, method = (_text(line, key) for key in ("host", "path", "method"))
    if method in ("", "-") or not path:
        raise BadQuestion("that request was never read, so that there is nothing to explain")
    shown = f"[{host}]" if ":" in host else host
    server_name, authority, _, _ = read_url(f"https://{shown}/")
    cert = line.get("cert")
    cert = cert if isinstance(cert, dict) else {}
    leaf, sent = _certificate(str(cert.get("fingerprint_sha256", "")), certificates)
    asked = Asked(
        url=f"https://{shown}{path}",
        server_name=server_name,
        authority=authority,
        port=0,
        target=path.encode("latin-1", "replace"),
        method=method,
        ip=read_address(_text(line, "client")),
        at=_moment(line) if at is None else at,
        leaf=leaf,
        sent=sent,
    )
    return Past(asked, line, tuple(_missing(line, cert, leaf)))


def _missing(line: Line, cert: dict[str, Any], leaf: bytes | None) -> list[str]:
    found = ["the log has no query, and of the header lines none: the request goes without them"]
    if cert.get("presented") and leaf is None:
        found.append(
            f"the client showed {cert.get('subject') or 'a certificate'} (serial "
            f"{cert.get('serial')}, SHA-256 {cert.get('fingerprint_sha256')}), which the log does "
            "not hold: it is explained as if it had shown none; give the certificate with --cert"
        )
    if line.get("service_token"):
        found.append(
            f"it proved the service token {line['service_token']!r}, whose secret the log does not "
            "hold: give both with --header, or it is explained as without one"
        )
    return found


def _certificate(
    fingerprint: str, certificates: Iterable[Path]
) -> tuple[bytes | None, tuple[bytes, ...]]:
    tried = []
    for path in certificates:
        leaf, sent = read_certificates(path)
        try:
            if read_certificate(leaf).fingerprint_sha256 == fingerprint:
                return leaf, sent
        except BadCertificate as error:
            raise BadQuestion(f"{path}: {error}") from error
        tried.append(str(path))
    if tried:
        shown = fingerprint or "none"
        raise BadQuestion(f"{', '.join(tried)}: not the client's certificate, which was {shown}")
    return None, ()


def _text(line: Line, key: str) -> str:
    value = line.get(key)
    if not isinstance(value, str):
        raise BadQuestion(f"that line has no {key}")
    return value


def _moment(line: Line) -> float:
    try:
        return datetime.fromisoformat(_text(line, "time")).timestamp()
    except ValueError as error:
        raise BadQuestion("that line has no time") from error

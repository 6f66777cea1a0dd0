"""Values: what does a line of the access log say of a request, as far as policy asked?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mtlsedge.ops.logfiles import Line
from mtlsedge.policy.question import UNPROTECTED_DENY

_ADMITS = frozenset({"allow", "service_auth", "bypass"})
_REFUSES = frozenset({"block", "ambiguous"})


class NotLogged(ValueError):
    """A line that has not the fields of a request."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a client showed in its handshake, as the log has it.

    ``client_cas`` are those by which it verified; None where the line does not say all of them.
    """

    presented: bool
    verified: bool
    reason: str = ""
    subject: str = ""
    issuer: str = ""
    serial: str = ""
    fingerprint_sha256: str = ""
    client_cas: tuple[str, ...] | None = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided, or would be."""

    admitted: bool
    word: str
    application: str = ""
    policy: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked and by whom: all that a decision rests on.

    ``service_token`` is the name of the one that was proved, "" for none; None where that was
    not looked at.
    """

    host: str
    method: str
    path: str
    client: str
    service_token: str | None
    shown: Shown


def verdict_of(line: Line) -> Verdict | None:
    """What was decided then; None where no policy was asked.

    Raises:
        NotLogged: a field is missing or is not what it should be.
    """
    word = _text(line, "decision")
    if not word:
        return None
    application, policy = _text(line, "application"), _text(line, "policy")
    if word in _ADMITS or word in _REFUSES:
        return Verdict(word in _ADMITS, word, application, policy)
    if word != "unprotected":
        raise NotLogged("decision")
    denied = line.get("status") == 403 and line.get("reason") == UNPROTECTED_DENY.reason
    return Verdict(not denied, word)


def asked_in(line: Line) -> Asked:
    """What was asked.

    Raises:
        NotLogged: a field is missing or is not what it should be.
    """
    # Who governs an ambiguous path was not certain, and nobody asked further.
    token = None if line.get("decision") == "ambiguous" else line.get("service_token", "")
    if not isinstance(token, str | None):
        raise NotLogged("service_token")
    return Asked(
        _text(line, "host"),
        _text(line, "method"),
        _text(line, "path"),
        _text(line, "client"),
        token,
        _shown(line.get("cert")),
    )


def moment_of(line: Line) -> float:
    """When, in seconds since the epoch.

    Raises:
        NotLogged: the line does not say.
    """
    try:
        return datetime.fromisoformat(_text(line, "time")).timestamp()
    except ValueError as error:
        raise NotLogged("time") from error


def _shown(cert: object) -> Shown:
    if not isinstance(cert, dict):
        raise NotLogged("cert")
    presented, verified = cert.get("presented"), cert.get("verified")
    if not isinstance(presented, bool) or not isinstance(verified, bool):
        raise NotLogged("cert")
    if not presented:
        return Shown(False, False)
    return Shown(
        presented,
        verified,
        _text(cert, "reason"),
        _text(cert, "subject"),
        _text(cert, "issuer"),
        _text(cert, "serial"),
        _text(cert, "fingerprint_sha256"),
        _client_cas(cert),
    )


def _client_cas(cert: dict[str, Any]) -> tuple[str, ...] | None:
    names = cert.get("client_cas")
    if not isinstance(names, list) or "\u2026" in names:
        return None
    return tuple(name for name in names if isinstance(name, str))


def _text(table: dict[str, Any], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str):
        raise NotLogged(key)
    return value

"""How is a condition written down? Lines for a log, which ``grep`` finds, and a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mtlsedge.identity import Identity
from mtlsedge.trust.crl_health import CrlHealth
from mtlsedge.trust.outcomes import moment

_LONGEST = 500  # characters of what somebody else has named
_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
_HEADINGS = ("state", "client CA", "issuer", "number", "age", "ends in", "entries", "from")
_NUMBERS = range(3, 7)  # the columns that are numbers


def printable(text: str, longest: int = _LONGEST) -> str:
    """A text that cannot end its line, nor turn it round, and is not endless."""
    cut = text if len(text) <= longest else f"{text[:longest]}\u2026"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)


def span(seconds: float) -> str:
    """A length of time in its two greatest units: ``5d22h``, ``10m``, ``-3h5m``."""
    whole = int(abs(seconds))
    parts: list[str] = []
    for unit, size in _UNITS:
        number, whole = divmod(whole, size)
        if number or parts:
            parts.append(f"{number}{unit}" if number else "")
        if len(parts) == 2:
            break
    sign = "-" if seconds <= -1 else ""
    return sign + ("".join(parts) or "0s")


def crl_line(health: CrlHealth) -> str:
    """One revocation list, in one line of ``key=value``."""
    fields = [
        ("crl state", health.state),
        ("client_ca", _quoted(health.client_ca)),
        ("issuer", _quoted(health.issuer)),
        ("place", _quoted(health.place)),
    ]
    if health.issuer:
        fields += [
            ("kind", health.kind),
            ("number", _number(health)),
            ("age", span(health.age)),
            ("next_update", moment(health.next_update)),
            ("left", span(health.remaining)),
            ("entries", str(health.entries)),
        ]
    if health.error:
        fields.append(("error", _quoted(health.error)))
    return " ".join(f"{key}={value}" for key, value in fields)


def crl_summary(healths: Sequence[CrlHealth]) -> str:
    """All of them, counted by their states."""
    states = [health.state for health in healths]
    counts = " ".join(
        f"{state}={states.count(state)}" for state in ("good", "ending", "failing", "unusable")
    )
    return f"crl summary lists={len(healths)} {counts}"


def crl_table(healths: Iterable[CrlHealth]) -> list[str]:
    """The same for people: a line each under headings, and what is wrong below it."""
    rows = [(_row(health), health) for health in healths]
    widths = [
        max(map(len, column)) for column in zip(_HEADINGS, *(r for r, _ in rows), strict=True)
    ]
    lines = [_aligned(_HEADINGS, widths)]
    for row, health in rows:
        lines.append(_aligned(row, widths))
        if health.error:
            lines.append(f"    {printable(health.error)}")
    return lines


def client_line(identity: Identity, server_name: str, now: float) -> str:
    """That a client's certificate ends soon, in one line of ``key=value``."""
    assert identity.chain is not None
    leaf = identity.chain.leaf
    return (
        f"client certificate ends soon: left={span(leaf.not_after - now)} "
        f"not_after={moment(leaf.not_after)} subject={_quoted(leaf.subject)} "
        f"serial={leaf.serial[:_LONGEST]} fingerprint_sha256={leaf.fingerprint_sha256} "
        f"client_ca={_quoted(', '.join(identity.client_cas))} host={_quoted(server_name)}"
    )


def _row(health: CrlHealth) -> tuple[str, ...]:
    start = (health.state, printable(health.client_ca), printable(health.issuer))
    if not health.issuer:
        return (*start, "", "", "", "", printable(health.place))
    numbers = (_number(health), span(health.age), span(health.remaining), str(health.entries))
    return (*start, *numbers, printable(health.place))


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.rjust(width) if number in _NUMBERS else cell.ljust(width)
        for number, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  " + "  ".join(cells).rstrip()


def _number(health: CrlHealth) -> str:
    return str(health.number) if health.number >= 0 else "none"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{printable(escaped)}"'

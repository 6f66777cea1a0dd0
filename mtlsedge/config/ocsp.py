"""Who may be asked whether a client's certificate is revoked? The ``ocsp`` keys of a client CA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from mtlsedge.config.feeds import trusted_for, url
from mtlsedge.config.reader import Place, Table, Wrong, show
from mtlsedge.config.values import choice, duration, many
from mtlsedge.model import Ocsp

_POLICIES: Final[Mapping[str, Literal["require", "warn"]]] = {"require": "require", "warn": "warn"}
_CHECKS: Final[Mapping[str, Literal["chain", "leaf"]]] = {"chain": "chain", "leaf": "leaf"}
_NONCES: Final[Mapping[str, Literal["ask", "require"]]] = {"ask": "ask", "require": "require"}
_MOST_URLS = 16
_AGE, _LEAST_AGE, _MOST_AGE = 3600.0, 10.0, 7 * 86400.0  # seconds
_TIMEOUT, _LEAST_TIMEOUT, _MOST_TIMEOUT = 4.0, 0.1, 60.0  # seconds
_DETAILS = ("ocsp_policy", "ocsp_check", "ocsp_nonce", "ocsp_max_age", "ocsp_timeout", "ocsp_ca")


def read_ocsp(table: Table) -> Ocsp | None:
    """How a ``[[client_ca]]`` table wants responders asked; None if it does not."""
    asked = "ocsp" in table or "ocsp_allow" in table
    if not asked:
        for key in _DETAILS:
            if key in table:
                table.at(key).problem(
                    "says nothing without a responder; name one as ocsp = 'http://...', or those "
                    "that certificates may name, as ocsp_allow"
                )
    responders = _urls(table, "ocsp")
    allowed = _urls(table, "ocsp_allow")
    for index, twice in enumerate(allowed):
        if twice in responders:
            table.at("ocsp_allow").item(index).problem(
                "is asked anyway, as ocsp has it; take it out"
            )
    urls = (*responders, *allowed)
    secure = any(each.lower().startswith("https:") for each in urls)
    found = Ocsp(
        responders=responders,
        allowed=allowed,
        policy=table.take("ocsp_policy", choice(_POLICIES), "require"),
        check=table.take("ocsp_check", choice(_CHECKS), "chain"),
        nonce=table.take("ocsp_nonce", choice(_NONCES), "ask"),
        max_age=table.take("ocsp_max_age", duration(_LEAST_AGE, _MOST_AGE), _AGE),
        timeout=table.take("ocsp_timeout", duration(_LEAST_TIMEOUT, _MOST_TIMEOUT), _TIMEOUT),
        ca=_trusted(table, secure=secure, asked=asked),
    )
    return found if asked else None


def _urls(table: Table, key: str) -> tuple[str, ...]:
    found = table.take(key, many(_responder), ())
    if len(found) > _MOST_URLS:
        table.at(key).problem(f"names {len(found)} responders; {_MOST_URLS} are the most")
    if len(set(found)) < len(found):
        table.at(key).problem("names a responder twice; once is enough")
    return found


def _responder(value: object, place: Place) -> str:
    if value in (True, "on", "aia", "auto"):
        raise Wrong(
            f"{show(value)} is no URL; name the responder, or with ocsp_allow those that "
            "certificates may name: none is asked because a certificate says so"
        )
    return url(value, place)


def _trusted(table: Table, *, secure: bool, asked: bool) -> bytes:
    if not asked:
        table.take("ocsp_ca", lambda _, __: None, None)
        return b""
    return trusted_for(table, "ocsp_ca", secure=secure)

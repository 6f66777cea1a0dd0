"""``mtlsedge explain`` says what the edge does: of generated configurations, clients and requests.

The same bytes go to a real process and, in this one, to what the command calls; the process's
access log and its origin tell what became of them. ``MTLSEDGE_FUZZ=full`` tries ten thousand
triples and more, ``MTLSEDGE_FUZZ=<seed>`` others.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from pathlib import Path
from random import Random
from typing import Any

import pytest
from explaining import FULL, SEED, Live, explained_all, question

from mtlsedge.explain.account import Account
from support import odd_verifiers, triples
from support.edge import Edge
from support.origin import CountingOrigin, Received

CONFIGURATIONS = 60 if FULL else 6
EACH = 200
_BARE = (
    "peer did not return a certificate",
    "the client shows no certificate, and the host requires one",
)
_TOKEN = re.compile(r"<token: (.*)>\Z")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", range(CONFIGURATIONS))
def test_what_is_explained_is_what_happens(tmp_path: Path, number: int) -> None:
    """Status, decision and reason, what the log says of the certificate, and the origin's head."""
    random = Random(f"{SEED}.{number}")
    plugins = tmp_path / "plugins"
    env = odd_verifiers.install(plugins)
    with CountingOrigin() as origin:
        config = triples.configuration(random, origin.url)
        with Edge(tmp_path, config, env=env) as edge:
            live = Live(edge, origin)
            questions = [question(random, edge.port) for _ in range(EACH)]
            outcomes = [live.ask(who, asked) for who, asked in questions]
            lines = edge.access_log(len(questions))
            live.close()
    assert len(questions) == len(lines)
    with odd_verifiers.found_here(plugins):
        explained = explained_all(edge.config_path, [asked for _, asked in questions])
    for (who, asked), outcome, line, account in zip(
        questions, outcomes, lines, explained, strict=True
    ):
        where = f"configuration {SEED}.{number}: {who.name}, {asked}"
        assert happened(outcome, line) == foretold(account), where


def happened(outcome: tuple[int, Received | None], line: dict[str, Any]) -> dict[str, Any]:
    """What became of a request, from the client's, the log's and the origin's side."""
    status, received = outcome
    if line["event"] == "handshake":
        assert 0 == status
        return {"handshake": essence(line["reason"])}
    assert status == line["status"], line
    keys = ("decision", "application", "policy", "reason", "service_token", "shadow")
    cert = {key: value for key, value in line["cert"].items() if key not in ("issuer",)}
    return {
        "status": 0 if received is not None else status,
        **{key: line.get(key) or "" for key in keys},
        "cert": cert,
        "origin": None if received is None else live_head(received),
    }


def essence(reason: str) -> str:
    """Why a handshake failed; of one without a certificate OpenSSL has words of its own."""
    return "no certificate" if reason in _BARE else reason


def foretold(account: Account) -> dict[str, Any]:
    """The same from an explanation."""
    answer, certificate = account.answer, account.certificate
    if answer.by == "handshake":
        return {"handshake": essence(answer.reason)}
    assert certificate is not None
    leaf = certificate.leaf
    cert: dict[str, Any] = {
        "presented": certificate.presented,
        "verified": certificate.verified,
        "reason": certificate.reason,
        "detail": certificate.detail,
        "subject": leaf.subject if leaf else "",
        "serial": leaf.serial if leaf else "",
        "fingerprint_sha256": leaf.fingerprint_sha256 if leaf else "",
    }
    if certificate.client_cas:
        cert["client_cas"] = list(certificate.client_cas)
    return {
        "status": answer.status,
        "decision": answer.decision,
        "application": answer.application,
        "policy": answer.policy,
        "reason": answer.reason,
        "service_token": answer.service_token,
        "shadow": list(answer.shadow) or "",
        "cert": cert,
        "origin": None if account.origin is None else explained_head(account.origin.lines),
    }


def live_head(received: Received) -> list[Any]:
    """The lines that an origin got; of a token what it says, but for its times."""
    lines: list[Any] = []
    for line in received.head.decode("latin-1").split("\r\n")[:-2]:
        name, _, value = line.partition(": ")
        if name == "X-Request-Id":
            lines.append("X-Request-Id: ...")
        elif name == "Cf-Access-Jwt-Assertion":
            payload = value.split(".")[1]
            claims = urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode()
            lines.append((name, timeless(claims)))
        else:
            lines.append(line)
    return lines


def explained_head(lines: tuple[str, ...]) -> list[Any]:
    """The same from an explanation."""
    found: list[Any] = []
    for line in lines:
        name, _, value = line.partition(": ")
        token = _TOKEN.match(value)
        found.append(line if token is None else (name, timeless(token[1])))
    return found


def timeless(claims: str) -> dict[str, Any]:
    """A token's claims without its times."""
    return {k: v for k, v in json.loads(claims).items() if k not in ("iat", "nbf", "exp")}

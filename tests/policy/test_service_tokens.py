"""A service token is proved by its id and its secret, until it expires."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

import pytest

from mtlsedge.model import ServiceToken
from mtlsedge.policy.service_tokens import ServiceTokens, mint

SECRET = "s" * 64
TOKEN = ServiceToken("robot", "id.access", hashlib.sha256(SECRET.encode()).hexdigest(), 100.0)
NOW = 50.0


@pytest.mark.parametrize(
    ("client_id", "secret", "now", "name"),
    [
        ("id.access", SECRET, NOW, "robot"),
        ("id.access", SECRET, 99.9, "robot"),
        ("id.access", SECRET, 100.0, ""),
        ("id.access", SECRET[:-1], NOW, ""),
        ("id.access", TOKEN.secret_sha256, NOW, ""),
        ("id.access", "", NOW, ""),
        ("ID.access", SECRET, NOW, ""),
        ("", SECRET, NOW, ""),
        ("", "", NOW, ""),
        ("other", SECRET, NOW, ""),
        ("id.access", "\ud800\xff", NOW, ""),
    ],
)
def test_only_the_right_secret_in_time_proves_a_token(
    client_id: str, secret: str, now: float, name: str
) -> None:
    """Everything else proves nothing, and raises nothing."""
    assert name == ServiceTokens([TOKEN]).check(client_id, secret, now)


def test_a_token_without_an_end_never_expires() -> None:
    """And the case of the stored hash does not matter."""
    token = replace(TOKEN, expires=None, secret_sha256=TOKEN.secret_sha256.upper())
    assert "robot" == ServiceTokens([token]).check("id.access", SECRET, 1e12)


def test_a_minted_token_works_and_looks_like_the_products() -> None:
    """The secret is not in the token, only its hash."""
    token, secret = mint("new", expires=NOW + 1)
    assert re.fullmatch(r"[0-9a-f]{32}\.access", token.client_id)
    assert re.fullmatch(r"[0-9a-f]{64}", secret)
    assert secret not in repr(token)
    assert "new" == ServiceTokens([TOKEN, token]).check(token.client_id, secret, NOW)
    assert mint("new")[1] != secret

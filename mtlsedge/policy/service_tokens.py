"""Did this request prove a service token? ``CF-Access-Client-Id`` and ``-Secret``."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence

from mtlsedge.model import ServiceToken

_NOBODY = ServiceToken("", "", "0" * 64)


class ServiceTokens:
    """The tokens of a configuration, by client id."""

    __slots__ = ("_tokens",)

    def __init__(self, tokens: Sequence[ServiceToken]) -> None:
        self._tokens = {token.client_id: token for token in tokens if token.client_id}

    def check(self, client_id: str, secret: str, now: float) -> str:
        """The name of the token that id and secret prove, or "".

        ``now`` is in seconds since the epoch. The secret is compared in constant time, and an
        id that nobody has costs as much as one that somebody has.
        """
        token = self._tokens.get(client_id, _NOBODY)
        given = hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
        same = hmac.compare_digest(given.encode(), token.secret_sha256.lower().encode())
        expired = token.expires is not None and token.expires <= now
        return token.name if same and not expired else ""


def mint(name: str, expires: float | None = None) -> tuple[ServiceToken, str]:
    """A new token, and its secret, which is kept nowhere: show it once."""
    secret = secrets.token_hex(32)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    return ServiceToken(name, f"{secrets.token_hex(16)}.access", digest, expires), secret

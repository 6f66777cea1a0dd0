"""What does an admitted caller carry? Its token at one application, signed once and reused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mtlsedge.identity import Identity
from mtlsedge.policy.application import CompiledApplication
from mtlsedge.session.cookie import SetCookie, cookie_path, read
from mtlsedge.session.keys import KeyRing
from mtlsedge.session.tokens import Token, TokenIssuer


@dataclass(frozen=True, slots=True)
class Holder:
    """Who a token is made out to: a certificate's holder, or a service token's."""

    common_name: str
    thumbprint: str  # SHA-256 of the leaf, hexadecimal; "" without a certificate

    @classmethod
    def of(cls, identity: Identity, service_token_id: str) -> Holder:
        """A certificate that verified comes before a service token."""
        if identity.verified and identity.chain is not None:
            leaf = identity.chain.leaf
            return cls(leaf.common_name, leaf.fingerprint_sha256)
        return cls(service_token_id, "")


_FRESH = 60.0  # seconds for which a session is taken as it is; keys are looked at as rarely


@dataclass(frozen=True, slots=True)
class AccessSession:
    """A caller at an application: the header for the origin, the cookie for the client.

    It is good from ``since`` to ``until``, in seconds since the epoch. Then it is looked at
    again, whether its token has to be replaced.
    """

    token: Token
    holder: Holder
    assertion: bytes  # a header line
    cookie: SetCookie
    since: float
    until: float


class AccessTokens:
    """The edge's tokens, as requests need them."""

    def __init__(self, ring: KeyRing, issuer: TokenIssuer, now: Callable[[], float]) -> None:
        self.ring = ring
        self._issuer = issuer
        self._now = now

    def session(
        self,
        application: CompiledApplication,
        server_name: str,
        holder: Holder,
        earlier: AccessSession | None,
    ) -> AccessSession:
        """The session of a caller; the earlier one where its token is still the right one."""
        token = self._issuer.token(
            application.aud,
            issuer_of(server_name),
            holder.common_name,
            holder.thumbprint,
            application.session_duration,
        )
        now = self._now()
        until = min(now + _FRESH, token.renew_at)
        if earlier is not None and earlier.token is token:
            return replace(earlier, since=now, until=until)
        return AccessSession(
            token,
            holder,
            b"Cf-Access-Jwt-Assertion: %b\r\n" % token.text.encode("ascii"),
            SetCookie(token, _cookie_path(application)),
            now,
            until,
        )

    def valid_cookies(
        self,
        cookies: Sequence[bytes],
        application: CompiledApplication,
        server_name: str,
        holder: Holder,
    ) -> list[str]:
        """The tokens among a request's cookies that are this caller's, here and now."""
        iss = issuer_of(server_name)
        return [
            text
            for text in read(cookies)
            if self._issuer.accepts(
                text, application.aud, iss, holder.thumbprint, holder.common_name
            )
        ]

    def still_valid(
        self,
        texts: Sequence[str],
        application: CompiledApplication,
        server_name: str,
        holder: Holder,
    ) -> bool:
        """Whether ``valid_cookies`` would find all of these again."""
        iss, aud = issuer_of(server_name), application.aud
        thumbprint, name = holder.thumbprint, holder.common_name
        return all(self._issuer.accepts(text, aud, iss, thumbprint, name) for text in texts)


def issuer_of(server_name: str) -> str:
    """The ``iss`` of tokens: where ``/cdn-cgi/access/certs`` is."""
    return f"https://[{server_name}]" if ":" in server_name else f"https://{server_name}"


def _cookie_path(application: CompiledApplication) -> str:
    paths = {cookie_path(domain.path) for domain in application.domains}
    return paths.pop() if len(paths) == 1 else "/"

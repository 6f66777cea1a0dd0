"""Which JWT says what a session proved, and is a JWT that comes back one of ours?

Application tokens as Cloudflare Access makes them, with one claim more: ``cnf`` with
``x5t#S256`` (RFC 8705 §3.1), which ties a token to the certificate of the session. A token never
stands in for a certificate.

Signing costs most of a millisecond, so one token serves every request of a session at an
application, on all its connections, until it nears its end.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from json.encoder import encode_basestring as _quoted
from typing import Any, Generic, TypeVar

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import GuestProtocol, RSAKey

from mtlsedge.session.keys import KeyRing
from mtlsedge.session.keystore import SigningKey

K = TypeVar("K")
V = TypeVar("V")

LONGEST = 4096
"""Characters of the longest token that is looked at: browsers keep no longer cookie either."""

_ALGORITHM = "RS256"
_PADDING, _HASH = PKCS1v15(), SHA256()
_RENEWAL = 60.0  # seconds before its end at which a token is replaced, if a tenth is not more
_REFUSAL_KEPT = 60.0  # seconds; a key that another worker made may be known by then


@dataclass(frozen=True, slots=True)
class Token:
    """A signed JWT, when it expires, and when another takes its place (seconds since the epoch)."""

    text: str
    expires: float
    renew_at: float


@dataclass(frozen=True, slots=True)
class _Issued:
    token: Token
    kid: str


@dataclass(frozen=True, slots=True)
class _Accepted:
    kid: str
    expires: float


class _Recent(OrderedDict[K, V], Generic[K, V]):
    """The most recently used entries, at most ``size`` of them."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def recall(self, key: K) -> V | None:
        value = self.get(key)
        if value is not None:
            self.move_to_end(key)
        return value

    def keep(self, key: K, value: V) -> None:
        self[key] = value
        self.move_to_end(key)
        if len(self) > self._size:
            self.popitem(last=False)


class TokenIssuer:
    """Makes the tokens of every application, and knows its own when they come back.

    ``now`` is the wall clock in seconds since the epoch; ``remembered`` bounds how many tokens
    are kept, each some 1.2 KB.
    """

    def __init__(self, ring: KeyRing, now: Callable[[], float], remembered: int = 16384) -> None:
        self._ring = ring
        self._now = now
        self._issued: _Recent[tuple[str, str, str, str, float], _Issued] = _Recent(remembered)
        # Two caches, so that a peer that sends rubbish cannot push out what is good.
        self._accepted: _Recent[tuple[str, ...], _Accepted] = _Recent(remembered // 4 or 1)
        self._refused: _Recent[tuple[str, ...], float] = _Recent(remembered // 16 or 1)

    def token(
        self, aud: str, iss: str, common_name: str, thumbprint: str, lifetime: float
    ) -> Token:
        """The token of a session at an application, signed now or not long ago.

        Arguments:
            aud: the application's audience tag.
            iss: the issuer, an origin such as ``https://iot.example.com``.
            common_name: the certificate's, or the client id of a service token.
            thumbprint: SHA-256 of the leaf's DER, in hexadecimal, as
                ``Certificate.fingerprint_sha256``; "" where the session has no certificate.
            lifetime: the application's session duration in seconds.
        """
        now = self._now()
        wanted = (aud, iss, common_name, thumbprint, lifetime)
        issued = self._issued.recall(wanted)
        signing = self._ring.signing
        # A token from the future means the clock went back: verifiers would refuse it.
        if (
            issued is not None
            and issued.kid == signing.kid
            and issued.token.expires - lifetime - 1.0 <= now < issued.token.renew_at
        ):
            return issued.token
        begins = int(now)
        expires = begins + max(1, int(lifetime))
        claims = _claims(aud, iss, common_name, thumbprint, begins, expires)
        margin = min(max(lifetime / 10, _RENEWAL), lifetime / 2)
        token = Token(_sign(signing, claims), float(expires), expires - margin)
        self._issued.keep(wanted, _Issued(token, signing.kid))
        return token

    def accepts(
        self, text: str, aud: str, iss: str, thumbprint: str, common_name: str | None = None
    ) -> bool:
        """Whether a token is ours, valid now, and of this application and certificate.

        ``thumbprint`` is as in ``token``; with "" the token must be bound to no certificate.
        ``common_name`` is compared where it is given, as it should be for sessions without a
        certificate: nothing else tells one service token's session from another's.
        """
        if len(text) > LONGEST or text.count(".") != 2 or not text.isascii():
            return False
        now = self._now()
        asked = (text, aud, iss, thumbprint, common_name or "", "" if common_name is None else "=")
        accepted = self._accepted.recall(asked)
        if accepted is not None:
            return now < accepted.expires and self._ring.verifying(accepted.kid) is not None
        refused_until = self._refused.recall(asked)
        if refused_until is not None and now < refused_until <= now + _REFUSAL_KEPT:
            return False
        accepted = self._verify(text, aud, iss, thumbprint, common_name)
        if accepted is None:
            self._refused.keep(asked, now + _REFUSAL_KEPT)
            return False
        self._accepted.keep(asked, accepted)
        return True

    def _verify(
        self, text: str, aud: str, iss: str, thumbprint: str, common_name: str | None
    ) -> _Accepted | None:
        registry = jwt.JWTClaimsRegistry(
            now=int(self._now()),
            iss={"essential": True, "value": iss},
            aud={"essential": True, "value": aud},
            exp={"essential": True},
            nbf={"essential": True},
            type={"essential": True, "value": "app"},
        )
        try:
            token = jwt.decode(text, self._key_for, [_ALGORITHM])
            registry.validate(token.claims)
            expected = _confirmation(thumbprint) if thumbprint else None
        except (JoseError, ValueError, TypeError, RecursionError):
            return None
        claims = token.claims
        if claims.get("cnf") != expected:
            return None
        if common_name is not None and claims.get("common_name") != _encodable(common_name):
            return None
        return _Accepted(token.header["kid"], float(claims["exp"]))

    def _key_for(self, jws: GuestProtocol) -> RSAKey:
        """The published key that the token names. Its header chooses nothing else."""
        kid = jws.headers().get("kid")
        key = self._ring.verifying(kid) if isinstance(kid, str) else None
        if key is None:
            raise ValueError("signed with no key of ours")
        return key.key


def _claims(
    aud: str, iss: str, common_name: str, thumbprint: str, begins: int, expires: int
) -> str:
    """The claims of an application token as JSON: `json.dumps` takes several times as long."""
    confirmation = f',"cnf":{{"x5t#S256":"{_x5t(thumbprint)}"}}' if thumbprint else ""
    return (
        f'{{"type":"app","aud":[{_quoted(aud)}],"iss":{_quoted(iss)},'
        f'"iat":{begins},"nbf":{begins},"exp":{expires},"sub":"",'
        f'"common_name":{_quoted(_encodable(common_name))}{confirmation}}}'
    )


def sign(ring: KeyRing, claims: Mapping[str, Any]) -> str:
    """A JWT of these claims, by the key that signs now (RFC 7515 §7.1, RFC 7518 §3.3)."""
    content = json.dumps(dict(claims), ensure_ascii=False, separators=(",", ":"))
    return _sign(ring.signing, content)


def _sign(signing: SigningKey, claims: str) -> str:
    private = signing.key.private_key
    assert private is not None
    signed = b"%b.%b" % (_header(signing.kid), _base64url(claims.encode("utf-8")))
    signature = private.sign(signed, _PADDING, _HASH)
    return (b"%b.%b" % (signed, _base64url(signature))).decode("ascii")


@lru_cache(maxsize=16)
def _header(kid: str) -> bytes:
    """What every token of one key begins with."""
    header = {"typ": "JWT", "alg": _ALGORITHM, "kid": kid}
    return _base64url(json.dumps(header, separators=(",", ":")).encode("ascii"))


def _base64url(octets: bytes) -> bytes:
    return urlsafe_b64encode(octets).rstrip(b"=")


def _encodable(text: str) -> str:
    """A name that UTF-8 can carry: certificates have been made with half a surrogate pair."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _confirmation(thumbprint: str) -> dict[str, str]:
    return {"x5t#S256": _x5t(thumbprint)}


def _x5t(thumbprint: str) -> str:
    return _base64url(bytes.fromhex(thumbprint)).decode("ascii")

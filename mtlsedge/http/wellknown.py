"""What does the edge answer by itself? ``/cdn-cgi/access/certs``, ``get-identity``, ``logout``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from mtlsedge.http.messages import Headers, RequestHead
from mtlsedge.http.site import Caller
from mtlsedge.identity import Certificate
from mtlsedge.names import covers
from mtlsedge.session.cookie import clear_cookie, cookie_path
from mtlsedge.target import Target

PREFIX = "/cdn-cgi/access/"

Answer = tuple[int, Headers, bytes]

_JSON = (b"Content-Type", b"application/json")
_NO_STORE = (b"Cache-Control", b"no-store")


def answer(target: Target, head: RequestHead, caller: Caller) -> Answer | None:
    """The status, headers and body for one of the edge's own paths; None for any other.

    The whole prefix is the edge's: nothing under it ever reaches an origin.
    """
    path = target.request_path.path
    if not path.startswith(PREFIX):
        return None
    handler = _HANDLERS.get(path.removeprefix(PREFIX))
    if handler is None:
        return 404, [_JSON, _NO_STORE], b'{"error":"the edge has no such page"}'
    if head.method not in ("GET", "HEAD"):
        return 405, [_JSON, _NO_STORE, (b"Allow", b"GET, HEAD")], b'{"error":"use GET"}'
    return handler(target, caller)


def _certs(target: Target, caller: Caller) -> Answer:
    keys = caller.site.tokens.ring.public_keys()
    return 200, [_JSON, (b"Cache-Control", b"max-age=300")], _body(keys)


def _get_identity(target: Target, caller: Caller) -> Answer:
    identity = caller.identity
    leaf = identity.chain.leaf if identity.chain is not None else None
    return (
        200,
        [_JSON, _NO_STORE],
        _body(
            {
                "ip": caller.address,
                "host": target.host,
                "certificate": {
                    "presented": identity.presented,
                    "verified": identity.verified,
                    "reason": identity.reason.value,
                    "client_cas": list(identity.client_cas),
                    **(_described(leaf) if leaf is not None else {}),
                },
                "attributes": dict(identity.attributes),
            }
        ),
    )


def _described(leaf: Certificate) -> dict[str, Any]:
    return {
        "subject": leaf.subject,
        "issuer": leaf.issuer,
        "common_name": leaf.common_name,
        "serial": leaf.serial,
        "fingerprint_sha256": leaf.fingerprint_sha256,
        "not_before": int(leaf.not_before),
        "not_after": int(leaf.not_after),
        "san": {
            "dns": leaf.san_dns,
            "uri": leaf.san_uri,
            "email": leaf.san_email,
            "ip": leaf.san_ip,
        },
    }


def _logout(target: Target, caller: Caller) -> Answer:
    paths = {
        cookie_path(domain.path)
        for application in caller.site.policy.applications
        for domain in application.domains
        if covers(domain.host, target.host)
    }
    cookies = [(b"Set-Cookie", clear_cookie(path)) for path in sorted(paths | {"/"})]
    return 200, [_JSON, _NO_STORE, *cookies], b'{"logged_out":true}'


def _body(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode("ascii")


_HANDLERS: dict[str, Callable[[Target, Caller], Answer]] = {
    "certs": _certs,
    "get-identity": _get_identity,
    "logout": _logout,
}

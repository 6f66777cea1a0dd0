"""Configurations, certificates and requests by the thousand: everything follows from a seed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from random import Random
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from support import certs, tables

NAMES = ("a.example.com", "b.example.com", "*.wild.example.com", "plain.example.com")
ASKED = ("a.example.com", "b.example.com", "one.wild.example.com", "plain.example.com")
STRANGERS = ("nobody.example.com", "two.one.wild.example.com", None)
SECOND_CA = "Second Client CA"
TWIN_CA = "Twin of the first"
GARBAGE, UNSURE = "odd:sync-garbage", "odd:sync-unsure"  # verifiers that fail
SECRET = "opensesame"

_ANSWERING = ("odd:sync-yes", "odd:sync-no", "san:dns=device-1.example.com")
_DOMAINS = ("", "/a", "/a/b", "/a/*", "/v*/data", "/b", "/A", "/a/b/c")
_PATHS = ("/", "/a", "/a/", "/a/b", "/A/b", "/a/b/c?x=1", "/a%2fb", "/a/../b", "/a/..%2fb", "//a",
          "/a;x=1/b", "/a/%2e%2e/b", "/a/%00", "/v1/data", "/v/data/x", "/%61", "/a+b", "/%",
          "/b", "/c", "/a%252fb", "/cdn-cgi/access/get-identity", "/cdn-cgi/access/certs",
          "/cdn-cgi/access/none", "/b/c/d?q=%2f", "/a/b/")  # fmt: skip
_PLAIN = ("/", "/a", "/a/b", "/a/b/c?x=1", "/b", "/v1/data", "/c")
_METHODS = ("GET",) * 14 + ("POST", "PUT", "HEAD", "OPTIONS", "DELETE", "TRACE", "PATCH")
_FIELDS: tuple[tuple[tuple[bytes, bytes], ...], ...] = (
    *((),) * 9,
    *(((b"Cf-Access-Client-Id", b"robot.access"), (b"Cf-Access-Client-Secret", SECRET.encode())),)
    * 2,
    ((b"Cf-Access-Client-Id", b"robot.access"), (b"Cf-Access-Client-Secret", b"wrong")),
    ((b"Cf-Access-Client-Id", b"old.access"), (b"Cf-Access-Client-Secret", SECRET.encode())),
    ((b"Accept", b"text/html"),),
    ((b"Cookie", b"a=b; CF_Authorization=x.y.z"), (b"X-Forwarded-For", b"10.0.0.1")),
    ((b"Cf_Cert-Verified", b"true"), (b"X-Request-Id", b"mine"), (b"X-Other", b"kept")),
    ((b"Host", b"b.example.com"),),
    ((b"Host", b"A.EXAMPLE.COM.:8443"),),
    ((b"Host", b"not a host"),),
    ((b"Connection", b"upgrade"), (b"Upgrade", b"websocket, h2c")),
)


@dataclass(frozen=True)
class Presented:
    """What one client shows, under a name for messages."""

    name: str
    pair: certs.Pair | None


@cache
def presented() -> tuple[Presented, ...]:
    """Every kind of client."""
    below = certs.intermediate("Below")
    chained = certs.store("chained", below.issue("device-3", ("device-3.example.com",)))
    lonely_issued = below.issue("lonely")
    leaf = lonely_issued.certificate.partition(b"-----END CERTIFICATE-----\n")
    lonely = certs.store(
        "lonely", type(lonely_issued)(leaf[0] + leaf[1], lonely_issued.key, lonely_issued.x509)
    )
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example, Inc."),
            x509.NameAttribute(NameOID.COMMON_NAME, "device-2"),
        ]
    )
    named = certs.store("named", certs.authority().issue(name, ("192.0.2.7", "b@example.com")))
    twice = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text) for text in ("x", "device-1")])
    later = certs.authority().issue(
        "later", not_before=certs.authority().certificate.not_valid_before_utc + timedelta(days=90)
    )
    return (
        Presented("nothing", None),
        Presented("device-1", certs.client("device-1", hosts=("device-1.example.com",))),
        Presented("device-2", named),
        Presented("of an intermediate", chained),
        Presented("without its intermediate", lonely),
        Presented("of the second CA", certs.client("device-1", SECOND_CA)),
        Presented("of another CA", certs.client("device-1", certs.OTHER_CA)),
        Presented("expired", certs.expired_client()),
        Presented("not yet valid", certs.store("later", later)),
        Presented("revoked", certs.client("revoked")),
        Presented("two common names", certs.store("twice", certs.authority().issue(twice))),
        Presented("for servers", certs.server("device-1.example.com", ca=certs.CLIENT_CA)),
    )


def configuration(random: Random, upstream: str) -> dict[str, Any]:
    """One that can be served where `odd_verifiers` are installed, whatever it says."""
    crl = certs.crl_file("triples.crl", certs.client("revoked"))
    first = tables.client_ca(*_some(random, NAMES[:3]))
    if random.random() < 0.6:
        # Else who came through the intermediate is refused, as nobody has its list.
        first |= {"crl": [crl], "crl_policy": random.choice(("require", "warn"))}
        first |= {"crl_check": random.choice(("chain", "leaf"))}
    if random.random() < 0.3:
        first["verifier"] = ["san:dns=*.example.com", "pin:sha256=" + "0" * 64]
        first["verifiers_match"] = random.choice(("any", "all"))
    second = tables.client_ca(*_some(random, NAMES[:3]), name=SECOND_CA)
    if random.random() < 0.3:
        second |= {"verifiers": [UNSURE, "odd:sync-yes"], "verifiers_match": "any"}
    twin = tables.client_ca(*first["hosts"], name=certs.CLIENT_CA) | {
        "name": TWIN_CA,
        "verifier": random.choice((GARBAGE, "odd:sync-yes", "odd:sync-no")),
    }
    guarded = {*first["hosts"], *second["hosts"]}
    edge = {"default_host": "a.example.com"} if random.random() < 0.5 else {}
    return {
        "edge": edge,
        "host": [_host(random, name, upstream, asks=name in guarded) for name in NAMES],
        "client_ca": [first, second, twin],
        "group": [
            {"name": "inner", "include": [_rule(random, groups=False)]},
            {
                "name": "but",
                "include": [{"everyone": True}],
                "exclude": [{"group": "inner"}, _rule(random, groups=False)],
            },
            {"name": "outer", "include": [{"group": "inner"}, _rule(random, groups=False)]},
        ],
        "service_token": [
            _token("robot", "robot.access", {}),
            _token("old", "old.access", {"expires": "2020-01-01T00:00:00Z"}),
        ],
        "application": _applications(random),
    }


def client(random: Random) -> Presented:
    """One of them; those whose certificates verify are the most usual."""
    return random.choice(presented() if random.random() < 0.5 else presented()[1:6])


def request(random: Random) -> tuple[str, str, tuple[tuple[bytes, bytes], ...]]:
    """A path, a method and header lines."""
    path = random.choice(_PATHS if random.random() < 0.5 else _PLAIN)
    return path, random.choice(_METHODS), random.choice(_FIELDS)


def _host(random: Random, name: str, upstream: str, *, asks: bool) -> dict[str, Any]:
    return tables.host(
        name,
        upstream=upstream,
        handshake="require" if asks and random.random() < 0.25 else "record",
        unprotected=random.choice(("deny", "deny", "pass")),
        forward_certificate=_some(random, ("cf", "rfc9440", "xfcc"), 0),
        preserve_host=random.random() < 0.7,
    )


def _applications(random: Random) -> list[dict[str, Any]]:
    places = [f"{name}{path}" for name in (*NAMES, "*.example.com") for path in _DOMAINS]
    chosen = random.sample(places, random.randrange(4, 14))
    found = []
    while chosen:
        take = min(len(chosen), random.choice((1, 1, 2)))
        domains, chosen = chosen[:take], chosen[take:]
        policies = [_policy(random) for _ in range(random.randrange(1, 5))]
        application = tables.application(domains[0], *policies)
        found.append({**application, "domain": domains})
    return found


def _policy(random: Random) -> dict[str, Any]:
    decision = random.choice(("allow", "service_auth", "bypass", "block"))
    clauses = {"include": [_rule(random) for _ in range(random.randrange(1, 3))]}
    for clause in ("require", "exclude"):
        if random.random() < 0.3:
            clauses[clause] = [_rule(random)]
    if random.random() < 0.5:
        clauses[random.choice(("include", "require", "exclude", "exclude"))] = [_doubtful(random)]
    shadow = {"shadow": True} if random.random() < 0.2 else {}
    return tables.policy(decision, **clauses, **shadow)


def _rule(random: Random, *, groups: bool = True) -> dict[str, Any]:
    known = [each.pair for each in presented() if each.pair is not None]
    rules: list[dict[str, Any]] = [
        {"certificate": True},
        {"certificate": True},
        {"common_name": random.sample(("device-1", "device-2", "device-3", "x"), 2)},
        {"organization": "Example, Inc."},
        {"issuer": f"CN={random.choice((certs.CLIENT_CA, SECOND_CA, 'Below'))}"},
        {"serial": random.choice(known).serial},
        {"fingerprint_sha256": random.choice(known).fingerprint},
        {"san_dns": "*.example.com"},
        {"san_ip": "192.0.2.0/24"},
        {"san_email": "b@example.com"},
        {"client_ca": random.choice((certs.CLIENT_CA, SECOND_CA, TWIN_CA))},
        {"ip": random.choice(("127.0.0.0/8", "10.0.0.0/8"))},
        {"method": random.sample(("GET", "POST", "PUT"), 2)},
        {"service_token": "robot"},
        {"any_valid_service_token": True},
        {"everyone": True},
        {"verifier": "san:dns=device-1.example.com"},
        _doubtful(random),
        {"group": random.choice(("inner", "outer", "but"))},
        {"group": random.choice(("inner", "outer", "but"))},
    ]
    return random.choice(rules if groups else rules[:-2])


def _doubtful(random: Random) -> dict[str, Any]:
    """A rule on the word of verifiers that fail, or may."""
    return random.choice(
        [
            {"verifier": random.choice((GARBAGE, UNSURE, f"{GARBAGE},on_error=allow"))},
            {"verifier": [random.choice((GARBAGE, UNSURE)), random.choice(_ANSWERING)]},
            {"attribute": f"department={random.choice(('radiology é%', 'paediatrics'))}"},
            {"client_ca": TWIN_CA},
        ]
    )


def _token(name: str, client_id: str, more: dict[str, str]) -> dict[str, str]:
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    return {"name": name, "client_id": client_id, "secret_sha256": digest, **more}


def _some(random: Random, all_: tuple[str, ...], least: int = 1) -> list[str]:
    return random.sample(all_, random.randrange(least, len(all_) + 1))

"""What do ``[[client_ca]]`` and ``[[service_token]]`` say: by what do clients prove themselves?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final, Literal

from cryptography import x509

from mtlsedge.config import judgement
from mtlsedge.config.network import host_pattern
from mtlsedge.config.pem import ca_certificates, certificate_file, crl_file
from mtlsedge.config.reader import Convert, Place, Table, Wrong, meant
from mtlsedge.config.values import choice, hexadecimal, instant, many, name, verifier, visible
from mtlsedge.model import ClientCA, CrlSource, ServiceToken

CrlPolicy = Literal["require", "warn"]
_CRL_POLICIES: Final[Mapping[str, CrlPolicy]] = {"require": "require", "warn": "warn"}
_NO_SECRET = hashlib.sha256(b"").hexdigest()
_TOKEN_HINTS = {
    "secret": "is never written down here; give its hash as secret_sha256, "
    "from 'printf %s SECRET | sha256sum'"
}


class Unique:
    """Refuses the second of two equal names."""

    def __init__(self, what: str, convert: Convert[str] = name) -> None:
        self._what = what
        self._convert = convert
        self._taken: dict[str, str] = {}

    def __call__(self, value: object, place: Place) -> str:
        """A ``Convert``: the text, if nothing before had it."""
        word = self._convert(value, place)
        other = self._taken.setdefault(word, place.where)
        if other != place.where:
            raise Wrong(f"{word!r} is taken by {other}; {self._what}")
        return word


class ClientCAReader:
    """Reads the client CAs of one configuration."""

    def __init__(self, host_names: Iterable[str]) -> None:
        self._host_names = frozenset(host_names)
        self._name = Unique("rules and logs know a CA by its name, so give each its own")

    def read(self, table: Table) -> ClientCA:
        """A ``[[client_ca]]`` table."""
        bundle = table.need(
            "certificate", certificate_file, None, "name the PEM file of the CA that signs clients"
        )
        found: tuple[x509.Certificate, ...] = ()
        if bundle is not None:
            at = table.at("certificate")
            found = at.read(lambda _, __: ca_certificates(bundle), None, ())
            judgement.client_ca_bundle(at, found, bundle)
        return ClientCA(
            name=table.need("name", self._name, "", "rules and logs call the CA by it"),
            certificates=bundle.data if bundle else b"",
            hosts=table.need(
                "hosts", many(self._host), (), "name the hosts whose clients it signs"
            ),
            place=str(bundle.path) if bundle else "",
            crls=table.take("crl", many(_crl_of(found)), ()),
            crl_policy=_crl_policy(table),
            verifiers=_verifiers(table),
        )

    def _host(self, value: object, place: Place) -> str:
        pattern = host_pattern(value, place)
        if pattern not in self._host_names:
            near = meant(pattern, self._host_names)
            raise Wrong(f"{pattern!r} is the name of no [[host]], word for word; {near}")
        return pattern


class ServiceTokenReader:
    """Reads the service tokens of one configuration."""

    def __init__(self) -> None:
        self._name = Unique("rules know a token by its name, so give each its own")
        self._client_id = Unique("each token has its own client_id", visible)

    def read(self, table: Table) -> ServiceToken:
        """A ``[[service_token]]`` table."""
        table.hint(_TOKEN_HINTS)
        return ServiceToken(
            name=table.need("name", self._name, "", "rules call the token by it"),
            client_id=table.need(
                "client_id", self._client_id, "", "it is what CF-Access-Client-Id carries"
            ),
            secret_sha256=table.need(
                "secret_sha256", _secret, "", "it is 'printf %s SECRET | sha256sum'"
            ),
            expires=_expires(table),
        )


def _crl_of(issuers: tuple[x509.Certificate, ...]) -> Convert[CrlSource]:
    def source(value: object, place: Place) -> CrlSource:
        content = crl_file(value, place)
        judgement.crl(content, place, issuers)
        return CrlSource(str(content.path), content.data)

    return source


def _crl_policy(table: Table) -> CrlPolicy:
    if "crl_policy" in table and "crl" not in table:
        table.at("crl_policy").problem("says nothing without a crl; name one, or take it out")
    return table.take("crl_policy", choice(_CRL_POLICIES), _CRL_POLICIES["require"])


def _verifiers(table: Table) -> tuple[str, ...]:
    if "verifier" in table and "verifiers" in table:
        table.at("verifier").problem("and 'verifiers' say the same; write one of them")
    one = table.take("verifier", many(verifier), ())
    several = table.take("verifiers", many(verifier, empty=True), ())
    return one or several


def _secret(value: object, place: Place) -> str:
    digest = hexadecimal(64)(value, place)
    if digest == _NO_SECRET:
        raise Wrong("is the hash of nothing; hash the secret itself, without a newline")
    return digest


def _expires(table: Table) -> float | None:
    expires = table.take("expires", instant, None)
    if expires is not None and expires < table.place.loading.now:
        table.at("expires").warn("is past; the token admits nobody")
    return expires

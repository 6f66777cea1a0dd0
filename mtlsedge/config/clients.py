"""What do ``[[client_ca]]`` and ``[[service_token]]`` say: by what do clients prove themselves?"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeVar

from cryptography import x509

from mtlsedge.config import judgement
from mtlsedge.config.feeds import crl_url, is_url, refresh, trusted_for
from mtlsedge.config.network import host_pattern
from mtlsedge.config.ocsp import read_ocsp
from mtlsedge.config.pem import ca_certificates, certificate_file, crl_file
from mtlsedge.config.reader import Convert, Place, Table, Wrong, meant, show
from mtlsedge.config.values import (
    choice,
    duration,
    hexadecimal,
    instant,
    many,
    name,
    text,
    verifier,
    visible,
)
from mtlsedge.model import ClientCA, CrlSource, ServiceToken

T = TypeVar("T")
CrlPolicy = Literal["require", "warn"]
CrlCheck = Literal["chain", "leaf"]
VerifiersMatch = Literal["all", "any"]
_VERIFIERS_MATCH: Final[Mapping[str, VerifiersMatch]] = {"all": "all", "any": "any"}
_CRL_POLICIES: Final[Mapping[str, CrlPolicy]] = {"require": "require", "warn": "warn"}
_CRL_CHECKS: Final[Mapping[str, CrlCheck]] = {"chain": "chain", "leaf": "leaf"}
_LONGEST_GRACE = 30 * 86400.0
_OBJECT_IDENTIFIER = re.compile(r"[0-2](\.(0|[1-9][0-9]{0,38})){1,63}")
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
    """Reads the client CAs of one configuration.

    Attributes:
        subjects: the DER of the subject names in each one's bundle, by its name.
    """

    def __init__(self, host_names: Iterable[str]) -> None:
        self._host_names = frozenset(host_names)
        self._name = Unique("rules and logs know a CA by its name, so give each its own")
        self.subjects: dict[str, frozenset[bytes]] = {}

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
        signers: tuple[x509.Certificate, ...] = ()
        signing = _beside_crl(table, "crl_issuer", certificate_file, None)
        if signing is not None:
            at = table.at("crl_issuer")
            signers = at.read(lambda _, __: ca_certificates(signing), None, ())
            judgement.crl_issuers(at, signers, signing)
        name = table.need("name", self._name, "", "rules and logs call the CA by it")
        crls = table.take("crl", many(_crl_of((*found, *signers))), ())
        self.subjects[name] = frozenset(each.subject.public_bytes() for each in found)
        return ClientCA(
            name=name,
            certificates=bundle.data if bundle else b"",
            hosts=table.need(
                "hosts", many(self._host), (), "name the hosts whose clients it signs"
            ),
            place=str(bundle.path) if bundle else "",
            crls=crls,
            crl_refresh=refresh(table, "crl_refresh", remote=any(crl.remote for crl in crls)),
            crl_ca=trusted_for(table, "crl_ca", secure=any(map(_is_secure, crls))),
            crl_policy=_beside_crl(table, "crl_policy", choice(_CRL_POLICIES), "require"),
            crl_check=_beside_crl(table, "crl_check", choice(_CRL_CHECKS), "chain"),
            crl_grace=_beside_crl(table, "crl_grace", duration(0, _LONGEST_GRACE), 0.0),
            crl_issuers=signing.data if signing else b"",
            ocsp=read_ocsp(table),
            required_policies=table.take("required_policies", many(_object_identifier), ()),
            verifiers=_verifiers(table),
            verifiers_match=_verifiers_match(table),
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
        if is_url(value):
            return crl_url(value, place)
        content = crl_file(value, place)
        try:
            judgement.crl(content, place, issuers)
        except Wrong as wrong:
            # The trust store keeps the issuer's last good list, or lets nobody of it pass: one
            # damaged list must neither stop the edge nor open a door.
            place.warn(f"{wrong}; until then it counts as no CRL")
        return CrlSource(str(content.path), content.data)

    return source


def _is_secure(crl: CrlSource) -> bool:
    return crl.remote and crl.place.lower().startswith("https:")


def _beside_crl(table: Table, key: str, convert: Convert[T], default: T) -> T:
    """A key that says how CRLs are used."""
    if key in table and "crl" not in table:
        table.at(key).problem("says nothing without a crl; name one, or take it out")
    return table.take(key, convert, default)


def _object_identifier(value: object, place: Place) -> str:
    found = text(value, place)
    if not _OBJECT_IDENTIFIER.fullmatch(found):
        raise Wrong(f"{show(found)} is no object identifier, such as '1.3.6.1.4.1.311.21.8'")
    return found


def _verifiers(table: Table) -> tuple[str, ...]:
    if "verifier" in table and "verifiers" in table:
        table.at("verifier").problem("and 'verifiers' say the same; write one of them")
    one = table.take("verifier", many(verifier), ())
    several = table.take("verifiers", many(verifier, empty=True), ())
    return one or several


def _verifiers_match(table: Table) -> VerifiersMatch:
    if "verifiers_match" in table:
        at = table.at("verifiers_match")
        if "verifier" not in table and "verifiers" not in table:
            at.problem("says nothing without verifiers; take it out")
        elif table.take("verifiers", lambda value, _: value == [], False):
            at.problem("is about verifiers, and 'verifiers' is empty; name one, or take this out")
    return table.take("verifiers_match", choice(_VERIFIERS_MATCH), "all")


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

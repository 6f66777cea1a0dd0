"""What does each ``[[host]]`` say: names, certificate, origins?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from mtlsedge.config import judgement
from mtlsedge.config.edge import host_limits, host_timeouts
from mtlsedge.config.network import HTTP3_KEYS, host_name, host_pattern, protocol, upstream
from mtlsedge.config.pem import ca_certificates, certificate_file
from mtlsedge.config.reader import Place, Table, Wrong, show
from mtlsedge.config.values import boolean, choice, many, token
from mtlsedge.model import (
    Advertising,
    CertificateDialect,
    Edge,
    Host,
    KeyPair,
    Upstream,
    UpstreamTLS,
)

_EMPTY = KeyPair(b"", b"")
_UPSTREAM_TLS_KEYS = (
    "upstream_ca",
    "upstream_server_name",
    "upstream_certificate",
    "upstream_key",
)
_HANDSHAKES: Final[Mapping[str, Literal["record", "require"]]] = {
    "record": "record",
    "require": "require",
}
_UNPROTECTED: Final[Mapping[str, Literal["deny", "pass"]]] = {"deny": "deny", "pass": "pass"}
_RESUMPTION: Final[Mapping[str, Literal["off", "recheck"]]] = {"off": "off", "recheck": "recheck"}
_ADVERTISING: Final[Mapping[str, Advertising]] = {
    "auto": "auto",
    "always": "always",
    "never": "never",
}
_DIALECTS: Final[Mapping[str, CertificateDialect]] = {
    "cf": "cf",
    "rfc9440": "rfc9440",
    "xfcc": "xfcc",
}


class HostReader:
    """Reads the hosts of one configuration; remembers who claimed which name."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self.claims: dict[str, str] = {}

    def read(self, table: Table) -> Host:
        """A ``[[host]]`` table."""
        table.hint(HTTP3_KEYS)
        table.take("protocols", many(protocol), ())
        names = self._names(table)
        origins = _origins(table)
        return Host(
            names=names,
            key_pair=_key_pair(table, "", names),
            upstream=origins,
            upstream_tls=_upstream_tls(table, origins),
            handshake=table.take("handshake", choice(_HANDSHAKES), _HANDSHAKES["record"]),
            unprotected=table.take("unprotected", choice(_UNPROTECTED), _UNPROTECTED["deny"]),
            resumption=table.take("resumption", choice(_RESUMPTION), _RESUMPTION["off"]),
            advertise_cas=table.take("advertise_cas", choice(_ADVERTISING), _ADVERTISING["auto"]),
            forward_certificate=frozenset(
                table.take("forward_certificate", many(choice(_DIALECTS), empty=True), ())
            ),
            forward_attributes=table.take("forward_attributes", many(_attribute, empty=True), ()),
            preserve_host=table.take("preserve_host", boolean, True),
            upgrades=table.take("upgrades", many(_upgrade, empty=True), ("*",)),
            limits=host_limits(table, self._edge),
            timeouts=host_timeouts(table, self._edge),
        )

    def _names(self, table: Table) -> tuple[str, ...]:
        remedy = "name what clients connect to, such as names = ['iot.example.com']"
        return table.need("names", many(self._claim), (), remedy)

    def _claim(self, value: object, place: Place) -> str:
        name = host_pattern(value, place)
        other = self.claims.setdefault(name, place.where)
        if other != place.where:
            raise Wrong(f"{name!r} is claimed by {other} too; a name belongs to one host")
        return name


def _key_pair(table: Table, prefix: str, names: tuple[str, ...]) -> KeyPair:
    at = (f"{prefix}certificate", f"{prefix}key")
    chain = table.need(at[0], certificate_file, None, "name the PEM file, leaf first")
    key = table.need(at[1], certificate_file, None, "name the PEM file of the private key")
    if chain is None or key is None:
        return _EMPTY
    judgement.key_pair(table.at(at[0]), table.at(at[1]), chain, key, names)
    return KeyPair(chain.data, key.data, str(chain.path))


def _origins(table: Table) -> tuple[Upstream, ...]:
    remedy = "name the origin, such as upstream = ['http://127.0.0.1:8080']"
    origins = table.need("upstream", many(upstream), (), remedy)
    if len(set(origins)) < len(origins):
        table.at("upstream").problem("names an origin twice; each gets an equal share anyway")
    return origins


def _upstream_tls(table: Table, origins: tuple[Upstream, ...]) -> UpstreamTLS:
    if not any(origin.scheme == "https" for origin in origins):
        return _without_tls(table, checked=bool(origins))
    remedy = (
        "name the CA file that signs the origin's certificate, or write 'system'; "
        "the system's store is never used unasked"
    )
    client = None
    if "upstream_certificate" in table or "upstream_key" in table:
        client = _key_pair(table, "upstream_", ())
    else:
        _ask(table, "upstream_certificate", "upstream_key")
    return UpstreamTLS(
        ca=table.need("upstream_ca", _upstream_ca, b"", remedy),
        server_name=table.take("upstream_server_name", host_name, ""),
        client=client,
    )


def _without_tls(table: Table, *, checked: bool) -> UpstreamTLS:
    """No origin is https: what speaks of TLS towards it would do nothing, and look safe."""
    _ask(table, *_UPSTREAM_TLS_KEYS)
    for key in _UPSTREAM_TLS_KEYS:
        if checked and key in table:
            table.at(key).problem("needs an https:// upstream, and there is none; take it out")
    return UpstreamTLS()


def _ask(table: Table, *keys: str) -> None:
    for key in keys:
        table.take(key, _anything, None)


def _anything(_: object, __: Place) -> None:
    return None


def _upstream_ca(value: object, place: Place) -> bytes:
    if value == "system":
        return b""
    content = certificate_file(value, place)
    judgement.warn_of_end(place, ca_certificates(content), content)
    return content.data


def _attribute(value: object, place: Place) -> str:
    """The name of an attribute, which becomes a part of a header's."""
    word = token(value, place)
    if not word.replace("-", "").replace("_", "").isalnum():
        raise Wrong(f"{show(word)} goes into a header's name; use letters, digits, '-' and '_'")
    return word


def _upgrade(value: object, place: Place) -> str:
    if value == "*":
        return "*"
    word, slash, version = value.partition("/") if isinstance(value, str) else (value, "", "")
    spelled = token(word, place).lower()
    if spelled == "h2c":
        raise Wrong("h2c is refused: requests inside it would pass unseen; take it out")
    if slash:
        spelled += "/" + token(version, place)
    if spelled.startswith(("h3", "quic")):
        raise Wrong(f"{show(value)} is no upgrade of HTTP/1.1; take it out")
    return spelled

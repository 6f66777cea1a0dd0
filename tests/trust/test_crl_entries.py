"""The walk over a list's entries, held against ``cryptography``'s own reading of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st
from trust_pki import (
    about,
    authority,
    client,
    crl_of,
    entry,
    p256,
    reason,
    scope,
)

from mtlsedge.errors import BadCrl
from mtlsedge.trust import crl_entries
from mtlsedge.trust.certificates import NameKey, name_key
from mtlsedge.trust.crl_entries import Entries, dissect, scan
from mtlsedge.trust.crls import Crl, read_crls

ROOT = authority("Root", key=p256(0))
OTHER = authority("Other", key=p256(2))
FLAGS = [flag for flag in x509.ReasonFlags if flag is not x509.ReasonFlags.unspecified]
_CODES = {
    "unspecified": 0,
    "key_compromise": 1,
    "ca_compromise": 2,
    "affiliation_changed": 3,
    "superseded": 4,
    "cessation_of_operation": 5,
    "certificate_hold": 6,
    "remove_from_crl": 8,
    "privilege_withdrawn": 9,
    "aa_compromise": 10,
}


def read(data: x509.CertificateRevocationList) -> Crl:
    (found,) = read_crls("ca.crl", data.public_bytes(Encoding.DER))
    return found


def expected(found: x509.CertificateRevocationList) -> dict[NameKey, dict[int, int]]:
    """What the walk should find, by ``cryptography``'s objects."""
    issuer = name_key(found.issuer)
    tables: dict[NameKey, dict[int, int]] = {}
    for each in found:
        code = 0
        for extension in each.extensions:
            if isinstance(extension.value, x509.CertificateIssuer):
                (name,) = extension.value.get_values_for_type(x509.DirectoryName)
                issuer = name_key(name)
            if isinstance(extension.value, x509.CRLReason):
                code = _CODES[extension.value.reason.name]
        table = tables.setdefault(issuer, {})
        if table.get(each.serial_number, 8) == 8:
            table[each.serial_number] = code
    return tables


def tables(found: Crl) -> dict[NameKey, dict[int, int]]:
    return {
        name: serials
        for name, serials in {found.issuer_key: found.entries.own, **found.entries.others}.items()
        if serials
    }


_serials = st.one_of(st.integers(1, 300), st.integers(1, 2**64), st.integers(2**151, 2**159 - 1))
_dates = st.datetimes(datetime(1951, 1, 1), datetime(2100, 1, 1)).map(
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)


@st.composite
def _entries(draw: Any) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder(draw(_serials), draw(_dates).replace(tzinfo=None))
    if draw(st.booleans()):
        builder = builder.add_extension(x509.CRLReason(draw(st.sampled_from(FLAGS))), False)
    if draw(st.integers(0, 4)) == 0:
        builder = builder.add_extension(
            x509.InvalidityDate(draw(_dates).replace(tzinfo=None)), False
        )
    if draw(st.integers(0, 4)) == 0:
        whose = draw(st.sampled_from([ROOT, OTHER]))
        builder = builder.add_extension(*about(whose))
    return builder.build()


@settings(max_examples=300, deadline=None)
@given(st.lists(_entries(), max_size=12))
def test_what_is_walked_is_what_the_parser_has(entries: list[x509.RevokedCertificate]) -> None:
    """Serials of every length, times of both kinds, reasons, dates and other issuers."""
    made = crl_of(ROOT, entries, extensions=[scope(indirect_crl=True)])
    found = read(made)
    assert expected(made) == tables(found)
    assert len(entries) == found.entries.count


SEED = crl_of(
    ROOT,
    [
        entry(0xA1),
        entry(0xB2, reason("key_compromise")),
        entry(0xC3, about(OTHER), reason("superseded")),
        entry(1 << 150),
    ],
    extensions=[scope(indirect_crl=True)],
).public_bytes(Encoding.DER)


@settings(max_examples=1500, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.integers(0, 255)), min_size=1, max_size=4)
)
def test_a_mangled_list_is_refused_or_read_as_the_parser_reads_it(
    changes: list[tuple[int, int]],
) -> None:
    """It never crashes, and never misses an entry that the parser sees."""
    data = bytearray(SEED)
    for position, octet in changes:
        data[position] = octet
    try:
        (found,) = read_crls("ca.crl", bytes(data))
    except BadCrl:
        return
    serials = {serial for table in tables(found).values() for serial in table}
    assert {each.serial_number for each in found.x509} == serials
    assert len(list(found.x509)) == found.entries.count
    try:
        parsed = expected(found.x509)
    except ValueError:  # an extension that says nothing here, and nobody needs to read
        return
    if not found.fault:
        assert parsed == tables(found)


@settings(max_examples=1000, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 200))
def test_whatever_bytes_come_the_walk_ends(data: bytes, start: int) -> None:
    """Also where nothing parsed them before."""
    wrapped = b"\x30\x82" + len(data).to_bytes(2, "big") + data
    for candidate in (data, wrapped, SEED[:start] + data):
        try:
            anatomy = dissect(candidate)
            scan(candidate, anatomy.revoked, (), _never)
        except BadCrl:
            continue


def _never(_: bytes) -> NameKey:
    raise ValueError("no names here")


def test_a_list_without_entries_lists_nothing() -> None:
    """With and without the empty sequence."""
    assert Entries() == read(crl_of(ROOT, [])).entries


def test_a_serial_listed_twice_is_revoked_if_either_says_so() -> None:
    """In whichever order; RFC 5280 does not say, and the answer in doubt is no."""
    removed, held = entry(0xA1, reason("remove_from_crl")), entry(0xA1, reason("superseded"))
    for entries in ([removed, held], [held, removed], [removed, held, removed]):
        assert {0xA1: 4} == read(crl_of(ROOT, entries)).entries.own


def test_serials_are_told_apart_by_their_value() -> None:
    """A leading zero octet belongs to the encoding, not to the number."""
    serials = [0x7F, 0x80, 0xFF, 0x100, 0x8000, 2**159 - 1, 2**152]
    assert dict.fromkeys(serials, 0) == read(crl_of(ROOT, map(entry, serials))).entries.own


def test_a_negative_serial_is_matched_by_its_value() -> None:
    """RFC 5280 forbids them, and CAs have made them."""
    der = crl_of(ROOT, [entry(0x71)]).public_bytes(Encoding.DER)
    at = der.index(b"\x02\x01\x71\x17")
    anatomy = dissect(der)
    changed = der[: at + 2] + b"\xf1" + der[at + 3 :]
    assert {-15: 0} == scan(changed, anatomy.revoked, (), _never).own


@pytest.mark.parametrize("most", ["MOST_UNUSUAL", "MOST_ISSUERS"])
def test_what_is_dear_to_read_is_bounded(monkeypatch: pytest.MonkeyPatch, most: str) -> None:
    """A list of a hundred megabytes must not take an hour."""
    monkeypatch.setattr(crl_entries, most, 2)
    others = [about(client(f"c{n}", None, key=p256(1))) for n in range(4)]
    made = crl_of(
        ROOT,
        [entry(n + 1, other) for n, other in enumerate(others)],
        extensions=[scope(indirect_crl=True)],
    )
    with pytest.raises(BadCrl, match="too many"):
        read(made)


def test_an_unusual_date_takes_no_longer_way() -> None:
    """Dates from 2050 on are GeneralizedTime (§5.1.2.6)."""
    builder = x509.RevokedCertificateBuilder(5, datetime(2051, 1, 1))
    assert {5: 0} == read(crl_of(ROOT, [builder.build()])).entries.own


def test_an_entry_extension_that_stands_twice_is_refused() -> None:
    """Readers differ on which counts."""
    tail = bytes.fromhex("3018" + "300a0603551d1504030a0101" * 2)
    with pytest.raises(ValueError, match="twice"):
        crl_entries.read_extras(tail, _never)


@pytest.mark.parametrize(
    "tail",
    [
        "3000ff",
        "300c300a0603551d1504030a010b",  # a reason that there is not
        "300c300a0603551d1504030a0107",
        "300d300b0603551d1504040a020001",
        "300c300a0603551d150403020101",
        "30053003060100",
        "30053003020100",
        "310c300a0603551d1504030a0101",
    ],
)
def test_extensions_that_are_none_are_refused(tail: str) -> None:
    """Each with one thing wrong."""
    data = bytes.fromhex(tail)
    with pytest.raises(ValueError, match=" "):
        crl_entries.read_extras(data, _never)

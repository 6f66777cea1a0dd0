"""Who asks for a certificate? ``ca-csr.json`` and ``client-csr.json`` as cfssl has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from cryptography import x509
from cryptography.x509.oid import NameOID

from mtlsedge.pki.mint import general_name
from mtlsedge.pki.reading import Reader, Section

BACKDATE = timedelta(minutes=5)
CA_EXPIRY = timedelta(hours=43800)  # cfssl's default: five years

_PARTS = {
    "C": NameOID.COUNTRY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "L": NameOID.LOCALITY_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "E": NameOID.EMAIL_ADDRESS,
    "SerialNumber": NameOID.SERIAL_NUMBER,
}
_LONGEST = {"C": 2, "ST": 128, "L": 128, "O": 64, "OU": 64, "E": 255, "SerialNumber": 64, "CN": 64}
"""Characters that each may have (RFC 5280, appendix A.1)."""
_CURVES = (256, 384, 521)
_RSA = (2048, 8192)


@dataclass(frozen=True, slots=True)
class KeySpec:
    """Which key to make: ``rsa`` and its bits, ``ecdsa`` and its curve's bits, or ``ed25519``."""

    algorithm: str = "ecdsa"
    size: int = 256

    def __str__(self) -> str:
        return self.algorithm if self.algorithm == "ed25519" else f"{self.algorithm}-{self.size}"


@dataclass(frozen=True, slots=True)
class CaSpec:
    """What a CA asks for beyond its name. ``path_length`` None lets it have any CAs below it."""

    expiry: timedelta = CA_EXPIRY
    backdate: timedelta = BACKDATE
    path_length: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What a ``*-csr.json`` asks for. ``ca`` is None where it has no such section."""

    subject: x509.Name
    names: tuple[x509.GeneralName, ...]
    key: KeySpec
    ca: CaSpec | None
    notes: tuple[str, ...] = field(default=(), compare=False)


def read_request(file: str, data: bytes) -> Request:
    """Read a ``*-csr.json``.

    Raises:
        ConfigurationError: with every mistake in it.
    """
    reader = Reader(file)
    top = reader.top(data)
    subject = _subject(top)
    names = _names(top, "hosts")
    key = _key(top.section("key"))
    ca = _ca(top.section("ca"))
    top.refuse(
        ("extensions", "requestor", "crl_url", "delegation_enabled"),
        "is not taken from a request: what may be in a certificate stands in the profile",
    )
    if not subject and not names and not reader.problems:
        top.problem("CN", "nothing says whom the certificate is for: give a CN, names or hosts")
    top.finish()
    reader.finish()
    return Request(x509.Name(subject), names, key, ca, tuple(reader.notes))


def read_subject(file: str, data: bytes) -> x509.Name:
    """Read a file with ``CN`` and ``names`` only, as ``cfssl sign`` takes one beside a CSR.

    Raises:
        ConfigurationError: with every mistake in it.
    """
    reader = Reader(file)
    top = reader.top(data)
    subject = _subject(top)
    if not subject and not reader.problems:
        top.problem("CN", "the subject is empty: give a CN or names")
    top.finish()
    reader.finish()
    return x509.Name(subject)


def read_hosts(option: str, text: str) -> tuple[x509.GeneralName, ...]:
    """Read a list of names and addresses with commas between, as ``cfssl -hostname`` takes it.

    Raises:
        ConfigurationError: with everything in it that can be no name.
    """
    reader = Reader(option)
    found = _general_names(reader, "", [each.strip() for each in text.split(",")])
    reader.finish()
    return found


def key_request(algorithm: str, size: int) -> KeySpec | str:
    """A key that can be made; or what is wrong with it."""
    name = algorithm.casefold()
    if name == "ed25519":
        return KeySpec("ed25519", 256)
    if name == "rsa":
        size = size or _RSA[0]
        if _RSA[0] <= size <= _RSA[1]:
            return KeySpec("rsa", size)
        return f"an RSA key must have from {_RSA[0]} to {_RSA[1]} bits, not {size}"
    if name == "ecdsa":
        size = size or _CURVES[0]
        return KeySpec("ecdsa", size) if size in _CURVES else "must be 256, 384 or 521 for ecdsa"
    return f'{algorithm!r} is no kind of key: write "ecdsa", "rsa" or "ed25519"'


def path_length(section: Section, key: str, zero: str) -> int | None:
    """How many CAs may be below one, as cfssl writes it with two keys; None is any number."""
    written = section.has(key)
    length, none_below = section.whole(key, -1), section.flag(zero)
    if none_below and length > 0:
        section.problem(zero, f"contradicts {key} {length}: keep one of them")
    if none_below:
        return 0
    if length == 0 and written:
        section.problem(
            key,
            f'is 0, which cfssl reads as "any number" unless {zero} is true: add "{zero}": true, '
            f"or take {key} away",
        )
    if length < -1:
        section.problem(key, "cannot be negative")
    return length if length > 0 else None


def _subject(top: Section) -> list[x509.NameAttribute[str]]:
    found: list[x509.NameAttribute[str]] = []
    for names in top.sections("names"):
        for key, oid in _PARTS.items():
            found += _attribute(names, key, key, oid, names.text(key))
        extra = names.section("OID")
        for key in extra.keys() if extra else ():
            assert extra is not None
            found += _attribute(extra, key, "", _oid(extra, key), extra.text(key))
        names.finish()
    found += _attribute(top, "CN", "CN", NameOID.COMMON_NAME, top.text("CN"))
    number = top.text("serialnumber")
    return found + _attribute(top, "serialnumber", "SerialNumber", NameOID.SERIAL_NUMBER, number)


def _oid(section: Section, key: str) -> x509.ObjectIdentifier | None:
    try:
        return x509.ObjectIdentifier(key)
    except ValueError:
        section.problem(key, "is not an object identifier, such as 1.3.6.1.4.1.99999.1")
        return None


def _attribute(
    section: Section, key: str, kind: str, oid: x509.ObjectIdentifier | None, value: str
) -> list[x509.NameAttribute[str]]:
    if not value or oid is None:
        return []
    most = _LONGEST.get(kind, 1024)
    if "\0" in value:
        section.problem(key, "has a NUL in it: take it out")
    elif kind == "C" and not (len(value) == 2 and value.isascii() and value.isalpha()):
        section.problem(key, f"{value!r} is not a country: write its two letters, such as US")
    elif len(value) > most:
        section.problem(key, f"has {len(value)} characters, and {most} are allowed: shorten it")
    else:
        try:
            return [x509.NameAttribute(oid, value)]
        except (ValueError, TypeError) as error:
            section.problem(key, f"cannot stand in a certificate: {error}")
    return []


def _names(top: Section, key: str) -> tuple[x509.GeneralName, ...]:
    return _general_names(top.reader, key, top.texts(key))


def _general_names(reader: Reader, key: str, texts: list[str]) -> tuple[x509.GeneralName, ...]:
    found: list[x509.GeneralName] = []
    for place, text in enumerate(texts):
        if not text.strip():
            continue  # cfssl's example has "hosts": [""]
        path = f"{key}[{place}]" if key else repr(text)
        if any(mark.isspace() or not mark.isprintable() for mark in text):
            reader.problem(path, "is no host name, address, URI or mail address: it has spaces")
            continue
        try:
            found.append(general_name(text))
        except ValueError:
            reader.problem(path, f"{text!r} has letters beyond ASCII: write it in its xn-- form")
    return tuple(dict.fromkeys(found))


def _key(section: Section | None) -> KeySpec:
    if section is None:
        return KeySpec()
    algorithm, size = section.text("algo", "ecdsa"), section.whole("size")
    wanted = key_request(algorithm, size)
    section.finish()
    if isinstance(wanted, KeySpec):
        return wanted
    section.problem("algo" if "no kind" in wanted else "size", wanted)
    return KeySpec()


def _ca(section: Section | None) -> CaSpec | None:
    if section is None:
        return None
    expiry = section.duration("expiry") or CA_EXPIRY
    backdate = section.duration("backdate") or BACKDATE
    length = path_length(section, "pathlen", "pathlenzero")
    section.finish()
    return CaSpec(expiry, backdate, length)

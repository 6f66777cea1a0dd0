"""What may a certificate be? ``ca-config.json`` as cfssl has it: profiles of what is signed.

What would loosen or tighten a profile and is not understood is a mistake, never passed over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from cryptography import x509

from mtlsedge.errors import PkiError
from mtlsedge.pki.reading import Reader, Section
from mtlsedge.pki.requests import BACKDATE, CA_EXPIRY, path_length
from mtlsedge.pki.usages import AUTHORITY, Usages, known, suggestion, usages

EXPIRY = timedelta(hours=8760)
DEFAULT = "default"

_WHITELIST = ("subject", "public_key", "public_key_algorithm", "signature_algorithm")
_WHITELIST_NAMES = ("dns_names", "ip_addresses", "email_addresses", "uris")
_REMOTE = ("auth_key", "auth_remote", "prev_auth_key")
_UNKEPT = (
    "copy_extensions",
    "allowed_extensions",
    "ct_log_servers",
    "client_provides_serial_numbers",
    "provider",
    "lint_error_level",
    "ignored_lints",
    "ignored_lint_sources",
)


@dataclass(frozen=True, slots=True)
class Profile:
    """How a certificate is signed.

    Attributes:
        path_length: how many CAs may be below a CA; None is any number.
        takes: which parts of a CSR are taken; None is all (that anything is taken of).
        names: what every name in the certificate must match; None is anything.
        remote: the signer elsewhere that cfssl would ask.
    """

    name: str
    usages: Usages
    expiry: timedelta = EXPIRY
    backdate: timedelta = BACKDATE
    is_ca: bool = False
    path_length: int | None = None
    crl_url: str = ""
    ocsp_url: str = ""
    issuer_urls: tuple[str, ...] = ()
    policies: tuple[x509.PolicyInformation, ...] = ()
    ocsp_no_check: bool = False
    not_before: datetime | None = None
    not_after: datetime | None = None
    takes: frozenset[str] | None = None
    names: re.Pattern[str] | None = None
    remote: str = ""

    def takes_from_csr(self, part: str) -> bool:
        """Whether a CSR's ``subject``, ``dns_names``, ... may come into the certificate."""
        return self.takes is None or part in self.takes


@dataclass(frozen=True, slots=True)
class Config:
    """A ``ca-config.json``: its profiles, the default among them if it says what it is for."""

    file: str
    profiles: dict[str, Profile]
    notes: tuple[str, ...] = field(default=(), compare=False)

    def profile(self, name: str | None) -> Profile:
        """The profile of this name; None is the default one.

        Raises:
            PkiError: there is none, or another machine would have to sign.
        """
        wanted = name or DEFAULT
        try:
            found = self.profiles[wanted]
        except KeyError:
            there = ", ".join(sorted(self.profiles)) or "none"
            what = f"no profile {wanted!r}" if name else "its default profile says no usages"
            raise PkiError(f"{self.file}: {what}; --profile takes one of: {there}") from None
        if found.remote:
            raise PkiError(
                f"{self.file}: profile {wanted!r} wants the remote signer {found.remote!r}, and "
                "only a CA's key at hand can sign here: take another profile"
            )
        return found


BUILT_IN = Config(
    "without --config",
    {
        "client": Profile("client", usages(["digital signature", "client auth"])),
        "server": Profile("server", usages(["signing", "key encipherment", "server auth"])),
        "intermediate": Profile(
            "intermediate",
            usages(["cert sign", "crl sign"]),
            expiry=CA_EXPIRY,
            is_ca=True,
            path_length=0,
        ),
    },
)
"""What there is without a ``ca-config.json``."""


def read_config(file: str, data: bytes) -> Config:
    """Read a ``ca-config.json``.

    Raises:
        ConfigurationError: with every mistake in it.
    """
    reader = Reader(file)
    top = reader.top(data)
    signing = top.section("signing")
    top.take("auth_keys"), top.take("remotes")  # for signing over the network
    top.finish()
    profiles: dict[str, Profile] = {}
    if signing is None:
        if not reader.problems:
            reader.problem("signing", 'is missing: {"signing": {"default": ..., "profiles": ...}}')
    else:
        profiles = _profiles(signing)
        signing.finish()
    reader.finish()
    return Config(file, profiles, tuple(reader.notes))


def _profiles(signing: Section) -> dict[str, Profile]:
    base = Profile(DEFAULT, Usages())
    found = {}
    default = signing.section("default")
    if default is not None:
        base = _profile(DEFAULT, default, base, is_default=True)
        if base.usages:
            found[DEFAULT] = base
    profiles = signing.section("profiles")
    for name in profiles.keys() if profiles else ():
        assert profiles is not None
        section = profiles.section(name)
        if section is not None:
            found[name] = _profile(name, section, base, is_default=False)
    return found


def _profile(name: str, section: Section, base: Profile, *, is_default: bool) -> Profile:
    """One profile; of the default one it takes what cfssl takes: the expiry and the addresses."""
    expiry = section.duration("expiry")
    constraint = section.section("ca_constraint")
    old_is_ca = section.flag("is_ca")  # where it stood before there were constraints
    is_ca, length = _constraint(constraint)
    profile = Profile(
        name,
        _usages(section, required=not is_default and not section.has("remote")),
        expiry=expiry or base.expiry,
        backdate=section.duration("backdate") or BACKDATE,
        is_ca=is_ca or old_is_ca,
        path_length=length,
        crl_url=_url(section, "crl_url") or base.crl_url,
        ocsp_url=_url(section, "ocsp_url") or base.ocsp_url,
        issuer_urls=_urls(section, "issuer_urls") or base.issuer_urls,
        policies=_policies(section),
        ocsp_no_check=section.flag("ocsp_no_check"),
        not_before=_moment(section, "not_before"),
        not_after=_moment(section, "not_after"),
        takes=_takes(section.section("csr_whitelist")),
        names=_pattern(section),
        remote=section.text("remote"),
    )
    for key in _REMOTE:
        section.take(key)
    section.refuse(_UNKEPT, "is not supported: take it away if the profile is right without")
    section.finish()
    return _consistent(section, profile)


def _consistent(section: Section, profile: Profile) -> Profile:
    if profile.not_before and profile.not_after and profile.not_after <= profile.not_before:
        section.problem("not_after", "must be later than not_before")
    asked = profile.usages.key
    if asked & AUTHORITY and not profile.is_ca:
        section.problem(
            "usages",
            'has "cert sign" or "crl sign", which only a CA may do: take them away, or add '
            '"ca_constraint": {"is_ca": true}',
        )
    if asked & {"encipher_only", "decipher_only"} and "key_agreement" not in asked:
        section.problem("usages", '"encipher only" and "decipher only" need "key agreement"')
    if profile.is_ca:  # or it could do neither
        return replace(profile, usages=replace(profile.usages, key=asked | AUTHORITY))
    return profile


def _usages(section: Section, *, required: bool) -> Usages:
    words = section.texts("usages")
    for place, word in enumerate(words):
        if not known(word):
            section.problem(f"usages[{place}]", f"{word!r} is no usage: {suggestion(word)}")
    if required and not words:
        section.problem("usages", 'says nothing: give some, such as ["signing", "client auth"]')
    return usages(word for word in words if known(word))


def _constraint(section: Section | None) -> tuple[bool, int | None]:
    if section is None:
        return False, None
    is_ca = section.flag("is_ca")
    length = path_length(section, "max_path_len", "max_path_len_zero")
    section.finish()
    return is_ca, length


def _url(section: Section, key: str) -> str:
    return _checked_url(section, key, section.text(key))


def _urls(section: Section, key: str) -> tuple[str, ...]:
    texts = section.texts(key)
    return tuple(_checked_url(section, f"{key}[{n}]", text) for n, text in enumerate(texts))


def _checked_url(section: Section, path: str, text: str) -> str:
    if text and not (text.isascii() and "://" in text):
        section.problem(path, f"{text!r} is not an URL, such as http://ca.example.com/ca.crl")
    return text


def _moment(section: Section, key: str) -> datetime | None:
    text = section.text(key)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        section.problem(key, f"{text!r} is not a time, such as 2030-01-31T12:00:00Z")
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _takes(section: Section | None) -> frozenset[str] | None:
    if section is None:
        return None
    taken = frozenset(key for key in (*_WHITELIST, *_WHITELIST_NAMES) if section.flag(key))
    section.finish()
    return taken


def _pattern(section: Section) -> re.Pattern[str] | None:
    text = section.text("name_whitelist")
    if not text:
        return None
    try:
        return re.compile(text)
    except re.error as error:
        section.problem("name_whitelist", f"is not a regular expression: {error}")
        return None


def _policies(section: Section) -> tuple[x509.PolicyInformation, ...]:
    found = []
    value = section.take("policies")
    for place, each in enumerate(value if isinstance(value, list) else []):
        # The older form is a list of texts, the newer one of objects with an ID.
        oid = _only_id(each) if isinstance(each, list) else each
        try:
            found.append(x509.PolicyInformation(x509.ObjectIdentifier(str(oid)), None))
        except ValueError:
            section.problem(
                f"policies[{place}]",
                'must be an object identifier, such as "1.3.6.1.4.1.99999.2", without qualifiers',
            )
    if value is not None and not isinstance(value, list):
        section.problem("policies", "must be a list of object identifiers")
    return tuple(found)


def _only_id(pairs: list[tuple[str, object]]) -> object:
    """The ID of a policy that has nothing else to say."""
    said = {key.casefold(): value for key, value in pairs if value}
    return said["id"] if said.keys() == {"id"} else None

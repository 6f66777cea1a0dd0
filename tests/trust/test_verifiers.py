"""Verifier strings: what they name, and what is said of those that name nothing."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.plugin import IPlugin
from zope.interface import implementer
from zope.interface.verify import verifyObject

from mtlsedge.errors import BadVerifier
from mtlsedge.identity import Verdict
from mtlsedge.interfaces import IVerifier, IVerifierFactory
from mtlsedge.trust import verifiers
from mtlsedge.trust.chain_verifier import ChainVerifier
from mtlsedge.trust.pin_verifier import PinVerifier
from mtlsedge.trust.san_verifier import SanVerifier
from mtlsedge.trust.verifiers import help_verifiers, list_verifiers
from support.verifiers import find_verifier

DIGEST = "ab" * 32


@implementer(IVerifier)
class Always:
    def verify(self, peer: Any, host: str) -> Verdict:
        return Verdict(True)


@implementer(IPlugin, IVerifierFactory)
class Factory:
    name = "always"
    syntax = "always:ANYTHING"
    help = "Says yes."

    def __init__(self, makes: Any = Always) -> None:
        self.makes = makes

    def makeVerifier(self, spec: str) -> Any:
        return self.makes()


def test_the_built_in_verifiers_are_found_as_plugins() -> None:
    """By name, from the one file that twistd reads, and each as its interface says."""
    found = list_verifiers()
    ours = ["allow-list", "chain", "crl", "external", "http", "ocsp", "pin", "san"]
    assert ours == [f.name for f in found if f.name in ours]
    for factory in found:
        assert verifyObject(IVerifierFactory, factory)


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ("chain", ChainVerifier),
        ("chain:", ChainVerifier),
        ("san:dns=*.example.com", SanVerifier),
        (f"pin:sha256={DIGEST}", PinVerifier),
        ('san:dns="a.example",timeout=1s', SanVerifier),
    ],
)
def test_a_string_makes_its_verifier(spec: str, kind: type) -> None:
    """The name before the colon, the arguments after it."""
    verifier = find_verifier(spec)
    assert isinstance(verifier, kind)
    assert verifyObject(IVerifier, verifier)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("", "there is no verifier ''; there is allow-list, chain, crl, external, http, ocsp, pin"),
        ("sam:dns=x", "there is no verifier 'sam'"),
        ("SAN:dns=x", "there is no verifier 'SAN'"),
        ("chain:x", "chain: it takes no arguments, and 'x' was given. It is written chain"),
        (
            "san",
            "san: it needs at least one of dns=, uri=, email=, ip=, spiffe=. It is written san",
        ),
        ("san:spiffe=spiffe://example.org", "is no SPIFFE id"),
        ("san:spiffe=Example.org", "is no SPIFFE id"),
        ("san:spiffe=example.org/", "is no SPIFFE id"),
        ("san:spiffe=example.org/a*", "is no SPIFFE id"),
        ("san:spiffe=example.org/../b", "is no SPIFFE id"),
        ("san:spiffe=example.org:80/a", "is no SPIFFE id"),
        ("san:spiffe=*.example.org", "is no SPIFFE id"),
        ("ocsp:check=leaf", "at least one url="),
        ("ocsp:url=http://ocsp.example.com,check=all", "chain or leaf"),
        ("ocsp:url=http://ocsp.example.com,nonce=never", "ask or require"),
        ("ocsp:url=https://ocsp.example.com", "name the CA file"),
        ("san:dns=", "'dns=' is not KEY=VALUE"),
        ("san:a.example", "'a.example' is not KEY=VALUE"),
        ("san:dns=a.example,", "'' is not KEY=VALUE"),
        ("san:cn=x", "there is no 'cn' here; there is dns="),
        ("san:dns=a\\", "ends in a backslash"),
        ("san:dns=*.*.example", "is not a host name"),
        ("san:dns=a.*.example", "'\\*' may stand only"),
        ("san:ip=192.0.2.1/24", "neither an address nor a network"),
        ("san:ip=example", "neither an address nor a network"),
        ("san:email=james", "neither a mailbox"),
        ("san:email=@example.com", "neither a mailbox"),
        ("san:email=j*@example.com", "neither a mailbox"),
        ("san:email=j@exa mple", "is not a host name"),
        ("san:uri=nonsense", "has no scheme"),
        ("san:uri=spiffe://example.org/a*", "'\\*' stands for a whole path segment"),
        ("san:uri=urn:*", "'\\*' stands for a whole path segment"),
        ("san:uri=spiffe://exa*.org/*", "'\\*' stands for a whole path segment"),
        ("san:uri=spiffe://example.org/../*", "'\\*' stands for a whole path segment"),
        ("san:uri=https://example.org:x/*", "'\\*' stands for a whole path segment"),
        ("pin:", "at least one of sha256=, spki="),
        ("pin:sha256=abcd", "not a SHA-256 digest in hexadecimal"),
        (f"pin:sha256={'g' * 64}", "not a SHA-256 digest in hexadecimal"),
        ("pin:spki=abcd", "in hexadecimal or base64"),
        ("pin:spki=!!", "in hexadecimal or base64"),
    ],
)
def test_a_wrong_string_is_refused_with_what_is_wrong(spec: str, words: str) -> None:
    """And with how it is written."""
    with pytest.raises(BadVerifier, match=words):
        find_verifier(spec)


def test_help_shows_every_verifier_with_its_syntax() -> None:
    """What --help-verifiers prints."""
    text = help_verifiers()
    for factory in list_verifiers():
        assert factory.syntax in text
    assert "spiffe://example.org/*" in text
    assert max(map(len, text.splitlines())) <= 100


def test_another_packages_factory_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything that provides the interface."""
    monkeypatch.setattr(verifiers, "getPlugins", lambda _: iter([Factory()]))
    assert isinstance(find_verifier("always:x"), Always)
    assert "always:ANYTHING\n    Says yes.\n" == help_verifiers()


def test_two_packages_may_not_share_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which one would judge is not to be left to chance."""
    monkeypatch.setattr(verifiers, "getPlugins", lambda _: iter([Factory(), Factory()]))
    with pytest.raises(BadVerifier, match="two packages offer a verifier 'always'"):
        find_verifier("always")


def test_a_factory_that_fails_or_makes_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's bug is somebody else's name in the message."""
    monkeypatch.setattr(verifiers, "getPlugins", lambda _: iter([Factory(lambda: 1 / 0)]))
    with pytest.raises(BadVerifier, match="Factory failed: ZeroDivisionError"):
        find_verifier("always")
    monkeypatch.setattr(verifiers, "getPlugins", lambda _: iter([Factory(object)]))
    with pytest.raises(BadVerifier, match="Factory made something that is no verifier"):
        find_verifier("always")

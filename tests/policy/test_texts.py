"""URIs, mail addresses and distinguished names have one form each, or none."""

from __future__ import annotations

import pytest

from mtlsedge.policy.texts import UriPatterns, canonical_email, canonical_name


@pytest.mark.parametrize(
    ("pattern", "uri", "matches"),
    [
        ("spiffe://example.org/*", "spiffe://example.org/a/b", True),
        ("spiffe://example.org/*", "SPIFFE://Example.ORG/a", True),
        ("spiffe://example.org/*", "spiffe://example.org/", True),
        ("spiffe://example.org/*", "spiffe://example.org", False),
        ("spiffe://example.org/*", "spiffe://example.org.evil.net/a", False),
        ("spiffe://example.org/*", "spiffe://example.org:1/a", False),
        ("spiffe://example.org/*", "spiffe://me@example.org/a", False),
        ("spiffe://example.org/*", "spiffe://sub.example.org/a", False),
        ("spiffe://example.org/ns/prod/*", "spiffe://example.org/ns/prod/../dev/a", False),
        ("spiffe://example.org/ns/prod/*", "spiffe://example.org/ns/prod/%2E%2e/dev/a", False),
        ("spiffe://example.org/ns/prod/*", "spiffe://example.org/ns/prod/..%2fdev", False),
        ("spiffe://example.org/ns/prod/*", "spiffe://example.org/ns/prod/a..b", True),
        ("spiffe://example.org/ns/*", "spiffe://example.org/NS/a", False),
        ("spiffe://example.org/a", "spiffe://example.org/a/", False),
        ("spiffe://example.org/*", "spiffe://example.org/a\0b", False),
        ("spiffe://example.org/*", "spiffe://example.org/a b", False),
        ("urn:uuid:*", "urn:uuid:f81d4fae", True),
        ("urn:uuid:*", "urn:other", False),
    ],
)
def test_a_uri_pattern_matches_one_host_whole(pattern: str, uri: str, matches: bool) -> None:
    """A prefix neither reaches into another host nor out of its own directory."""
    assert matches == (uri in UriPatterns([pattern]))


@pytest.mark.parametrize(
    "pattern",
    [
        "*",
        "spiffe*",
        "spiffe:*",
        "spiffe:/*",
        "spiffe://*",
        "spiffe:///*",
        "spiffe://example.org*",
        "spiffe://*.example.org/a",
        "spiffe://example.org/*/a",
        "spiffe://example.org/**",
        "no uri",
        "",
    ],
)
def test_a_uri_pattern_that_would_match_other_hosts_is_refused(pattern: str) -> None:
    """The operator hears of it when the configuration loads."""
    with pytest.raises(ValueError, match=r"\*"):
        UriPatterns([pattern])


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("Ops@EXAMPLE.com", "Ops@example.com"),
        ("ops@example.com.", "ops@example.com"),
        ("a@b@example.com", "a@b@example.com"),
        ("ops", ""),
        ("@example.com", ""),
        ("ops@exa mple.com", ""),
        ("ops@example.com\0.evil", ""),
    ],
)
def test_a_mail_address_is_compared_by_its_canonical_host(text: str, form: str) -> None:
    """The part before the ``@`` is the other host's business and stays as it is."""
    assert form == canonical_email(text)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("CN=Access Testing CA, O=Example", "CN=Access Testing CA,O=Example"),
        (r"CN=a\,b,O=c", r"CN=a\,b,O=c"),
        ("emailAddress=a@b.c,CN=d", "1.2.840.113549.1.9.1=a@b.c,CN=d"),
    ],
)
def test_a_distinguished_name_has_one_spelling(text: str, form: str) -> None:
    """What people write becomes what certificates are read as."""
    assert form == canonical_name(text)


@pytest.mark.parametrize("text", ["", "Access Testing CA", "/CN=x/O=y", "FOO=x"])
def test_what_is_no_distinguished_name_is_refused(text: str) -> None:
    """No issuer could ever equal it, so the rule would never be true."""
    with pytest.raises(ValueError, match="distinguished name"):
        canonical_name(text)

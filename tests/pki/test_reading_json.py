"""cfssl's JSON files are read as cfssl means them, and every mistake is named at once."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from mtlsedge.errors import ConfigurationError, PkiError
from mtlsedge.pki.profiles import read_config
from mtlsedge.pki.reading import duration
from mtlsedge.pki.requests import KeySpec, read_hosts, read_request


def problems(read: Any, content: object) -> list[str]:
    """What is wrong with a file, as it is printed."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    with pytest.raises(ConfigurationError) as caught:
        read("x.json", data)
    return [str(problem) for problem in caught.value.problems]


def request(**content: Any) -> Any:
    """A request that was read."""
    return read_request("x.json", json.dumps(content).encode())


def profile(**content: Any) -> dict[str, Any]:
    """A configuration with this one profile."""
    return {"signing": {"profiles": {"p": {"usages": ["client auth"], **content}}}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8760h", timedelta(days=365)),
        ("1h30m", timedelta(minutes=90)),
        ("365d", timedelta(days=365)),
        ("2w", timedelta(days=14)),
        ("1.5h", timedelta(minutes=90)),
        ("500ms", timedelta(milliseconds=500)),
    ],
)
def test_lengths_of_time_are_cfssls_and_days(text: str, expected: timedelta) -> None:
    """As Go writes them, and as the edge's own configuration does."""
    assert expected == duration(text)


@pytest.mark.parametrize(
    "value",
    ["", "8760", "-1h", "0h", "1y", "1 h", "h", 8760, None, "99999999h", "1h junk", "\u0661h"],
)
def test_what_is_no_length_of_time_is_refused(value: object) -> None:
    """And not read as another one."""
    with pytest.raises(ValueError):
        duration(value)


def test_a_request_is_read_as_cfssl_means_it() -> None:
    """Names in cfssl's order, hosts by what they look like, the empty one left out."""
    read = request(
        CN="a",
        hosts=["", "a.example.com", "192.0.2.1", "a@example.com", "spiffe://example.org/a"],
        key={"algo": "rsa", "size": 3072},
        names=[{"O": "One", "C": "US", "ST": "Texas", "L": "Austin", "OU": "Unit"}],
        ca={"expiry": "100h", "pathlen": 3, "backdate": "1h"},
    )
    assert "CN=a,OU=Unit,O=One,L=Austin,ST=Texas,C=US" == read.subject.rfc4514_string()
    kinds = [x509.DNSName, x509.IPAddress, x509.RFC822Name, x509.UniformResourceIdentifier]
    assert kinds == [type(name) for name in read.names]
    assert KeySpec("rsa", 3072) == read.key
    assert (timedelta(hours=100), timedelta(hours=1), 3) == (
        read.ca.expiry,
        read.ca.backdate,
        read.ca.path_length,
    )


def test_keys_are_compared_without_case_and_comments_are_passed_over() -> None:
    """As cfssl's JSON reader does, and as people annotate their files."""
    assert "CN=a" == request(cn="a", _comment="mine").subject.rfc4514_string()


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (None, KeySpec("ecdsa", 256)),
        ({"algo": "ecdsa", "size": 521}, KeySpec("ecdsa", 521)),
        ({"algo": "ed25519"}, KeySpec("ed25519", 256)),
        ({"algo": "RSA"}, KeySpec("rsa", 2048)),
    ],
)
def test_kinds_of_keys(key: object, expected: KeySpec) -> None:
    """Those of cfssl, and Ed25519."""
    assert expected == request(CN="a", **({"key": key} if key else {})).key


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({}, "x.json: CN: nothing says whom"),
        ({"CN": 5}, "x.json: CN: must be a text"),
        ({"CN": "a\0b"}, "x.json: CN: has a NUL"),
        ({"CN": "a" * 65}, "x.json: CN: has 65 characters, and 64 are allowed"),
        ({"CN": "a", "names": {"C": "US"}}, "x.json: names: must be a list of objects"),
        ({"CN": "a", "names": [{"C": "USA"}]}, "x.json: names[0].C: 'USA' is not a country"),
        ({"CN": "a", "names": [{"CN": "b"}]}, "x.json: names[0].CN: is not a key"),
        ({"CN": "a", "names": [{"OID": {"x": "y"}}]}, "x.json: names[0].OID.x: is not an object"),
        ({"CN": "a", "hosts": "b"}, "x.json: hosts: must be a list of texts"),
        ({"CN": "a", "hosts": [5]}, "x.json: hosts[0]: must be a text"),
        ({"CN": "a", "hosts": ["b c"]}, "x.json: hosts[0]: is no host name"),
        ({"CN": "a", "hosts": ["b", "dé"]}, "x.json: hosts[1]: 'dé' has letters beyond ASCII"),
        ({"CN": "a", "key": {"algo": "dsa"}}, "x.json: key.algo: 'dsa' is no kind of key"),
        ({"CN": "a", "key": {"algo": "rsa", "size": 1024}}, "x.json: key.size: an RSA key must"),
        ({"CN": "a", "key": {"size": "256"}}, "x.json: key.size: must be a whole number"),
        ({"CN": "a", "key": {"size": True}}, "x.json: key.size: must be a whole number"),
        ({"CN": "a", "key": {"algo": "ecdsa", "size": 255}}, "x.json: key.size: must be 256, 384"),
        ({"CN": "a", "ca": {"expiry": "5y"}}, "x.json: ca.expiry: '5y' is not a length of time"),
        ({"CN": "a", "ca": {"pathlen": 0}}, "x.json: ca.pathlen: is 0, which cfssl reads as"),
        ({"CN": "a", "ca": {"pathlen": 1, "pathlenzero": True}}, "x.json: ca.pathlenzero: contra"),
        ({"CN": "a", "ca": {"pathlen": -2}}, "x.json: ca.pathlen: cannot be negative"),
        ({"CN": "a", "hots": []}, "x.json: hots: is not a key that means anything here: did you"),
        ({"CN": "a", "extensions": [{}]}, "x.json: extensions: is not taken from a request"),
        (b'{"CN": "a", "cn": "b"}', "x.json: cn: stands twice"),
        (b'{"CN": "a",}', "x.json: line 1, column 12: this is not JSON"),
        (b"\xff", "x.json: this is not JSON"),
        (b"[" * 100_000, "x.json: this is not JSON"),
        (b"[]", "x.json: the whole file must be one JSON object"),
    ],
)
def test_a_mistake_in_a_request_is_named(content: object, expected: str) -> None:
    """With its file, its place and its remedy."""
    (problem,) = problems(read_request, content)
    assert problem.startswith(expected)


def test_every_mistake_is_named_at_once() -> None:
    """Nobody should have to try five times."""
    content = {"CN": 1, "key": {"algo": "x"}, "hosts": [2], "names": [{"C": "x"}], "bad": 1}
    named = [problem.split(": ")[1] for problem in problems(read_request, content)]
    assert {"CN", "key.algo", "hosts[0]", "names[0].C", "bad"} == set(named)


def test_hosts_on_the_command_line() -> None:
    """Separated by commas."""
    assert 2 == len(read_hosts("--hostname", "a.example.com, 192.0.2.1,"))
    with pytest.raises(ConfigurationError, match="--hostname: 'dé'"):
        read_hosts("--hostname", "dé")


def test_a_profile_is_read_as_cfssl_means_it() -> None:
    """What it does not say, the default one says, where cfssl has it so."""
    config = read_config(
        "x.json",
        json.dumps(
            {
                "signing": {
                    "default": {"expiry": "10h", "crl_url": "http://ca.example.com/ca.crl"},
                    "profiles": {
                        "sub": {
                            "usages": ["cert sign"],
                            "ca_constraint": {"is_ca": True, "max_path_len_zero": True},
                            "auth_key": "k",
                            "policies": [{"ID": "1.2.3"}, "1.2.4"],
                        },
                        "far": {"remote": "there"},
                    },
                },
                "auth_keys": {"k": {"type": "standard", "key": "00"}},
                "remotes": {"there": "127.0.0.1"},
            }
        ).encode(),
    )
    sub = config.profile("sub")
    assert (timedelta(hours=10), True, 0) == (sub.expiry, sub.is_ca, sub.path_length)
    assert ("http://ca.example.com/ca.crl", 2) == (sub.crl_url, len(sub.policies))
    assert {"key_cert_sign", "crl_sign"} == sub.usages.key
    for name, said in [
        ("far", "remote signer"),
        ("x", "no profile 'x'"),
        (None, "its default profile"),
    ]:
        with pytest.raises(PkiError, match=said):
            config.profile(name)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({}, "x.json: signing: is missing"),
        ({"signing": []}, "x.json: signing: must be an object"),
        ({"signing": {"profile": {}}}, "x.json: signing.profile: is not a key"),
        ({"signing": {"profiles": {"p": {}}}}, "x.json: signing.profiles.p.usages: says nothing"),
        (profile(usages=["client"]), "x.json: signing.profiles.p.usages[0]: 'client' is no usage"),
        (profile(usages=["cert sign"]), 'x.json: signing.profiles.p.usages: has "cert sign"'),
        (profile(usages=["encipher only"]), 'x.json: signing.profiles.p.usages: "encipher only"'),
        (profile(usage=["any"]), "x.json: signing.profiles.p.usage: is not a key"),
        (profile(expiry=5), "x.json: signing.profiles.p.expiry: 5 is not a length of time"),
        (profile(copy_extensions=True), "x.json: signing.profiles.p.copy_extensions: is not supp"),
        (profile(crl_url="ca.crl"), "x.json: signing.profiles.p.crl_url: 'ca.crl' is not an URL"),
        (profile(issuer_urls=["x"]), "x.json: signing.profiles.p.issuer_urls[0]: 'x' is not an"),
        (profile(policies=["x"]), "x.json: signing.profiles.p.policies[0]: must be an object id"),
        (profile(policies=[{"ID": "1.2.3", "Qualifiers": [1]}]), "x.json: signing.profiles.p.poli"),
        (profile(policies={"ID": "1.2.3"}), "x.json: signing.profiles.p.policies"),
        (profile(name_whitelist="("), "x.json: signing.profiles.p.name_whitelist: is not a reg"),
        (profile(not_after="soon"), "x.json: signing.profiles.p.not_after: 'soon' is not a time"),
        (
            profile(not_before="2030-01-01T00:00:00Z", not_after="2029-01-01T00:00:00Z"),
            "x.json: signing.profiles.p.not_after: must be later",
        ),
        (
            profile(ca_constraint={"is_ca": True, "max_path_len": 0}),
            "x.json: signing.profiles.p.ca_constraint.max_path_len: is 0",
        ),
        (
            profile(ca_constraint={"isca": True}),
            "x.json: signing.profiles.p.ca_constraint.isca: is",
        ),
        (profile(csr_whitelist={"names": True}), "x.json: signing.profiles.p.csr_whitelist.names"),
    ],
)
def test_a_mistake_in_a_configuration_is_named(content: object, expected: str) -> None:
    """What may have been meant as a restriction is never passed over."""
    (problem, *more) = problems(read_config, content)
    assert problem.startswith(expected)
    assert not more


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_is_read_or_refused(value: Any) -> None:
    """Nothing that JSON can say makes a reader fail in another way."""
    keys = ["CN", "hosts", "key", "names", "ca", "signing"]
    for content in (value, dict.fromkeys(keys, value), {"signing": {"profiles": {"p": value}}}):
        data = json.dumps(content).encode()
        for read in (read_request, read_config):
            try:
                read("x.json", data)
            except ConfigurationError as error:
                assert error.problems

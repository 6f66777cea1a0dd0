"""What ``[[client_ca]]`` says of OCSP responders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from config_making import broken, load, problems

from mtlsedge.model import Ocsp

URL = "http://ocsp.internal/"


def ca(**values: Any) -> Any:
    return broken(lambda mapping: mapping["client_ca"][0].update(values))


def read(pki: Path, **values: Any) -> Ocsp | None:
    return load(ca(**values), pki).client_cas[0].ocsp


def test_nothing_is_asked_unless_a_responder_is_named(pki: Path) -> None:
    """Certificates alone are no reason."""
    assert None is read(pki)


def test_one_responder_is_enough(pki: Path) -> None:
    """Everything else has a default, the stricter one where there is a choice."""
    expected = Ocsp(responders=(URL,), policy="require", check="chain", nonce="ask")
    assert expected == read(pki, ocsp=URL)
    assert (3600.0, 4.0) == (expected.max_age, expected.timeout)


def test_everything_can_be_said(pki: Path) -> None:
    """Several responders, and those that certificates may name."""
    found = read(
        pki,
        ocsp=[URL, "https://ocsp.example/a?b"],
        ocsp_allow="http://aia.example/",
        ocsp_policy="warn",
        ocsp_check="leaf",
        ocsp_nonce="require",
        ocsp_max_age="10m",
        ocsp_timeout="2s",
        ocsp_ca="ca.pem",
    )
    assert found is not None
    assert (URL, "https://ocsp.example/a?b") == found.responders
    assert ("http://aia.example/",) == found.allowed
    assert ("warn", "leaf", "require") == (found.policy, found.check, found.nonce)
    assert (600.0, 2.0) == (found.max_age, found.timeout)
    assert (pki / "ca.pem").read_bytes() == found.ca


def test_the_systems_cas_are_used_if_asked_for(pki: Path) -> None:
    """Never unasked."""
    found = read(pki, ocsp="https://ocsp.example/", ocsp_ca="system")
    assert found is not None
    assert b"" == found.ca


@pytest.mark.parametrize(
    ("values", "where", "word"),
    [
        ({"ocsp": True}, "ocsp", "none is asked because a certificate says so"),
        ({"ocsp": "aia"}, "ocsp", "with ocsp_allow those that certificates may name"),
        ({"ocsp": "ldap://ocsp.example/"}, "ocsp", "is no http:// or https:// URL"),
        ({"ocsp_allow": [URL, "http://a@b/"]}, "ocsp_allow[1]", "has a user"),
        ({"ocsp": []}, "ocsp", "empty array"),
        ({"ocsp": [URL, URL]}, "ocsp", "names a responder twice"),
        ({"ocsp": URL, "ocsp_allow": [URL]}, "ocsp_allow[0]", "is asked anyway"),
        ({"ocsp": [f"http://{n}.example/" for n in range(17)]}, "ocsp", "16 are the most"),
        ({"ocsp": "https://ocsp.example/"}, "ocsp_ca", "is missing; name the CA file"),
        ({"ocsp": URL, "ocsp_ca": "ca.pem"}, "ocsp_ca", "needs an https:// URL"),
        ({"ocsp_policy": "warn"}, "ocsp_policy", "says nothing without a responder"),
        ({"ocsp_ca": "system"}, "ocsp_ca", "says nothing without a responder"),
        ({"ocsp_timeout": "1s"}, "ocsp_timeout", "says nothing without a responder"),
        ({"ocsp": URL, "ocsp_policy": "soft"}, "ocsp_policy", "is not one of its values"),
        ({"ocsp": URL, "ocsp_check": "all"}, "ocsp_check", "is not one of its values"),
        ({"ocsp": URL, "ocsp_nonce": "never"}, "ocsp_nonce", "is not one of its values"),
        ({"ocsp": URL, "ocsp_max_age": "1s"}, "ocsp_max_age", "must be between 10s and 1w"),
        ({"ocsp": URL, "ocsp_timeout": "5m"}, "ocsp_timeout", "must be between 0.1s and 1m"),
        ({"ocsp": URL, "ocsp_polciy": "warn"}, "ocsp_polciy", "did you mean 'ocsp_policy'?"),
    ],
)
def test_a_mistake_is_told_at_its_key(
    pki: Path, values: dict[str, Any], where: str, word: str
) -> None:
    """With the remedy, and nothing else besides."""
    found = problems(ca(**values), pki)
    assert [f"client_ca[0].{where}"] == list(found)
    assert word in found[f"client_ca[0].{where}"]

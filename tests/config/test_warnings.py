"""What the loader warns of: it serves today, and will surprise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from config_making import broken, load


def host(**values: Any) -> Callable[[dict[str, Any]], object]:
    """A change: these keys into the host."""
    return lambda mapping: mapping["host"][0].update(values)


def ca(**values: Any) -> Callable[[dict[str, Any]], object]:
    """A change: these keys into the client CA."""
    return lambda mapping: mapping["client_ca"][0].update(values)


@pytest.mark.parametrize(
    ("change", "where", "word"),
    [
        (host(certificate="expired.pem", key="expired-key.pem"), "host[0].certificate", "expired"),
        (host(certificate="ending.pem", key="ending-key.pem"), "host[0].certificate", "about to"),
        (
            host(certificate="other.pem", key="other-key.pem"),
            "host[0].certificate",
            "does not cover iot.example.com",
        ),
        (
            lambda m: (
                ca(certificate="old-ca.pem")(m),
                m["client_ca"][0].pop("crl"),
            ),
            "client_ca[0].certificate",
            "expired",
        ),
        (ca(crl="stale.crl"), "client_ca[0].crl", "stale since 2029-12-31"),
        (ca(crl="stranger.crl"), "client_ca[0].crl", "not in the bundle"),
        (ca(crl=["ca.crl", "empty.crl"]), "client_ca[0].crl[1]", "empty.crl is empty"),
        (ca(crl="cut.crl"), "client_ca[0].crl", "cut.crl is cut short"),
        (ca(crl="half-pasted.crl"), "client_ca[0].crl", "cut short"),
        (ca(crl="cut-der.crl"), "client_ca[0].crl", "cut-der.crl cannot be read"),
        (ca(crl="text.txt"), "client_ca[0].crl", "text.txt cannot be read"),
        (ca(crl="ca.pem"), "client_ca[0].crl", "ca.pem is PEM and holds no X509 CRL"),
        (lambda m: m["edge"].update(admin=":9901"), "edge.admin", "whoever can reach it"),
        (
            lambda m: m["application"][0].pop("policy"),
            "application[0].policy",
            "refuses everybody",
        ),
        (
            lambda m: m["service_token"][0].update(expires="2029-01-01"),
            "service_token[0].expires",
            "past",
        ),
    ],
)
def test_what_surprises_is_a_warning_and_no_problem(
    pki: Path, change: Callable[[dict[str, Any]], object], where: str, word: str
) -> None:
    """The configuration loads, with exactly one warning, by key path."""
    (warning,) = load(broken(change), pki).warnings
    assert warning.startswith(f"{where}: ")
    assert word in warning


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_key_that_others_can_read_is_a_warning(pki: Path, tmp_path: Path, mode: int) -> None:
    """Group and others count; the owner alone is fine."""
    key = tmp_path / "key.pem"
    key.write_bytes((pki / "server-key.pem").read_bytes())
    key.chmod(mode)
    (warning,) = load(broken(host(key=str(key))), pki).warnings
    assert warning.startswith("host[0].key: ")
    assert "chmod 600" in warning
    key.chmod(0o400)
    assert () == load(broken(host(key=str(key))), pki).warnings


def test_a_wildcard_certificate_covers_one_label_and_not_its_parent(pki: Path) -> None:
    """Coverage is judged by the one matcher that everything else uses."""
    change = {"names": ["iot.example.com", "a.iot.example.com"]}
    (warning,) = load(broken(host(**change)), pki).warnings
    assert "does not cover a.iot.example.com in" in warning

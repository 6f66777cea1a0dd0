"""What ``mtlsedge check`` says."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from mtlsedge.check import report
from mtlsedge.config.load import load_mapping
from support import certs, long_names, tables


def reported(tmp_path: Path, **config: Any) -> list[str]:
    """The lines of the report on a configuration of these tables."""
    mapping = tables_of(config)
    loaded = load_mapping(mapping, tmp_path, check_verifier=lambda spec, _: spec, now=time.time())
    return report(loaded, time.time())


def tables_of(config: Any) -> Any:
    """The tables with an ``[edge]`` before them, paths as texts."""
    if isinstance(config, dict) and "host" in config:
        config = {"edge": {"listen": ["127.0.0.1:8443"]}, **config}
    if isinstance(config, dict):
        return {key: tables_of(value) for key, value in config.items()}
    if isinstance(config, list):
        return [tables_of(value) for value in config]
    return str(config) if isinstance(config, Path) else config


def one_host(*policies: dict[str, Any], **host: Any) -> dict[str, Any]:
    """One guarded host with one application of these policies."""
    return {
        "host": [tables.host("iot.example.com", upstream="http://127.0.0.1:1", **host)],
        "client_ca": [tables.client_ca("iot.example.com")],
        "application": [tables.application("iot.example.com/ingest", *policies)],
    }


def test_each_kind_of_client_is_told(tmp_path: Path) -> None:
    """Without a certificate, with one, with one of another CA; and every other path."""
    lines = reported(tmp_path, **one_host())
    assert "host iot.example.com" in lines
    assert "    no certificate:               refused (no policy matched)" in lines
    assert "    a certificate that verifies:  admitted (policy 'policy-1' admits)" in lines
    assert "    a certificate of another CA:  refused (no policy matched)" in lines
    assert "  every other path: refused (403)" in lines
    assert "no warnings" in lines


def test_what_depends_on_the_certificate_says_on_what(tmp_path: Path) -> None:
    """A rule on names leaves the answer open until a name is known."""
    policy = tables.policy(include=[{"certificate": True}], require=[{"common_name": "a"}])
    lines = reported(tmp_path, **one_host(policy))
    assert any("depends on common_name" in line for line in lines)


def test_a_required_handshake_refuses_before_any_policy(tmp_path: Path) -> None:
    """Only who verifies gets as far as a policy."""
    lines = reported(tmp_path, **one_host(handshake="require"))
    assert "    no certificate:               refused in the handshake, with an alert" in lines
    assert "    a certificate that verifies:  admitted (policy 'policy-1' admits)" in lines


def test_an_unprotected_host_that_passes_says_so(tmp_path: Path) -> None:
    """Whoever asks reaches the origin there."""
    lines = reported(tmp_path, **one_host(unprotected="pass"))
    assert "  every other path: passed to the origin, whoever asks" in lines


def test_an_application_for_the_whole_host_leaves_no_other_path(tmp_path: Path) -> None:
    """Nothing is said of paths that there are not."""
    config = one_host()
    config["application"] = [tables.application("iot.example.com")]
    assert not [line for line in reported(tmp_path, **config) if "every other path" in line]


def test_a_host_that_asks_and_never_demands_is_warned_of(tmp_path: Path) -> None:
    """The surprise that a client CA alone protects nothing."""
    lines = reported(tmp_path, **one_host(tables.policy("bypass", include=[{"everyone": True}])))
    assert any("no policy demands one" in line for line in lines)


def test_a_policy_that_can_never_match_is_warned_of(tmp_path: Path) -> None:
    """Two names at once are nobody's."""
    never = tables.policy(
        include=[{"certificate": True}],
        require=[{"common_name": "a"}, {"common_name": "b"}],
    )
    assert any("it can never match" in line for line in reported(tmp_path, **one_host(never)))


def test_names_of_one_host_with_different_cas_are_reported_apart(tmp_path: Path) -> None:
    """A client CA belongs to the names it lists, not to the other names of their host."""
    config = {
        "host": [tables.host("a.example.com", "b.example.com", upstream="http://127.0.0.1:1")],
        "client_ca": [tables.client_ca("a.example.com")],
        "application": [tables.application("a.example.com")],
    }
    lines = reported(tmp_path, **config)
    assert "host a.example.com" in lines
    after = lines[lines.index("host b.example.com") :]
    assert "  asks for no client certificate" in after


def test_a_wildcard_host_does_not_have_the_names_of_others(tmp_path: Path) -> None:
    """A host of that very name serves them, and its applications are told there alone."""
    config = {
        "host": [
            tables.host("a.example.com", upstream="http://127.0.0.1:1"),
            tables.host("*.example.com", upstream="http://127.0.0.1:2"),
        ],
        "client_ca": [tables.client_ca("a.example.com", "*.example.com")],
        "application": [tables.application("a.example.com"), tables.application("b.example.com")],
    }
    lines = reported(tmp_path, **config)
    wild = lines[lines.index("host *.example.com") :]
    assert not [line for line in wild if line.startswith("  a.example.com")]
    assert [line for line in wild if line.startswith("  b.example.com")]


def test_an_application_of_the_very_name_shuts_out_the_wildcards(tmp_path: Path) -> None:
    """What never governs a path of the host is not told as if it did."""
    config = {
        "host": [tables.host("a.example.com", "b.example.com", upstream="http://127.0.0.1:1")],
        "client_ca": [tables.client_ca("a.example.com"), tables.client_ca("b.example.com")],
        "application": [tables.application("a.example.com"), tables.application("*.example.com")],
    }
    config["client_ca"][1]["name"] = "other"
    lines = reported(tmp_path, **config)
    other = lines.index("host b.example.com")
    assert not [line for line in lines[:other] if line.startswith("  *.example.com")]
    assert [line for line in lines[other:] if line.startswith("  *.example.com")]


def test_a_host_that_does_not_name_its_cas_is_told(tmp_path: Path) -> None:
    """People whose browser offers every certificate will ask why."""
    assert not any("does not name its CAs" in line for line in reported(tmp_path, **one_host()))
    bundle = tmp_path / "long.pem"
    bundle.write_bytes(long_names.bundle(12))
    config = one_host()
    config["client_ca"].append(
        {"name": "long", "certificate": bundle, "hosts": ["iot.example.com"]}
    )
    lines = reported(tmp_path, **config)
    assert any("does not name its CAs" in line and "'always' sends them" in line for line in lines)
    lines = reported(tmp_path, **one_host(advertise_cas="never"))
    assert any("does not name its CAs" in line and "'never'" in line for line in lines)


def test_a_client_whose_issuer_has_no_usable_crl_is_refused(tmp_path: Path) -> None:
    """Verified is not admitted, where a CRL is required and there is none to rely on."""
    config = one_host()
    (tmp_path / "damaged.crl").write_bytes(b"damaged")
    config["client_ca"][0]["crl"] = [str(tmp_path / "damaged.crl")]
    lines = reported(tmp_path, **config)
    refused = "refused (no policy matched); no CRL can be used"
    assert f"    a certificate that verifies:  {refused}" in lines
    assert any("no usable CRL of " in line for line in lines)
    config["client_ca"][0]["crl_policy"] = "warn"
    lines = reported(tmp_path, **config)
    assert "    a certificate that verifies:  admitted (policy 'policy-1' admits)" in lines


def test_a_required_handshake_without_a_usable_crl_refuses_everybody(tmp_path: Path) -> None:
    """With an alert, as it does strangers."""
    config = one_host(handshake="require")
    (tmp_path / "damaged.crl").write_bytes(b"damaged")
    config["client_ca"][0]["crl"] = [str(tmp_path / "damaged.crl")]
    refused = "refused in the handshake, with an alert; no CRL can be used"
    assert f"    a certificate that verifies:  {refused}" in reported(tmp_path, **config)


def test_of_several_issuers_only_those_without_a_usable_crl_are_closed(tmp_path: Path) -> None:
    """Each by its name."""
    root, middle = certs.authority(), certs.intermediate("Below")
    bundle = tmp_path / "bundle.pem"
    pem = [each.certificate.public_bytes(Encoding.PEM) for each in (root, middle)]
    bundle.write_bytes(b"".join(pem))
    config = one_host()
    config["client_ca"][0] |= {
        "certificate": str(bundle),
        "crl": [str(certs.crl_file("of-the-root.crl"))],
    }
    lines = reported(tmp_path, **config)
    assert "    a certificate that verifies:  admitted (policy 'policy-1' admits)" in lines
    assert (
        "      issued by CN=Below: refused (no policy matched); no CRL of it can be used" in lines
    )


def test_who_is_asked_about_clients_is_told(tmp_path: Path) -> None:
    """With what happens where nobody answers."""
    config = one_host()
    config["client_ca"][0] |= {
        "ocsp": "http://ocsp.internal/",
        "ocsp_allow": ["http://a.example/", "http://b.example/"],
    }
    (line,) = (line for line in reported(tmp_path, **config) if "OCSP" in line)
    assert (
        "  asks http://ocsp.internal/, then the one that a certificate names, if it is "
        "http://a.example/ or http://b.example/, by OCSP about each certificate of "
        f"{certs.CLIENT_CA!r}; whoever it cannot tell about is refused"
    ) == line
    config["client_ca"][0] |= {"ocsp_policy": "warn", "ocsp_check": "leaf"}
    (line,) = (line for line in reported(tmp_path, **config) if "OCSP" in line)
    assert "about the client's own certificate of" in line
    assert line.endswith("whoever it cannot tell about passes all the same")

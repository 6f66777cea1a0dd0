"""What a rule says that is right, and will surprise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from config_making import NOW, right

from mtlsedge.config.load import load_mapping

CERTIFICATE = {"certificate": True}
FINGERPRINT = {"fingerprint_sha256": "ab" * 32}


def warnings(directory: Path, **rules: Any) -> tuple[str, ...]:
    mapping = right()
    mapping["application"][0]["policy"][0] |= rules
    loaded = load_mapping(
        mapping, directory, check_verifier=lambda spec, _: spec, now=NOW.timestamp()
    )
    return loaded.warnings


@pytest.mark.parametrize("selector", ["fingerprint_sha256", "spki_sha256"])
def test_a_fingerprint_keeps_nobody_out(pki: Path, selector: str) -> None:
    """An ECDSA signature (r, n - s) is as good as (r, s), and no two have one fingerprint."""
    warned = warnings(pki, include=[CERTIFICATE], exclude=[{selector: "ab" * 32}])
    assert (selector == "fingerprint_sha256") is any("ECDSA" in each for each in warned)


def test_a_fingerprint_may_let_somebody_in(pki: Path) -> None:
    """Nobody can make another certificate of the same one."""
    assert not any("ECDSA" in each for each in warnings(pki, include=[FINGERPRINT]))


@pytest.mark.parametrize("terms", ["", ",on_error=allow"])
def test_a_verifier_may_keep_somebody_out(pki: Path, terms: str) -> None:
    """While it fails it keeps all out, whatever its ``on_error``: there is nothing to warn of."""
    exclude = [{"verifier": f"san:dns=a.example{terms}"}]
    assert () == warnings(pki, include=[CERTIFICATE], exclude=exclude)

"""What a rule says that is right, and will surprise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from config_making import load, right

CERTIFICATE = {"certificate": True}
FINGERPRINT = {"fingerprint_sha256": "ab" * 32}


def warnings(directory: Path, **rules: Any) -> tuple[str, ...]:
    mapping = right()
    mapping["application"][0]["policy"][0] |= rules
    return load(mapping, directory).warnings


@pytest.mark.parametrize("selector", ["fingerprint_sha256", "spki_sha256"])
def test_a_fingerprint_keeps_nobody_out(pki: Path, selector: str) -> None:
    """An ECDSA signature (r, n - s) is as good as (r, s), and no two have one fingerprint."""
    warned = warnings(pki, include=[CERTIFICATE], exclude=[{selector: "ab" * 32}])
    assert (selector == "fingerprint_sha256") is any("ECDSA" in each for each in warned)


def test_a_fingerprint_may_let_somebody_in(pki: Path) -> None:
    """Nobody can make another certificate of the same one."""
    assert not any("ECDSA" in each for each in warnings(pki, include=[FINGERPRINT]))

"""``shadow = true`` on a policy."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from mtlsedge.config.load import load_mapping
from mtlsedge.errors import ConfigurationError
from mtlsedge.model import Configuration
from support import tables


def loaded(directory: Path, *shadow: Any) -> Configuration:
    """A configuration with a policy for each of these values of ``shadow``, absent for None."""
    policies = [
        tables.policy(include=[{"certificate": True}], **({} if each is None else {"shadow": each}))
        for each in shadow
    ]
    config = tables.one_host("iot.example.com", "http://127.0.0.1:1")
    config["application"] = [tables.application("iot.example.com", *policies)]
    for table in (*config["host"], *config["client_ca"]):
        table |= {key: str(table[key]) for key in ("certificate", "key") if key in table}
    mapping = {"edge": {"listen": ["127.0.0.1:8443"]}, **config}
    return load_mapping(mapping, directory, check_verifier=lambda spec, _: spec, now=time.time())


def test_policies_are_enforced_unless_they_say_otherwise(tmp_path: Path) -> None:
    """``shadow = false`` says what is so anyway."""
    (application,) = loaded(tmp_path, None, True, False).applications
    assert [False, True, False] == [policy.shadow for policy in application.policies]


def test_nothing_but_true_and_false_will_do(tmp_path: Path) -> None:
    """A policy that was meant to be tried must not be enforced for a slip."""
    with pytest.raises(ConfigurationError, match=r"application\[0\]\.policy\[0\]\.shadow"):
        loaded(tmp_path, "yes")


def test_an_application_of_shadows_alone_is_warned_of(tmp_path: Path) -> None:
    """It refuses everybody, as one without policies does."""
    assert any("nothing but shadows" in each for each in loaded(tmp_path, True).warnings)
    assert not any("shadows" in each for each in loaded(tmp_path, None, True).warnings)

"""Whatever stands in a configuration, the loader answers with one or with its problems."""

from __future__ import annotations

import contextlib
import copy
import math
from pathlib import Path
from typing import Any

import pytest
from config_making import check_verifier, load, right
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtlsedge.config.load import load_file
from mtlsedge.config.rules import SELECTORS
from mtlsedge.errors import ConfigurationError

WORDS = sorted(
    {
        *SELECTORS,
        *("edge", "host", "client_ca", "application", "group", "service_token", "policy", "name"),
        *("listen", "names", "certificate", "key", "upstream", "upstream_ca", "limits", "timeouts"),
        *("hosts", "crl", "domain", "include", "require", "exclude", "expires", "secret_sha256"),
        *("ca.pem", "ca.crl", "server.pem", "text.txt", ".", "iot.example.com", "*.a", "[::1]:1"),
        *("http://a/b", "https://[", "unix:x", "24h", "8k", "0x1", "good", "odd", "staff", "fd:3"),
        *(
            "iot.example.com/%zz",
            "iot.example.com/\ud7ff",
            "http://\uff41",
            "a@b",
            "CN=x",
            "+",
            "%",
        ),
    }
)
SCALARS = st.one_of(
    st.sampled_from(WORDS),
    st.text(max_size=20),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.just(math.inf),
    st.dates(),
    st.datetimes(),
    st.times(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(WORDS), st.text(max_size=8)), inner, max_size=4),
    ),
    max_leaves=20,
)
TABLES = st.dictionaries(st.one_of(st.sampled_from(WORDS), st.text(max_size=8)), VALUES, max_size=8)
QUIET = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@QUIET
@given(mapping=TABLES)
def test_any_mapping_loads_or_is_refused(pki: Path, mapping: dict[str, object]) -> None:
    """Nothing but ConfigurationError leaves the loader."""
    with contextlib.suppress(ConfigurationError):
        load(mapping, pki)


@QUIET
@given(data=st.data())
def test_any_change_of_a_right_mapping_loads_or_is_refused(pki: Path, data: Any) -> None:
    """One or more values replaced anywhere, so that the deep readers are reached too."""
    mapping: Any = copy.deepcopy(right())
    for _ in range(data.draw(st.integers(1, 3))):
        _replace_somewhere(mapping, data)
    with contextlib.suppress(ConfigurationError):
        load(mapping, pki)


@QUIET
@given(text=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_any_bytes_load_or_are_refused(tmp_path: Path, text: bytes) -> None:
    """A file may hold anything."""
    file = tmp_path / "any.toml"
    file.write_bytes(text)
    with pytest.raises(ConfigurationError):
        load_file(file, check_verifier=check_verifier, now=0)


@QUIET
@given(position=st.integers(0, 5000), junk=st.binary(min_size=1, max_size=3), data=st.data())
def test_damaged_files_load_or_are_refused(
    pki: Path, tmp_path: Path, position: int, junk: bytes, data: Any
) -> None:
    """Bytes changed anywhere in a certificate, key, CA or CRL file."""
    key, name = data.draw(
        st.sampled_from(
            [
                (("host", "certificate"), "server.pem"),
                (("host", "key"), "server-key.pem"),
                (("client_ca", "certificate"), "ca.pem"),
                (("client_ca", "crl"), "ca.crl"),
                (("client_ca", "crl"), "ca-der.crl"),
            ]
        )
    )
    whole = (pki / name).read_bytes()
    spot = position % len(whole)
    (tmp_path / name).write_bytes(whole[:spot] + junk + whole[spot + len(junk) :])
    mapping = right()
    mapping[key[0]][0][key[1]] = str(tmp_path / name)
    with contextlib.suppress(ConfigurationError):
        load(mapping, pki)


def _replace_somewhere(mapping: Any, data: Any) -> None:
    """Walk down at random and put a random value where the walk ends."""
    while True:
        keys = list(mapping) if isinstance(mapping, dict) else list(range(len(mapping)))
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        inner = mapping[key]
        if not isinstance(inner, dict | list) or data.draw(st.integers(0, 4)) == 0:
            mapping[key] = data.draw(VALUES)
            return
        mapping = inner

"""A common name is one that every reader would take, or none."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from mtlsedge.identity import ANONYMOUS, Certificate, Reason


def certificate(*common_names: str) -> Certificate:
    """A certificate of which only the common names matter."""
    empty: dict[str, Any] = {field.name: None for field in fields(Certificate)}
    return Certificate(**{**empty, "common_names": common_names})


@pytest.mark.parametrize(
    ("names", "common_name"),
    [
        (("device-1",), "device-1"),
        ((" device-1 ",), " device-1 "),
        ((), ""),
        (("",), ""),
        (("device-1", "admin"), ""),
        (("device-1", "device-1"), ""),
        (("device-1\0",), ""),
        (("\0device-1",), ""),
        (("admin\0.example.com",), ""),
        (("device-1", "\0"), ""),
    ],
)
def test_a_multi_valued_or_nul_bearing_common_name_is_none(
    names: tuple[str, ...], common_name: str
) -> None:
    """Invariant 8: readers differ on which of several they take, and on where a NUL ends it."""
    assert common_name == certificate(*names).common_name


def test_who_presents_nothing_has_proved_nothing() -> None:
    """The default of every field is no."""
    assert not ANONYMOUS.presented
    assert not ANONYMOUS.verified
    assert ANONYMOUS.chain is None
    assert () == ANONYMOUS.client_cas
    assert Reason.NOT_PRESENTED is ANONYMOUS.reason

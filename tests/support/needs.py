"""What is there to test with? Outside programs are skipped for on a desk and demanded in CI."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

_SBIN = os.pathsep.join(("/usr/local/sbin", "/usr/sbin", "/sbin"))


def in_ci() -> bool:
    """Whether this run must not skip anything (``CI`` is set to anything but ``false`` or 0)."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def needs(program: str) -> Path:
    """Where an outside program is. Without it the test is skipped, or fails in CI."""
    path = os.environ.get("PATH", os.defpath) + os.pathsep + _SBIN
    found = shutil.which(program, path=path)
    if found is None:
        missing(f"this test needs the program {program!r} (.ci/run says where it comes from)")
    return Path(found)


def missing(why: str) -> NoReturn:
    """Skip this test for something the machine lacks; in CI, fail it."""
    if in_ci():
        pytest.fail(why)
    pytest.skip(why)

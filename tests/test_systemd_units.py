"""The units in docs/systemd.md: systemd takes them, and they fit what the edge is told."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from support.edge import TWISTD
from support.needs import needs

PAGE = Path(__file__).parents[1] / "docs" / "systemd.md"


def blocks(language: str) -> list[str]:
    """The code blocks of the page, in order."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The page's units as files, with this machine's programs."""
    for kind, text in zip(("socket", "service"), blocks("ini"), strict=True):
        text = text.replace("/opt/mtlsedge/bin/twistd", f"{sys.executable} {TWISTD}")
        text = text.replace("/opt/mtlsedge/bin/mtlsedge", sys.executable)
        (tmp_path / f"mtlsedge.{kind}").write_text(text)
    return tmp_path


def test_systemd_takes_the_units_without_a_word(units: Path) -> None:
    """Also what it would only warn of: keys it does not know, programs that are not there."""
    tool = needs("systemd-analyze")
    files = [str(units / f"mtlsedge.{kind}") for kind in ("service", "socket")]
    done = subprocess.run(
        [str(tool), "verify", "--man=no", *files], capture_output=True, text=True, timeout=60
    )
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "mtlsedge" in line]
    assert [] == ours


def test_the_configuration_takes_the_socket_that_the_unit_passes() -> None:
    """Descriptors are passed from 3 on."""
    edge = tomllib.loads(blocks("toml")[0])["edge"]
    assert 1 == blocks("ini")[0].count("ListenStream=")
    assert ["fd:3"] == edge["listen"]
    assert edge["state"].startswith("/var/lib/mtlsedge/")

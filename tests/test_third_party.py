"""A verifier of somebody else's: the package that docs/verifiers.md writes, built and installed.

It stands beside the wheel in an environment of its own, and mtlsedge is not touched.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from support import certs, tables
from support.client import Client
from support.edge import Edge
from support.origin import CountingOrigin
from test_package import environment, pip, run, wheel

__all__ = ["environment", "wheel"]  # fixtures

NAME = "ward.example.com"
_DOCS = Path(__file__).parent.parent / "docs" / "verifiers.md"
_FILE = re.compile(r"^`([^`\n]+)`:\n\n```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def installed(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fresh environment, with the page's package in it."""
    source = tmp_path_factory.mktemp("duty")
    files = dict(_FILE.findall(_DOCS.read_text()))
    assert {"pyproject.toml", "duty/__init__.py", "twisted/plugins/duty_plugin.py"} == set(files)
    for name, text in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    pip("wheel", "--no-deps", "--wheel-dir", str(source / "dist"), str(source))
    (built,) = (source / "dist").glob("*.whl")
    pip("--python", str(environment / "python"), "install", "--no-deps", str(built))
    return environment


def test_its_help_is_shown_beside_ours(installed: Path, tmp_path: Path) -> None:
    """By both commands, and by its name alone."""
    for command in (["twistd", "mtlsedge", "--help-verifiers"], ["mtlsedge", "verifiers"]):
        listed = run(installed, tmp_path, *command)
        assert {"duty:file=FILE", "chain"} <= set(listed)
    for command in (
        ["twistd", "mtlsedge", "--help-verifier", "duty"],
        ["mtlsedge", "verifiers", "duty"],
    ):
        shown = "\n".join(run(installed, tmp_path, *command))
        assert "duty:file=FILE\n    Accepts whoever is on duty" in shown
        assert "on_error" in shown
        assert "from duty.DutyFactory" in shown


def test_it_judges_in_an_edge_of_that_environment(
    installed: Path,
    tmp_path: Path,
    origin: CountingOrigin,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a client CA, with its attribute in a rule and at the origin."""
    table = tables.one_host(NAME, origin.url, forward_attributes=["ward"])
    table["client_ca"][0]["verifier"] = "duty:file=duty.txt,timeout=2s"
    rule = {"attribute": ["ward=3", "ward=4"]}
    table["application"] = [tables.application(NAME, tables.policy(include=[rule]))]
    directory = tmp_path / "edge"
    directory.mkdir()
    (directory / "duty.txt").write_text("device-1=3\ndevice-2=9\n")
    monkeypatch.setattr("support.edge.sys.executable", str(installed / "python"))
    monkeypatch.setattr("support.edge.TWISTD", installed / "twistd")
    with Edge(directory, table, env={"PYTHONPATH": ""}) as edge:
        got = [Client(certs.client(f"device-{n}")).get(edge.port, NAME).status for n in (1, 2, 3)]
        assert [200, 403, 403] == got
        assert "3" == origin.requests[0].header("Cf-Cert-Attribute-Ward")
        assert "device-3 is off duty" in str(edge.access_log(3))


def test_its_mistakes_are_told_before_anything_is_served(
    installed: Path, tmp_path: Path, origin: CountingOrigin
) -> None:
    """By the key path, as ours are."""
    table = tables.one_host(NAME, origin.url)
    table["client_ca"][0]["verifier"] = "duty:file=nowhere.txt"
    edge = Edge(tmp_path, table)
    edge.config_path.write_text(edge._toml())
    done = subprocess.run(
        [installed / "mtlsedge", "check", edge.config_path],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert 1 == done.returncode
    assert "client_ca[0].verifier" in done.stderr
    assert f"{tmp_path}/nowhere.txt cannot be used" in done.stderr

"""The wheel is what users get: built, installed in a fresh environment, and found by twistd."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path

import pytest

from support.needs import missing

ROOT = Path(__file__).parent.parent
_FOLDERS = ("mtlsedge", "twisted")
_FILES = ("pyproject.toml", "setup.cfg", "README.md", "LICENSE")
_MADE = shutil.ignore_patterns("__pycache__", "dropin.cache")
_OFFLINE = ("Could not find a version", "NewConnectionError", "ConnectTimeoutError")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the source so that nothing old can slip in."""
    return _wheel(tmp_path_factory.getbasetemp() / "wheel")


@cache
def _wheel(directory: Path) -> Path:
    directory.mkdir()
    source = directory / "source"
    source.mkdir()
    for folder in _FOLDERS:
        shutil.copytree(ROOT / folder, source / folder, ignore=_MADE)
    for file in _FILES:
        shutil.copy(ROOT / file, source)
    pip("wheel", "--no-deps", "--wheel-dir", str(directory), str(source))
    (built,) = directory.glob("mtlsedge-*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs' directory of a new environment that holds the wheel and what it depends on.

    Made once, for whoever needs it: that takes long, and the network.
    """
    return _environment(wheel, tmp_path_factory.getbasetemp() / "fresh")


@cache
def _environment(wheel: Path, directory: Path) -> Path:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory], check=True)
    pip("--python", str(directory / "bin" / "python"), "install", str(wheel))
    return directory / "bin"


def test_the_wheel_holds_the_plugin_and_nothing_of_twisteds(wheel: Path) -> None:
    """An ``__init__.py`` of ours under twisted/ would replace Twisted's own."""
    names = zipfile.ZipFile(wheel).namelist()
    assert ["twisted/plugins/mtlsedge_plugins.py"] == [n for n in names if "twisted/" in n]


def test_the_wheel_holds_every_module_and_the_typing_mark(wheel: Path) -> None:
    """A package that setuptools did not find is missed here."""
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "mtlsedge").rglob("*.py")}
    assert modules | {"mtlsedge/py.typed"} <= set(zipfile.ZipFile(wheel).namelist())


def test_twistd_lists_the_command(environment: Path, tmp_path: Path) -> None:
    """The plugin is found where pip put it."""
    listed = [line.split()[:1] for line in run(environment, tmp_path, "twistd", "--help")]
    assert ["mtlsedge"] in listed


def test_twistd_mtlsedge_shows_its_options(environment: Path, tmp_path: Path) -> None:
    """The command behind the name can be imported with what the wheel depends on."""
    assert "--config" in "\n".join(run(environment, tmp_path, "twistd", "mtlsedge", "--help"))


def test_the_mtlsedge_command_shows_its_commands(environment: Path, tmp_path: Path) -> None:
    """So can the other command."""
    assert "check" in "\n".join(run(environment, tmp_path, "mtlsedge", "--help"))


def test_the_demonstration_comes_along(environment: Path, tmp_path: Path) -> None:
    """It needs nothing of the checkout."""
    shown = run(environment, tmp_path, "python", "-m", "mtlsedge.demo", "--help")
    assert "--directory" in "\n".join(shown)


def run(environment: Path, directory: Path, program: str, *arguments: str) -> list[str]:
    """What a program of the new environment prints, run far from the checkout."""
    command = [environment / program, *arguments]
    clean = {"PATH": "/usr/bin:/bin", "HOME": str(directory)}
    done = subprocess.run(command, cwd=directory, env=clean, capture_output=True, text=True)
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout.splitlines()


def pip(*arguments: str) -> None:
    """Run pip; without its index the test is skipped on a desk and fails in CI."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode and any(sign in done.stderr for sign in _OFFLINE):
        missing(f"this test needs the package index: {done.stderr}")
    assert 0 == done.returncode, done.stderr

"""A directory to work in, with the how-to's JSON files, and ``mtlsedge pki`` as a function."""

from __future__ import annotations

from pathlib import Path

import pytest
from pki_making import CA_CSR, CLIENT_CSR, Done, Pki, write

from mtlsedge.cli import main
from support.how_to import CA_CONFIG


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory, and the one that the process is in."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "ca-csr.json", CA_CSR)
    write(tmp_path / "ca-config.json", CA_CONFIG)
    write(tmp_path / "client-csr.json", CLIENT_CSR)
    return tmp_path


@pytest.fixture
def pki(room: Path, capfd: pytest.CaptureFixture[str]) -> Pki:
    """Run ``mtlsedge pki`` with these arguments; it must succeed unless a status is given."""

    def run(*arguments: str | Path, status: int = 0) -> Done:
        capfd.readouterr()
        ended = main(["pki", *map(str, arguments)])
        captured = capfd.readouterr()
        assert status == ended, captured.err
        return Done(ended, captured.out, captured.err)

    return run

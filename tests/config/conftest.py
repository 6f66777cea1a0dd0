"""One small PKI for all tests of the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_making import write_pki


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the files that ``config_making.write_pki`` writes."""
    directory = tmp_path_factory.mktemp("pki")
    write_pki(directory)
    return directory

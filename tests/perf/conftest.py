"""What the harness's tests need of the machine: skipped for on a desk, demanded in CI."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from perf import catalogue
from support.needs import needs


@pytest.fixture(scope="session", autouse=True)
def nginx_tells_at_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What nginx logs it writes without waiting for more; in a measurement that would cost it."""
    templates = tmp_path_factory.mktemp("peers") / "peers"
    shutil.copytree(catalogue.TEMPLATES, templates)
    usual = (templates / "nginx.conf").read_text()
    assert " flush=1s;" in usual
    (templates / "nginx.conf").write_text(usual.replace(" flush=1s;", " flush=50ms;"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "TEMPLATES", templates)
        yield


@pytest.fixture
def nginx() -> None:
    """The origin of every run, and a peer."""
    needs("nginx")

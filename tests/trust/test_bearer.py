"""The token that the http verifier shows: read from a file, sent, watched, and told to nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.logger import LogEvent, formatEventAsClassicLogText
from verifier_services import FakeEdge, Service, started, verdict

from mtlsedge.errors import BadVerifier
from mtlsedge.ops.watching import INTERVAL
from mtlsedge.serving.lending import Lent
from mtlsedge.trust.http_verifier import HttpFactory
from mtlsedge.trust.verifiers import make_verifier, whole_spec

URL = "url=http://127.0.0.1:8181/v1/data/edge"
SECRET = "s3cr3t.Token_of-ours/+=="


class Watching(FakeEdge):
    """Lends a watch whose clock the test moves."""

    def __init__(self) -> None:
        super().__init__(Service(lambda *_: {"result": True}))

    watch: Any = Lent.watch

    def shown(self, verifier: Any) -> str:
        """The token that a question is sent with, a while later."""
        for _ in range(3):
            self.reactor.advance(INTERVAL)
        assert verdict(verifier).accepted
        return self.service.bearers[-1]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "opa.token"
    path.write_text(f"{SECRET}\n")
    return path


def put(path: Path, content: bytes) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.rename(path)


def test_the_token_is_sent_as_it_stands_in_the_file_now(file: Path, logged: list[LogEvent]) -> None:
    """Also one that takes its place; one that is damaged changes nothing, and is told."""
    edge = Watching()
    verifier = started(HttpFactory().makeVerifier(f"{URL},token_file={file}"), edge)
    assert SECRET == edge.shown(verifier)
    put(file, b"  another\r\n")
    assert "another" == edge.shown(verifier)
    for damaged in (b"", b"two words"):
        put(file, damaged)
        assert "another" == edge.shown(verifier)
    file.unlink()
    assert "another" == edge.shown(verifier)
    told = [formatEventAsClassicLogText(event) or "" for event in logged]
    assert 3 == sum("the last good one serves on" in line for line in told)
    assert [] == [line for line in told if SECRET in line or "two words" in line]
    verifier.stopService()
    assert [] == edge.reactor.getDelayedCalls()


def test_without_a_file_there_is_no_token() -> None:
    """And nothing to watch."""
    edge = FakeEdge(Service(lambda *_: {"result": True}))
    assert verdict(started(HttpFactory().makeVerifier(URL), edge)).accepted
    assert [""] == edge.service.bearers


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" \n",
        b"two words",
        b"two\nlines",
        b"a\0b",
        b"a\tb",
        b"\x7f",
        "é".encode(),
        b"x" * 9000,
    ],
)
def test_what_is_no_token_is_refused_without_being_told(file: Path, content: bytes) -> None:
    """It could end the header line, or is another file than was meant."""
    file.write_bytes(content)
    with pytest.raises(BadVerifier, match=r"opa\.token") as caught:
        HttpFactory().makeVerifier(f"{URL},token_file={file}")
    text = content.decode().strip()
    assert not text or text not in str(caught.value)


def test_its_path_is_relative_to_the_configuration(file: Path) -> None:
    """As that of the CA file; and one that is missing is an error at once."""
    spec = whole_spec(f"http:{URL},token_file=opa.token", file.parent)
    assert f"http:{URL},token_file={file}" == spec
    made = make_verifier(spec)
    assert SECRET not in f"{spec} {made!r} {made.verifier!r} {vars(made.verifier)!r}"
    file.unlink()
    with pytest.raises(BadVerifier, match="cannot be read"):
        make_verifier(spec)

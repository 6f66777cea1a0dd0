"""What the README shows works as it stands there, but for ports and directories."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from support import certs, curl
from support.edge import Edge
from support.origin import CountingOrigin

README = (Path(__file__).parent.parent.parent / "README.md").read_text()
HOST = "iot.example.com"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the edge will run, with the files that the README speaks of."""
    directory = tmp_path / "edge-1"
    directory.mkdir()
    server = certs.server(HOST)
    for name, source in [
        ("server.pem", server.certificate),
        ("server-key.pem", server.key),
        ("ca.pem", certs.ca_file()),
    ]:
        (directory / name).write_bytes(source.read_bytes())
    return directory


def test_the_first_configuration(
    directory: Path, origin: CountingOrigin, start_edge: Callable[..., Edge]
) -> None:
    """The walk's edge.toml refuses and admits as the walk says."""
    text = block("toml", "[edge]").replace("http://127.0.0.1:8080", origin.url)
    edge = start_edge(text.replace("127.0.0.1:8443", "127.0.0.1:{port}"))
    assert (403, 200) == without_and_with(edge)
    assert [403, 200] == [line["status"] for line in edge.access_log(2)]


def test_one_host_by_options(
    directory: Path, origin: CountingOrigin, start_edge: Callable[..., Edge]
) -> None:
    """The command line without a file refuses and admits as well."""
    command = block("console", "$ twistd --nodaemon --pidfile= mtlsedge --listen")
    words = shlex.split(command.replace("\\\n", " ").removeprefix("$ "))
    said = {"127.0.0.1:8443": "127.0.0.1:{port}", "http://127.0.0.1:8080": origin.url}
    options = [said.get(word, word) for word in words[words.index("mtlsedge") + 1 :]]
    assert (403, 200) == without_and_with(start_edge(options=tuple(options)))


def test_groups_tokens_and_rules(
    directory: Path, origin: CountingOrigin, start_edge: Callable[..., Edge]
) -> None:
    """The longer example loads, and governs what it says."""
    first = block("toml", "[edge]").replace("http://127.0.0.1:8080", origin.url)
    more = block("toml", "[[group]]").replace('"..."', '"' + "ab" * 32 + '"')
    more = more.replace("192.0.2.0/24", "127.0.0.0/8")
    edge = start_edge(first.replace("127.0.0.1:8443", "127.0.0.1:{port}") + more)
    statuses = {
        name: curl.get(edge.port, HOST, "/admin/x", certs.client(name)).status
        for name in ("alice", "device-1")
    }
    assert {"alice": 200, "device-1": 403} == statuses
    assert ["/admin/x"] == origin.targets


def block(language: str, start: str) -> str:
    """The README's fenced block in this language that starts with these words."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    (found,) = [each for each in blocks if each.startswith(start)]
    return str(found)


def without_and_with(edge: Edge) -> tuple[int, int]:
    """The statuses that a client without a certificate and one with one get."""
    without = curl.get(edge.port, HOST).status
    return without, curl.get(edge.port, HOST, client=certs.client("James Royal")).status

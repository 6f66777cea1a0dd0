"""Somebody with a browser: a certificate imported from ``pki p12``, pages, and its end."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from mtlsedge.cli import main
from support import certs
from support.browser import Browser, Page
from support.edge import Edge
from support.ports import wait_until
from support.tables import application, host

IOT = "iot.example.com"
PAGE = """<!DOCTYPE html><title>loading</title><link rel="stylesheet" href="/style.css">
<h1>The origin's page</h1><img src="/dot.svg" alt=""><script src="/app.js"></script>"""
SCRIPT = """
addEventListener("load", async () => {
  const style = getComputedStyle(document.querySelector("h1")).color;
  const image = document.querySelector("img").naturalWidth;
  const data = (await (await fetch("/data.json")).json()).from;
  const socket = new WebSocket("wss://" + location.host + "/socket");
  socket.onopen = () => socket.send("hello");
  socket.onmessage = event => { document.title = [style, image, data, event.data].join(" | "); };
});
"""
DOT = '<svg xmlns="http://www.w3.org/2000/svg" width="7" height="7"><path d="M0 0h7v7z"/></svg>'
FILES = {
    "/": ("text/html", PAGE),
    "/style.css": ("text/css", "h1 { color: rgb(1, 2, 3) }"),
    "/app.js": ("text/javascript", SCRIPT),
    "/dot.svg": ("image/svg+xml", DOT),
    "/data.json": ("application/json", '{"from": "origin"}'),
}
WHOLE = "rgb(1, 2, 3) | 7 | origin | echo: hello"


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """An origin with a page, what belongs to it, and a WebSocket that echoes."""

    def echo(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            for message in connection:
                connection.send(f"echo: {message!s}")

    def page(connection: ServerConnection, request: Request) -> Response | None:
        if request.path == "/socket":
            return None
        kind, body = FILES.get(request.path, ("text/plain", "nothing here"))
        found = HTTPStatus.OK if request.path in FILES else HTTPStatus.NOT_FOUND
        fields = {"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close"}
        return Response(found, found.phrase, Headers(fields), body.encode())

    with serve(echo, "127.0.0.1", 0, process_request=page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join(10)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CA, its CRL, and client.p12 for a browser, all by ``mtlsedge pki``."""
    directory = tmp_path / "made"
    directory.mkdir()
    monkeypatch.chdir(directory)
    (directory / "ca-csr.json").write_text(json.dumps({"CN": "Browser CA"}))
    (directory / "client-csr.json").write_text(json.dumps({"CN": "James Royal"}))
    (directory / "password").write_text("correct horse\n")
    for line in (
        "init ca-csr.json",
        "issue client-csr.json",
        "p12 --password-file password client.pem",
        "gencrl",
    ):
        assert 0 == main(["pki", *line.split()])
    return directory


@pytest.fixture
def edge(made: Path, origin: str, tmp_path: Path) -> Iterator[Edge]:
    """One host that lets in whom that CA issued."""
    ca = {"name": "CA", "certificate": made / "ca.pem", "crl": [made / "ca.crl"], "hosts": [IOT]}
    config = {
        "host": [host(IOT, upstream=origin)],
        "client_ca": [ca],
        "application": [application(IOT)],
    }
    with Edge(tmp_path / "edge", config) as running:
        yield running


def browser(home: Path) -> Browser:
    """A browser that trusts the edge's certificate and picks a client's by itself."""
    home.mkdir()
    pattern = json.dumps({"pattern": f"https://{IOT}", "filter": {}})
    policies: dict[str, Any] = {"AutoSelectCertificateForUrls": [pattern]}
    made = Browser(home, policies=policies, hosts={IOT: "127.0.0.1"})
    made.trust(certs.ca_file(certs.SERVER_CA))
    return made


def reload(edge: Edge) -> None:
    """Have the edge read its files again."""
    before = edge.log().count("serving generation")
    os.kill(edge.pid, signal.SIGHUP)
    wait_until(lambda: edge.log().count("serving generation") > before, 20, "the new generation")


def whole(page: Page) -> None:
    """Wait until everything that belongs to the page has come."""
    wait_until(lambda: page.evaluate("document.title") == WHOLE, 20, f"the title {WHOLE!r}")


def readable(page: Page, edge: Edge) -> None:
    """A refusal as a person can use it: nothing runs off a phone, small print is not small."""
    page.be_a_phone()
    page.open(edge.url(IOT))
    size = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert [360, 360] == size
    smallest = page.evaluate(
        "Math.min(...[...document.querySelectorAll('h1,h2,p,li,dt,dd')]"
        ".filter(e => e.innerText).map(e => parseFloat(getComputedStyle(e).fontSize)))"
    )
    assert smallest >= 14


def test_without_a_certificate_the_page_says_what_to_do(edge: Edge, tmp_path: Path) -> None:
    """In plain words, on a phone, too."""
    with browser(tmp_path / "home") as chromium:
        page = chromium.page()
        page.open(edge.url(IOT))
        assert "This site needs your certificate" == page.evaluate("document.title")
        assert "ends with .p12 or .pfx" in page.text()
        assert 403 == page.evaluate("performance.getEntriesByType('navigation')[0].responseStatus")
        readable(page, edge)
        page.screenshot(tmp_path / "refused.png")


def test_with_the_imported_certificate_everything_loads_until_it_is_revoked(
    edge: Edge, made: Path, tmp_path: Path
) -> None:
    """Page, style, script, image, data and WebSocket; then the refusal, in the same window."""
    chromium = browser(tmp_path / "home")
    chromium.install(made / "client.p12", "correct horse")
    with chromium:
        page = chromium.page()
        page.open(edge.url(IOT))
        whole(page)
        assert "The origin's page" in page.text()
        assert 0 == main(["pki", "revoke", "client.pem"])
        assert 0 == main(["pki", "gencrl"])
        reload(edge)
        page.open(edge.url(IOT))
        assert "Your certificate has been revoked" == page.evaluate("document.title")
        readable(page, edge)
        page.screenshot(tmp_path / "revoked.png")
    lines = [line for line in edge.access_log() if line["event"] != "handshake"]
    assert {"/", "/style.css", "/app.js", "/dot.svg", "/data.json", "/socket"} <= {
        line["path"] for line in lines if line["status"] in (200, 101)
    }
    assert (403, True) == (lines[-1]["status"], lines[-1]["cert"]["presented"])

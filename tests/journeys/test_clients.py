"""The clients that people have, through the edge with certificates."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import httpx
import pytest
import requests
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from support import certs, curl
from support.client import Client
from support.edge import Edge
from support.needs import needs
from support.origin import CountingOrigin
from support.tables import application, client_ca, host

NAME = "localhost"
SOCKETS = "ws.localhost"
CA = certs.SERVER_CA

NODE = """
const https = require('https'), fs = require('fs');
const [port, ca, cert, key, kind] = process.argv.slice(1);
const options = { host: '127.0.0.1', port, ca: fs.readFileSync(ca), agent: false };
if (cert) Object.assign(options, { cert: fs.readFileSync(cert), key: fs.readFileSync(key) });
const tell = (what) => { console.log(JSON.stringify(what)); process.exit(0); };

function get() {
  const named = { servername: 'localhost', headers: { Host: `localhost:${port}` } };
  https.get({ ...options, ...named, path: '/node' }, (response) => {
    let body = '';
    response.on('data', (piece) => { body += piece; });
    response.on('end', () => tell({ status: response.statusCode, body }));
  });
}

// A text frame of less than 126 bytes, masked as clients must (RFC 6455, section 5.3).
function frame(text) {
  const mask = Buffer.from([1, 2, 3, 4]), data = Buffer.from(text);
  data.forEach((byte, at) => { data[at] = byte ^ mask[at % 4]; });
  return Buffer.concat([Buffer.from([0x81, 0x80 | data.length]), mask, data]);
}

function websocket() {
  const headers = {
    Host: `ws.localhost:${port}`, Connection: 'Upgrade', Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': Buffer.alloc(16, 7).toString('base64'),
  };
  const request = https.request({ ...options, servername: 'ws.localhost', path: '/', headers });
  request.on('response', (response) => tell({ status: response.statusCode }));
  request.on('upgrade', (response, socket, head) => {
    let got = head;
    const look = () => {
      if (got.length >= 2 && got.length >= 2 + got[1]) {
        tell({ status: response.statusCode, body: got.subarray(2, 2 + got[1]).toString() });
      }
    };
    socket.on('data', (piece) => { got = Buffer.concat([got, piece]); look(); });
    socket.write(frame('hello from node'));
  });
  request.end();
}

({ get, websocket })[kind]();
"""


@pytest.fixture
def edge(origin: CountingOrigin, websocket_origin: str, start_edge: Callable[..., Edge]) -> Edge:
    """One host before a counting origin, one before a WebSocket server."""
    return start_edge(
        {
            "host": [host(NAME, upstream=origin.url), host(SOCKETS, upstream=websocket_origin)],
            "client_ca": [client_ca(NAME, SOCKETS)],
            "application": [application(NAME), application(SOCKETS)],
        }
    )


@pytest.fixture
def websocket_origin() -> Iterator[str]:
    """The URL of a ``websockets`` server that sends back every message."""

    def echo(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):  # not every client says goodbye
            for message in connection:
                connection.send(message)

    with serve(echo, "127.0.0.1", 0, max_size=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join(10)


def test_curl(edge: Edge) -> None:
    """curl, over HTTP/1.1."""
    assert 403 == curl.get(edge.port, NAME).status
    assert (200, "origin\n") == status_and_body(curl.get(edge.port, NAME, client=certs.client()))


def test_requests(edge: Edge, origin: CountingOrigin) -> None:
    """A session of requests keeps its connection and its cookie, and posts a file."""
    with requests.Session() as session:
        session.trust_env = False  # no proxy, no CA bundle of this machine's
        session.verify = str(certs.ca_file(CA))
        assert 403 == session.get(edge.url(NAME), timeout=20).status_code
        session.cert = certs.client().files
        assert "origin\n" == session.get(edge.url(NAME, "/a"), timeout=20).text
        assert "CF_Authorization" in session.cookies
        body = b"x" * 300_000
        assert 200 == session.post(edge.url(NAME, "/b"), data=body, timeout=20).status_code
    assert ["/a", "/b"] == origin.targets
    assert len(body) == origin.requests[1].body_length


def test_httpx(edge: Edge, origin: CountingOrigin) -> None:
    """httpx, with a body sent in chunks of unknown number."""
    context = ssl.create_default_context(cafile=str(certs.ca_file(CA)))
    with httpx.Client(verify=context, trust_env=False) as anonymous:
        assert 403 == anonymous.get(edge.url(NAME)).status_code
    context.load_cert_chain(*certs.client().files)
    with httpx.Client(verify=context, trust_env=False) as client:
        answer = client.post(edge.url(NAME, "/c"), content=iter([b"one", b"two"]))
    assert (200, "origin\n") == (answer.status_code, answer.text)
    assert [b"onetwo"] == [request.body for request in origin.requests]


def test_node_https(edge: Edge) -> None:
    """Node's own https module."""
    assert 403 == node(edge, "get", None)["status"]
    assert {"status": 200, "body": "origin\n"} == node(edge, "get", certs.client())


def test_node_websocket(edge: Edge) -> None:
    """An upgrade from Node, and a message there and back."""
    assert 403 == node(edge, "websocket", None)["status"]
    expected = {"status": 101, "body": "hello from node"}
    assert expected == node(edge, "websocket", certs.client())


def test_websockets(edge: Edge) -> None:
    """A Python WebSocket client: small and large messages, both kinds, and an orderly close."""
    with pytest.raises(InvalidStatus) as refused:
        websocket(edge, Client())
    assert 403 == refused.value.response.status_code
    with websocket(edge, Client(certs.client())) as connection:
        for message in ("hello", b"\x00\xff" * 8, "x" * 2_000_000):
            connection.send(message)
            assert message == connection.recv(timeout=20)
    assert 1000 == connection.close_code


def status_and_body(answer: curl.Curled) -> tuple[int, str]:
    """The two things that most tests ask for."""
    return answer.status, answer.body


def node(edge: Edge, kind: str, client: certs.Pair | None) -> dict[str, object]:
    """Run the script above; it prints what it got as JSON."""
    files = client.files if client else ("", "")
    arguments = [str(edge.port), str(certs.ca_file(CA)), *files, kind]
    done = subprocess.run(
        [needs("node"), "-e", NODE, "--", *arguments], capture_output=True, text=True, timeout=30
    )
    assert 0 == done.returncode, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return told


def websocket(edge: Edge, client: Client):  # type: ignore[no-untyped-def]
    """A connection of the ``websockets`` library through the edge."""
    return connect(
        f"wss://{SOCKETS}:{edge.port}/",
        sock=socket.create_connection(("127.0.0.1", edge.port), 20),
        ssl=client.context,
        server_hostname=SOCKETS,
        max_size=None,
    )

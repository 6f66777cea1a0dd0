"""An HTTP server in a thread of its own, on a port of its own."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from support import certs


class ThreadedServer(ThreadingHTTPServer):
    """Takes as many at once as a test may send."""

    daemon_threads = True
    request_queue_size = 128


class QuietHandler(BaseHTTPRequestHandler):
    """Answers without a word on standard error."""

    def log_message(self, *_: object) -> None:
        """Tests say themselves what went wrong."""


class HTTPService:
    """Serves with a handler; over TLS where there is a pair. A context manager.

    Attributes:
        url: of its root, without the slash.
    """

    server_type = ThreadedServer

    def __init__(self, handler: type[QuietHandler], pair: certs.Pair | None = None) -> None:
        self._server = self.server_type(("127.0.0.1", 0), handler)
        scheme, name = "http", "127.0.0.1"
        if pair is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*pair.files)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            scheme, name = "https", "localhost"
        self.url = f"{scheme}://{name}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

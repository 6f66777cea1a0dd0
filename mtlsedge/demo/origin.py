"""What stands behind the edge? A server that shows each request as it arrived."""

from __future__ import annotations

from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

_PAGE = """\
<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>The origin</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: auto; padding: 1rem }}
th, td {{ text-align: left; vertical-align: top; padding: .2rem 1rem .2rem 0 }}
td {{ font-family: ui-monospace, monospace; overflow-wrap: anywhere }}
</style>
<h1>You passed</h1>
<p>The edge let this request through to its origin, which received:</p>
<p><code>{line}</code></p>
<table>{rows}</table>
"""


def start_origin(port: int) -> ThreadingHTTPServer:
    """Serve on a loopback port (0 is any free one) from a thread, until ``shutdown()``.

    Raises:
        OSError: the port is taken.
    """
    server = ThreadingHTTPServer(("127.0.0.1", port), _ShowRequest)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    return server


class _ShowRequest(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def show(self) -> None:
        # A body that is not read would be taken for the next request.
        length = int(self.headers.get("Content-Length", 0))
        received = len(self.rfile.read(length))
        line = f"{self.command} {self.path}" + (f" ({received} bytes)" if received else "")
        wants_page = "text/html" in self.headers.get("Accept", "")
        body = (self._as_page(line) if wants_page else self._as_text(line)).encode()
        self.send_response(200)
        kind = "text/html" if wants_page else "text/plain"
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = show

    def _as_text(self, line: str) -> str:
        fields = "".join(f"  {name}: {value}\n" for name, value in self.headers.items())
        return f"The edge let this request through. The origin received:\n\n  {line}\n{fields}"

    def _as_page(self, line: str) -> str:
        rows = (
            f"<tr><th>{escape(name)}<td>{escape(value)}" for name, value in self.headers.items()
        )
        return _PAGE.format(line=escape(line), rows="\n".join(rows))

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the edge has an access log."""

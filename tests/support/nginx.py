"""Debian's nginx as an origin: a process of its own, in a directory of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.needs import needs
from support.ports import free_port, is_listening, wait_until

_CONFIGURATION = """\
{user}worker_processes 1;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 512; }}
http {{
    access_log access.log;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    default_type text/html;
    server {{
        listen 127.0.0.1:{port};
        root html;
        {extra}
    }}
}}
"""


@contextmanager
def nginx(directory: Path, page: str = "nginx is here\n", extra: str = "") -> Iterator[str]:
    """Run nginx, with this page as its ``/``; its URL comes back. ``extra`` joins the server."""
    program = needs("nginx")
    html = directory / "html"
    html.mkdir(parents=True)
    (html / "index.html").write_text(page)
    port = free_port()
    user = "user root;\n" if os.geteuid() == 0 else ""
    configuration = _CONFIGURATION.format(user=user, port=port, extra=extra)
    (directory / "nginx.conf").write_text(configuration)
    command = [str(program), "-p", str(directory), "-c", "nginx.conf", "-g", "daemon off;"]
    with (directory / "output").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_until(lambda: is_listening(port) or process.poll() is not None, 10, "nginx to listen")
        assert process.poll() is None, (directory / "output").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)

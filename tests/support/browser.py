"""A real browser: headless Chromium with a home of its own, driven by the DevTools protocol.

Chromium takes policies from one directory of the machine only, so it runs in a mount namespace
where that directory is its own: nothing of the machine is changed, and nobody else's browser.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from websockets.sync.client import ClientConnection, connect

from support.needs import missing, needs
from support.ports import wait_until

_POLICIES = "/etc/chromium"
_PROGRAM = Path("/usr/lib/chromium/chromium")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # it runs as root in its namespace
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--password-store=basic",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
    "--window-size=1000,900",
)


class Browser:
    """One Chromium. A context manager; leaving it ends every process of it.

    ``home`` has its profile and its certificates; ``policies`` is what a managed policy says;
    ``hosts`` maps names to addresses.
    """

    def __init__(
        self, home: Path, *, policies: Mapping[str, Any], hosts: Mapping[str, str]
    ) -> None:
        self.home = home
        self._policies = policies
        self._hosts = hosts
        self._process: subprocess.Popen[bytes] | None = None
        self._stack = ExitStack()

    def trust(self, ca: Path) -> None:
        """Trust the servers of this CA."""
        self._nss("-A", "-t", "C,,", "-n", "servers", "-i", ca)

    def install(self, bundle: Path, password: str) -> None:
        """Import a client certificate with its key, as its user does."""
        command: list[str | Path] = [needs("pk12util"), "-i", bundle]
        command += ["-W", password, "-d", self._database()]
        subprocess.run(command, check=True, capture_output=True)

    def page(self) -> Page:
        """The one tab."""
        port = self._port()
        asking = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        asking.request("GET", "/json/list")
        tabs = json.loads(asking.getresponse().read())
        asking.close()
        tab = next(each for each in tabs if each["type"] == "page")
        line = connect(tab["webSocketDebuggerUrl"], max_size=None)
        return Page(self._stack.enter_context(line))

    def log(self) -> str:
        """What it said."""
        return (self.home / "chromium.log").read_text(errors="replace")

    def __enter__(self) -> Browser:
        self._database()
        rules = ",".join(f"MAP {name} {address}" for name, address in self._hosts.items())
        browser = shlex.join(
            [
                str(_chromium()),
                *_FLAGS,
                f"--user-data-dir={self.home / 'profile'}",
                f"--host-resolver-rules={rules}",
                "about:blank",
            ]
        )
        command = [*self._under_policies(), f"exec {browser}"]
        with (self.home / "chromium.log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "HOME": str(self.home)},
                start_new_session=True,
            )
        try:
            wait_until(self._port, 60, "Chromium to listen")
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._stack.close()
        finally:
            self.kill()

    def kill(self) -> None:
        """End it and all that it started."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _under_policies(self) -> list[str]:
        """How to run a shell command under these policies."""
        own = self.home / "etc" / "policies" / "managed"
        own.mkdir(parents=True)
        (own / "policy.json").write_text(json.dumps(self._policies))
        namespace = [str(needs("unshare")), "--map-root-user", "--mount", "sh", "-c"]
        bind = f"mount --bind {shlex.quote(str(self.home / 'etc'))} {_POLICIES}"
        if subprocess.run([*namespace, bind], capture_output=True).returncode == 0:
            return [*namespace[:-1], "-c", f'{bind} && eval "$0"']
        if os.geteuid() != 0:
            missing("this test needs a mount namespace, or root, for Chromium's policies")
        # Machine-wide, then: under a name of its own, for as long as it takes, for one host only.
        shared = Path(_POLICIES) / "policies" / "managed" / f"mtlsedge-test-{os.getpid()}.json"
        shared.parent.mkdir(parents=True, exist_ok=True)
        shared.write_text(json.dumps(self._policies))
        self._stack.callback(shared.unlink)
        return ["sh", "-c", 'eval "$0"']

    def _port(self) -> int:
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        told = self.home / "profile" / "DevToolsActivePort"
        lines = told.read_text().split("\n") if told.exists() else []
        return int(lines[0]) if len(lines) > 1 else 0

    def _database(self) -> str:
        directory = self.home / ".pki" / "nssdb"
        if not directory.exists():
            directory.mkdir(parents=True)
            self._nss("-N", "--empty-password")
        return f"sql:{directory}"

    def _nss(self, *arguments: str | Path) -> None:
        command = [needs("certutil"), *arguments, "-d", self._database()]
        subprocess.run(command, check=True, capture_output=True)


class Page:
    """One tab of a browser."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._count = 0
        self.call("Page.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        self._connection.send(json.dumps(message))
        while True:
            answer = json.loads(self._connection.recv(timeout=60))
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, url: str) -> None:
        """Go somewhere, and wait until the page there is whole."""
        gone = self.call("Page.navigate", url=url)
        assert "errorText" not in gone, gone["errorText"]
        wait_until(lambda: self.evaluate("document.readyState") == "complete", 30, url)

    def evaluate(self, script: str) -> Any:
        """What a script comes to."""
        done = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        return done["result"].get("value")

    def text(self) -> str:
        """What a person reads."""
        return str(self.evaluate("document.body.innerText"))

    def be_a_phone(self) -> None:
        """Become as wide as a small phone, and as sharp."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=360,
            height=740,
            deviceScaleFactor=2,
            mobile=True,
        )

    def screenshot(self, path: Path) -> None:
        """What a person sees, the whole page of it, as PNG."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))


def _chromium() -> Path:
    # The program itself, where it is: the script around it is for desks.
    found = needs("chromium")
    return _PROGRAM if _PROGRAM.exists() else found

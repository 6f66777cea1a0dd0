"""Which servers can be measured, and how is each one started? The settings are in ``peers/``."""

from __future__ import annotations

import importlib.metadata
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from perf.keys import KeyFiles, client_names, fingerprint

LogStyle = Literal["like", "short"]
"""Access logs of peers: ``like`` the edge's own lines, or their own ``short`` default."""

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = Path(__file__).resolve().parent / "peers"
_PLACE = re.compile(r"@([a-z_]+)@")


class Unavailable(Exception):
    """A server that cannot be measured here: what to install, or what it cannot do."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A server that we know how to start.

    ``template`` is a file of ``peers/``, or elsewhere if absolute; rendered, it has the same
    name in the run's directory, and ``@config@`` in ``arguments`` is its path ("" is none).
    ``log`` is the access log's name there, if any; ``must_set`` the cookie without which
    something that should be on is off. ``names_clients``: it
    lets in only clients that its configuration names. ``alone``: it has one process and no more.
    """

    name: str
    program: str
    package: str
    template: str
    arguments: tuple[str, ...]
    version_option: str = ""
    log: str = ""
    must_set: str = ""
    names_clients: bool = False
    alone: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    def path(self) -> str:
        """The program's path: beside this Python first, then on PATH and in /usr/sbin."""
        beside = Path(sys.executable).with_name(self.program)
        if beside.exists():
            return str(beside)
        found = shutil.which(self.program, path=os.environ.get("PATH", "") + ":/usr/sbin")
        if found is None:
            raise Unavailable(f"{self.name}: no {self.program} here; install {self.package}")
        return found

    def version(self) -> str:
        """What the program says of its own version, in one line."""
        if not self.version_option:
            return _python_versions()
        done = subprocess.run(
            [self.path(), self.version_option], capture_output=True, text=True, check=False
        )
        lines = (done.stdout + done.stderr).strip().splitlines()
        return lines[0] if lines else "unknown"


EDGE = Kind(
    name="edge",
    program="twistd",
    package="this project (pip install -e .)",
    template="edge.toml",
    arguments=("--nodaemon", "--pidfile=", "mtlsedge", "--config", "@config@"),
    log="access.log",
    must_set="CF_Authorization",
    names_clients=True,
    environment={"PYTHONPATH": str(ROOT)},
)

ORIGIN = Kind(
    name="origin",
    program="nginx",
    package="Debian's nginx",
    template="origin.conf",
    arguments=("-p", "@directory@", "-e", "@directory@/error.log", "-c", "@config@"),
    version_option="-v",
)

PEERS: Mapping[str, Kind] = {
    "nginx": Kind(
        name="nginx",
        program="nginx",
        package="Debian's nginx",
        template="nginx.conf",
        arguments=("-p", "@directory@", "-e", "@directory@/error.log", "-c", "@config@"),
        version_option="-v",
        log="access.log",
    ),
    "haproxy": Kind(
        name="haproxy",
        program="haproxy",
        package="Debian's haproxy",
        template="haproxy.cfg",
        arguments=("-db", "-f", "@config@"),
        environment={"OPENSSL_CONF": "@openssl_conf@"},
        version_option="-v",
        log="stdout.log",
    ),
    "caddy": Kind(
        name="caddy",
        program="caddy",
        package="Debian's caddy",
        template="caddy.json",
        arguments=("run", "--config", "@config@"),
        version_option="version",
        log="access.log",
        environment={"GOMAXPROCS": "@workers@", "HOME": "@directory@"},
    ),
    "hitch": Kind(
        name="hitch",
        program="hitch",
        package="Debian's hitch",
        template="hitch.conf",
        arguments=("--config=@config@",),
        environment={"OPENSSL_CONF": "@openssl_conf@"},
        version_option="--version",
    ),
    "stock-twisted": Kind(
        name="stock-twisted",
        program=Path(sys.executable).name,
        package="Python",
        template="stock-twisted.json",
        arguments=(str(TEMPLATES / "stock_twisted.py"), "@config@"),
        environment={"OPENSSL_CONF": "@openssl_conf@"},
        log="access.log",
        alone=True,
    ),
}


SINK = Kind(
    name="origin",
    program=Path(sys.executable).name,
    package="Python",
    template="",
    arguments=("-m", "perf.sink", "@port@"),
    environment={"PYTHONPATH": str(ROOT)},
)


_SESSIONS: Mapping[bool, Mapping[str, str]] = {
    False: {
        "resumption": "off",
        "tickets": "off",
        "number_of_tickets": "ssl_conf_command NumTickets 0;",
        "no_tls_tickets": "no-tls-tickets",
        "tickets_disabled": "true",
        "openssl_conf": str(TEMPLATES / "no-tickets.cnf"),
    },
    True: {
        "resumption": "recheck",
        "tickets": "on",
        "number_of_tickets": "",
        "no_tls_tickets": "",
        "tickets_disabled": "false",
        "openssl_conf": "/dev/null",
    },
}
"""How each template says that TLS sessions are resumed, or not."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is the same for all servers of one run, and the directory and port that are not."""

    directory: Path
    port: int
    origin_port: int
    name: str
    keys: KeyFiles | None = None
    log_style: LogStyle = "like"
    connections: int = 8192
    workers: int = 1
    resumed: bool = False

    def places(self) -> dict[str, str]:
        """The values of the templates' ``@places@``."""
        values = {
            "directory": str(self.directory),
            "port": str(self.port),
            "origin_port": str(self.origin_port),
            "name": self.name,
            "nginx_user": f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else "",
            "hitch_user": 'user = "nobody"' if os.geteuid() == 0 else "",
            "log_style": self.log_style,
            "connections": str(self.connections),
            "workers": str(self.workers),
            **_SESSIONS[self.resumed],
        }
        if self.keys is not None:
            values["server_cert"] = str(self.keys.server_cert)
            values["server_key"] = str(self.keys.server_key)
            values["server_pem"] = str(self.keys.server_pem)
            values["client_ca"] = str(self.keys.client_ca)
            values["client_pin"] = fingerprint(self.keys.client_pem)
            # Within quotes, so that the template is well-formed by itself.
            values["client_names"] = '", "'.join(client_names(len(self.keys.client_pems)))
        return values


@dataclass(frozen=True, slots=True)
class Launch:
    """A command that is ready to run; its configuration is written."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path
    log: Path | None


def prepare(kind: Kind, setting: Setting) -> Launch:
    """Write a server's configuration and say how to start it.

    Raises:
        Unavailable: the program is not installed.
    """
    places = setting.places()
    if kind.template:
        config = setting.directory / Path(kind.template).name
        config.write_text(render((TEMPLATES / kind.template).read_text(), places))
        places["config"] = str(config)
    return Launch(
        argv=(kind.path(), *(render(argument, places) for argument in kind.arguments)),
        environment={key: render(value, places) for key, value in kind.environment.items()},
        directory=setting.directory,
        log=setting.directory / kind.log if kind.log else None,
    )


def render(template: str, places: Mapping[str, str]) -> str:
    """Fill in every ``@place@``; one that is not known is a ``KeyError``."""
    return _PLACE.sub(lambda match: places[match[1]], template)


def _python_versions() -> str:
    names = ("mtlsedge", "Twisted", "pyOpenSSL", "cryptography", "httptools")
    found = [f"Python {sys.version.split()[0]}"]
    for name in names:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)

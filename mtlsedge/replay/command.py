"""How is it asked for? ``mtlsedge replay``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from twisted.python import usage

from mtlsedge.errors import BadCertificate, ConfigurationError, EdgeError
from mtlsedge.explain.command import (
    BAD_CONFIGURATION,
    LONGEST_LINE,
    access_logs,
    complain,
    load_configuration,
)
from mtlsedge.identity import Certificate
from mtlsedge.ops.logfiles import Reading, read_logs
from mtlsedge.replay.judging import Judging
from mtlsedge.replay.tally import Tally, replay
from mtlsedge.replay.text import lines_of
from mtlsedge.serving.words import printable
from mtlsedge.trust.certificates import read_bundle

CHANGED = 3
CANNOT_TELL = 4


class ReplayOptions(usage.Options):
    """Say which requests of an access log another configuration would decide otherwise."""

    synopsis = "Usage: mtlsedge replay --config NEW [--old OLD] [--log FILE]..."
    longdesc = (
        "The dry run before a reload: every request in the access log is put to the policies of "
        "a new configuration, and what changes is listed in groups. The log has no certificates: "
        "where a rule asks for what it lacks (alternative names, verifiers), the answer is that "
        "it cannot be told. Exit status 0 if nothing changes, 3 if something does, 4 if nothing "
        "does for certain but some cannot be told, 1 if a file cannot be used."
    )
    optParameters: ClassVar[list[Any]] = [
        ["config", None, None, "The new configuration."],
        ["old", None, None, "The one that served, to compare client CAs with."],
    ]
    optFlags: ClassVar[list[Any]] = [["json", None, "For programs."]]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._logs: list[Path] = []
        self._certificates: list[Path] = []

    def opt_log(self, path: str) -> None:
        """An access log, plain or gzip, if not the new configuration's; several times."""
        self._logs.append(Path(path))

    def opt_certs(self, path: str) -> None:
        """Clients' certificates (PEM), or a directory of them: what the log lacks of them."""
        self._certificates.append(Path(path))

    def getSynopsis(self) -> str:
        """How it is used, without how all that is above it is used."""
        return self.synopsis

    def postOptions(self) -> None:
        """There must be a configuration."""
        if self["config"] is None:
            raise usage.UsageError("name the new configuration with --config")

    def run(self) -> int:
        """Replay, and print what changes."""
        place = Path(self["config"])
        try:
            configuration = load_configuration(place)
            old = None
            if self["old"] is not None:
                place = Path(self["old"])
                old = load_configuration(place)
            judging = Judging(configuration, old, _certificates(self._certificates))
            reading = Reading()
            lines = read_logs(self._logs or access_logs(configuration), reading)
            tally = replay(lines, judging, reading)
        except ConfigurationError as error:
            return complain(place, error)
        except EdgeError as error:
            print(f"mtlsedge: {error}", file=sys.stderr)
            return BAD_CONFIGURATION
        except OSError as error:
            print(f"mtlsedge: {error.filename}: {error.strerror}", file=sys.stderr)
            return BAD_CONFIGURATION
        if self["json"]:
            print(json.dumps(tally.as_json(), indent=2))
        else:
            for line in lines_of(tally):
                print(printable(line, LONGEST_LINE))
        return _status(tally)


def _status(tally: Tally) -> int:
    if tally.changed:
        return CHANGED
    return CANNOT_TELL if tally.untold else 0


def _certificates(paths: Iterable[Path]) -> Iterator[Certificate]:
    for path in paths:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        for file in files:
            yield from _in_file(file, wanted=not path.is_dir())


def _in_file(file: Path, *, wanted: bool) -> tuple[Certificate, ...]:
    """The certificates of a file; whatever else lies in a directory is passed over."""
    if not wanted and (file.suffix not in (".pem", ".crt", ".cer") or not file.is_file()):
        return ()
    try:
        return read_bundle(file.read_bytes())
    except BadCertificate as error:
        if wanted:
            raise BadCertificate(f"{file}: {error}") from error
        return ()

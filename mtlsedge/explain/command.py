"""How is it asked for? ``mtlsedge explain``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from twisted.internet.defer import Deferred
from twisted.python import usage
from twisted.python.failure import Failure

from mtlsedge.config.load import load_file
from mtlsedge.errors import ConfigurationError
from mtlsedge.explain.account import Account
from mtlsedge.explain.asked import (
    Asked,
    BadQuestion,
    read_address,
    read_certificates,
    read_field,
    read_method,
    read_moment,
    read_url,
)
from mtlsedge.explain.past import find_line, read_past
from mtlsedge.explain.rehearsal import explain
from mtlsedge.explain.stage import Stage
from mtlsedge.explain.text import lines_of
from mtlsedge.model import Configuration
from mtlsedge.ops.logfiles import UnreadableLog, with_rotated
from mtlsedge.serving.words import printable
from mtlsedge.trust.verifiers import checked_spec

BAD_CONFIGURATION = 1
USAGE = 2
REFUSED = 3

LONGEST_LINE = 64 * 1024
"""Characters that are shown: a certificate in a header line is long."""

T = TypeVar("T")


class ExplainOptions(usage.Options):
    """Say why a request is answered as it is."""

    synopsis = "Usage: mtlsedge explain --config FILE (--url URL | --request-id ID) [OPTIONS]"
    longdesc = (
        "Runs the edge's own code on one request that nobody sends, and tells all of it: the "
        "host, the certificate's chain, lists and verifiers, the path, the application, every "
        "policy and rule, the decision, and what the origin would get. Nothing is served, "
        "written or bound; verifiers and OCSP responders are asked as the edge asks them. With "
        "--request-id several --cert may be given: the one that the client had is taken. Exit "
        "status 0 if the request is admitted, 3 if it is refused, 1 if the configuration or a "
        "file cannot be used, 2 for a question that is none."
    )
    optParameters: ClassVar[list[Any]] = [
        ["config", None, None, "The configuration."],
        ["url", None, None, "What is asked for: https://host/path."],
        ["method", "X", None, "The method; GET unless said otherwise."],
        ["ip", None, None, "The client's address."],
        ["at", None, None, "When: 2026-11-23T14:00:00Z; now unless said otherwise."],
        ["request-id", None, None, "Explain this request of the access log instead."],
    ]
    optFlags: ClassVar[list[Any]] = [["json", None, "For programs."]]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._certificates: list[Path] = []
        self._logs: list[Path] = []
        self._headers: list[str] = []

    def opt_cert(self, path: str) -> None:
        """The client's certificate and what it sends along (PEM), without its key."""
        self._certificates.append(Path(path))

    def opt_header(self, line: str) -> None:
        """A header line, 'Name: value', such as a service token's; may be given several times."""
        self._headers.append(line)

    opt_H = opt_header  # as curl has it

    def opt_log(self, path: str) -> None:
        """Where to look for --request-id, if not in the configuration's access_log."""
        self._logs.append(Path(path))

    def getSynopsis(self) -> str:
        """How it is used, without how all that is above it is used."""
        return self.synopsis

    def postOptions(self) -> None:
        """There must be a question."""
        if self["config"] is None:
            raise usage.UsageError("name the configuration with --config")
        if (self["url"] is None) == (self["request-id"] is None):
            raise usage.UsageError("say what to explain: --url or --request-id")
        if self["url"] is not None and len(self._certificates) > 1:
            raise usage.UsageError("a client has one certificate; say --cert once")

    def run(self) -> int:
        """Explain, and print it."""
        try:
            configuration = load_configuration(Path(self["config"]))
            asked, notes = self._question(configuration)
            account = run_until_done(lambda reactor: explained(configuration, reactor, asked))
        except ConfigurationError as error:
            return complain(Path(self["config"]), error)
        except BadQuestion as error:
            print(f"mtlsedge: {error}", file=sys.stderr)
            return USAGE
        except UnreadableLog as error:
            print(f"mtlsedge: {error}", file=sys.stderr)
            return BAD_CONFIGURATION
        except OSError as error:
            print(f"mtlsedge: {error.filename}: {error.strerror}", file=sys.stderr)
            return BAD_CONFIGURATION
        account = replace(account, notes=(*account.notes, *notes))
        if self["json"]:
            print(json.dumps(account.as_json(), indent=2))
        else:
            for line in lines_of(account):
                print(printable(line, LONGEST_LINE))
        return 0 if account.answer.admitted else REFUSED

    def _question(self, configuration: Configuration) -> tuple[Asked, tuple[str, ...]]:
        notes: tuple[str, ...] = ()
        at = read_moment(self["at"]) if self["at"] is not None else None
        fields = tuple(map(read_field, self._headers))
        if self["request-id"] is None:
            server_name, authority, port, target = read_url(self["url"])
            asked = Asked(self["url"], server_name, authority, port, target)
            if self._certificates:
                leaf, sent = read_certificates(self._certificates[0])
                asked = replace(asked, leaf=leaf, sent=sent)
            asked = replace(asked, at=time.time() if at is None else at)
        else:
            past = read_past(
                find_line(self["request-id"], self._logs or access_logs(configuration)),
                self._certificates,
                at,
            )
            asked, notes = past.asked, past.missing
        if self["method"] is not None:
            asked = replace(asked, method=read_method(self["method"]))
        if self["ip"] is not None:
            asked = replace(asked, ip=read_address(self["ip"]))
        return replace(asked, fields=fields), notes


async def explained(configuration: Configuration, reactor: Any, asked: Asked) -> Account:
    """One question to one configuration, on a stage of its own.

    Raises:
        ConfigurationError: it cannot be served after all.
    """
    stage = Stage(configuration, reactor, asked.at)
    stage.open()
    try:
        return await explain(stage, asked)
    finally:
        await stage.close()


def load_configuration(path: Path) -> Configuration:
    """The configuration in a file, judged by the present.

    Raises:
        ConfigurationError: with every problem at once.
    """
    return load_file(path, check_verifier=checked_spec, now=time.time())


def access_logs(configuration: Configuration) -> tuple[Path, ...]:
    """The access log of a configuration and what rotation made of it, the oldest first.

    Raises:
        BadQuestion: it has none that can be read again.
        UnreadableLog: there is none.
    """
    log = configuration.edge.access_log
    if log in ("", "-"):
        raise BadQuestion("the configuration has no access_log in a file; name one with --log")
    return with_rotated(Path(log))


def complain(path: Path, error: ConfigurationError) -> int:
    """Say what is wrong with a configuration; gives the exit status."""
    count = len(error.problems)
    print(f"{path}: {count} problem{'s' * (count != 1)}", file=sys.stderr)
    for problem in error.problems:
        print(f"  {problem}", file=sys.stderr)
    return BAD_CONFIGURATION


def run_until_done(begin: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    """What a coroutine comes to, in a reactor that runs for as long as that takes, if it does."""
    from twisted.internet import reactor

    ended: list[T | Failure] = []
    doing = Deferred.fromCoroutine(begin(reactor))
    doing.addBoth(ended.append)
    if not ended:
        doing.addBoth(lambda _: reactor.stop())
        reactor.run()
    if not ended:
        raise KeyboardInterrupt
    result = ended[0]
    if isinstance(result, Failure):
        result.raiseException()
    assert not isinstance(result, Failure)
    return result

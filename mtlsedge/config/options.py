"""What did the operator write on the command line? The same mapping as a file's TOML gives.

The options of ``twistd mtlsedge`` say either ``--config FILE`` or one host. Either way one
loader judges what was said; what it finds wrong is then told by the option's name.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

from twisted.python import usage

from mtlsedge.config.load import load_file, load_mapping, read_toml
from mtlsedge.config.rules import FLAGS
from mtlsedge.errors import ConfigurationError, Problem
from mtlsedge.model import Configuration

_CLIENT_CA = "client CA"
_POLICY = "command line"
_POLICY_KEY = "application.policy."
_INDEX = re.compile(r"\[[0-9]+\]")

# Which option says which key. One value each:
_SINGLE: Mapping[str, str] = {
    "state": "edge.state",
    "workers": "edge.workers",
    "admin": "edge.admin",
    "access-log": "edge.access_log",
    "default-host": "edge.default_host",
    "certificate": "host.certificate",
    "key": "host.key",
    "upstream-ca": "host.upstream_ca",
    "upstream-server-name": "host.upstream_server_name",
    "upstream-certificate": "host.upstream_certificate",
    "upstream-key": "host.upstream_key",
    "handshake": "host.handshake",
    "unprotected": "host.unprotected",
    "resumption": "host.resumption",
    "advertise-cas": "host.advertise_cas",
    "client-ca": "client_ca.certificate",
    "crl-policy": "client_ca.crl_policy",
    "verifiers-match": "client_ca.verifiers_match",
    "session-duration": "application.session_duration",
}
# Repeatable, a list each:
_REPEATED: Mapping[str, str] = {
    "listen": "edge.listen",
    "host": "host.names",
    "upstream": "host.upstream",
    "forward-certificate": "host.forward_certificate",
    "forward-attribute": "host.forward_attributes",
    "crl": "client_ca.crl",
    "verifier": "client_ca.verifiers",
}
_RULES = ("include", "require", "exclude")

_OPTION_OF = {key: f"--{option}" for option, key in {**_SINGLE, **_REPEATED}.items()} | {
    "application.domain": "--path",
    "client_ca.hosts": "--host",
    **{f"{_POLICY_KEY}{rule}": f"--{rule}" for rule in _RULES},
}


def _no_verifiers(name: str = "") -> None:
    sys.stdout.write("no verifier is installed\n")


class ServeOptions(usage.Options):
    """The options of ``twistd mtlsedge``.

    Whoever wires the edge sets ``print_verifiers``, which ``--help-verifiers`` calls without
    a name, and ``--help-verifier`` with one.
    """

    print_verifiers: ClassVar[Callable[..., None]] = staticmethod(_no_verifiers)

    synopsis = (
        "[options] --config FILE\n"
        "       twistd [options] mtlsedge --listen ADDRESS --host NAME --certificate FILE "
        "--key FILE --upstream URL [--client-ca FILE] [options]"
    )
    longdesc = (
        "Terminates TLS, asks for client certificates, decides who may pass, and streams what "
        "passes to an HTTP origin. Everything can be said in a TOML file (--config); one host "
        "can be said with options alone. With --client-ca and no rule, whoever holds a "
        "certificate of that CA may pass, and nobody else. Options that may be repeated say so."
    )

    optParameters = [
        ["config", "c", None, "Read everything from this TOML file."],
        ["state", None, None, "Directory for the edge's own keys.  [default: state]"],
        ["workers", None, None, "Processes; 0 is one per CPU.  [default: 1]"],
        ["admin", None, None, "Address and port for health and metrics; off unless given."],
        ["access-log", None, None, "File for the access log; '-' is standard output."],
        ["default-host", None, None, "Name of the host for clients that send no server name."],
        ["certificate", None, None, "PEM file the host presents: leaf, then intermediates."],
        ["key", None, None, "PEM file of its private key."],
        ["upstream-ca", None, None, "CA file that signs https origins, or 'system'."],
        ["upstream-server-name", None, None, "Name that the origin's certificate carries."],
        ["upstream-certificate", None, None, "Certificate that the edge shows to origins."],
        ["upstream-key", None, None, "The private key of that certificate."],
        ["handshake", None, None, "'require' refuses in the handshake.  [default: record]"],
        ["unprotected", None, None, "What no application covers: deny or pass.  [default: deny]"],
        ["resumption", None, None, "TLS resumption: off or recheck.  [default: off]"],
        [
            "advertise-cas",
            None,
            None,
            "Name the CAs to clients: auto, always, never. [default: auto]",
        ],
        ["client-ca", None, None, "PEM file of the CA that signs clients."],
        ["crl-policy", None, None, "Where a CRL is unusable: require or warn. [default: require]"],
        ["verifiers-match", None, None, "How many must accept: all or any.  [default: all]"],
        ["path", None, None, "Path that the rules protect.  [default: the whole host]"],
        ["session-duration", None, None, "How long a token lasts.  [default: 24h]"],
    ]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._said: dict[str, list[object]] = {}

    def opt_listen(self, address: str) -> None:
        """Listen here: 127.0.0.1:8443, [::1]:8443, :8443 (all), fd:3. Repeatable."""
        self._say("listen", address)

    def opt_host(self, name: str) -> None:
        """A name of the host; its first label may be '*'. Repeatable."""
        self._say("host", name)

    def opt_upstream(self, url: str) -> None:
        """An origin: http://, https://, or unix:/path. Repeatable."""
        self._say("upstream", url)

    def opt_crl(self, file: str) -> None:
        """A CRL of the client CA, PEM or DER. Repeatable."""
        self._say("crl", file)

    def opt_verifier(self, spec: str) -> None:
        """A verifier that must accept each client; see --help-verifiers. Repeatable."""
        self._say("verifier", spec)

    def opt_forward_certificate(self, dialect: str) -> None:
        """Give origins the certificate as cf, rfc9440 or xfcc. Repeatable."""
        self._say("forward-certificate", dialect)

    def opt_forward_attribute(self, name: str) -> None:
        """Tell origins this attribute that verifiers attach. Repeatable."""
        self._say("forward-attribute", name)

    def opt_include(self, rule: str) -> None:
        """Who may pass, such as certificate, common_name=device-1, ip=192.0.2.0/24, or several
        values in one rule, 'common_name=["a", "b"]'. Any of them. Repeatable."""
        self._say("include", _rule(rule))

    def opt_require(self, rule: str) -> None:
        """What must be so as well, written as --include is; all of them. Repeatable."""
        self._say("require", _rule(rule))

    def opt_exclude(self, rule: str) -> None:
        """What must not be so, written as --include is; none of them. Repeatable."""
        self._say("exclude", _rule(rule))

    def opt_help_verifiers(self) -> None:
        """Show the verifiers that are installed, and exit."""
        type(self).print_verifiers()
        raise SystemExit(0)

    def opt_help_verifier(self, name: str) -> None:
        """Show one verifier, with what every verifier takes, and exit."""
        type(self).print_verifiers(name)
        raise SystemExit(0)

    def parseArgs(self, *args: str) -> None:
        """No arguments: what stands alone is most likely a forgotten option."""
        if args:
            raise usage.UsageError(f"{args[0]!r} belongs to no option; to name a file, --config")

    def postOptions(self) -> None:
        """Refuse combinations that would leave open what was meant."""
        if self["config"] is not None:
            others = self._given() - {"config"}
            if others:
                listed = ", ".join(f"--{option}" for option in sorted(others))
                raise usage.UsageError(f"--config says everything; leave out {listed}")
        else:
            self._check_single_host()

    def mapping(self) -> dict[str, object]:
        """What the file says, or what a file would say that means the same as the options.

        Raises:
            ConfigurationError: ``--config`` names no file of TOML.
        """
        if self["config"] is not None:
            return read_toml(Path(self["config"]))
        tables: dict[str, dict[str, object]] = {"edge": {}, "host": {}, "client_ca": {}}
        tables["application"] = {}
        for option, where in _SINGLE.items():
            if self[option] is not None:
                _put(tables, where, self[option])
        for option, where in _REPEATED.items():
            if option in self._said:
                _put(tables, where, self._said[option])
        return self._assembled(tables)

    def configuration(
        self, check_verifier: Callable[[str, Path], str], now: float, generation: int = 1
    ) -> Configuration:
        """What the options mean; arguments and result as those of ``load_file``.

        Raises:
            ConfigurationError: with every problem at once, each by its option where one said it.
        """
        if self["config"] is not None:
            file = Path(self["config"])
            return load_file(file, check_verifier=check_verifier, now=now, generation=generation)
        try:
            return load_mapping(
                self.mapping(),
                Path.cwd(),
                check_verifier=check_verifier,
                now=now,
                generation=generation,
            )
        except ConfigurationError as error:
            problems = (Problem(option_of(one.where), one.message) for one in error.problems)
            raise ConfigurationError(tuple(problems)) from error

    def _say(self, option: str, value: object) -> None:
        self._said.setdefault(option, []).append(value)

    def _given(self) -> set[str]:
        singles = {option for option, value in self.items() if value is not None}
        return singles | set(self._said)

    def _check_single_host(self) -> None:
        given = self._given()
        if not given:
            raise usage.UsageError("name a file with --config, or describe a host; see --help")
        path = self["path"]
        if path is not None and not path.startswith("/"):
            raise usage.UsageError(f"--path {path!r} must begin with '/'")
        needs_ca = given & {"crl", "crl-policy", "verifier", "verifiers-match"}
        if needs_ca and "client-ca" not in given:
            raise usage.UsageError(f"--{min(needs_ca)} is about clients; name their --client-ca")
        if "client-ca" in given or given & set(_RULES):
            return
        if given & {"path", "session-duration"}:
            raise usage.UsageError("nothing says who may pass; add --client-ca or --include")
        if self["unprotected"] != "pass":
            raise usage.UsageError(
                "nobody could pass; add --client-ca or --include, or --unprotected pass"
            )

    def _assembled(self, tables: dict[str, dict[str, object]]) -> dict[str, object]:
        names = self._said.get("host", [])
        if isinstance(workers := tables["edge"].get("workers"), str) and workers.isdecimal():
            tables["edge"]["workers"] = int(workers)
        mapping: dict[str, object] = {"edge": tables["edge"], "host": [tables["host"]]}
        if "client-ca" in self._given():
            said = {"name": _CLIENT_CA, "hosts": names}
            mapping["client_ca"] = [{**said, **tables["client_ca"]}]
        policy = self._policy()
        if policy is not None:
            path = self["path"] or ""
            said = {"name": str((names or ["host"])[0]), "domain": [f"{n}{path}" for n in names]}
            mapping["application"] = [{**said, **tables["application"], "policy": [policy]}]
        return mapping

    def _policy(self) -> dict[str, object] | None:
        rules: dict[str, object] = {rule: self._said[rule] for rule in _RULES if rule in self._said}
        if "client-ca" in self._given():
            rules.setdefault("include", [{"certificate": True}])
        return {"name": _POLICY, "decision": "service_auth", **rules} if rules else None


def option_of(where: str) -> str:
    """The option that says what stands at a key path; the path itself, where none does."""
    key = whole = _INDEX.sub("", where)
    while key:
        if key in _OPTION_OF:
            selector = whole[len(key) + 1 :] if key.startswith(_POLICY_KEY) else ""
            return f"{_OPTION_OF[key]} {selector}".rstrip()
        key = key.rpartition(".")[0]
    return where


def _put(tables: dict[str, dict[str, object]], where: str, value: object) -> None:
    table, _, key = where.partition(".")
    tables[table][key] = value


def _rule(written: str) -> dict[str, object]:
    """``selector``, ``selector=value`` or ``selector=[...]``, an array as TOML writes it."""
    selector, equals, value = written.partition("=")
    selector = selector.strip()
    if not selector or (not equals and selector not in FLAGS):
        raise usage.UsageError(f"{written!r} is not a rule; write it like common_name=device-1")
    if selector in FLAGS and value in ("", "true", "false"):
        return {selector: value != "false"}
    return {selector: _array(value, written) if value.startswith("[") else value}


def _array(value: str, written: str) -> object:
    try:
        return tomllib.loads(f"x = {value}\n")["x"]
    except (ValueError, RecursionError) as error:
        raise usage.UsageError(f"{written!r}: the array is not as TOML writes it") from error

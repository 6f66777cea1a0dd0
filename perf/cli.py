"""What was asked for? The command line of ``python -m perf``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import cast

from perf import report
from perf.catalogue import EDGE, PEERS, Kind, Unavailable
from perf.cpu import choose_cores, core_times, stolen_share
from perf.plan import Plan, Target
from perf.process import ServerFailed
from perf.proofs import NotComparable
from perf.rounds import measure
from perf.values import Workload

_WORKLOADS: dict[str, str] = {
    "handshakes": "full handshake, one proxied request, close",
    "requests": "proxied requests on kept-alive connections",
}
_CONNECTIONS = {("handshakes", "own"): 8, ("handshakes", "ab"): 96}
_MANY_CONNECTIONS = 32


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; 0 is all well, 1 is figures with problems, 2 is no figures."""
    options = _parser().parse_args(argv)
    with ExitStack() as stack:
        try:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perf-run-")))
            plan = plan_from(options, scratch)
            around = report.environment()
            cores = choose_cores()
            before = core_times(cores.server)
            measured = measure(plan, _progress)
            around["stolen_share"] = stolen_share(before, core_times(cores.server))
        except (Unavailable, ServerFailed, NotComparable, ValueError, OSError) as error:
            print(f"perf: {error}", file=sys.stderr)
            return 2
    print(report.table(plan, measured, around))
    if options.json:
        Path(options.json).write_text(report.as_json(plan, measured, around))
    for note in report.notes(measured):
        print(f"NOTE: {note}")
    found = report.problems(measured)
    for problem in found:
        print(f"PROBLEM: {problem}")
    return 1 if found else 0


def plan_from(options: argparse.Namespace, scratch: Path) -> Plan:
    """The plan that the options say; ``scratch`` takes what has to be written down for it.

    Raises:
        ValueError: options that do not go together.
    """
    workload = cast(Workload, options.workload)
    usual = _CONNECTIONS.get((workload, options.client), _MANY_CONNECTIONS)
    return Plan(
        workload=workload,
        subject=_subject(options, scratch),
        peers=tuple(PEERS[name] for name in options.against),
        algorithm=options.algorithm,
        tls=options.tls,
        group=options.group,
        rounds=options.rounds or (3 if options.quick else 7),
        seconds=options.seconds or (0.7 if options.quick else 3.0),
        warm_seconds=0.2 if options.quick else 0.5,
        connections=options.connections or usual,
        path=options.path,
        log_style=options.peer_log,
        client=options.client,
        cookies=options.cookies,
        directory=_kept(options),
    )


def _subject(options: argparse.Namespace, scratch: Path) -> Kind | Target | None:
    if not options.target:
        if options.no_edge and not options.against:
            raise ValueError("--no-edge without --against leaves nothing to measure")
        return None if options.no_edge else EDGE
    host, colon, port = options.target.rpartition(":")
    if not colon or not port.isdigit():
        raise ValueError(f"--target {options.target!r} is not host:port")
    host = host.strip("[]")
    return Target(
        address=(host, int(port)),
        name=options.name or host,
        client_pem=_joined(options, scratch / "target-client.pem"),
        ca=options.ca or "",
        pid=options.pid,
    )


def _kept(options: argparse.Namespace) -> Path | None:
    if not options.keep:
        return None
    directory = Path(options.keep).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise ValueError(f"--keep {options.keep}: the directory is not empty")
    return directory


def _joined(options: argparse.Namespace, path: Path) -> str:
    """Certificate and key in one file, as every client here wants them."""
    if bool(options.cert) != bool(options.key):
        raise ValueError("--cert and --key go together")
    if not options.cert:
        return ""
    path.touch(mode=0o600)
    path.write_bytes(Path(options.cert).read_bytes() + b"\n" + Path(options.key).read_bytes())
    return str(path)


def _peers(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in PEERS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(PEERS)}")
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m perf", description="Server CPU per operation, against peers, by rounds."
    )
    workloads = parser.add_subparsers(dest="workload", required=True)
    for name, text in _WORKLOADS.items():
        _add_options(workloads.add_parser(name, help=text, description=text))
    return parser


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--against", type=_peers, default=(), help=f"peers: any of {','.join(PEERS)}")
    add("--no-edge", action="store_true", help="measure the peers alone")
    add("--rounds", type=int, default=0, help="alternating rounds (7; 3 with --quick)")
    add("--seconds", type=float, default=0.0, help="a round on one server (3; 0.7 with --quick)")
    add("--quick", action="store_true", help="a first look, within a minute")
    add("--connections", type=int, default=0, help="busy at once (handshakes 8, requests 32)")
    add("--algorithm", choices=("p256", "rsa2048", "rsa4096"), default="p256",
        help="keys; rsa4096 is for the client and its CA, with an RSA-2048 server")  # fmt: skip
    add("--tls", choices=("1.2", "1.3"), default="1.3")
    add("--group", default="X25519", help="the key-exchange group that the client offers")
    add("--path", default="/perf", help="what is asked for")
    add("--cookies", action="store_true", help="send back the cookies of an earlier answer")
    add("--peer-log", choices=("like", "short"), default="like",
        help="peers log the fields that the edge logs, or their own short line")  # fmt: skip
    add("--client", choices=("own", "ab"), default="own",
        help="drive the load with this harness or with ab -E")  # fmt: skip
    add("--json", metavar="FILE", help="write everything, sample by sample")
    add("--keep", metavar="DIR", help="run the servers in this new directory, and leave it")
    target = parser.add_argument_group("a server that is running already, in the edge's place")
    target.add_argument("--target", metavar="HOST:PORT")
    target.add_argument("--cert", help="client certificate (PEM, chain)")
    target.add_argument("--key", help="its key (PEM)")
    target.add_argument("--ca", help="CA of the server's certificate (PEM); else the system's")
    target.add_argument("--name", help="TLS server name, where it is not the host")
    target.add_argument("--pid", type=int, default=0, help="its main process, to read its CPU")


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

"""What was asked for? The command line of ``python -m perf``."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from perf import connections, machine, report, scale
from perf.catalogue import EDGE, PEERS, Kind, Unavailable
from perf.charts import page
from perf.cpu import choose_cores, core_times, stolen_share
from perf.estate import PARTS, Part
from perf.outcome import Outcome
from perf.plan import Plan, Target
from perf.process import ServerFailed, new_directory
from perf.proofs import NotComparable
from perf.rounds import measure
from perf.values import Workload

_COMMANDS: Mapping[str, str] = {
    "handshakes": "full handshake, one proxied request, close",
    "requests": "proxied requests on kept-alive connections",
    "transfer": "bulk download and upload",
    "connections": "memory of idle kept-alive connections",
    "scale": "the edge's handshakes with many hosts, CAs, applications, revoked serials",
}
_WORKLOADS: Mapping[str, Workload] = {
    "handshakes": "handshakes",
    "requests": "requests",
    "transfer": "download",
    "connections": "requests",
    "scale": "handshakes",
}
_CONNECTIONS = {
    ("handshakes", "own"): 8,
    ("scale", "own"): 8,
    ("handshakes", "ab"): 96,
    ("transfer", "own"): 4,
    ("connections", "own"): 2000,
}
_MANY_CONNECTIONS = 32
_DIRECTIONS: Mapping[str, tuple[Workload, ...]] = {
    "both": ("download", "upload"),
    "down": ("download",),
    "up": ("upload",),
}
_ROUNDS = {"connections": (3, 1)}  # others: 7, with --quick 3
_SECONDS = {"transfer": (3.0, 0.4), "scale": (3.0, 0.5)}  # others: 3, with --quick 0.7
_QUICK_SHARE = 20  # of the large configurations, with --quick
_MIB = 1024 * 1024


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; 0 is all well, 1 is figures with problems, 2 is no figures."""
    options = _parser().parse_args(argv)
    with ExitStack() as stack:
        try:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perf-run-")))
            outcomes = _measured(options, scratch)
        except (Unavailable, ServerFailed, NotComparable, ValueError, OSError) as error:
            print(f"perf: {error}", file=sys.stderr)
            return 2
    text = "\n\n".join(one.text for one in outcomes.values())
    found = [problem for one in outcomes.values() for problem in one.problems]
    print(text)
    if options.json:
        said = {name: one.said for name, one in outcomes.items()}
        whole = said if len(said) > 1 else next(iter(said.values()))
        Path(options.json).write_text(json.dumps(whole, indent=1) + "\n")
    if options.html:
        charts = [chart for one in outcomes.values() for chart in one.charts]
        title = f"mtlsedge perf: {_COMMANDS[options.command]}"
        Path(options.html).write_text(page(title, text, charts, found), encoding="utf-8")
    for note in (note for one in outcomes.values() for note in one.notes):
        print(f"NOTE: {note}")
    for problem in found:
        print(f"PROBLEM: {problem}")
    return 1 if found else 0


def _measured(options: argparse.Namespace, scratch: Path) -> dict[str, Outcome]:
    """What was asked for, by name; a transfer has two directions."""
    outcomes: dict[str, Outcome] = {}
    for plan in plans_from(options, scratch):
        around = machine.environment()
        cores = choose_cores()
        before = core_times(cores.server)
        make = _run(options, plan)
        around["stolen_share"] = stolen_share(before, core_times(cores.server))
        outcomes[plan.workload] = make(around)
    return outcomes


def _run(options: argparse.Namespace, plan: Plan) -> Callable[[dict[str, Any]], Outcome]:
    """Measure a plan; what comes back shows it."""
    if options.command == "connections":
        footprints = connections.measure(plan, _progress)
        return lambda around: connections.outcome(plan, footprints, around)
    if options.command == "scale":
        sized = scale.measure(plan, sizes_from(options), _progress)
        return lambda around: scale.outcome(plan, sized, around)
    measured = measure(plan, _progress)
    return lambda around: report.outcome(plan, measured, around)


def sizes_from(options: argparse.Namespace) -> list[tuple[Part, int]]:
    """Which parts of a configuration are to be large, and how large.

    Raises:
        ValueError: there is no such part, or the number is none.
    """
    found = []
    for word in options.parts.split(","):
        name, given, number = word.partition("=")
        if name not in PARTS or (given and not (number.isdecimal() and int(number))):
            raise ValueError(f"--parts: {word!r} is none of {', '.join(PARTS)}, or NAME=NUMBER")
        usual = PARTS[name].usual // (_QUICK_SHARE if options.quick else 1)
        found.append((PARTS[name], int(number) if given else usual))
    return found


def plans_from(options: argparse.Namespace, scratch: Path) -> list[Plan]:
    """A plan for each thing to measure.

    Raises:
        ValueError: options that do not go together.
    """
    plan = plan_from(options, scratch)
    if options.command != "transfer":
        return [plan]
    plans = []
    for workload in _DIRECTIONS[options.direction]:
        kept = plan.directory and new_directory(plan.directory, workload)
        path = "/bulk" if workload == "download" and not options.target else plan.path
        plans.append(replace(plan, workload=workload, path=path, directory=kept))
    return plans


def plan_from(options: argparse.Namespace, scratch: Path) -> Plan:
    """The plan that the options say; ``scratch`` takes what has to be written down for it.

    Raises:
        ValueError: options that do not go together.
    """
    command = options.command
    usual = _CONNECTIONS.get((command, options.client), _MANY_CONNECTIONS)
    if command not in ("handshakes", "requests") and options.client != "own":
        raise ValueError(f"--client {options.client} does not know {command}")
    if command in ("connections", "scale") and options.target:
        raise ValueError(f"{command} starts what it measures: it takes no --target")
    if command == "scale" and (options.against or options.no_edge):
        raise ValueError("scale measures the edge against itself: no --against, no --no-edge")
    size = getattr(options, "size", 0) or (16 if options.quick else 64)
    rounds, seconds = _ROUNDS.get(command, (7, 3)), _SECONDS.get(command, (3.0, 0.7))
    return Plan(
        workload=_WORKLOADS[command],
        subject=_subject(options, scratch),
        peers=tuple(PEERS[name] for name in options.against),
        algorithm=options.algorithm,
        tls=options.tls,
        group=options.group,
        rounds=options.rounds or rounds[options.quick],
        seconds=options.seconds or seconds[options.quick],
        warm_seconds=0.2 if options.quick else 0.5,
        connections=options.connections or usual,
        size=size * _MIB if command == "transfer" else 0,
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
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        _add_options(command)
        _add_own_options(name, command)
    return parser


def _add_own_options(name: str, parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    if name == "transfer":
        add("--direction", choices=tuple(_DIRECTIONS), default="both")
        add("--size", type=int, default=0, help="MiB of one transfer (64; 16 with --quick)")
    elif name == "connections":
        add("--count", type=int, default=0, dest="connections", help="idle connections (2000)")
    elif name == "scale":
        add("--parts", default=",".join(PARTS), metavar="NAME[=NUMBER],...",
            help=f"what is large: any of {','.join(PARTS)}; a twentieth with --quick")  # fmt: skip


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
    add("--html", metavar="FILE", help="write a page with charts, all in one file")
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

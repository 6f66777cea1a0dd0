"""Which options are there, and which plan do they make?"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from perf.catalogue import EDGE, PEERS, Kind
from perf.connections import room
from perf.estate import PARTS, Part
from perf.plan import Client, Plan, Target
from perf.process import new_directory
from perf.values import Workload
from perf.verifiers import CASES, cases_from, edges

COMMANDS: Mapping[str, str] = {
    "handshakes": "full handshake, one proxied request, close",
    "requests": "proxied requests on kept-alive connections",
    "transfer": "bulk download and upload",
    "connections": "memory of idle kept-alive connections",
    "scale": "the edge's handshakes with many hosts, CAs, applications, revoked serials",
    "verifiers": "the edge with a verifier, against the edge without: handshakes, requests",
    "client-check": "the load client against ab and openssl s_time, on the same servers",
    "all": "all of the above that targets are set for, and which of them are met",
}
_WORKLOADS: Mapping[str, Workload] = {
    "handshakes": "handshakes",
    "requests": "requests",
    "transfer": "download",
    "connections": "requests",
    "scale": "handshakes",
    "verifiers": "handshakes",
    "client-check": "handshakes",
}
_CONNECTIONS: Mapping[tuple[str, Client], int] = {
    ("handshakes", "own"): 8,
    ("scale", "own"): 8,
    ("handshakes", "ab"): 96,
    ("handshakes", "s_time"): 1,
    ("transfer", "own"): 4,
    ("connections", "own"): 2000,
}
_MANY_CONNECTIONS = 32
MOST = -1  # as many connections as descriptors allow
_DRIVEN_BY: Mapping[Client, tuple[str, ...]] = {
    "ab": ("handshakes", "requests"),
    "s_time": ("handshakes",),
}
_DIRECTIONS: Mapping[str, tuple[Workload, ...]] = {
    "both": ("download", "upload"),
    "down": ("download",),
    "up": ("upload",),
}
_ROUNDS = {"connections": (3, 1), "client-check": (5, 1)}  # others: 7, with --quick 3
_SECONDS = {"transfer": (3.0, 0.4), "scale": (3.0, 0.5), "client-check": (3.0, 1.0)}
ITSELF = ("scale", "verifiers")  # commands that measure the edge against itself
_BOTH = ("verifiers", "client-check")  # commands with --workloads
_IN_TURN = ("handshakes", "requests")  # commands with --paths and --clients
_MOST_TURNS = 1_000_000  # six digits, so that requests are equally long
_MOST_RSA = 100  # clients: a key takes up to a second
_QUICK_SHARE = 20  # of the large configurations, with --quick
_MIB = 1024 * 1024


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
    if options.command == "verifiers":
        subject, *cases = edges(scratch / "verifiers", cases_from(options.cases))
        plan = replace(plan, subject=subject, peers=tuple(cases), baseline=True)
    if options.command in _BOTH:
        return [
            replace(
                plan,
                workload=workload,
                connections=options.connections or usual_connections(workload, "own"),
                directory=_below(plan.directory, workload),
            )
            for workload in options.workloads.split(",")
        ]
    if options.command != "transfer":
        return [plan]
    plans = []
    for workload in _DIRECTIONS[options.direction]:
        kept = _below(plan.directory, workload)
        path = "/bulk" if workload == "download" and not options.target else plan.path
        plans.append(replace(plan, workload=workload, path=path, directory=kept))
    return plans


def plan_from(options: argparse.Namespace, scratch: Path) -> Plan:
    """The plan that the options say; ``scratch`` takes what has to be written down for it.

    Raises:
        ValueError: options that do not go together.
    """
    command = options.command
    _go_together(options)
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
        connections=_connections(options),
        size=size * _MIB if command == "transfer" else 0,
        path=options.path,
        log_style=options.peer_log,
        client=options.client,
        cookies=options.cookies,
        resumed=getattr(options, "resumed", False),
        paths=getattr(options, "paths", 1),
        clients=getattr(options, "clients", 1),
        workers=options.workers,
        directory=_kept(options),
    )


def usual_connections(command: str, client: Client) -> int:
    """How many are busy at once, unless something else is asked for."""
    return _CONNECTIONS.get((command, client), _MANY_CONNECTIONS)


def _connections(options: argparse.Namespace) -> int:
    if options.connections == MOST:
        return room(tuple(PEERS[name] for name in options.against))
    return options.connections or usual_connections(options.command, options.client)


def _go_together(options: argparse.Namespace) -> None:
    command, client = options.command, options.client
    if command not in _DRIVEN_BY.get(client, (command,)):
        raise ValueError(f"--client {client} does not know {command}")
    if command in ("connections", *ITSELF) and options.target:
        raise ValueError(f"{command} starts what it measures: it takes no --target")
    if command in ITSELF and (options.against or options.no_edge):
        raise ValueError(f"{command} measures the edge against itself: no --against, no --no-edge")
    if options.tls == "1.2" and "MLKEM" in options.group.upper():
        raise ValueError(f"--group {options.group} is of TLS 1.3 only")
    if client != "own" and getattr(options, "resumed", False):
        raise ValueError(f"--client {client} does not resume sessions")
    if options.workers < 1:
        raise ValueError("--workers counts from 1")
    if command in _IN_TURN:
        _turns_go_together(options)


def _turns_go_together(options: argparse.Namespace) -> None:
    """Many paths and many clients."""
    paths, clients = options.paths, options.clients
    if not (1 <= paths <= _MOST_TURNS and 1 <= clients <= _MOST_TURNS):
        raise ValueError(f"--paths and --clients count from 1 to {_MOST_TURNS:,}")
    if paths == clients == 1:
        return
    if options.client != "own":
        raise ValueError(f"--client {options.client} has one certificate and asks for one path")
    if options.target:
        raise ValueError("--paths and --clients are for servers that are started here: no --target")
    if paths > 1 and not {"?", "#"}.isdisjoint(options.path):
        raise ValueError(f"--paths are below --path, and {options.path!r} has a query")
    if clients == 1:
        return
    if options.cookies or getattr(options, "resumed", False):
        raise ValueError("--clients: cookies and TLS sessions are of the one client that got them")
    if options.command == "requests" and clients > _connections(options):
        raise ValueError("--clients of requests are no more than --connections, which stay open")
    if options.algorithm != "p256" and clients > _MOST_RSA:
        raise ValueError(f"--clients with RSA keys are {_MOST_RSA} at most: keys take time to make")


def _below(directory: Path | None, name: str) -> Path | None:
    return directory and new_directory(directory, name)


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


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    whole = argparse.ArgumentParser(
        prog="python -m perf", description="Server CPU per operation, against peers, by rounds."
    )
    commands = whole.add_subparsers(dest="command", required=True)
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if name == "all":
            _add_options_of_all(command)
        else:
            _add_options(command)
            _add_own_options(name, command)
    return whole


def _add_own_options(name: str, parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    if name in _IN_TURN:
        add("--paths", type=int, default=1, metavar="N",
            help="each operation asks for the next of N: PATH/000000 and so on")  # fmt: skip
        add("--clients", type=int, default=1, metavar="N",
            help="N client certificates by the same CA: each connection has the next")  # fmt: skip
    if name == "handshakes":
        add("--resumed", action="store_true", help="resume TLS sessions: recheck, peers' tickets")
    elif name == "transfer":
        add("--direction", choices=tuple(_DIRECTIONS), default="both")
        add("--size", type=int, default=0, help="MiB of one transfer (64; 16 with --quick)")
    elif name == "connections":
        add("--count", type=_count, default=0, dest="connections",
            help="idle connections (2000), or max: all that descriptors allow")  # fmt: skip
    elif name == "scale":
        add("--parts", default=",".join(PARTS), metavar="NAME[=NUMBER],...",
            help=f"what is large: any of {','.join(PARTS)}; a twentieth with --quick")  # fmt: skip
    elif name == "verifiers":
        add("--cases", default=",".join(CASES), metavar="NAME,...",
            help=f"any of {','.join(CASES)}; the edge without any is always measured")  # fmt: skip
    if name in _BOTH:
        add("--workloads", choices=("handshakes", "requests", "handshakes,requests"),
            default="handshakes,requests")  # fmt: skip


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--against", type=_peers, default=(), help=f"peers: any of {','.join(PEERS)}")
    add("--no-edge", action="store_true", help="measure the peers alone")
    _add_options_of_rounds(parser)
    add("--connections", type=int, default=0, help="busy at once (handshakes 8, requests 32)")
    add("--workers", type=int, default=1, help="processes or threads of each server (1)")
    add("--algorithm", choices=("p256", "rsa2048", "rsa4096"), default="p256",
        help="keys; rsa4096 is for the client and its CA, with an RSA-2048 server")  # fmt: skip
    add("--tls", choices=("1.2", "1.3"), default="1.3")
    add("--group", default="X25519",
        help="the one key-exchange group that is offered, such as X25519MLKEM768")  # fmt: skip
    add("--path", default="/perf", help="what is asked for")
    add("--cookies", action="store_true", help="send back the cookies of an earlier answer")
    add("--peer-log", choices=("like", "short"), default="like",
        help="peers log the fields that the edge logs, or their own short line")  # fmt: skip
    add("--client", choices=("own", *_DRIVEN_BY), default="own",
        help="drive the load with this harness, ab -E, or openssl s_time")  # fmt: skip
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


def _add_options_of_rounds(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--rounds", type=int, default=0, help="alternating rounds (7; 3 with --quick)")
    add("--seconds", type=float, default=0.0, help="a round on one server (3; 0.7 with --quick)")
    add("--quick", action="store_true", help="a first look, within a minute")
    add("--progress", choices=("auto", "lines", "off"), default="auto",
        help="auto: one line on a terminal, nothing elsewhere")  # fmt: skip


def _add_options_of_all(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--against", type=_peers, default=("nginx", "haproxy", "caddy"),
        help="peers (nginx,haproxy,caddy)")  # fmt: skip
    _add_options_of_rounds(parser)
    add("--out", metavar="DIR", required=True, help="a new directory for JSON and HTML")
    add("--only", default="", metavar="NAME,...", help="some of the runs; a wrong name lists them")


def _count(text: str) -> int:
    return MOST if text == "max" else int(text)

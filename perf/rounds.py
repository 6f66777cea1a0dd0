"""In which order is it measured? All servers run at once and idle but for the one under load."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

from perf import ab, bulk, load
from perf.catalogue import ORIGIN, SINK, Kind, Setting, prepare
from perf.cpu import Cores, choose_cores, clock_resolution_ns, process_tree
from perf.keys import KeyFiles, make_keys
from perf.plan import Plan, Target
from perf.process import Server, ServerFailed, free_port, new_directory
from perf.proofs import Claim, Facts, NotComparable, log_lines, prove
from perf.values import Load, Sample

BODY = b"ok\n"  # as peers/origin.conf and the sink have it
_ROOM = 8192  # connections that a peer is set up for, at least

Progress = Callable[[str], None]


@dataclass(slots=True)
class Measured:
    """One server's part of a run; ``problem`` says why all of it is worth nothing, if so."""

    title: str
    version: str
    load: Load
    facts: Facts
    resolution_ns: int
    server: Server | None
    samples: list[Sample] = field(default_factory=list)
    problem: str = ""


def measure(plan: Plan, progress: Progress) -> list[Measured]:
    """Start what is to be measured, prove it comparable, and go round.

    The plan's subject comes first in the result.

    Raises:
        Unavailable: a program is not installed.
        ServerFailed: one did not start, or died.
        NotComparable: a server does not hold to what all are compared by.
    """
    cores = choose_cores()
    with ExitStack() as stack:
        directory = stack.enter_context(run_directory(plan))
        measured = start(plan, cores, directory, stack, progress)
        pool = stack.enter_context(
            ProcessPoolExecutor(1, get_context("spawn"), load.pin, (cores.load,))
        )
        drive = load.run if plan.client == "own" else ab.run
        for number in range(1, plan.rounds + 1):
            for one in measured:
                sample = once(one, pool, drive)
                one.samples.append(sample)
                progress(f"round {number}/{plan.rounds}  {one.title:<8} {_brief(sample)}")
        for one in measured:
            check_log(one)
    return measured


def start(
    plan: Plan, cores: Cores, directory: Path, stack: ExitStack, progress: Progress
) -> list[Measured]:
    """Start the origin and every server of a plan, and prove them.

    Raises:
        Unavailable, ServerFailed, NotComparable: as ``measure`` does.
    """
    keys = make_keys(new_directory(directory, "keys"), plan.algorithm, plan.name)
    origin = stack.enter_context(start_origin(plan, cores, directory))
    measured = []
    if isinstance(plan.subject, Target):
        measured.append(_target(plan, plan.subject))
    kinds = (plan.subject, *plan.peers) if isinstance(plan.subject, Kind) else plan.peers
    for kind in kinds:
        port = free_port()
        setting = Setting(
            directory=new_directory(directory, kind.name),
            port=port,
            origin_port=origin.port,
            name=plan.name,
            keys=keys,
            log_style=plan.log_style,
            connections=max(_ROOM, 2 * plan.connections),
        )
        server = stack.enter_context(Server(kind.name, prepare(kind, setting), port, cores.server))
        measured.append(proved(plan, kind, server, origin, keys))
        progress(f"{kind.name}: demands and verifies certificates, resumes nothing, logs")
    return measured


def start_origin(plan: Plan, cores: Cores, directory: Path) -> Server:
    """The origin that a plan's work needs; it runs within ``with``."""
    port = free_port()
    setting = Setting(new_directory(directory, "origin"), port, 0, plan.name)
    if plan.workload == "download":
        bulk.write(setting.directory / "bulk", plan.size)
    kind = SINK if plan.workload == "upload" else ORIGIN
    return Server("origin", prepare(kind, setting), port, cores.origin)


def proved(plan: Plan, kind: Kind, server: Server, origin: Server, keys: KeyFiles) -> Measured:
    """A server that holds to what all are compared by, with nothing measured yet.

    Raises:
        NotComparable: it does not.
    """
    one = replace(
        load_of(plan),
        address=("127.0.0.1", server.port),
        name=plan.name,
        client_pem=str(keys.client_pem),
        server_pids=server.pids(),
        origin_pids=origin.pids(),
        body=BODY,
    )
    claim = Claim(one, str(keys.server_ca), str(keys.stranger_pem), server.log, kind.must_set)
    try:
        facts = prove(claim)
    except NotComparable as error:
        raise NotComparable(f"{kind.name}: {error}\n{server.said()}") from error
    return Measured(
        title=kind.name,
        version=kind.version(),
        load=_with_cookies(plan, one, facts),
        facts=facts,
        resolution_ns=clock_resolution_ns(one.server_pids[0]),
        server=server,
    )


def _target(plan: Plan, target: Target) -> Measured:
    one = replace(
        load_of(plan),
        address=target.address,
        name=target.name,
        client_pem=target.client_pem,
        server_pids=process_tree(target.pid) if target.pid else (),
    )
    try:
        facts = prove(Claim(one, target.ca, None, None))
    except NotComparable as error:
        raise NotComparable(f"target: {error}") from error
    return Measured(
        title="target",
        version="not ours",
        load=_as_found(_with_cookies(plan, one, facts), facts),
        facts=facts,
        resolution_ns=clock_resolution_ns(target.pid) if target.pid else 0,
        server=None,
    )


def _as_found(one: Load, facts: Facts) -> Load:
    """A foreign server's answer is right if it is the one that it gave at first."""
    size = len(facts.body) if one.workload == "download" else one.size
    return replace(one, body=facts.body, size=size)


def load_of(plan: Plan) -> Load:
    """What a plan asks of every server, without where that one is."""
    return Load(
        workload=plan.workload,
        address=("", 0),
        name="",
        tls=plan.tls,
        group=plan.group,
        client_pem="",
        connections=plan.connections,
        seconds=plan.seconds,
        warm_seconds=plan.warm_seconds,
        path=plan.path,
        cookie="",
        body=b"",
        size=plan.size,
    )


def _with_cookies(plan: Plan, one: Load, facts: Facts) -> Load:
    return replace(one, cookie="; ".join(facts.cookies)) if plan.cookies else one


def once(one: Measured, pool: ProcessPoolExecutor, drive: Callable[[Load], Sample]) -> Sample:
    """One round on one server; a change among its processes makes it void."""
    try:
        sample = pool.submit(drive, one.load).result()
    except ProcessLookupError as error:
        said = one.server.said() if one.server else ""
        raise ServerFailed(f"{one.title} died under load:\n{said}") from error
    if one.server and one.server.pids() != one.load.server_pids:
        message = "the server's processes changed during the round: its CPU time is not known"
        one.load = replace(one.load, server_pids=one.server.pids())
        sample = replace(sample, errors=sample.errors + 1, first_error=message)
    return sample


def check_log(one: Measured) -> None:
    """A log with lines missing is a problem of all of a server's figures."""
    if one.server is None or one.server.log is None:
        return
    operations = sum(sample.operations for sample in one.samples)
    lines = log_lines(one.server.log, operations)
    if lines < operations:
        one.problem = f"its log has {lines} lines for {operations} operations"


def _brief(sample: Sample) -> str:
    if sample.void:
        return f"VOID: {sample.errors} errors, first: {sample.first_error}"
    cpu = f"{sample.server_us:8.1f} µs" if sample.server_us is not None else " " * 8 + "-  "
    return f"{cpu}  {sample.rate:9.0f}/s  p50 {sample.p50_ns / 1e6:.2f} ms"


@contextmanager
def run_directory(plan: Plan) -> Iterator[Path]:
    """Where the servers of a run live: what ``--keep`` says, or for a while."""
    if plan.directory is not None:
        yield plan.directory
        return
    with tempfile.TemporaryDirectory(prefix="perf-") as name:
        yield Path(name)

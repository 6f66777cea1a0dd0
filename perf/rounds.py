"""In which order is it measured? All servers run at once and idle but for the one under load."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

from perf import ab, load
from perf.catalogue import ORIGIN, Kind, Setting, prepare
from perf.cpu import Cores, choose_cores, clock_resolution_ns, process_tree
from perf.keys import KeyFiles, make_keys
from perf.plan import Plan, Target
from perf.process import Server, ServerFailed, free_port, new_directory
from perf.proofs import Claim, Facts, NotComparable, log_lines, prove
from perf.values import Load, Sample

BODY = b"ok\n"  # as peers/origin.conf has it

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
        directory = stack.enter_context(_directory(plan))
        measured = _start(plan, cores, directory, stack, progress)
        pool = stack.enter_context(
            ProcessPoolExecutor(1, get_context("spawn"), load.pin, (cores.load,))
        )
        drive = load.run if plan.client == "own" else ab.run
        for number in range(1, plan.rounds + 1):
            for one in measured:
                sample = _once(one, pool, drive)
                one.samples.append(sample)
                progress(f"round {number}/{plan.rounds}  {one.title:<8} {_brief(sample)}")
        for one in measured:
            _check_log(one)
    return measured


def _start(
    plan: Plan, cores: Cores, directory: Path, stack: ExitStack, progress: Progress
) -> list[Measured]:
    keys = make_keys(new_directory(directory, "keys"), plan.algorithm, plan.name)
    origin_port = free_port()
    setting = Setting(new_directory(directory, "origin"), origin_port, 0, plan.name)
    origin = stack.enter_context(
        Server("origin", prepare(ORIGIN, setting), origin_port, cores.origin)
    )
    measured = []
    if isinstance(plan.subject, Target):
        measured.append(_target(plan, plan.subject))
    kinds = (plan.subject, *plan.peers) if isinstance(plan.subject, Kind) else plan.peers
    for kind in kinds:
        port = free_port()
        setting = Setting(
            new_directory(directory, kind.name), port, origin_port, plan.name, keys, plan.log_style
        )
        server = stack.enter_context(Server(kind.name, prepare(kind, setting), port, cores.server))
        measured.append(_proved(plan, kind, server, origin, keys))
        progress(f"{kind.name}: demands and verifies certificates, resumes nothing, logs")
    return measured


def _proved(plan: Plan, kind: Kind, server: Server, origin: Server, keys: KeyFiles) -> Measured:
    one = replace(
        _load(plan),
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
        _load(plan),
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
        load=replace(_with_cookies(plan, one, facts), body=facts.body),
        facts=facts,
        resolution_ns=clock_resolution_ns(target.pid) if target.pid else 0,
        server=None,
    )


def _load(plan: Plan) -> Load:
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
    )


def _with_cookies(plan: Plan, one: Load, facts: Facts) -> Load:
    return replace(one, cookie="; ".join(facts.cookies)) if plan.cookies else one


def _once(one: Measured, pool: ProcessPoolExecutor, drive: Callable[[Load], Sample]) -> Sample:
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


def _check_log(one: Measured) -> None:
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
def _directory(plan: Plan) -> Iterator[Path]:
    if plan.directory is not None:
        yield plan.directory
        return
    with tempfile.TemporaryDirectory(prefix="perf-") as name:
        yield Path(name)

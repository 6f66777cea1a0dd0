"""In which order is it measured? All servers run at once and idle but for the one under load."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

from perf import ab, bulk, load, s_time
from perf.catalogue import ORIGIN, SINK, Kind, Setting, Unavailable, prepare
from perf.cpu import Cores, choose_cores, clock_resolution_ns, process_tree
from perf.keys import KeyFiles, make_keys
from perf.plan import Client, Plan, Target
from perf.process import Server, ServerFailed, free_port, new_directory, raise_descriptors
from perf.progress import Progress
from perf.proofs import Claim, Facts, NotComparable, log_lines, prove
from perf.values import Load, Sample

BODY = b"ok\n"  # as peers/origin.conf and the sink have it
_SETTLE_SECONDS, _SETTLE_MOST = 0.3, 10.0
_ROOM = 8192  # connections that a server is set up for, at least

DRIVERS: dict[Client, Callable[[Load], Sample]] = {
    "own": load.run,
    "ab": ab.run,
    "s_time": s_time.run,
}


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


@dataclass(slots=True)
class Run:
    """All servers of a run; ``left_out`` says of each that could not be measured, why."""

    measured: list[Measured] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def measure(plan: Plan, progress: Progress) -> Run:
    """Start what is to be measured, prove it comparable, and go round.

    The plan's subject comes first in the result.

    Raises:
        Unavailable: the subject's program is not installed, or no server is left.
        ServerFailed: a server did not start, or died.
        NotComparable: a server does not hold to what all are compared by.
    """
    cores = choose_cores(workers=plan.workers)
    with ExitStack() as stack:
        directory = stack.enter_context(run_directory(plan))
        run = start(plan, cores, directory, stack, progress)
        pool = stack.enter_context(load_process(cores))
        progress.begin(plan.rounds * len(run.measured))
        for number in range(1, plan.rounds + 1):
            for one in turn(run.measured, number):
                sample = once(one, pool, DRIVERS[plan.client])
                one.samples.append(sample)
                progress.step(f"round {number}/{plan.rounds}  {one.title:<13} {_brief(sample)}")
        for one in run.measured:
            check_log(one)
    return run


def turn(servers: Sequence[Measured], number: int) -> list[Measured]:
    """Who comes when in a round: every second one goes the other way.

    So a machine that slows down or speeds up all the time favours nobody.
    """
    return list(servers if number % 2 else reversed(servers))


def load_process(cores: Cores) -> ProcessPoolExecutor:
    """The load's own process, on the load's core."""
    return ProcessPoolExecutor(1, get_context("spawn"), load.pin, (cores.load,))


def start(plan: Plan, cores: Cores, directory: Path, stack: ExitStack, progress: Progress) -> Run:
    """Start the origin and every server of a plan, and prove them.

    A peer that is not installed, or cannot do what is to be measured, is left out.

    Raises:
        Unavailable, ServerFailed, NotComparable: as ``measure`` does.
    """
    raise_descriptors()
    keys = make_keys(new_directory(directory, "keys"), plan.algorithm, plan.name, plan.clients)
    origin = stack.enter_context(start_origin(plan, cores, directory))
    run = Run()
    if isinstance(plan.subject, Target):
        run.measured.append(_target(plan, plan.subject))
    kinds = (plan.subject, *plan.peers) if isinstance(plan.subject, Kind) else plan.peers
    for kind in kinds:
        try:
            one = _started(plan, kind, cores, directory, stack, origin, keys)
        except Unavailable as error:
            if kind is plan.subject:
                raise
            run.left_out.append(str(error))
            progress.say(f"left out: {error}")
            continue
        run.measured.append(one)
        how = "resumes sessions" if plan.resumed else "resumes nothing"
        progress.say(f"{kind.name}: demands and verifies certificates, {how}, answers right")
    if not run.measured:
        raise Unavailable("; ".join(run.left_out))
    return run


def _started(
    plan: Plan,
    kind: Kind,
    cores: Cores,
    directory: Path,
    stack: ExitStack,
    origin: Server,
    keys: KeyFiles,
) -> Measured:
    if kind.alone and plan.workers > 1:
        raise Unavailable(f"{kind.name}: it has one process and cannot have {plan.workers}")
    kind.path()
    port = free_port()
    setting = Setting(
        directory=new_directory(directory, kind.name),
        port=port,
        origin_port=origin.port,
        name=plan.name,
        keys=keys,
        log_style=plan.log_style,
        connections=room_for(plan),
        workers=plan.workers,
        resumed=plan.resumed,
    )
    with ExitStack() as own:
        server = own.enter_context(Server(kind.name, prepare(kind, setting), port, cores.server))
        one = proved(plan, kind, server, origin, keys)
        stack.push(own.pop_all())
    return one


def room_for(plan: Plan) -> int:
    """Connections that servers are set up for: a proxied one may be two."""
    return max(_ROOM, 2 * plan.connections + 1024)


def start_origin(plan: Plan, cores: Cores, directory: Path) -> Server:
    """The origin that a plan's work needs; it runs within ``with``."""
    port = free_port()
    setting = Setting(
        new_directory(directory, "origin"), port, 0, plan.name, connections=room_for(plan)
    )
    if plan.workload == "download":
        bulk.write(setting.directory / "bulk", plan.size)
    kind = SINK if plan.workload == "upload" else ORIGIN
    return Server("origin", prepare(kind, setting), port, cores.origin)


def proved(plan: Plan, kind: Kind, server: Server, origin: Server, keys: KeyFiles) -> Measured:
    """A server that holds to what all are compared by, with nothing measured yet.

    Raises:
        Unavailable: it cannot do what is to be measured.
        NotComparable: it does not.
    """
    one = replace(
        load_of(plan),
        address=("127.0.0.1", server.port),
        name=plan.name,
        client_pem=str(keys.client_pem),
        client_pems=tuple(map(str, keys.client_pems)) if len(keys.client_pems) > 1 else (),
        server_pids=server.pids(),
        origin_pids=origin.pids(),
        body=BODY,
    )
    claim = Claim(
        one,
        str(keys.server_ca),
        str(keys.stranger_pem),
        server.log,
        kind.must_set,
        str(keys.unlisted_pem) if kind.names_clients else "",
    )
    try:
        facts = prove(claim)
    except NotComparable as error:
        raise NotComparable(f"{kind.name}: {error}\n{server.said()}") from error
    except Unavailable as error:
        raise Unavailable(f"{kind.name}: {error}") from error
    one = replace(one, server_pids=_settled(server))
    return Measured(
        title=kind.name,
        version=kind.version(),
        load=_with_cookies(plan, one, facts),
        facts=facts,
        resolution_ns=clock_resolution_ns(one.server_pids[0]),
        server=server,
    )


def _settled(server: Server) -> tuple[int, ...]:
    """Its processes, once they are all there: workers may come after the port."""
    deadline = time.monotonic() + _SETTLE_MOST
    pids = server.pids()
    while time.monotonic() < deadline:
        time.sleep(_SETTLE_SECONDS)
        before, pids = pids, server.pids()
        if pids == before:
            break
    return pids


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
    except (NotComparable, Unavailable) as error:
        raise type(error)(f"target: {error}") from error
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
        resumed=plan.resumed,
        paths=plan.paths,
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

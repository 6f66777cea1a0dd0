"""CRL files that change while the edge serves: what is worse never takes the place of better."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from math import inf
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from staying_clients import NAME, configured, crl, put, reload, serving, status
from worker_edges import worker_pids

from support import certs
from support.client import Client
from support.edge import Edge
from support.origin import CountingOrigin
from support.ports import wait_until

DAY = timedelta(days=1)
WORKERS = pytest.mark.parametrize("workers", [1, 2])

StartEdge = Callable[..., Edge]


def flipped(data: bytes) -> bytes:
    """The same list with one bit of its signature turned."""
    der = bytearray(x509.load_pem_x509_crl(data).public_bytes(Encoding.DER))
    der[-3] ^= 1
    return bytes(der)


def spoiled() -> dict[str, bytes]:
    """Lists that revoke nobody, each of which would open a door if it were taken."""
    now = datetime.now(UTC)
    der = x509.load_pem_x509_crl(crl(number=9)).public_bytes(Encoding.DER)
    return {
        "truncated": crl(number=9)[:-60],
        "truncated-der": der[:-9],
        "empty": b"",
        "html": b"<html>502 Bad Gateway</html>",
        "of-another": crl(number=9, ca=certs.OTHER_CA),
        "unsigned": flipped(crl(number=9)),
        "stale": crl(number=9, last_update=now - 2 * DAY, next_update=DAY),
        "of-the-future": crl(number=9, last_update=now + DAY),
    }


KINDS = list(spoiled())


def statuses(edge: Edge) -> tuple[int, int]:
    """What a good client gets, and a revoked one."""
    good, bad = Client(certs.client("good")), Client(certs.client("bad"))
    return status(good, edge), status(bad, edge)


def reach(edge: Edge, expected: tuple[int, int], workers: int) -> None:
    """Wait until clients are judged so, at every worker."""
    many = range(3 * workers)
    wait_until(lambda: {statuses(edge) for _ in many} == {expected}, 3, f"answers {expected}")


def told(edge: Edge, before: int, file: Path) -> str:
    """What the log says of a file since it was so long, once it says what to do."""

    def words() -> str:
        return "\n".join(line for line in edge.log()[before:].splitlines() if str(file) in line)

    wait_until(lambda: has_remedy(words()), 3, f"a word about {file.name} that helps")
    return words()


@WORKERS
@pytest.mark.parametrize("kind", KINDS)
def test_a_spoiled_list_opens_no_door_at_start_or_live_or_by_a_reload(
    start_edge: StartEdge, origin: CountingOrigin, tmp_path: Path, kind: str, workers: int
) -> None:
    """Each time the log says which file and what to do; the last good list serves."""
    file = tmp_path / "ca.crl"
    put(file, spoiled()[kind])
    edge = serving(start_edge(configured(origin.url, file, workers)))
    print(f"-- {kind} at start:\n{told(edge, 0, file)}")
    reach(edge, (403, 403), workers)
    put(file, crl(certs.client("bad")))
    reach(edge, (200, 403), workers)
    before = len(edge.log())
    put(file, spoiled()[kind])
    print(f"-- {kind} live:\n{told(edge, before, file)}")
    reach(edge, (200, 403), workers)
    before = len(edge.log())
    reload(edge, 2)
    told(edge, before, file)
    reach(edge, (200, 403), workers)


def has_remedy(words: str) -> bool:
    """Whether some line tells an operator what to do."""
    remedies = ("put a ", "put the CRL back", "make it", "issue a new CRL", "check the clock")
    return any(each in words for each in remedies)


@WORKERS
def test_a_file_that_is_written_piece_by_piece_counts_when_it_is_whole(
    start_edge: StartEdge, origin: CountingOrigin, tmp_path: Path, workers: int
) -> None:
    """In place, over the one that serves: nobody comes in meanwhile, and nobody is shut out."""
    file = tmp_path / "ca.crl"
    put(file, crl(certs.client("bad"), number=1))
    edge = serving(start_edge(configured(origin.url, file, workers)))
    reach(edge, (200, 403), workers)
    before = len(edge.log())
    whole = crl(certs.client("bad"), certs.client("worse"))
    with file.open("wb") as writing:
        for at in range(0, len(whole), 40):
            writing.write(whole[at : at + 40])
            writing.flush()
            assert (200, 403) == statuses(edge)
            time.sleep(0.1)  # less than the time from one look to the next
    worse = Client(certs.client("worse"))
    wait_until(lambda: status(worse, edge) == 403, 3, "what is whole to count")
    assert "cut short" not in edge.log()[before:]
    assert "has no -----END" not in edge.log()[before:]
    assert (200, 403) == statuses(edge)


def test_a_file_that_stands_half_written_is_not_taken(
    start_edge: StartEdge, origin: CountingOrigin, tmp_path: Path
) -> None:
    file = tmp_path / "ca.crl"
    put(file, crl(certs.client("bad"), number=1))
    edge = serving(start_edge(configured(origin.url, file)))
    before = len(edge.log())
    whole = crl()  # which has nobody revoked
    with file.open("wb") as writing:
        writing.write(whole[:-30])
        writing.flush()
        told(edge, before, file)
        reach(edge, (200, 403), 1)
        writing.write(whole[-30:])
    reach(edge, (200, 200), 1)


def test_a_file_that_goes_is_complained_of_and_its_list_serves_on(
    start_edge: StartEdge, origin: CountingOrigin, tmp_path: Path
) -> None:
    """As long as it is good; and when the file is there again, that counts."""
    file = tmp_path / "ca.crl"
    put(file, crl(certs.client("bad"), number=1))
    edge = serving(start_edge(configured(origin.url, file, 2)))
    before = len(edge.log())
    file.unlink()
    words = told(edge, before, file)
    assert "cannot be read: No such file or directory" in words
    assert "put the CRL back in its place" in words
    reach(edge, (200, 403), 2)
    put_one_that_ends_soon(file, edge)
    file.unlink()
    wait_until(lambda: statuses(edge) == (403, 403), 8, "the end of the list")
    put(file, crl(certs.client("bad"), number=9, last_update=datetime.now(UTC)))
    reach(edge, (200, 403), 2)


def put_one_that_ends_soon(file: Path, edge: Edge) -> None:
    """A list that is in force before it ends, however long that takes this machine."""
    for number, seconds in ((2, 3), (3, 12), (4, 48)):
        since, end = (datetime.now(UTC) + timedelta(seconds=each) for each in (-60, seconds))
        put(file, crl(number=number, last_update=since, next_update=end - since))
        while datetime.now(UTC) < end:
            if f" number={number} " in edge.log():
                return
            time.sleep(0.05)
    raise AssertionError(f"no list came into force in {seconds} s")


@WORKERS
def test_links_that_are_swapped_are_a_change(
    start_edge: StartEdge, origin: CountingOrigin, tmp_path: Path, workers: int
) -> None:
    """As Kubernetes does with a volume: file -> ..data/file, ..data -> a directory."""
    for version, data in (("v1", crl(number=1)), ("v2", crl(certs.client("bad")))):
        (tmp_path / version).mkdir()
        put(tmp_path / version / "ca.crl", data)
    (tmp_path / "..data").symlink_to("v1")
    file = tmp_path / "ca.crl"
    file.symlink_to("..data/ca.crl")
    edge = serving(start_edge(configured(origin.url, file, workers)))
    reach(edge, (200, 200), workers)
    (tmp_path / "..new").symlink_to("v2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    reach(edge, (200, 403), workers)


@cache
def large_lists() -> tuple[bytes, bytes]:
    """Two of 300,000 serials each, DER; the second revokes the bad client, too."""
    now = datetime.now(UTC)
    first = 1 << 100
    entries = [
        x509.RevokedCertificateBuilder(serial, now - DAY).build()
        for serial in range(first, first + 300_000)
    ]
    bad = certs.client("bad").issued.x509.serial_number
    more = [*entries, x509.RevokedCertificateBuilder(bad, now - DAY).build()]
    return large(entries, now), large(more, now)


def large(entries: list[x509.RevokedCertificate], now: datetime) -> bytes:
    """Without a number, so that of two of one moment each may take the other's place."""
    root = certs.authority()
    builder = x509.CertificateRevocationListBuilder(revoked_certificates=entries)
    builder = builder.issuer_name(root.certificate.subject)
    builder = builder.last_update(now - timedelta(minutes=5)).next_update(now + DAY)
    builder = builder.add_extension(root.key_identifier(), critical=False)
    return builder.sign(root.key, hashes.SHA256()).public_bytes(Encoding.DER)


def held(edge: Edge) -> int:
    """Resident memory of all its processes, in bytes."""
    found = 0
    for pid in (edge.pid, *worker_pids(edge.pid)):
        status = Path(f"/proc/{pid}/status").read_text()
        found += int(status.partition("VmRSS:")[2].split()[0]) * 1024
    return found


@WORKERS
def test_a_large_list_that_is_replaced_keeps_nobody_waiting(
    start_edge: StartEdge, origin: CountingOrigin, tmp_path: Path, workers: int
) -> None:
    """300,000 serials, several times; requests go on, and memory does not grow with each."""
    lists = large_lists()
    file = tmp_path / "ca.crl"
    put(file, lists[0])
    edge = serving(start_edge(configured(origin.url, file, workers)))
    memory, reached = [], []
    with Asking(edge) as asking:
        for turn in range(6):
            renamed = put(file, lists[(turn + 1) % 2])
            reach(edge, (200, 403) if turn % 2 == 0 else (200, 200), workers)
            reached.append(round(time.monotonic() - renamed, 2))
            memory.append(held(edge))
    print(f"{workers} workers: longest request {max(asking.took):.3f} s; reached after {reached}")
    print(f"{workers} workers: MiB after each {[each >> 20 for each in memory]}")
    assert max(1.0, min(reached)) > max(asking.took)  # a slow machine is slow at both
    assert memory[-1] < memory[1] * 1.5


class Asking:
    """Requests on kept connections, one after the other, and how long each took."""

    def __init__(self, edge: Edge) -> None:
        client = Client(certs.client("good"))
        self._connections = [client.connect(edge.port, NAME) for _ in range(8)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.took: list[float] = []

    def __enter__(self) -> Asking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(15)
        for connection in self._connections:
            connection.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            for connection in self._connections:
                begun = time.monotonic()
                answered = connection.get(NAME).status == 200
                self.took.append(time.monotonic() - begun if answered else inf)
            time.sleep(0.005)


def test_a_worker_that_is_replaced_begins_with_the_newest_list(
    start_edge: StartEdge, origin: CountingOrigin, tmp_path: Path
) -> None:
    """Also with one that changed after the latest reload, and that nobody can read any more."""
    file = tmp_path / "ca.crl"
    put(file, crl(number=1))
    edge = serving(start_edge(configured(origin.url, file, 2)))
    for generation in (1, 2):
        put(file, crl(certs.client("bad"), number=2 * generation))
        reach(edge, (200, 403), 2)
        put(file, b"spoiled")
        replace_workers(edge)
        reach(edge, (200, 403), 2)
        put(file, crl(number=2 * generation + 1))
        reach(edge, (200, 200), 2)
        reload(edge, generation + 1)


def replace_workers(edge: Edge) -> None:
    """Kill all of them, and wait for their successors."""
    before = worker_pids(edge.pid)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until(
        lambda: len(set(worker_pids(edge.pid)) - set(before)) == len(before), 10, "successors"
    )

"""The key ring: made once, private, rotated with overlap, and never silently replaced."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest
from cryptography import x509
from joserfc.jwk import KeySet, RSAKey
from twisted.logger import LogEvent, globalLogPublisher

from mtlsedge.errors import EdgeError
from mtlsedge.session.keys import KeyRing
from mtlsedge.session.keystore import BadKeyRing, locked

DAY = 86400.0


class Time:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


def _open(state: Path, time: Callable[[], float]) -> KeyRing:
    return KeyRing.open(state, time, rotation=40 * DAY, overlap=7 * DAY)


def _kids(ring: KeyRing) -> list[str]:
    return [key["kid"] for key in ring.public_keys()["keys"]]


def test_keys_are_made_on_first_start_and_private(tmp_path: Path) -> None:
    """Directory 0700, files 0600, whatever the umask says."""
    old = os.umask(0)
    try:
        _open(tmp_path / "state", Time())
    finally:
        os.umask(old)
    assert 0o700 == stat.S_IMODE((tmp_path / "state").stat().st_mode)
    files = list((tmp_path / "state").iterdir())
    assert {"signing-keys.json", "signing-keys.lock"} == {file.name for file in files}
    assert {0o600} == {stat.S_IMODE(file.stat().st_mode) for file in files}


def test_a_restart_keeps_the_keys(tmp_path: Path) -> None:
    """The same key signs after the ring is opened again."""
    time = Time()
    assert _open(tmp_path / "s", time).signing.kid == _open(tmp_path / "s", time).signing.kid


def test_processes_that_start_at_once_share_one_ring(tmp_path: Path) -> None:
    """One makes the key, the others wait for it."""
    program = (
        "import sys, pathlib; from mtlsedge.session.keys import KeyRing; import time\n"
        "print(KeyRing.open(pathlib.Path(sys.argv[1]), time.time, 1e6, 1e5).signing.kid)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "state")]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    kids = {worker.communicate(timeout=60)[0] for worker in workers}
    assert 1 == len(kids)
    assert kids.pop().strip()


def test_nobody_makes_keys_while_another_may_be_making_them(tmp_path: Path) -> None:
    """The second one waits for the lock."""
    state = tmp_path / "s"
    with locked(state):
        second = Thread(target=_open, args=(state, Time()))
        second.start()
        second.join(0.7)
        assert second.is_alive()
        assert not (state / "signing-keys.json").exists()
    second.join(60)
    assert (state / "signing-keys.json").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """The message names the remedy."""
    _open(tmp_path / "s", Time())
    place = tmp_path / "s" / "signing-keys.json"
    place.chmod(mode)
    with pytest.raises(EdgeError, match=f"chmod 0600 {place}"):
        _open(tmp_path / "s", Time())


def test_a_directory_that_others_may_write_is_refused(tmp_path: Path) -> None:
    """Whoever can write there can replace the keys."""
    state = tmp_path / "s"
    state.mkdir()
    state.chmod(0o770)
    with pytest.raises(EdgeError, match=f"chmod 0700 {state}"):
        _open(state, Time())


def test_a_link_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    """A link could point to what somebody else controls."""
    _open(tmp_path / "a", Time())
    (tmp_path / "b").mkdir(mode=0o700)
    (tmp_path / "b" / "signing-keys.json").symlink_to(tmp_path / "a" / "signing-keys.json")
    with pytest.raises(BadKeyRing, match="cannot be read"):
        _open(tmp_path / "b", Time())


PUBLIC = RSAKey.generate_key(2048).as_dict(private=False)


def _truncated(raw: bytes) -> bytes:
    return raw[: len(raw) // 2]


def _edited(change: Callable[[dict], None]) -> Callable[[bytes], bytes]:
    def edit(raw: bytes) -> bytes:
        document = json.loads(raw)
        change(document)
        return json.dumps(document).encode()

    return edit


@pytest.mark.parametrize(
    "damage",
    [
        _truncated,
        lambda raw: b"",
        lambda raw: b"[]",
        lambda raw: b"\xff\xfe",
        lambda raw: b"[" * 100_000,
        _edited(lambda document: document.update(version=2)),
        _edited(lambda document: document.update(keys=[])),
        _edited(lambda document: document["keys"][0].update(signs_from="soon")),
        _edited(lambda document: document["keys"][0].update(signs_from="inf")),
        _edited(lambda document: document["keys"][0]["jwk"].update(d="AQAB")),
        _edited(lambda document: document["keys"][0].update(jwk={"kty": "oct", "k": "AA"})),
        _edited(lambda document: document["keys"][0].update(jwk=PUBLIC)),
        _edited(lambda document: document["keys"][0].update(certificate="none")),
    ],
)  # fmt: skip
def test_a_damaged_file_stops_the_edge_and_is_kept(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    """New keys would silently end every session; only a person may decide that."""
    _open(tmp_path / "s", Time())
    place = tmp_path / "s" / "signing-keys.json"
    damaged = damage(place.read_bytes())
    place.write_bytes(damaged)
    with pytest.raises(BadKeyRing, match="restore it from a backup"):
        _open(tmp_path / "s", Time())
    assert damaged == place.read_bytes()


def test_a_certificate_of_another_key_is_refused(tmp_path: Path) -> None:
    """It would be published under this key's name."""
    other = _open(tmp_path / "other", Time()).signing.certificate
    _open(tmp_path / "s", Time())
    place = tmp_path / "s" / "signing-keys.json"
    edit = _edited(lambda document: document["keys"][0].update(certificate=other))
    place.write_bytes(edit(place.read_bytes()))
    with pytest.raises(BadKeyRing, match="belongs to another key"):
        _open(tmp_path / "s", Time())


def test_the_next_key_is_published_before_it_signs(tmp_path: Path) -> None:
    """Verifiers that cache the key set have it when they need it."""
    time = Time()
    ring = _open(tmp_path / "s", time)
    first = ring.signing.kid
    assert not ring.rotate_if_due()
    time.now += 39 * DAY
    assert ring.rotate_if_due()
    assert first == ring.signing.kid
    assert 2 == len(_kids(ring))
    assert not ring.rotate_if_due()
    time.now += 0.9 * DAY
    assert first == ring.signing.kid
    time.now += 0.2 * DAY
    assert first != ring.signing.kid
    assert ring.signing.kid in _kids(ring)


def test_an_old_key_stays_for_the_overlap_and_then_goes(tmp_path: Path) -> None:
    """Sessions signed with it end first."""
    time = Time()
    ring = _open(tmp_path / "s", time)
    first = ring.signing.kid
    time.now += 39 * DAY
    ring.rotate_if_due()
    time.now += 7.9 * DAY
    assert ring.verifying(first) is not None
    assert first in _kids(ring)
    time.now += 0.2 * DAY
    assert ring.verifying(first) is None
    assert first not in _kids(ring)
    time.now += 33 * DAY
    ring.rotate_if_due()
    assert first not in (tmp_path / "s" / "signing-keys.json").read_text()


def test_an_edge_that_was_off_for_long_still_publishes_first(tmp_path: Path) -> None:
    """The overdue key signs until its successor has been published for the lead."""
    time = Time()
    ring = _open(tmp_path / "s", time)
    first = ring.signing.kid
    time.now += 400 * DAY
    ring.rotate_if_due()
    assert first == ring.signing.kid
    time.now += DAY
    assert first != ring.signing.kid


def test_workers_learn_of_each_others_keys(tmp_path: Path) -> None:
    """One rotates, the other takes its key over and makes none."""
    time = Time()
    one, other = _open(tmp_path / "s", time), _open(tmp_path / "s", time)
    time.now += 39.5 * DAY
    assert one.rotate_if_due()
    assert other.rotate_if_due()
    assert _kids(one) == _kids(other)


@pytest.mark.parametrize("damage", [lambda place: place.write_text("{"), Path.unlink])
def test_a_running_edge_survives_a_broken_file(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    """What is in memory goes on signing, and the log says why, once."""
    time = Time()
    ring = _open(tmp_path / "s", time)
    kids = _kids(ring)
    place = tmp_path / "s" / "signing-keys.json"
    damage(place)
    before = place.read_text() if place.exists() else None
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    try:
        time.now += 50 * DAY
        assert not ring.rotate_if_due()
        assert not ring.rotate_if_due()
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert kids == _kids(ring)
    assert before == (place.read_text() if place.exists() else None)
    assert 1 == len([event for event in events if "could not be rotated" in event["log_format"]])


def test_a_leftover_of_a_crash_does_no_harm(tmp_path: Path) -> None:
    """A new file that never got its name is written over."""
    (tmp_path / "s").mkdir(mode=0o700)
    (tmp_path / "s" / "signing-keys.new").write_text("half")
    assert _open(tmp_path / "s", Time()).signing.kid


def test_the_lock_can_be_taken_again(tmp_path: Path) -> None:
    """Leaving the block gives it back, after an error too."""
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "s"):
        raise ZeroDivisionError
    with locked(tmp_path / "s"):
        pass


def test_a_clock_before_the_first_key_still_signs(tmp_path: Path) -> None:
    """The only key there is signs, even from the future."""
    time = Time()
    ring = _open(tmp_path / "s", time)
    time.now -= DAY
    assert ring.signing.kid == _kids(ring)[0]


def test_the_public_keys_have_cloudflares_form_and_nothing_private(tmp_path: Path) -> None:
    """Six members a key, and a certificate for each."""
    ring = _open(tmp_path / "s", Time())
    document = json.loads(json.dumps(ring.public_keys()))
    assert {"keys", "public_cert", "public_certs"} == document.keys()
    assert [["alg", "e", "kid", "kty", "n", "use"]] == [sorted(key) for key in document["keys"]]
    assert ring.signing.kid == KeySet.import_key_set(document).keys[0].thumbprint()
    certificate = x509.load_pem_x509_certificate(document["public_cert"]["cert"].encode())
    assert ring.signing.key.public_key == certificate.public_key()
    assert [document["public_cert"]] == document["public_certs"]

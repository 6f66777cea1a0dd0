"""Large configurations: that they are what they say, and are measured against a small one."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from cryptography import x509

from perf import cli
from perf.estate import PARTS, revocation_list
from perf.keys import KeyFiles, make_keys
from perf.options import parser, plan_from, sizes_from

needs_nginx = pytest.mark.usefixtures("nginx")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyFiles:
    """The keys of one run."""
    return make_keys(tmp_path_factory.mktemp("keys"), "p256", "localhost")


def test_a_revocation_list_has_as_many_serials_and_is_signed(keys: KeyFiles) -> None:
    """By the client CA, and the client is not in it."""
    crl = x509.load_der_x509_crl(revocation_list(keys, 25))
    ca = x509.load_pem_x509_certificate(keys.client_ca.read_bytes())
    client = x509.load_pem_x509_certificate(keys.client_pem.read_bytes())
    assert 25 == len(crl)
    assert crl.is_signature_valid(ca.public_key())  # type: ignore[arg-type]
    assert crl.get_revoked_certificate_by_serial_number(client.serial_number) is None


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("hosts", (4, 1, 2)),
        ("cas", (1, 4, 1)),
        ("cas-spread", (4, 4, 1)),
        ("applications", (1, 1, 4)),
        ("revoked", (1, 1, 1)),
    ],
)
def test_an_estate_has_three_more_of_its_part(
    part: str, expected: tuple[int, int, int], keys: KeyFiles, tmp_path: Path
) -> None:
    """Hosts, client CAs, applications; every file that it names is there, each another."""
    made = PARTS[part].build(tmp_path, keys, 3)
    said = tomllib.loads(made.template.read_text().replace("@workers@", "1"))
    tables = ("host", "client_ca", "application")
    assert expected == tuple(len(said[table]) for table in tables)
    files = [one["certificate"] for one in (*said["host"], *said["client_ca"])]
    assert len(files) == len(set(files))
    assert all(Path(file).exists() for file in files if not file.startswith("@"))
    serials = x509.load_der_x509_crl(Path(said["client_ca"][0]["crl"][0]).read_bytes())
    assert (3 if part == "revoked" else 1) == len(serials)


def test_hosts_are_asked_in_turn_and_applications_in_the_middle(
    keys: KeyFiles, tmp_path: Path
) -> None:
    """What is not asked for costs nothing."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    asked = PARTS["hosts"].build(tmp_path / "a", keys, 2)
    assert ("h0.perf.test", "h1.perf.test") == asked.names
    assert "/app-2/perf" == PARTS["applications"].build(tmp_path / "b", keys, 4).path


def test_parts_are_chosen_and_sized() -> None:
    """A twentieth with --quick, unless a number was given."""
    parse = parser().parse_args
    assert [10_000, 1_000, 1_000, 10_000, 100_000, 1_000_000] == [
        count for _, count in sizes_from(parse(["scale"]))
    ]
    chosen = sizes_from(parse(["scale", "--parts", "hosts,cas=7", "--quick"]))
    assert [("hosts", 500), ("CAs on one host", 7)] == [(p.title, n) for p, n in chosen]
    for bad in ("cars", "hosts=", "hosts=0", "hosts=x"):
        with pytest.raises(ValueError, match="--parts"):
            sizes_from(parse(["scale", "--parts", bad]))
    with pytest.raises(ValueError, match="against itself"):
        plan_from(parse(["scale", "--against", "nginx"]), Path("/nowhere"))


@needs_nginx
def test_small_estates_of_every_part_are_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each is served, by the round, with its start and its memory."""
    written, page = tmp_path / "all.json", tmp_path / "page.html"
    short = ("--rounds", "1", "--seconds", "0.1", "--connections", "2")
    parts = ",".join(f"{part}=3" for part in PARTS)
    files = ("--json", str(written), "--html", str(page))
    status = cli.main(("scale", "--parts", parts, *short, *files))
    said = capsys.readouterr()
    assert 0 == status, said
    found = json.loads(written.read_text())["configurations"]
    assert ["1 of each", "3 hosts", "3 CAs on one host"] == [one["name"] for one in found[:3]]
    assert all(1 == len(one["ratios"]) and one["start_seconds"] > 0 for one in found)
    assert all(one["memory_after"]["pss"] > 0 for one in found)
    hosts = found[1]
    assert [3] == [sample["operations"] for sample in hosts["first_use_samples"]]
    assert 1 == len(hosts["first_use_ratios"])
    assert hosts["samples"][0]["operations"] > 3
    assert "3 hosts, first use" in said.out
    assert "3 applications" in page.read_text()

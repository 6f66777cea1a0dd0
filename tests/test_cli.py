"""The ``mtlsedge`` command, called as a function."""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path

import pytest

from mtlsedge.cli import main
from support import tables, toml


def written(directory: Path, **config: object) -> str:
    """A configuration file with these tables."""
    file = directory / "edge.toml"
    file.write_text(toml.dumps({"edge": {"listen": ["127.0.0.1:8443"]}, **config}))
    return str(file)


def test_check_reports_on_a_good_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 0 and a host on standard output."""
    file = written(tmp_path, **tables.one_host("iot.example.com", "http://127.0.0.1:1"))
    assert 0 == main(["check", file])
    assert "host iot.example.com" in capsys.readouterr().out


def test_check_lists_every_problem_of_a_bad_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 1 and each mistake by its key path, on standard error."""
    config = tables.one_host("iot.example.com", "http://127.0.0.1:1")
    config["host"][0]["unprotected"] = "perhaps"
    config["client_ca"][0]["hosts"] = ["other.example.com"]
    assert 1 == main(["check", written(tmp_path, **config)])
    error = capsys.readouterr().err
    assert "2 problems" in error
    assert "host[0].unprotected" in error
    assert "client_ca[0].hosts" in error


def test_a_minted_service_token_fits_the_configuration_it_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The secret is shown once; the table holds its hash, and any name is quoted."""
    assert 0 == main(["service-token", "--days", "1", 'a "robot"'])
    out = capsys.readouterr().out
    secret = out.split("CF-Access-Client-Secret: ")[1].split("\n")[0]
    table = tomllib.loads(out[out.index("[[service_token]]") :])["service_token"][0]
    assert 'a "robot"' == table["name"]
    assert hashlib.sha256(secret.encode()).hexdigest() == table["secret_sha256"]
    assert table["client_id"] in out.split("\n")[0]
    assert secret not in json.dumps(table, default=str)


def test_verifiers_lists_those_built_in(capsys: pytest.CaptureFixture[str]) -> None:
    """What may be said to each of them."""
    assert 0 == main(["verifiers"])
    out = capsys.readouterr().out
    assert all(name in out for name in ("chain", "pin:", "san:"))


def test_verifiers_tells_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    """With what every verifier takes; and who there is, if that one is not."""
    assert 0 == main(["verifiers", "pin"])
    out = capsys.readouterr().out
    assert "pin:sha256=HEX" in out
    assert "on_error" in out
    assert "san:" not in out
    assert 1 == main(["verifiers", "pim"])
    assert "there is no verifier 'pim'; there is" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["chekc"], ["check"], ["check", "a", "b"], ["service-token", "--days", "x"]]
)
def test_what_was_asked_wrongly_is_answered_with_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2 and how to ask."""
    assert 2 == main(arguments)
    assert "Usage: mtlsedge" in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """As other tools do."""
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert 0 == caught.value.code
    assert capsys.readouterr().out.startswith("mtlsedge ")

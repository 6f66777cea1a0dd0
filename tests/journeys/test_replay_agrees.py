"""``mtlsedge replay`` never says what is not so: of one configuration's log, put to another.

A real process writes the log. What the other configuration would have decided, ``explain`` says,
which has the certificates; ``replay``, which has not, must come to the same or not tell.
``MTLSEDGE_FUZZ=full`` tries ten times as many, ``MTLSEDGE_FUZZ=<seed>`` others.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from explaining import FULL, SEED, Live, explained_all, question

from mtlsedge.explain.account import Account
from mtlsedge.explain.command import load_configuration
from mtlsedge.replay.judging import Judging
from mtlsedge.replay.logged import Verdict, asked_in, moment_of, verdict_of
from support import odd_verifiers, toml, triples
from support.edge import Edge
from support.origin import CountingOrigin

PAIRS = 20 if FULL else 2
EACH = 250


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", range(PAIRS))
@pytest.mark.parametrize("old_known", [True, False])
def test_another_configuration_is_foretold_from_the_log(
    tmp_path: Path, number: int, old_known: bool
) -> None:
    """What is certain is so, and what is so is always possible."""
    random = Random(f"replay {SEED}.{number}")
    env = odd_verifiers.install(tmp_path / "plugins")
    with CountingOrigin() as origin:
        config = triples.configuration(random, origin.url)
        with Edge(tmp_path, config, env=env) as edge:
            live = Live(edge, origin)
            questions = [question(random, edge.port) for _ in range(EACH)]
            for who, asked in questions:
                live.ask(who, asked)
            lines = edge.access_log(EACH)
            live.close()
        other = written(tmp_path, edge, another(random, config, origin.url, same_cas=not old_known))
    with odd_verifiers.found_here(tmp_path / "plugins"):
        old = load_configuration(edge.config_path) if old_known else None
        judging = Judging(load_configuration(other), old)
        truths = explained_all(other, [asked for _, asked in questions])
    told = Counter[str]()
    for line, truth, (who, asked) in zip(lines, truths, questions, strict=True):
        if line["event"] != "request" or verdict_of(line) is None:
            continue
        if not line["host"]:
            continue  # an ambiguous path, asked for without a server name
        judged = judging.judge(asked_in(line), moment_of(line))
        assert so(truth) in judged.possible, (SEED, number, who.name, asked, judged)
        told["certain" if len(judged.possible) == 1 else "not certain"] += 1
    assert 4 * told["certain"] > told["not certain"]


def another(
    random: Random, config: dict[str, Any], upstream: str, *, same_cas: bool
) -> dict[str, Any]:
    """Another configuration, with what ``replay`` takes as given."""
    other = triples.configuration(random, upstream)
    first, before = other["client_ca"][0], config["client_ca"][0]
    for key in [key for key in first if key.startswith("crl")]:
        del first[key]
    first |= {key: value for key, value in before.items() if key.startswith("crl")}
    if same_cas:
        other["client_ca"] = config["client_ca"]
        for host, was in zip(other["host"], config["host"], strict=True):
            host["handshake"] = was["handshake"]
    return {**other, "edge": config["edge"]}


def written(directory: Path, edge: Edge, config: dict[str, Any]) -> Path:
    """The other configuration as a file, for the same port."""
    defaults = {"listen": [f"127.0.0.1:{edge.port}"], "state": "state"}
    path = directory / "other.toml"
    path.write_text(toml.dumps({**config, "edge": {**defaults, **config["edge"]}}))
    return path


def so(truth: Account) -> Verdict:
    """What is so, in replay's words."""
    answer = truth.answer
    if answer.by == "handshake":
        return Verdict(False, "handshake" if truth.handshake.host else "no host")
    if answer.decision in ("unprotected", "ambiguous"):
        return Verdict(answer.admitted, answer.decision)
    return Verdict(answer.admitted, answer.decision, answer.application, answer.policy)

"""Which targets are met? Every run that the project has set itself a target for, and one table."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from perf.catalogue import Unavailable
from perf.charts import page
from perf.commands import measured, write
from perf.options import COMMANDS, ITSELF, parser
from perf.outcome import Outcome
from perf.process import ServerFailed
from perf.progress import Progress, duration
from perf.proofs import NotComparable
from perf.stats import Spread
from perf.verifiers import AGAIN, AT_MOST, CASES, WITHOUT

RUNS: Mapping[str, tuple[str, ...]] = {
    "handshakes-p256": ("handshakes",),
    "handshakes-rsa4096": ("handshakes", "--algorithm", "rsa4096"),
    "requests": ("requests",),
    "transfer": ("transfer",),
    "connections": ("connections",),
    "scale": ("scale",),
    "verifiers": ("verifiers",),
}
_QUICK: Mapping[str, tuple[str, ...]] = {
    "connections": ("--count", "500"),
    "transfer": ("--size", "8"),
}


@dataclass(frozen=True, slots=True)
class Aim:
    """A target: what an outcome's figure must not exceed.

    ``against`` is a peer, or "" for the edge's own figure (then ``unit`` is its unit).
    """

    title: str
    run: str
    workload: str
    against: str
    at_most: float
    unit: str = ""


def _aims(title: str, run: str, workload: str, **at_most: float) -> list[Aim]:
    return [Aim(title, run, workload, peer, limit) for peer, limit in at_most.items()]


AIMS: Sequence[Aim] = (
    *_aims("full handshake and answer, P-256, TLS 1.3", "handshakes-p256", "handshakes",
           nginx=1.0, haproxy=0.95, caddy=1.1),
    *_aims("the same, RSA-4096 client and CA", "handshakes-rsa4096", "handshakes",
           nginx=1.0, haproxy=1.0, caddy=0.6),
    *_aims("kept-alive proxied request", "requests", "requests",
           caddy=0.5, nginx=2.0, haproxy=1.6),
    *_aims("bulk download, per byte", "transfer", "download", nginx=1.0, haproxy=1.6),
    *_aims("bulk upload, per byte", "transfer", "upload", nginx=1.0, haproxy=1.6),
    Aim("memory per idle connection", "connections", "requests", "", 32.0, "KiB"),
    *_aims("memory per idle connection", "connections", "requests", caddy=0.9),
)  # fmt: skip
_FINE = 3  # digits of ratios near 1
SCALE_AT_MOST = 1.1  # a handshake in each large configuration, against one of each


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the table; ``found`` is None where it could not be measured.

    ``at_most`` is None for what is told without a target; ``digits`` are those behind the point.
    """

    title: str
    against: str
    at_most: float | None
    found: Spread | None
    unit: str = ""
    digits: int = 2

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.found is None:
            return "not measured"
        if self.at_most is None:
            return ""
        # A target is compared as it is shown.
        met = round(self.found.median, self.digits) <= self.at_most
        return "met" if met else "NOT MET"


def run(options: argparse.Namespace, scratch: Path, progress: Progress) -> int:
    """Run everything; what ends well is written at once, and what fails does not end the rest.

    Returns 0, or 1 where there were problems; a target that is not met is a result.

    Raises:
        ValueError: no such run, or the directory for the results is not new.
    """
    chosen = _chosen(options.only)
    out = Path(options.out)
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"--out {out}: the directory is not empty")
    out.mkdir(parents=True, exist_ok=True)
    done: dict[str, dict[str, Outcome]] = {}
    problems: list[str] = []
    begun = time.monotonic()
    for number, name in enumerate(chosen, 1):
        words = command(name, options)
        progress.say(f"{number} of {len(chosen)}: python -m perf {' '.join(words)}")
        try:
            place = scratch / name
            place.mkdir()
            done[name] = measured(parser().parse_args(words), place, progress)
        except (Unavailable, ServerFailed, NotComparable, ValueError, OSError) as error:
            problems.append(f"{name}: {error}")
            continue
        problems.extend(f"{name}: {p}" for one in done[name].values() for p in one.problems)
        write(done[name], COMMANDS[words[0]], str(out / f"{name}.json"), str(out / f"{name}.html"))
    progress.end()
    results = results_of(done, options.against, chosen)
    text = "\n".join(
        [
            *table(results),
            "",
            f"{duration(time.monotonic() - begun)}; the commands:",
            *(f"  python -m perf {' '.join(command(name, options))}" for name in chosen),
        ]
    )
    _write_all(out, text, done, results, problems)
    print(text)
    for name, outcomes in done.items():
        for note in (note for one in outcomes.values() for note in one.notes):
            print(f"NOTE: {name}: {note}")
    for problem in problems:
        print(f"PROBLEM: {problem}")
    return 1 if problems else 0


def command(name: str, options: argparse.Namespace) -> list[str]:
    """The words of one run; options given to ``all`` win over a run's own."""
    words = list(RUNS[name])
    if words[0] not in ITSELF and options.against:
        words += ["--against", ",".join(options.against)]
    if options.quick:
        words += ["--quick", *_QUICK.get(name, ())]
    rounds = options.rounds or (1 if options.quick else 0)
    seconds = options.seconds or (0.4 if options.quick else 0.0)
    if rounds:
        words += ["--rounds", str(rounds)]
    if seconds:
        words += ["--seconds", str(seconds)]
    return words


def results_of(
    done: Mapping[str, Mapping[str, Outcome]], peers: Sequence[str], chosen: Sequence[str]
) -> list[Result]:
    """What was found for each target of the runs that were chosen."""
    results = []
    for aim in AIMS:
        if aim.run in chosen and (not aim.against or aim.against in peers):
            outcome = done.get(aim.run, {}).get(aim.workload)
            found = None
            if outcome is not None:
                found = outcome.ratios.get(aim.against) if aim.against else outcome.figure
            results.append(Result(aim.title, aim.against, aim.at_most, found, aim.unit))
    large = done.get("scale", {}).get("handshakes")
    if large is None and "scale" in chosen:
        results.append(Result("a handshake, large", "1 of each", SCALE_AT_MOST, None))
    for name, ratio in large.ratios.items() if large else ():
        at_most = None if name.endswith("first use") else SCALE_AT_MOST
        results.append(Result(f"a handshake, {name}", "1 of each", at_most, ratio))
    if "verifiers" in chosen:
        results.extend(_of_verifiers(done.get("verifiers", {})))
    return results


def _of_verifiers(outcomes: Mapping[str, Outcome]) -> list[Result]:
    """Each case in each workload; two of the same are told without a target."""
    results = []
    for workload, limit in AT_MOST.items():
        ratios = outcomes[workload].ratios if workload in outcomes else {}
        for name in CASES:
            at_most = None if name == AGAIN.name else limit
            title = f"{workload}, verifier: {name}"
            ratio = ratios.get(name)
            results.append(Result(title, WITHOUT.name, at_most, ratio, digits=_FINE))
    return results


_COLUMNS = "{:<44}{:<11}{:>9}{:>10}  {:<15}{}"


def table(results: Sequence[Result]) -> list[str]:
    """Targets, what was measured, and whether they are met."""
    rows = [_COLUMNS.format("target", "against", "at most", "measured", "(rounds)", "")]
    for one in results:
        found, unit = one.found, f" {one.unit}" if one.unit else ""
        form = f".{one.digits}f"
        limit = "" if one.at_most is None else f"{one.at_most:g}{unit}" if unit else (
            f"x {one.at_most:{form}}"
        )  # fmt: skip
        rows.append(
            _COLUMNS.format(
                one.title,
                one.against,
                limit,
                f"{found.median:{form}}" if found else "-",
                f"({found.low:{form}}..{found.high:{form}})" if found else "",
                one.verdict,
            )
        )
    met = sum(one.verdict == "met" for one in results)
    return [*rows, f"{met} of {sum(one.at_most is not None for one in results)} targets are met"]


def _chosen(only: str) -> list[str]:
    names = [name for name in only.split(",") if name] or list(RUNS)
    for name in names:
        if name not in RUNS:
            raise ValueError(f"--only: {name!r} is none of {', '.join(RUNS)}")
    return names


def _write_all(
    out: Path,
    text: str,
    done: Mapping[str, Mapping[str, Outcome]],
    results: Sequence[Result],
    problems: Sequence[str],
) -> None:
    outcomes = [one for by_workload in done.values() for one in by_workload.values()]
    said = {
        "targets": [{**asdict(one), "verdict": one.verdict} for one in results],
        "problems": list(problems),
        "runs": {name: f"{name}.json" for name in done},
    }
    (out / "all.json").write_text(json.dumps(said, indent=1) + "\n")
    whole = "\n\n".join([text, *(one.text for one in outcomes)])
    charts = [chart for one in outcomes for chart in one.charts]
    (out / "all.html").write_text(
        page("mtlsedge perf: the targets", whole, charts, problems), encoding="utf-8"
    )

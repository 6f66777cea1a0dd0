"""What was asked for? The command line of ``python -m perf``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from perf import everything
from perf.catalogue import Unavailable
from perf.commands import measured, write
from perf.options import COMMANDS, parser
from perf.process import ServerFailed
from perf.progress import Progress, progress_on
from perf.proofs import NotComparable


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; 0 is all well, 1 is figures with problems, 2 is no figures."""
    options = parser().parse_args(argv)
    progress = progress_on(sys.stderr, options.progress)
    with tempfile.TemporaryDirectory(prefix="perf-run-") as scratch:
        try:
            return _run(options, Path(scratch), progress)
        except (Unavailable, ServerFailed, NotComparable, ValueError, OSError) as error:
            progress.end()
            print(f"perf: {error}", file=sys.stderr)
            return 2


def _run(options: argparse.Namespace, scratch: Path, progress: Progress) -> int:
    if options.command == "all":
        return everything.run(options, scratch, progress)
    outcomes = measured(options, scratch, progress)
    progress.end()
    print("\n\n".join(one.text for one in outcomes.values()))
    write(outcomes, COMMANDS[options.command], options.json, options.html)
    for note in (note for one in outcomes.values() for note in one.notes):
        print(f"NOTE: {note}")
    problems = [problem for one in outcomes.values() for problem in one.problems]
    for problem in problems:
        print(f"PROBLEM: {problem}")
    return 1 if problems else 0

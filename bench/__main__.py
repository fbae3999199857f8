"""Runs subjects and prints their lines: `python -m bench [subject ...]`; see `--help`.

Exit status 1: something is not as it must be.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from bench.lines import Chosen, Line
from bench.machine import machine, versions
from bench.report import Run, write

#: In the order of the report. Without `--full` only what takes about five minutes together.
RATIOS = ("accept", "storm", "pages", "questions", "rules")
FULL = ("accept", "peers", "storm", "pages", "questions", "rules", "memory", "lists")
#: The last run that was reported, so that its report can be written again.
KEPT = Path("build/bench.json")
#: What is run by name only.
OTHERS = ("guard",)


def measured(subject: str, chosen: Chosen) -> Iterator[Line]:
    """Its lines, as they come; progress goes to stderr."""
    began = time.monotonic()
    print(f"--- {subject}", file=sys.stderr, flush=True)
    for line in import_module(f"bench.{subject}").measure(chosen):
        print(line, flush=True)
        yield line
    print(f"--- {subject}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    known = ", ".join((*FULL, *OTHERS))
    parser.add_argument("subjects", nargs="*", metavar="subject", help=f"some of: {known}")
    parser.add_argument("--full", action="store_true", help="with tables at size and the peers")
    parser.add_argument("--seconds", type=float, default=Chosen.seconds, help="of each round")
    parser.add_argument("--json", type=Path, help="a file that the run is written to")
    parser.add_argument("--report", action="store_true", help="write docs/benchmarks.md")
    told = parser.parse_args()
    if unknown := set(told.subjects) - {*FULL, *OTHERS}:
        parser.error(f"no subject: {', '.join(unknown)}; there are {known}")
    chosen = Chosen(told.seconds, told.full)
    subjects = told.subjects or (FULL if told.full else RATIOS)
    lines = {subject: list(measured(subject, chosen)) for subject in subjects}
    run = Run(datetime.now(UTC).date().isoformat(), machine(), versions(), lines)
    if told.json:
        run.save(told.json)
    if told.report and not told.subjects:
        run.save(KEPT)
        write(run)
    sys.exit(not all(line.holds for line in run.lines))


if __name__ == "__main__":
    main()

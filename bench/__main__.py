"""Runs subjects and prints their lines: `python -m bench [subject ...]`; see `--help`."""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from bench.lines import Chosen, Line

#: In the order of the report; the others take longer than five minutes together.
RATIOS = ("accept", "storm", "pages", "questions", "rules")
FULL = (*RATIOS, "memory", "lists")


def run(subjects: list[str], chosen: Chosen) -> Iterator[Line]:
    """The lines of each, as they come; progress goes to stderr."""
    for subject in subjects:
        began = time.monotonic()
        print(f"--- {subject}", file=sys.stderr, flush=True)
        yield from import_module(f"bench.{subject}").measure(chosen)
        print(f"--- {subject}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("subjects", nargs="*", metavar="subject", help=f"of {', '.join(FULL)}")
    parser.add_argument("--full", action="store_true", help="with tables at size and the peers")
    parser.add_argument("--seconds", type=float, default=Chosen.seconds, help="of each round")
    parser.add_argument("--json", type=Path, help="a file that the lines are written to")
    told = parser.parse_args()
    chosen = Chosen(told.seconds, told.full)
    lines = []
    for line in run(told.subjects or list(FULL if told.full else RATIOS), chosen):
        print(line, flush=True)
        lines.append(line)
    if told.json:
        told.json.write_text(json.dumps([line.as_json() for line in lines], indent=1))
    sys.exit(not all(line.holds for line in lines))


if __name__ == "__main__":
    main()

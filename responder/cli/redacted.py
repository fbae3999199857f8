"""What of `[redact]` cannot stand: patterns that take long, labels that something is chosen by."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

from responder.domain.settings import Settings
from responder.runbook.catalogue import Catalogue

#: A child tries a pattern on texts of 16,000 characters, repeated pieces of what it may match; one
#: that backtracks needs more than this of the processor, or does not come back at all.
_TRIAL = """
import re, sys, time
pattern = sys.stdin.read()
found = re.compile(pattern)
pieces = {each for each in pattern if each.isprintable()}
pieces |= {*"a0A -._", "a ", "a0", "a.", "a@"}
for piece in sorted(pieces):
    text = (piece * 16000)[:16000]
    for end in ("", "\\n", "!"):
        began = time.process_time()
        found.sub("", text + end)
        if time.process_time() - began > 0.25:
            sys.exit(1)
"""
_SECONDS = 10.0


def redact_mistakes(settings: Settings, catalogue: Catalogue) -> Iterator[str]:
    """A line for each, with its key."""
    for kind, pattern in settings.redact.patterns.items():
        if _is_slow(pattern):
            yield (
                f"redact.patterns.{kind}: is slow on long texts; bound what repeats in it, as in"
                " [a-z]{1,64} for [a-z]+"
            )
    for name, user in sorted(_chosen_by(settings, catalogue)):
        if settings.redact.hides_label(name):
            yield f"redact.labels: {name!r} must stay: {user} is chosen by it"


def _is_slow(pattern: str) -> bool:
    command = [sys.executable, "-I", "-c", _TRIAL]
    with suppress(subprocess.TimeoutExpired):
        trial = subprocess.run(command, input=pattern.encode(), timeout=_SECONDS)
        return trial.returncode != 0
    return True


def _chosen_by(settings: Settings, catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    """Each label that a matcher reads, and what is chosen by it."""
    for rule in catalogue.rules.values():
        yield from ((each.name, f"the rule {rule.name}") for each in rule.matchers)
    for target in settings.targets.values():
        yield from ((each.name, f"the target {target.name}") for each in target.matches)
    for place, route in enumerate(settings.routes):
        yield from ((each.name, f"routes[{place}]") for each in route.matches)
    for window in settings.windows:
        yield from ((each.name, f"the window {window.name}") for each in window.matches)

"""The story on a terminal: calm, aligned, readable without colours and at three in the morning."""

import io
import os
import sys
import textwrap
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import click

WIDTH = 90
_LABEL = 11


class Screen:
    """Lines `label  text`; colours only on a terminal, and not with NO_COLOR."""

    def __init__(self) -> None:
        self._color = False if os.environ.get("NO_COLOR") else None
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # arrows on a terminal that has none

    def title(self, text: str, aside: str = "") -> None:
        self._echo("")
        self._echo(f"{click.style(text, bold=True)}{aside.rjust(WIDTH - len(text))}".rstrip())
        self._echo(click.style("─" * WIDTH, dim=True))

    def line(self, label: str, text: str, mark: str = "") -> None:
        """One labelled text, wrapped under itself."""
        for part in textwrap.wrap(text, WIDTH - _LABEL - 2 - 2 * bool(mark)) or [""]:
            self._echo(f"  {click.style(label.ljust(_LABEL), dim=True)}{mark}{part}".rstrip())
            label, mark = "", "  " if mark else ""

    def raw(self, text: str) -> None:
        """A command to copy, which must not be wrapped."""
        self._echo(f"  {text}")

    def good(self, text: str) -> None:
        self.line("", text, click.style("✓ ", fg="green"))

    def bad(self, text: str) -> None:
        self.line("missed", text, click.style("✗ ", fg="red", bold=True))

    def trail(self, events: Iterable[Mapping[str, Any]], since: datetime) -> None:
        """Each step with its time since the alert was received; who heard the same, in one."""
        label = "trail"
        for event, receivers in _together(sorted(events, key=_time)):
            ms = (_time(event) - since).total_seconds() * 1000
            text = f"{ms:+8,.0f} ms  {event['what']:<13} {_told(event, receivers)}"
            shown = text if len(text) <= WIDTH - _LABEL else text[: WIDTH - _LABEL - 1] + "…"
            self._echo(f"  {click.style(label.ljust(_LABEL), dim=True)}{shown}".rstrip())
            label = ""

    def _echo(self, text: str) -> None:
        click.echo(text, color=self._color)


def _time(event: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(event["at"])


def _together(
    events: Iterable[Mapping[str, Any]],
) -> list[tuple[Mapping[str, Any], list[str]]]:
    """Each event; a message that was sent stands once, with all receivers that took it."""
    sent: dict[str, list[str]] = {}
    steps: list[tuple[Mapping[str, Any], list[str]]] = []
    for event in events:
        details = event["details"]
        if event["what"] != "notification" or event["after"] != "sent":
            steps.append((event, []))
            continue
        happening = "page" if details.get("page") else str(details.get("happening"))
        if happening not in sent:
            sent[happening] = []
            steps.append((event, sent[happening]))
        sent[happening].append(str(details.get("receiver")))
    return steps


def _told(event: Mapping[str, Any], receivers: list[str]) -> str:
    """What changed, and the one detail that says why."""
    change = " → ".join(part for part in (event["before"], event["after"]) if part)
    details = event["details"]
    if event["what"] == "notification":
        change = event["after"] if receivers else change
        names = ", ".join(receivers) or details.get("to") or details.get("receiver")
        return f"{change}  {details.get('happening')}: {names}"
    names = ("option", "reason", "why", "findings", "counts", "rule", "resolved_by")
    told = [_text(details[name]) for name in names if details.get(name)]
    return f"{change}  {', '.join(told)}".rstrip(" ,")


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{count} rows of {name}" for name, count in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

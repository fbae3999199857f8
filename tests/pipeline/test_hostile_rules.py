"""Whatever a rule does, its incident reaches a person in time, and the others are handled."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from responder.app import load_catalogue
from responder.cli.setup import runbook_mistakes
from responder.runbook.loader import LoadedRule, load
from responder.runbook.process import RuleProcess
from tests.house import House, alert
from tests.small_rules import TABLE, small_rule

Open = Callable[..., House]


@pytest.fixture
def process() -> Iterator[RuleProcess]:
    with closing(RuleProcess()) as process:
        yield process


@pytest.fixture
def open_house(make_house: Open, tmp_path: Path, process: RuleProcess) -> Open:
    """A house with a P0 whose rule concludes so, and a P2 that is as it should be."""

    def opened(conclusion: str, top: str = "") -> House:
        bad_rule(tmp_path, conclusion, top)
        small_rule(tmp_path)
        rules = load(tmp_path, process)
        house = make_house(rules)
        house.shop.run(TABLE)
        for rule in rules:
            house.promote(rule)
        return house

    return opened


def bad_rule(root: Path, conclusion: str, top: str = "") -> LoadedRule:
    rule = small_rule(root, "Bad", "p0", options='Option("mend", "Mend it", changes=("thing",))')
    module = root / "rules/p0/bad.py"
    head, _, _ = module.read_text().partition("        if case")
    module.write_text(f"{head}        {conclusion}\n{top}\n")
    return rule


HOSTILE = {
    "an endless loop": ("while True: pass", "did not end within 2 s"),
    "10 GB": ("return 'a' * 10**10", "used more than 256 MB"),
    "sys.exit": ("import sys; sys.exit(1)", "left the process"),
    "a file": ("open('/etc/passwd')", "wanted to open a file"),
    "a socket": ("import socket; socket.socket()", "wanted to use the network"),
    "a million findings": (
        "return [Finding('a', 'A.')] * 1_000_000",
        "concluded more than 100 findings",
    ),
    "another type": ("return [5]", "yielded int, not a Finding"),
    "an unknown option": ("return [Finding('a', 'A.', offers=['b'])]", "a offers b: no such"),
    "NUL": ("return [Finding('a', 'A\\0')]", "holds a NUL character"),
    "a lone surrogate": ("return [Finding('a', 'A\\ud800')]", "UnicodeEncodeError"),
    "a deep row": (
        "deep = 1\n        for _ in range(100): deep = [deep]\n"
        "        return [Finding('a', 'A.', rows=[{'deep': deep}])]",
        "nested too deeply",
    ),
    "an error that our database cannot keep": ("raise ValueError('\\0\\ud800')", "ValueError"),
}


@pytest.mark.parametrize(("conclusion", "told"), HOSTILE.values(), ids=HOSTILE)
def test_its_incident_reaches_a_person_and_the_other_one_is_handled(
    open_house: Open, conclusion: str, told: str
) -> None:
    house = open_house(conclusion)
    house.post(alert("Bad", severity="critical"), alert("Thing"))
    with ThreadPoolExecutor(1) as worker:
        working = worker.submit(house.run_jobs)
        while not house.pager.got:
            house.watch()
        working.result()
    house.settle()

    ((reason, sentence),) = [
        tuple(row.values())
        for row in house.sql(
            "SELECT reason, sentence FROM decision JOIN incident ON incident.id = incident_id"
            " WHERE rule = 'bad' AND action = 'hand_over'"
        )
    ]
    assert reason == "rule_failed" and told in sentence
    (page,) = house.sql("SELECT sent_at - created_at AS late FROM notification WHERE page")
    assert page["late"] < timedelta(seconds=4)
    events = house.sql(
        "SELECT details->>'trouble' AS trouble FROM audit_event e JOIN incident i"
        " ON i.id = incident_id WHERE rule = 'bad' AND what = 'stage' AND before = 'diagnose'"
    )
    assert [event["trouble"] for event in events] == ["rule_failed"]
    (other,) = house.sql(
        "SELECT reason, finding FROM decision JOIN incident ON incident.id = incident_id"
        " WHERE rule = 'thing' AND action = 'propose'"
    )
    assert other == {"reason": "target_on_fire", "finding": "wrong"}
    with house.services.store.transaction() as tx:
        assert tx.all("rules_failed") == [{"rule": "bad", "incidents": 1}]
    assert house.gap() == (0, 0)


def test_no_process_of_ours_runs_code_of_a_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_house: Open
) -> None:
    """Neither when rules are loaded nor when they conclude."""
    monkeypatch.setattr(os, "rules_ran_here", False, raising=False)
    bad_rule(tmp_path, "return []", "import os; os.rules_ran_here = True")
    load(tmp_path)
    assert os.rules_ran_here  # type: ignore[attr-defined]
    monkeypatch.setattr(os, "rules_ran_here", False)
    house = make_house(runbook=str(tmp_path))
    catalogue = load_catalogue(house.services.settings)
    house.services = replace(house.services, catalogue=catalogue)
    assert not list(runbook_mistakes(house.services.settings))
    house.shop.run(TABLE)
    house.post(alert("Bad", severity="critical"))
    house.settle()
    assert house.decision() == ("hand_over", "nothing_found")
    assert not os.rules_ran_here  # type: ignore[attr-defined]

"""`rules promote`: what people see before, what they are asked, and what is kept of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from responder.cli import main
from tests.house import House, alert

Run = Callable[..., Result]
RULE = "shopify_queue_stuck"
EXHAUSTED = """
INSERT INTO shopify_sync_queue
    (inventory_item_id, action, status, retry_count, max_retries, last_error, created_at)
SELECT gen_random_uuid(), 'update', 'failed', 3, 3, 'HTTP 503', now() - interval '20 minutes'
FROM generate_series(1, 3)
"""


@pytest.fixture
def proposing(run: Run, house: House) -> House:
    """A rule that nobody has promoted, and one incident in which it would have acted."""
    house.sql("DELETE FROM promotion")
    house.shop.run(EXHAUSTED)
    house.post(alert("ShopifyQueueStuck", severity="warning"))
    house.settle()
    assert house.decision() == ("propose", "autonomy")
    return house


def promotions(house: House) -> list[tuple[str, str]]:
    return [(row["rule"], row["autonomy"]) for row in house.sql("SELECT * FROM promotion")]


def events(house: House) -> list[dict[str, Any]]:
    return house.sql("SELECT * FROM audit_event WHERE what = 'promotion' ORDER BY id")


def test_the_report_comes_first_and_then_the_question(proposing: House) -> None:
    asked = CliRunner().invoke(main, ["rules", "promote", RULE, "--as", "ann"], input="n\n")
    assert asked.exit_code == 1
    report, question = asked.output.split("\n\n", 1)
    assert "it would have acted in 1 incident\n       1  still open" in report
    assert "act from now on, as ann? [y/N]: n" in question
    assert (promotions(proposing), events(proposing)) == ([], [])
    said = CliRunner().invoke(main, ["rules", "promote", RULE, "--as", "ann"], input="y\n")
    assert said.exit_code == 0, said.output
    assert promotions(proposing) == [(RULE, "act")]
    (event,) = events(proposing)
    assert (event["actor"], event["before"], event["after"]) == ("ann", "propose", "act")


def test_the_ceiling_is_told(run: Run, proposing: House, tmp_path: Path) -> None:
    """The settings of this house do not say more than `propose`."""
    capped = run("rules", "promote", RULE, "--yes")
    assert 'autonomy = "act" into [rules.shopify_queue_stuck]' in capped.output
    config = tmp_path / "responder.toml"
    config.write_text('autonomy = "act"\n' + config.read_text())
    assert "the settings let it" not in run("rules", "promote", RULE, "--yes").output


def test_it_is_taken_back(run: Run, proposing: House) -> None:
    run("rules", "promote", RULE, "--yes")
    back = run("rules", "promote", RULE, "--to", "propose", "--yes", "--as", "bea")
    assert back.exit_code == 0, back.output
    assert promotions(proposing) == [(RULE, "propose")]
    told = [(event["actor"], event["before"], event["after"]) for event in events(proposing)]
    assert told[1] == ("bea", "act", "propose")


def test_as_json(run: Run, proposing: House) -> None:
    told = json.loads(run("rules", "promote", RULE, "--yes", "--json", "--as", "ann").stdout)
    assert (told["rule"], told["before"], told["after"]) == (RULE, "propose", "act")
    assert (told["ceiling"], told["autonomy"]) == ("propose", "propose")
    assert told["agreement"]["this_version"]["would_have_acted"] == 1


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["nobody", "--yes"], 1, "there is no rule nobody; there are database_down"),
        (["database_down", "--yes"], 1, "has no option that it may run by itself"),
        ([RULE, "--json"], 2, "--json does not ask; say --yes"),
        ([RULE, "--to", "fly", "--yes"], 2, "'fly' is not one of"),
    ],
)
def test_what_is_refused(
    run: Run, proposing: House, arguments: list[str], status: int, said: str
) -> None:
    refused = run("rules", "promote", *arguments)
    assert (refused.exit_code, said in refused.output) == (status, True), refused.output
    assert (promotions(proposing), events(proposing)) == ([], [])


def test_show_has_the_report(run: Run, proposing: House) -> None:
    assert "it would have acted in 1 incident" in run("rules", "show", RULE).output
    assert "would have acted" not in run("rules", "show", "database_down").output
    told = json.loads(run("rules", "show", RULE, "--json").stdout)
    assert told["agreement"]["this_version"]["open"] == 1

"""`incidents review`, and what `rules promote` asks afterwards."""

import json

from tests.cli.conftest import Run
from tests.house import House, alert
from tests.web.test_by_people import EXHAUSTED, STUCK


def test_a_verdict_from_the_command_line(run: Run, house: House) -> None:
    house.shop.run(EXHAUSTED)
    house.post(alert(STUCK))
    house.settle()
    house.post(alert(STUCK, "resolved"))
    house.settle()
    incident = str(house.incident().id)
    listed = json.loads(run("incidents", "list", "--review", "waiting", "--json").stdout)
    assert [each["id"] for each in listed["items"]] == [incident]
    assert "waits for a verdict until" in run("incidents", "show", incident).output
    said = ["--verdict", "harmful", "--note", "twice\x1b[31m", "--as", "ann"]
    judged = run("incidents", "review", incident, *said)
    assert judged.exit_code == 0, judged.output
    assert judged.output.splitlines() == [
        "harmful, says ann: twice [31m",
        "The promotion was taken back: this version of the rule only proposes now.",
    ]
    assert "there are no incidents" in run("incidents", "list", "--review", "waiting").output
    refused = run("rules", "promote", "shopify_queue_stuck", "--yes")
    assert (refused.exit_code, "--despite WHY" in refused.output) == (1, True), refused.output
    assert "engineers judged it: 1 harmful" in refused.output
    assert f"{incident}  harmful, ann: twice" in refused.output
    again = run("rules", "promote", "shopify_queue_stuck", "--yes", "--despite", "mended")
    assert again.exit_code == 0, again.output
    assert run("incidents", "review", incident, "--verdict", "fine").exit_code == 2

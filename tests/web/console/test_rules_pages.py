"""The rules as people see them, and the promotion of one."""

import json
from collections.abc import Callable

from responder.domain.review import Verdict
from responder.pipeline.review import judge
from tests.house import House, alert
from tests.web.conftest import ANN
from tests.web.console.conftest import Person

Enter = Callable[[str], Person]


def test_a_rule_is_shown_with_all_that_it_answers_asks_and_offers(
    person: Enter, busy: House
) -> None:
    viewer = person("viewer")
    listed = viewer.get("/rules")
    for name, rule in busy.services.catalogue.rules.items():
        assert f"/console/rules/{name}" in listed
        page = viewer.get(f"/rules/{name}")
        for shown in (
            *(each.name for each in rule.rule.options),
            *(each.name for each in rule.diagnostics),
        ):
            assert shown in page
    assert "<dt>Prevention</dt>" in viewer.get("/rules/shopify_queue_stuck")
    assert f"/console/incidents/{busy.incidents()[0].id}" in viewer.get(
        "/rules/shopify_queue_stuck"
    )
    viewer.get("/rules/nobody", 404)


def test_an_admin_promotes_the_version_whose_report_was_shown(person: Enter, house: House) -> None:
    rule = house.services.catalogue.rules["shopify_queue_stuck"]
    path = f"/rules/{rule.name}/promotion"
    asked = {"autonomy": "observe", "checksum": rule.checksum}
    assert "Set what it may do" not in person("operator").get(f"/rules/{rule.name}")
    assert person("operator").post(path, **asked).status_code == 403
    before = len(house.trail())
    admin = person("admin")
    assert "Set what it may do" in admin.get(f"/rules/{rule.name}")
    assert admin.post(path, **{**asked, "checksum": "0"}).status_code == 409
    assert admin.post(path, **{**asked, "autonomy": "rule"}).status_code == 400
    done = admin.post(path, **asked)
    assert (done.status_code, done.location) == (303, f"/console/rules/{rule.name}#autonomy")
    assert "observe, by admin-ann" in admin.get(f"/rules/{rule.name}")
    assert [each for each in house.trail()[before:] if each[0] == "promotion"] == [
        ("promotion", "observe")
    ]


def test_what_cannot_act_is_not_promoted_to_act(person: Enter, house: House) -> None:
    rule = house.services.catalogue.rules["database_down"]
    refused = person("admin").post(
        f"/rules/{rule.name}/promotion", autonomy="act", checksum=rule.checksum
    )
    assert refused.status_code == 409
    assert "has no option that it may run by itself" in refused.text


def test_a_pasted_alert_is_explained_and_nothing_is_kept(person: Enter, house: House) -> None:
    viewer = person("viewer")
    assert "prometheus" in viewer.get("/explain")
    body = {"version": "4", "groupKey": "{}", "status": "firing", "alerts": []}
    payload = json.dumps({**body, "alerts": [alert("ShopifyQueueStuck"), alert("Nobody<b>")]})
    page = viewer.post("/explain", source="prometheus", payload=payload).text
    assert "shopify_queue_stuck" in page
    assert "no rule; it is still an incident" in page
    assert "alertname=&#34;ShopifyQueueStuck&#34;: it is &#39;Nobody&lt;b&gt;&#39;" in page
    for wrong in ("{", '{"alerts": 1}'):
        assert viewer.post("/explain", source="prometheus", payload=wrong).status_code == 422
    assert viewer.post("/explain", source="nobody", payload="{}").status_code == 422
    assert house.sql("SELECT FROM delivery") == []


def test_a_version_that_was_harmful_acts_only_for_a_reason(person: Enter, busy: House) -> None:
    incident = busy.incidents()[0]
    rule = busy.services.catalogue.rules[incident.rule or ""]
    judge(busy.services, incident.id, ANN, Verdict.HARMFUL, "it made it worse")
    admin = person("admin")
    asked = {"autonomy": "act", "checksum": rule.checksum}
    assert "it made it worse" in admin.get(f"/rules/{rule.name}")
    refused = admin.post(f"/rules/{rule.name}/promotion", **asked, despite=" ")
    assert refused.status_code == 409
    assert "say why it may act" in refused.text
    done = admin.post(f"/rules/{rule.name}/promotion", **asked, despite="it was the network")
    assert done.status_code == 303
    (event,) = busy.sql(
        "SELECT details FROM audit_event WHERE what = 'promotion' AND actor = 'admin-ann'"
    )
    assert event["details"]["despite"] == "it was the network"

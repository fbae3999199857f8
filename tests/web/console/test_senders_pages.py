"""Both sides of the wire: what came, what was not understood, who is told, what nobody took."""

from collections.abc import Callable
from dataclasses import replace

from responder.domain.settings import Fields, Receiver
from responder.pipeline.accept import refuse
from responder.pipeline.secrets import FOUND, see
from responder.receivers import Undelivered
from tests.house import House, alert
from tests.web.console.conftest import Person

Enter = Callable[[str], Person]
RECEIVERS = {"pager": Receiver("pager", "pagerduty"), "hook": Receiver("hook", "webhook")}


def test_senders_and_receivers_are_shown_with_what_they_did_lately(
    person: Enter, busy: House
) -> None:
    refuse(busy.services, "prometheus", "127.0.0.1", "unauthenticated")
    refuse(busy.services, "<b>", "127.0.0.1", "unknown_source")
    page = person("viewer").get("/senders")
    assert "bearer token" in page
    assert "the-source-token" not in page
    assert '<td class="number"><span class="bad">1</span></td>' in page
    assert "<b>" not in page.replace("<b>viewer-ann</b>", "")
    assert "none is configured" in page


def test_ages_of_our_secrets_are_for_admins(person: Enter, house: House) -> None:
    with house.services.store.transaction() as tx:
        see(tx, FOUND, "sources.prometheus.bearer", "0a1b2c3d", used=True)
    house.sql("UPDATE secret_version SET first_seen = now() - interval '80 days'")
    page = person("admin").get("/senders").split('id="secrets"')[1]
    assert "sources.prometheus.bearer" in page
    assert ">due<" in page
    assert '<td class="number">80</td>' in page
    assert 'id="secrets"' not in person("operator").get("/senders")


def test_deliveries_are_listed_by_filter_and_lead_to_their_incidents(
    person: Enter, busy: House
) -> None:
    viewer = person("viewer")
    rows = busy.sql("SELECT id FROM delivery ORDER BY id")
    quarantined = busy.sql(
        "SELECT id FROM delivery WHERE notices @? '$[*].malformed' OR outcome = 'quarantined'"
    )
    for path in ("/deliveries", "/deliveries?source=prometheus", "/deliveries?source=&outcome="):
        page = viewer.get(path)
        assert all(str(row["id"]) in page for row in rows)
    first = viewer.get("/deliveries?source=prometheus&limit=1")
    assert str(rows[-1]["id"]) in first
    assert str(rows[0]["id"]) not in first
    older = first.split('rel="next" href="/console')[1].split('"')[0].replace("&amp;", "&")
    assert str(rows[0]["id"]) in viewer.get(older)
    assert "Everything that came was understood" in viewer.get(
        "/deliveries?outcome=quarantined&source=nobody"
    )
    viewer.get("/deliveries?outcome=sent", 400)
    viewer.get("/deliveries?cursor=1", 400)
    page = viewer.get(f"/deliveries/{rows[-1]['id']}")
    assert f"/console/incidents/{busy.incidents()[-1].id}" in page
    assert "Read it again" not in viewer.get(f"/deliveries/{quarantined[0]['id']}")
    viewer.get("/deliveries/00000000-0000-7000-8000-000000000000", 404)


def test_an_operator_redrives_what_is_understood_now(person: Enter, house: House) -> None:
    known = house.services.settings.sources["prometheus"]
    fields = Fields(name=("/nowhere",))
    house.with_settings(sources={"prometheus": replace(known, type="generic", fields=fields)})
    delivery = house.post(alert("DatabaseDown")).delivery
    path = f"/deliveries/{delivery}/redrive"
    assert person("viewer").post(path).status_code == 403
    operator = person("operator")
    assert "Read it again" in operator.get(f"/deliveries/{delivery}")
    refused = operator.post(path)
    assert refused.status_code == 409
    assert "It was not redriven" in refused.text
    house.with_settings(sources={"prometheus": known})
    operator = person("operator")
    done = operator.post(path)
    assert done.status_code == 303
    assert done.location != f"/console/deliveries/{delivery}"
    assert "redriven as" in operator.get(f"/deliveries/{delivery}")
    assert ("delivery", "redriven") in house.trail()


def test_a_receiver_is_tried_and_what_it_did_not_take_is_redriven(
    person: Enter, house: House
) -> None:
    house.with_settings(receivers=RECEIVERS)
    operator, viewer = person("operator"), person("viewer")
    house.hook.fails = Undelivered("HTTP 400", permanent=True)
    house.post(alert("DatabaseDown"))
    house.settle()
    dead, *_ = house.sql("SELECT id FROM notification WHERE receiver = 'hook' AND status = 'dead'")
    page = viewer.get("/receivers/hook")
    assert "HTTP 400" in page
    assert "Try again" not in page
    assert viewer.post("/receivers/hook/test").status_code == 403
    assert operator.post("/receivers/hook/test").status_code == 502
    house.hook.fails = None
    assert "tested" in operator.post("/receivers/hook/test").location
    assert [message.happening for message in house.hook.got] == ["opened", "resolved"]
    assert ("receiver", "tested") in house.trail()
    assert viewer.post("/receivers/hook/redrive").status_code == 403
    assert operator.post("/receivers/hook/redrive", message=dead["id"]).status_code == 303
    assert ("notification", "due") in house.trail()
    assert operator.post("/receivers/hook/redrive", message=dead["id"]).status_code == 409
    assert operator.post("/receivers/hook/redrive", message="1").status_code == 400
    viewer.get("/receivers/nobody", 404)


def test_a_body_is_for_admins(person: Enter, house: House) -> None:
    delivery = house.post(alert("DatabaseDown", note="<script>")).delivery
    person("operator").get(f"/deliveries/{delivery}/body", 403)
    page = person("admin").get(f"/deliveries/{delivery}/body")
    assert "&lt;script&gt;" in page
    assert ("delivery", "read") in house.trail()

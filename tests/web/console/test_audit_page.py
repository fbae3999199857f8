"""The audit as sentences, found by whom, what and when; and its proof in place."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from responder.pipeline.people import acknowledge
from tests.audit.conftest import make_settings, seal_now
from tests.house import House
from tests.web.conftest import ANN
from tests.web.console.conftest import Person

NOBODY = "00000000-0000-7000-8000-000000000000"
Enter = Callable[[str], Person]


@pytest.fixture
def sealed(busy: House, tmp_path: Path) -> House:
    """A busy house; what it did until now is sealed."""
    busy.with_settings(seal=make_settings(tmp_path))
    acknowledge(busy.services, busy.incidents()[0].id, ANN)
    seal_now(busy)
    return busy


def test_events_are_found_by_person_rule_target_incident_and_time(
    person: Enter, sealed: House
) -> None:
    viewer = person("viewer")
    first = sealed.incidents()[0]
    link = f"/console/incidents/{first.id}"
    assert f"/console/audit?incident={first.id}" in viewer.get(f"/incidents/{first.id}")
    assert f"/console/audit?subject=rule+{first.rule}" in viewer.get(f"/rules/{first.rule}")
    everything = viewer.get("/audit")
    assert everything.count("<li") > 10
    assert "Logged in." in everything
    for asked in ("actor=ann&what=status", f"rule={first.rule}"):
        assert link in viewer.get(f"/audit?{asked}"), asked
    assert "Logged in." not in viewer.get(f"/audit?target={first.target}")
    assert "Acknowledged." in viewer.get("/audit?actor=ann&what=status&rule=&since=")
    with sealed.services.store.transaction() as tx:
        tomorrow = (tx.now + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M")
    assert "No such events" in viewer.get(f"/audit?since={tomorrow}")
    page = viewer.get("/audit?limit=5")
    older = page.split('rel="next" href="/console')[1].split('"')[0].replace("&amp;", "&")
    ids = [each.split("</code>")[0] for each in (page + viewer.get(older)).split("<code>01")[1:]]
    assert len(ids) == len(set(ids)) == 10
    for wrong in ("incident=1", "since=soon", "cursor=1", "verify=perhaps"):
        viewer.get(f"/audit?{wrong}", 400)


def test_the_proof_says_what_holds_what_waits_and_what_was_changed(
    person: Enter, sealed: House
) -> None:
    viewer = person("viewer")  # which is an event, not sealed yet
    page = viewer.get("/audit?verify=yes")
    assert "Nothing was changed." in page
    assert "for a seal" in page
    first = sealed.incidents()[0]
    assert "Nothing was changed." in viewer.get(f"/audit?incident={first.id}&verify=yes")
    sealed.sql(
        "ALTER TABLE audit_event DISABLE TRIGGER USER; UPDATE audit_event SET actor = 'eve'"
        " WHERE what = 'status' AND actor = 'ann'; ALTER TABLE audit_event ENABLE TRIGGER USER"
    )
    (event,) = sealed.sql("SELECT id FROM audit_event WHERE actor = 'eve'")
    page = viewer.get("/audit?verify=yes")
    assert "not as recorded" in page
    assert str(event["id"]) in page.split("What the proof says")[1].split("</section>")[0]


def test_an_incident_is_exported_with_its_proofs(person: Enter, sealed: House) -> None:
    viewer = person("viewer")
    first = sealed.incidents()[0]
    path = f"/incidents/{first.id}/bundle"
    assert path in viewer.get(f"/audit?incident={first.id}")
    response = viewer.post(path)
    assert response.headers["Content-Disposition"] == f'attachment; filename="{first.id}.json"'
    assert json.loads(response.text)["incident"]["id"] == str(first.id)
    assert ("export", "taken") in sealed.trail()
    assert viewer.post(path.replace(str(first.id), NOBODY)).status_code == 404


def test_without_seals_it_says_that_nothing_is_proven(person: Enter, house: House) -> None:
    viewer = person("viewer")
    assert "Nothing is sealed." in viewer.get("/audit")
    assert viewer.post(f"/incidents/{NOBODY}/bundle").status_code == 409

"""The API describes itself: all of it, nothing but it, and what it answers is as described."""

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import pytest
import schemathesis
from flask.testing import FlaskClient

from responder.domain.actor import ROLES
from responder.domain.ids import new_id
from responder.web import create_app
from responder.web.problems import REASONS, SENTENCES
from tests.house import BEARER, House, alert

Tokens = Mapping[str, Mapping[str, str]]
Document = dict[str, Any]
STUCK = "ShopifyQueueStuck"


@pytest.fixture
def told(client: FlaskClient) -> Document:
    """The document."""
    document: Document = client.get("/openapi.json").get_json()
    return document


def operations(told: Document) -> Iterator[tuple[str, str, Document]]:
    for path, item in told["paths"].items():
        for method in item.keys() - {"parameters"}:
            yield method.upper(), path, item[method]


# The document


def test_it_is_valid(told: Document) -> None:
    assert told["openapi"].startswith("3.1.")
    schemathesis.openapi.from_dict(told).validate()


def test_it_has_every_view_and_nothing_else(house: House, told: Document) -> None:
    views = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in create_app(house.services).url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.endpoint != "static" and not rule.endpoint.startswith("console.")
    }
    assert {(method, path) for method, path, _ in operations(told)} == views


def test_every_operation_is_named_once_and_says_what_it_does(told: Document) -> None:
    names = [operation["operationId"] for _, _, operation in operations(told)]
    assert len(names) == len(set(names))
    tags = {tag["name"] for tag in told["tags"]}
    for _, _, operation in operations(told):
        assert operation["summary"].endswith(".")
        assert set(operation["tags"]) <= tags
        assert all(each["description"] for each in operation["responses"].values())


def test_every_reason_is_described(told: Document) -> None:
    described = told["components"]["schemas"]["Problem"]["properties"]["type"]
    assert described["enum"] == [f"urn:responder:{reason}" for reason in REASONS]
    assert list(SENTENCES) == list(REASONS)
    assert all(f"`{reason}`: {SENTENCES[reason]}" in described["description"] for reason in REASONS)


def test_a_problem_names_its_status_and_its_reasons(told: Document) -> None:
    for _, path, operation in operations(told):
        for status, response in operation["responses"].items():
            if status < "400":
                continue
            ((media_type, body),) = response["content"].items()
            assert media_type == "application/problem+json", path
            narrowed = body["schema"]["allOf"][1]["properties"]
            reasons = [name.removeprefix("urn:responder:") for name in narrowed["type"]["enum"]]
            assert {REASONS[reason] for reason in reasons} == {int(status)}, path


def test_who_may_call_is_as_described(client: FlaskClient, tokens: Tokens, told: Document) -> None:
    """Each lesser role is refused, the role itself is not, and nobody else gets in."""
    for method, path, operation in operations(told):
        for each in operation.get("security", []):
            (role,) = each.get("token", [None])
            if role is None:
                continue
            place = re.sub(r"{\w+}", str(new_id()), path.replace("{position}", "1"))
            lesser = ROLES[: ROLES.index(role)]
            codes = [client.open(place, method=method).status_code] + [
                client.open(place, method=method, headers=tokens[one]).status_code
                for one in (*lesser, role)
            ]
            assert codes[:-1] == [401, *[403] * len(lesser)], path
            assert codes[-1] not in (401, 403), path
            assert f"`{role}`" in operation["description"]


def test_all_of_the_api_but_webhooks_needs_a_role(told: Document) -> None:
    for _, path, operation in operations(told):
        schemes = {name for each in operation.get("security", []) for name in each}
        if path.startswith("/v1/webhooks"):
            assert schemes and "token" not in schemes
        elif path.startswith("/v1/") or path == "/metrics":
            assert schemes == {"token"}, path
        else:
            assert schemes == set(), path


# What is answered


def closed(schema: Any) -> Any:
    """The same schemas, without the freedom to answer more than they name."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: closed(each) for name, each in schema.items()}
    if isinstance(inner.get("properties"), dict) and inner.get("type") == "object":
        inner.setdefault("additionalProperties", False)
    return inner


def test_nothing_is_answered_that_is_not_described(
    busy: House, client: FlaskClient, tokens: Tokens, told: Document
) -> None:
    strict = deepcopy(told)
    strict["components"]["schemas"] = closed(strict["components"]["schemas"])
    known = schemathesis.openapi.from_dict(strict)

    def check(
        template: str, path: str = "", method: str = "GET", status: int = 200, **sent: Any
    ) -> Any:
        place = path or template
        answer = client.open(place, method=method, **{"headers": tokens["operator"], **sent})
        assert answer.status_code == status, place
        known[template][method].validate_response(answer)
        answer.close()
        return answer.get_json() if answer.is_json else None

    plain = [path for path in told["paths"] if "{" not in path and "get" in told["paths"][path]]
    lists = {path: check(path) for path in plain}
    (listed, *_) = lists["/v1/deliveries"]["items"]
    check("/v1/deliveries/{delivery_id}", f"/v1/deliveries/{listed['id']}")
    one, template = "/v1/incidents/{incident_id}", "/v1/incidents/{}"
    ids = [each["id"] for each in lists["/v1/incidents"]["items"]]
    documents = [check(one, template.format(each)) for each in ids]
    assert all(any(each[part] for each in documents) for part in documents[0])
    for each in ids:
        check(f"{one}/events", template.format(each) + "/events")
        check(f"{one}/acknowledge", template.format(each) + "/acknowledge", "POST")
        check(f"{one}/resolve", template.format(each) + "/resolve", "POST")
    (fix,) = [fix["id"] for document in documents for fix in document["fixes"]]
    check("/v1/fixes/{fix_id}", f"/v1/fixes/{fix}")
    for rule in lists["/v1/rules"]["items"]:
        check("/v1/rules/{name}", f"/v1/rules/{rule['name']}")
    payload = {"alerts": [alert(STUCK), 7]}
    check("/v1/explain/{source_name}", "/v1/explain/prometheus", "POST", json=payload)
    door = ("/v1/webhooks/{source}", "/v1/webhooks/prometheus")
    sender = {"Authorization": f"Bearer {BEARER}"}
    check(*door, "POST", 202, json=payload, headers=sender)
    check(*door, "PUT", 200, json={"alerts": []}, headers=sender | {"Prefer": "wait=5"})

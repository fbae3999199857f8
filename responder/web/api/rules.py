"""The rules, in the order in which they are tried."""

from flask import Response, jsonify
from marshmallow import fields

from responder.domain.decision import Autonomy
from responder.domain.review import Verdict
from responder.domain.severity import Severity
from responder.pipeline.explain import describe_rule
from responder.pipeline.promotion import Did, agreement
from responder.web.api import lists
from responder.web.api.endpoints import Endpoints, services
from responder.web.api.schemas import (
    Answer,
    anything_by_name,
    integer,
    listed,
    moment,
    string,
    strings,
    strings_by_name,
)
from responder.web.problems import Problem

endpoints = Endpoints("rules", "The answers to alerts, in the order in which they are tried.")


class Rule(Answer):
    """The answer to one kind of alert."""

    name = string()
    severity = string(of=Severity)
    summary = string()
    answers = strings()
    target = string(told="The kind of system that it asks.")
    schedule = string(told="When it is asked without an alert: a cron, in UTC; empty: never.")
    checksum = string(told="Of the module and its SQL.")
    autonomy = string(of=Autonomy)
    ceiling = string(of=Autonomy)
    promoted_by = string(null=True)
    promoted_at = moment(null=True)
    automatic = strings()


class AgreementCounts(Answer):
    """In how many incidents; the first is the sum of the next five."""

    would_have_acted = integer(told="Only the missing promotion kept it from acting.")
    same = integer(told="A person ran what it proposed.")
    other = integer(told="A person ran another option.")
    by_hand = integer(told="A person ended it without an option.")
    went_away = integer(told="Its sender, or quiet, ended it.")
    open = integer()
    same_held = integer(told="Of `same`: the cause was gone afterwards.")
    acted = integer(told="Fixes that it made by itself.")
    acted_held = integer()
    acted_failed = integer()
    useful = integer(told="Engineers' verdicts on it.")
    wrong = integer()
    harmful = integer()


class Difference(Answer):
    """An incident in which people did something else."""

    incident = fields.UUID(required=True)
    title = string()
    at = moment()
    proposed = string()
    did = string(null=True)
    what = string(of=Did)


class Against(Answer):
    """A verdict against this version: while one says `harmful`, promoting it needs a reason."""

    incident = fields.UUID(required=True)
    title = string()
    verdict = string(of=Verdict)
    note = string()
    actor = string()
    at = moment()


class Agreement(Answer):
    """What it would have done by itself, and what people did then."""

    since = moment()
    checksum = string()
    this_version = fields.Nested(AgreementCounts, required=True)
    other_versions = fields.Nested(AgreementCounts, required=True)
    against = fields.List(fields.Nested(Against), required=True)
    differently = fields.List(fields.Nested(Difference), required=True)


class WholeRule(Rule):
    text = string()
    diagnostics = fields.List(anything_by_name(), required=True)
    options = fields.List(anything_by_name(), required=True)
    statements = strings_by_name()
    agreement = fields.Nested(Agreement, required=True)


@endpoints.get("/rules", role="viewer", answers={200: listed(Rule)})
def rules() -> Response:
    """The loaded rules in the order in which they are tried."""
    with services().store.transaction() as tx:
        promotions = tx.all("promotions")
    loaded = services().catalogue.rules.values()
    return lists.whole([describe_rule(services(), rule, promotions) for rule in loaded])


@endpoints.get("/rules/<name>", role="viewer", answers={200: WholeRule}, problems=["not_found"])
def rule(name: str) -> Response:
    """One rule with its questions, options and statements."""
    found = services().catalogue.rules.get(name)
    if found is None:
        raise Problem(404, "not_found", "there is no such rule")
    with services().store.transaction() as tx:
        promotions, agreed = tx.all("promotions"), agreement(tx, found)
    described = describe_rule(services(), found, promotions, whole=True)
    return jsonify({**described, "agreement": agreed})

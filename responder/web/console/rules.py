"""What answers what, how far each rule may go by itself, and what it came to."""

import re
from datetime import UTC, datetime
from typing import Any

from flask import Response, g, request
from marshmallow import Schema, fields, validate

from responder.domain.decision import Autonomy
from responder.pipeline.accept import UnknownSource, parse_only
from responder.pipeline.explain import describe_rule, explain
from responder.pipeline.promotion import Harmful, NotPromoted, agreement, promote
from responder.runbook.loader import LoadedRule
from responder.sources import NotUnderstood, Unreadable
from responder.web.api.schemas import STORABLE
from responder.web.console.numbers import totals_by_rule
from responder.web.console.pages import Pages, back_to, services, show
from responder.web.problems import Problem

#: Of a rule's incidents and fixes, so many are listed.
_LATEST = 10
_SECTION = re.compile(r"^([A-Z][\w ]*):\s+(.*)$")


class Promotion(Schema):
    """checksum: of the version whose report was looked at; despite: why, where it was harmful."""

    autonomy = fields.Enum(Autonomy, by_value=True, required=True)
    checksum = fields.String(required=True)
    despite = fields.String(load_default="", validate=[validate.Length(0, 500), STORABLE])


class Explaining(Schema):
    source = fields.String(required=True)
    payload = fields.String(required=True, validate=validate.Length(1))


def register(pages: Pages) -> None:
    """The runbook as it is loaded here."""

    @pages.read("/rules")
    def rules() -> Response:
        with services().store.transaction() as tx:
            promotions, totals = tx.all("promotions"), totals_by_rule(tx)
        loaded = services().catalogue.rules.values()
        described = [describe_rule(services(), rule, promotions) for rule in loaded]
        return show("rules", rules=described, totals=totals)

    @pages.read("/rules/<name>")
    def rule(name: str) -> Response:
        return _rule_page(_rule(name))

    @pages.change("/rules/<name>/promotion", role="admin")
    def promote_rule(name: str) -> Response:
        found = _rule(name)
        said = Promotion().load(
            {each: request.form[each] for each in Promotion().fields if each in request.form}
        )
        if said["checksum"] != found.checksum:
            return _rule_page(found, 409, "The rule was edited since you looked at its report.")
        try:
            promote(services(), found, said["autonomy"], g.caller.actor, said["despite"].strip())
        except Harmful:
            return _rule_page(found, 409, "This version was judged harmful: say why it may act.")
        except NotPromoted as why:
            return _rule_page(found, 409, f"{why}.")
        return back_to("rule", name=name, anchor="autonomy")

    @pages.read("/explain")
    def explain_alert() -> Response:
        return _explain_page({})

    @pages.change("/explain", role="viewer")
    def explained_alert() -> Response:
        said = Explaining().load({each: request.form.get(each) for each in Explaining().fields})
        try:
            body = said["payload"].encode()
            notices = parse_only(services(), said["source"], body, datetime.now(UTC))
        except (NotUnderstood, Unreadable, UnknownSource) as why:
            return _explain_page(said, wrong=str(why))
        alerts = [explain(services().catalogue, notice) for notice in notices]
        return _explain_page(said, alerts=alerts)


def _rule(name: str) -> LoadedRule:
    found = services().catalogue.rules.get(name)
    if found is None:
        raise Problem(404, "not_found", "There is no such rule in the runbook that is loaded here.")
    return found


def _rule_page(rule: LoadedRule, status: int = 200, wrong: str = "") -> Response:
    with services().store.transaction() as tx:
        promotions = tx.all("promotions_of_rule", rule=rule.name)
        told: dict[str, Any] = {
            "agreement": agreement(tx, rule),
            "incidents": tx.all("incidents_of_rule", rule=rule.name, limit=_LATEST),
            "fixes": tx.all("fixes_of_rule", rule=rule.name, limit=_LATEST),
            "totals": totals_by_rule(tx).get(rule.name),
        }
        told["now"] = tx.now
    return show(
        "rule",
        status,
        section="rules",
        rule=describe_rule(services(), rule, promotions, whole=True),
        sections=_sections(rule.text),
        promotions=promotions,
        wrong=wrong,
        **told,
    )


def _explain_page(said: dict[str, Any], wrong: str = "", alerts: Any = None) -> Response:
    sources = [(name, name) for name in sorted(services().settings.sources)]
    status = 422 if wrong else 200
    told = {"said": said, "wrong": wrong, "alerts": alerts}
    return show("explain", status, section="rules", sources=sources, **told)


def _sections(text: str) -> list[tuple[str, str]]:
    """The parts of a rule's text after its first line, each under its name."""
    parts: list[tuple[str, list[str]]] = []
    for line in text.splitlines()[1:]:
        if begins := _SECTION.match(line):
            parts.append((begins[1], [begins[2]]))
        elif line.strip() and parts:
            parts[-1][1].append(line.strip())
    return [(name, " ".join(lines)) for name, lines in parts]

"""Documents as the pipeline writes them, for the tests of receivers and for docs/messages.md."""

import copy
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from responder.domain.notification import Happening, Message

#: A moment of the documents' own; no test compares it with a clock.
AT = datetime(2026, 3, 14, 3, 12, 9, tzinfo=UTC)
KEY = "responder-4565bb0bebb555798779ee6f05fa8f0c"
ID = "019ceaf3-7d11-7c22-9b0e-51c8f6a0d9b4"
MESSAGE = "019ceaf3-8a40-7d19-8f5c-0c2f6f1f7a11"


def after(**span: float) -> str:
    return (AT + timedelta(**span)).isoformat()


def message(
    document: Mapping[str, Any],
    happening: Happening = Happening.OPENED,
    repeated: bool = False,
) -> Message:
    return Message(MESSAGE, happening, KEY, document, repeated)


def changed(document: Mapping[str, Any], **parts: Any) -> dict[str, Any]:
    """A copy; what is given of a part that is an object is merged into it."""
    copied: dict[str, Any] = copy.deepcopy(dict(document))
    for name, value in parts.items():
        both = isinstance(value, dict) and isinstance(copied.get(name), dict)
        copied[name] = {**copied[name], **value} if both else value
    return copied


def _incident(title: str, severity: str, rule: str | None) -> dict[str, Any]:
    return {
        "id": ID,
        "title": title,
        "status": "open",
        "stage": "watch",
        "severity": severity,
        "declared_severity": severity,
        "severity_unreadable": False,
        "key": f'["rule", "{rule}", "shop_eu", {{}}]',
        "dedup_key": KEY,
        "source": "alertmanager",
        "rule": rule,
        "rule_checksum": "e2bc08c852e43b47",
        "target": "shop_eu",
        "parameters": {},
        "labels": {},
        "opened_at": after(),
        "acknowledged_at": None,
        "acknowledged_by": None,
        "resolved_at": None,
        "resolved_by": None,
        "paged_at": None,
    }


def _alert(name: str, title: str, word: str) -> dict[str, Any]:
    labels = {"alertname": name, "env": "production", "job": "shop", "severity": word}
    return {
        "name": name,
        "type": "alertmanager",
        "source": "alertmanager",
        "status": "firing",
        "outcome": "opened",
        "fingerprint": "f1e9705373e554f0",
        "received_at": after(),
        "title": title,
        "labels": labels,
        "annotations": {"summary": title},
        "starts_at": after(seconds=-20),
        "ends_at": None,
        "severity_word": word,
        "links": {},
    }


def _answer(name: str, question: str, **told: Any) -> dict[str, Any]:
    plain = {"status": "ok", "rows": [], "row_count": 0, "truncated": False, "error": None}
    asked = {"asked_at": after(), "ms": 3.1, "shared": False, "sql": "SELECT 1", "parameters": {}}
    return {"name": name, "question": question, "target": "shop_eu", **plain, **asked, **told}


def _error(kind: str, said: str) -> dict[str, Any]:
    return {"status": "failed", "error": {"kind": kind, "code": "", "message": said}}


def _option(name: str, title: str, offered: bool = True, **told: Any) -> dict[str, Any]:
    plain = {
        "automatic": False,
        "offered": offered,
        "caution": "",
        "asks": {},
        "role": "operator",
        "dangerous": False,
        "run": "",
    }
    return {"name": name, "title": title, **plain, "allowed": False, "why_not": "severity", **told}


def _links() -> dict[str, Any]:
    base = "https://responder.example.com"
    return {
        "self": f"{base}/v1/incidents/{ID}",
        "console": f"{base}/console/incidents/{ID}",
        "runbook": "https://wiki.example.com/runbooks/shop",
        "dashboard": None,
        "panel": None,
        "silence": None,
        "source": "http://prometheus.example.com:9090/graph?g0.expr=ALERTS&g0.tab=1",
    }


#: The database does not answer: a person is woken and decides.
P0: dict[str, Any] = {
    "version": 1,
    "updates": 4,
    "incident": _incident("The shop's database does not answer", "P0", "database_down"),
    "alerts": [_alert("DatabaseDown", "The shop's database does not answer", "critical")],
    "diagnosis": [
        _answer(
            "port",
            "Does the port answer?",
            **_error("refused", "nothing listens on port 5432 of db.shop.example.com"),
        ),
        _answer(
            "server",
            "In which state is the server?",
            **_error("behind", "not asked: nothing listens on port 5432"),
        ),
    ],
    "findings": [
        {
            "name": "port_closed",
            "summary": "The host answers and nothing listens at the database's port: "
            "PostgreSQL does not run.",
            "rows": [],
            "offers": ["look_at_provider", "restart_server"],
        }
    ],
    "decision": {
        "id": "019ceaf3-7f00-7000-8000-000000000001",
        "at": after(seconds=1),
        "action": "propose",
        "reason": "severity",
        "sentence": "P0 and P1 are never fixed automatically; a person decides.",
        "finding": "port_closed",
        "option": "look_at_provider",
    },
    "fixes": [],
    "options": [
        _option(
            "look_at_provider",
            "See whether the provider has an outage",
            run="curl --silent https://status.supabase.com/api/v2/summary.json",
        ),
        _option(
            "restart_server",
            "Restart the database",
            run="# Supabase Dashboard → Project Settings → General → Restart project",
            caution="Cuts every session. Not while it recovers (it would start over), and not on a"
            " full disk (it would not come up).",
        ),
        _option("try_login", "Log in with the shop's own credentials", offered=False),
    ],
    "escalation": {"level": 1, "next_at": None, "contacts": []},
    "notifications": [],
    "links": _links(),
}

_ERRORS = (
    "no answer from Shopify within 10 s: timeout",
    "HTTP 502 Bad Gateway",
    "HTTP 503 Service Unavailable",
)


def _item(number: int, **told: Any) -> dict[str, Any]:
    return {
        "id": f"7abad{number:03}-8513-4cc7-b40b-223744b61f9a",
        "action": "update",
        "created_at": after(minutes=-25, seconds=-20 * number),
        "last_error": _ERRORS[number % 3],
        "max_retries": 3,
        "retry_count": 3,
        "inventory_item_id": f"7036a{number:03}-ea80-7f61-58ac-164536960cb9",
        **told,
    }


#: A queue is stuck: the responder has fixed it, and verified that it did.
FIXED: dict[str, Any] = {
    "version": 1,
    "updates": 6,
    "incident": _incident("The Shopify queue is stuck", "P2", "shopify_queue_stuck"),
    "alerts": [_alert("ShopifyQueueStuck", "The Shopify queue is stuck", "warning")],
    "diagnosis": [
        _answer(
            "statuses",
            "How many items are in which status?",
            rows=[{"count": 801, "status": "completed"}, {"count": 12, "status": "failed"}],
            row_count=2,
        ),
        _answer("stuck", "Which items have waited for more than ten minutes?"),
    ],
    "findings": [
        {
            "name": "exhausted",
            "summary": "12 items failed until no retry was left, with errors that may pass.",
            "rows": [_item(number, kind="exhausted", in_all=12) for number in range(12)],
            "offers": ["retry_failed", "clear_failed"],
        }
    ],
    "decision": {
        "id": "019ceaf3-7f00-7000-8000-000000000002",
        "at": after(seconds=1),
        "action": "fix",
        "reason": "allowed",
        "sentence": "The runbook's option is automatic and nothing speaks against it.",
        "finding": "exhausted",
        "option": "retry_failed",
    },
    "fixes": [
        {
            "id": "019ceaf3-7f00-7000-8000-000000000003",
            "option": "retry_failed",
            "actor": {"kind": "responder", "name": "responder"},
            "severity": "P2",
            "status": "committed",
            "reason": "",
            "counts": {"shopify_sync_queue": 12},
            "before": [_item(number, status="failed") for number in range(12)],
            "after": [
                _item(number, status="queued", retry_count=0, last_error=None)
                for number in range(12)
            ],
            "verification": "held",
            "started_at": after(seconds=1),
            "ended_at": after(seconds=2),
            "verified_at": after(seconds=33),
        }
    ],
    "options": [
        _option(
            "retry_failed",
            "Queue the failed items again whose error may pass",
            automatic=True,
            allowed=True,
            why_not=None,
        ),
        _option(
            "clear_failed",
            "Delete all failed items from the queue",
            caution="Deletes every failed item, also those that a retry would bring through.",
            why_not="not_automatic",
        ),
    ],
    "escalation": {"level": 1, "next_at": None, "contacts": []},
    "notifications": [],
    "links": _links(),
}

#: What a page holds that leaves before there is an incident.
BARE: dict[str, Any] = {
    "version": 1,
    "updates": 0,
    "incident": {
        "id": None,
        "title": "The shop's database does not answer",
        "status": "open",
        "stage": "triage",
        "severity": "P0",
        "declared_severity": "P0",
        "key": "k",
        "rule": "database_down",
        "target": "shop_eu",
        "opened_at": after(),
    },
    "alerts": [_alert("DatabaseDown", "The shop's database does not answer", "critical")],
    "diagnosis": [],
    "findings": [],
    "decision": None,
    "fixes": [],
    "options": [],
    "links": {"self": "https://responder.example.com/v1/incidents"},
}

#: Of a window whose time is over while its list afterwards is open.
MAINTENANCE: dict[str, Any] = {
    "version": 1,
    "maintenance": {
        "id": "019ceaf3-7d11-7c22-9b0e-51c8f6a0d9b5",
        "name": "weekly",
        "reason": "Database maintenance",
        "state": "finishing",
        "sentence": "Its time is over, and pages, questions and fixes are on again. It is not"
        " finished: its list afterwards is not complete.",
        "starts_at": after(),
        "ends_at": after(minutes=120),
        "open": ["Run smoke tests", "Update status page"],
    },
    "links": {
        "self": "https://responder.example.com/v1/maintenance/019ceaf3-7d11-7c22-9b0e-51c8f6a0d9b5"
    },
}

#: Of a morning.
DIGEST: dict[str, Any] = {
    "version": 1,
    "digest": {
        "since": after(minutes=-1080),
        "until": after(minutes=348),
        "parts": [
            {
                "name": "waiting",
                "count": 12,
                "items": [
                    {
                        "severity": "P2",
                        "title": "Batch LOT-000060 is stuck",
                        "target": "shop_eu",
                        "rule": "intake_batch_stuck",
                        "opened_at": after(),
                        "acknowledged_by": None,
                        "acknowledged_at": None,
                        "action": "propose",
                        "option": "complete_batch",
                        "is_new": True,
                    }
                ],
            },
            {
                "name": "taken",
                "count": 1,
                "items": [
                    {
                        "severity": "P1",
                        "title": "The breaker of catalog-sync is open",
                        "target": "shop_eu",
                        "opened_at": after(minutes=-3000),
                        "acknowledged_by": "ann",
                        "acknowledged_at": after(minutes=-2990),
                        "is_new": False,
                    }
                ],
            },
            {
                "name": "fixed",
                "count": 1,
                "items": [
                    {
                        "title": "The Shopify queue is stuck",
                        "target": "shop_eu",
                        "rule": "shopify_queue_stuck",
                        "option": "retry_failed",
                        "counts": {"shopify_sync_queue": 12},
                        "verification": "held",
                        "started_at": after(),
                    }
                ],
            },
            {
                "name": "reviews",
                "count": 1,
                "items": [
                    {
                        "severity": "P2",
                        "title": "The Shopify queue is stuck",
                        "target": "shop_eu",
                        "rule": "shopify_queue_stuck",
                        "resolved_at": after(minutes=-4320),
                        "picked": "fixed",
                        "due_at": after(),
                        "overdue": True,
                    }
                ],
            },
            {
                "name": "secrets",
                "count": 1,
                "items": [
                    {
                        "key": "sources.prometheus.bearer",
                        "days": 85,
                        "due_at": after(minutes=7200),
                        "overdue": False,
                    }
                ],
            },
            {
                "name": "maintenance",
                "count": 1,
                "items": [
                    {
                        "name": "weekly",
                        "reason": "Database maintenance",
                        "starts_at": after(minutes=1200),
                        "ends_at": after(minutes=1320),
                        "state": "announced",
                        "open": 5,
                    }
                ],
            },
            {"name": "ended", "count": 3, "items": []},
            {"name": "quarantined", "count": 2, "items": []},
        ],
    },
    "links": {"self": "https://responder.example.com/v1/incidents?status=open"},
}

SUMMARY: dict[str, Any] = {
    "version": 1,
    "summary": {
        "messages": 3104,
        "incidents": 2913,
        "by_severity": {"P0": 12, "P1": 40, "P2": 2861},
        "by_happening": {"opened": 2913, "resolved": 191},
        "since": after(),
        "until": after(minutes=2),
    },
    "incidents": [
        {
            "id": ID,
            "title": f"Sync of store {number} is stuck",
            "severity": "P0" if number < 12 else "P1",
            "status": "open",
            "rule": "shopify_queue_stuck",
            "target": "shop_eu",
        }
        for number in range(20)
    ],
    "links": {"self": "https://responder.example.com/v1/incidents?status=open"},
}

RESOLVED = changed(
    FIXED,
    incident={"status": "resolved", "resolved_by": "sender", "resolved_at": after(minutes=4)},
)
ACKNOWLEDGED = changed(
    P0,
    incident={
        "status": "acknowledged",
        "acknowledged_by": "alice",
        "acknowledged_at": after(minutes=3),
    },
)
EXAMPLES = (P0, FIXED, BARE, RESOLVED, ACKNOWLEDGED, SUMMARY, DIGEST, {})

#: Text that means something to somebody on the way.
HOSTILE = (
    "<!channel> <@U123> @here <https://evil.example|click> *bold* _it_ ~s~ `code` ```fence```",
    "<script>alert(1)</script> & <img src=x onerror=alert(1)>",
    "Subject\r\nBcc: victim@example.com\r\n\r\nbody",
    "=?utf-8?q?=0d=0aBcc:_victim@example.com?=",
    "nul \x00 escape \x1b[31m turn \u202e half \ud800 lines \u2028\u2029\x0b\x0c\x85",
    "." * 3 + "\r\n.\r\nQUIT",
    "😀" * 3_000,
    "&" * 3_000,
    "x" * 20_000,
)
_TEXT = st.one_of(st.text(max_size=40), st.sampled_from(HOSTILE))
_PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    _TEXT,
    st.sampled_from(["open", "resolved", "person", "P0", "fix", "2026-13-99", "9999-12-31T23:59Z"]),
    st.just(10**4000),
)
ODD = st.recursive(
    _PLAIN,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_TEXT, inner, max_size=3)),
    max_leaves=8,
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """An example in which some values, anywhere, became odd ones or are gone."""
    document: dict[str, Any] = copy.deepcopy(dict(draw(st.sampled_from(EXAMPLES))))
    for _ in range(draw(st.integers(0, 6))):
        _spoil(draw, document)
    return document


def _spoil(draw: st.DrawFn, value: Any) -> None:
    """Walk down to some place and put something odd there."""
    while value:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = draw(st.sampled_from(keys))
        inner = value[key]
        if not isinstance(inner, dict | list) or not inner or draw(st.booleans()):
            if isinstance(value, dict) and draw(st.booleans()):
                del value[key]
            else:
                value[key] = draw(ODD)
            return
        value = inner


happenings = st.sampled_from(Happening)
#: However busy the machine is.
patient = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])

"""A circuit breaker is open: a function refuses its calls, since the API behind it failed.

Symptoms:   requests fail with "Circuit breaker is open"; system_logs repeats timeouts; an external
            API is away.
Prevention: watch the external API itself; degrade gracefully (yesterday's prices instead of none);
            let each breaker say in the log when it opens, tries again and closes.
Mended:     the runbook searches the whole log with ILIKE, which reads every line ever written: here
            each question ends after an hour and 50,000 lines. Its way to verify, a curl of
            catalog-sync-justtcg, starts a synchronisation, so it is no diagnostic: a HEAD of
            /health is asked instead, if the target's configuration lists it. And a redeploy resets
            the breaker, not the API: so it is told whether the API still fails.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from responder.runbook import Answer, Case, ErrorKind, Finding, Http, Option, Rule, Sql

Rows = Sequence[Mapping[str, Any]]

_BY_TIME = "system_logs (created_at)"
#: Seconds. A breaker tries again 30 to 60 s after it opened; so long open, it has failed to close.
_LONG = 300
#: Seconds. Nobody met it open since, and the longest time until it tries again is over.
_QUIET = 90
#: What says something about the endpoint; the other kinds are of our own making.
_SILENT = frozenset({ErrorKind.UNREACHABLE, ErrorKind.REFUSED, ErrorKind.TIMEOUT, ErrorKind.LOST})


class CircuitBreakerOpen(Rule):
    answers = ['alertname=~"CircuitBreakerOpen|CircuitBreakerIsOpen|CircuitBreakerOpened"']
    target = "shop"
    key = ("function",)  # a breaker belongs to a function; an alert that names none is about all
    diagnostics = [
        Sql("breakers", "What does each function's breaker say, and since when?", index=_BY_TIME),
        Sql("lines", "Which lines did breakers write last?", index=_BY_TIME),
        Sql("errors", "Which errors and warnings came in the last hour?", index=_BY_TIME),
        Http("endpoint", "Does the endpoint of the functions answer?", "/health"),
    ]
    options = [
        Option(
            "redeploy",
            "Redeploy the function, which resets its breaker",
            run="supabase functions deploy catalog-sync-justtcg",
            caution="Deploys the files of the folder where it is run: check out what is live. For "
            "another function write its name. While the API fails, the breaker opens again.",
        ),
        Option(
            "look_at_provider",
            "See whether the provider has an outage",
            run="curl --silent https://status.supabase.com/api/v2/summary.json",
        ),
    ]

    def conclude(self, case: Case) -> Iterable[Finding]:
        found = list(_of_endpoint(case["endpoint"]))
        if not case["breakers"].error:
            ours = _about(case, case["breakers"].rows)
            found += _of_breakers(ours, _about(case, case["errors"].rows), waits=not found)
        return found


def _about(case: Case, rows: Rows) -> Rows:
    """The rows of the alert's function, and those that name none; without a label all."""
    function = case.alert.labels.get("function")
    return [row for row in rows if not function or row["function"] in (function, None)]


def _of_endpoint(endpoint: Answer) -> Iterable[Finding]:
    """A 4xx answers too: functions want a login, and not every one knows HEAD."""
    error = endpoint.error
    if error and (error.kind in _SILENT or error.code.startswith("5")):
        yield Finding(
            "endpoint_down",
            f"The functions themselves do not answer: {error.message}.",
            offers=("look_at_provider", "redeploy"),
            rows=endpoint.rows,
        )


def _of_breakers(breakers: Rows, errors: Rows, waits: bool) -> Iterable[Finding]:
    """waits: whether it is worth waiting for a breaker that opened a short while ago."""
    met = [row for row in breakers if row["state"] == "open" and row["quiet_seconds"] <= _QUIET]
    long = [row for row in met if row["open_seconds"] >= _LONG]
    down = {row["function"]: said for row in long if (said := _still_fails(row, errors))}
    if failing := [row for row in long if row["function"] in down]:
        yield Finding(
            "api_down",
            f"The breaker of {_names(failing)} has been open for {_minutes(failing)}, and the API "
            f"behind it still fails ({'; '.join(down.values())}). A redeploy makes the function "
            "try again; it does not mend the API.",
            offers=("redeploy",),
            rows=failing,
        )
    if stuck := [row for row in long if row["function"] not in down]:
        yield Finding(
            "stuck_open",
            f"The breaker of {_names(stuck)} has been open for {_minutes(stuck)}, and nothing says "
            "that the API behind it still fails: the function may be stuck.",
            offers=("redeploy",),
            rows=stuck,
        )
    if new := [row for row in met if row not in long]:
        since = max(row["open_seconds"] for row in new)
        yield Finding(
            "opened",
            f"The breaker of {_names(new)} opened {since} s ago. It tries again by itself 30 to "
            "60 s after it opened.",
            offers=("redeploy",),
            rows=new,
            look_again="60s" if waits and not long else "",
        )
    if not met:
        yield _not_met(breakers)


def _still_fails(breaker: Mapping[str, Any], errors: Rows) -> str:
    """What shows that the API behind an open breaker fails now; empty: nothing does."""
    for row in errors:
        recent = row["seconds_ago"] <= _LONG
        if recent and row["outside"] and row["function"] == breaker["function"]:
            return str(row["message"])
    return "it tried again, and stayed open" if breaker["tries"] else ""


def _not_met(breakers: Rows) -> Finding:
    """No call meets an open breaker any more, or the log knows of none."""
    told = [row for row in breakers if row["state"] != "unknown"]
    if not told:
        return Finding(
            "no_trace",
            "No breaker said in the last hour that it opened: it does not write to system_logs, "
            "or the alert is older than that.",
            rows=breakers,
        )
    closed = [row for row in told if row["state"] == "closed"]
    if len(closed) == len(told):
        last = min(row["good_seconds"] for row in closed)
        said = f"The breaker of {_names(told)} closed again {last} s ago, says the log."
    else:
        last = min(row["quiet_seconds"] for row in told if row["state"] == "open")
        said = (
            f"No call has met an open breaker of {_names(told)} for {last} s: it has closed "
            "without a word, or nobody calls the function."
        )
    return Finding("closed_again", said, rows=told)


def _names(breakers: Rows) -> str:
    return ", ".join(row["function"] or "a function without a name" for row in breakers)


def _minutes(breakers: Rows) -> str:
    return f"{max(row['open_seconds'] for row in breakers) // 60} minutes"

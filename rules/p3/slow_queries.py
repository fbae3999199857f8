"""The database is slow: statements take longer than a second on average.

Symptoms:   pages load slowly; queries time out; the database's CPU is busy.
Prevention: an index for each column that pages search by; autovacuum that keeps up; old log lines
            and lots put away each month, not when they hurt.
Needs:      pg_stat_statements on the search_path of the reading role (Supabase has it in schema
            extensions, others in public, and a statement cannot say both), and pg_read_all_stats,
            without which it hides what others run. Indexes and vacuums need direct_url of the
            target, for a role that owns these tables and may create in their schema.
Mended:     the runbook builds names with schemaname||'.'||tablename, which fails for names that
            need quotes; here sizes are asked by oid, and names are shown as a command takes them.
            Its question for missing indexes asks pg_stats alone. There a unique column says -1 for
            n_distinct (a share of the rows), so sku is never found; a correlation of -1 is order as
            good as 1; and neither says whether anybody searches by the column. Here a column
            counts that has no index and many values, in a table that is often read from end to end;
            low absolute correlation puts it first, and an index is offered if a slow statement
            names the column. Vacuums, dumps and index builds take their time and are no finding.
            The runbook's DELETE of old log lines and its UPDATE of old lots take them all at once;
            here it is 10,000 lines or 5,000 lots at a time, the oldest first.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from responder.runbook import Answer, Case, ErrorKind, Finding, Option, Rule, Sql

Rows = Sequence[Mapping[str, Any]]

#: What pg_stat_statements says instead of a statement that we may not see.
_HIDDEN = "<insufficient privilege>"
#: From so many old rows on it is worth while to put them away.
_MANY = {"system_logs": 10_000, "intake_lots": 1_000}
_ARCHIVE = {"system_logs": "archive_logs", "intake_lots": "archive_lots"}
_BATCH = {"system_logs": "logs", "intake_lots": "lots"}
_INDEX = {
    ("public.intake_items", "sku"): "index_sku",
    ("public.intake_items", "lot_id"): "index_lot_id",
}
_VACUUMED = frozenset({"public.intake_items", "public.shopify_sync_queue", "public.system_logs"})
_PSQL = 'psql "$DATABASE_ADMIN_URL"'
_INDEX_CAUTION = (
    "It waits for every older transaction and may take long. If it fails, the invalid index that "
    "it leaves is dropped. Without `direct_url` send the statement yourself, over a direct "
    "connection, not the pooler, and DROP INDEX CONCURRENTLY an invalid one first."
)


class SlowQueries(Rule):
    answers = ['alertname=~"SlowQueries|SlowQuery|DatabaseSlow|DatabaseSlowQueries"']
    target = "shop"
    key = ()
    diagnostics = [
        Sql("statistics", "Where does pg_stat_statements lie, and may we read it?"),
        Sql("statements", "Which statements take longer than a second on average?"),
        Sql("scans", "Which columns have no index, in tables that are read from end to end?"),
        Sql("dead_rows", "Which tables hold many dead rows?"),
        Sql("sizes", "Which tables are the largest?"),
        Sql("old_rows", "How much could be put away?"),
    ]
    options = [
        Option(
            "index_sku",
            "Add the index for searches by SKU",
            transactional=False,
            caution=_INDEX_CAUTION,
        ),
        Option(
            "index_lot_id",
            "Add the index for the items of a lot",
            transactional=False,
            caution=_INDEX_CAUTION,
        ),
        Option(
            "vacuum_tables",
            "Vacuum the tables that change most",
            transactional=False,
            caution="Reads and writes a lot: on a busy day send VACUUM (ANALYZE) for one table at "
            "a time yourself, as you must without `direct_url`. It frees nothing that an open "
            "transaction can still see: end the oldest one first.",
        ),
        Option(
            "archive_logs",
            "Delete the oldest 10,000 log lines of those older than 90 days",
            changes=("system_logs",),
            max_rows=10_000,
            caution="Gone for good: export them first if anybody may ask. Then it is diagnosed "
            "anew, which offers the next batch; vacuum after the last.",
            role="admin",
            in_window=True,
            batch=True,
        ),
        Option(
            "archive_lots",
            "Archive the oldest 5,000 lots of those completed more than six months ago",
            changes=("intake_lots",),
            max_rows=5_000,
            caution="Frees no space; it only takes them out of what is searched as completed. Then "
            "it is diagnosed anew, which offers the next batch.",
            in_window=True,
            batch=True,
        ),
        Option(
            "enable_statements",
            "Enable pg_stat_statements",
            run=f"{_PSQL} --command 'CREATE SCHEMA IF NOT EXISTS extensions' --command 'CREATE"
            " EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA extensions'",
            caution="It counts only if shared_preload_libraries names pg_stat_statements, which "
            "takes a restart; Supabase has that done.",
            role="admin",
        ),
        Option(
            "let_responder_see",
            "Let the reading role see all statements",
            run=f"{_PSQL} --command 'GRANT USAGE ON SCHEMA extensions TO responder_reading'"
            " --command 'GRANT pg_read_all_stats TO responder_reading'"
            " --command 'ALTER ROLE responder_reading SET search_path = public, extensions'",
            caution="For a role or a schema of another name write that one.",
            role="admin",
        ),
    ]

    def conclude(self, case: Case) -> Iterable[Finding]:
        statements, scans = case["statements"], case["scans"].rows
        if statements.rows:
            yield _slow(statements.rows)
        yield from _unseen(case["statistics"].rows, statements)
        named = [row for row in scans if any(_names(each, row) for each in statements.rows)]
        hidden = any(row["query"] == _HIDDEN for row in statements.rows)
        if named:
            yield Finding(
                "missing_index",
                f"Slow statements search by {_columns(named)}, which no index begins with.",
                offers=_indexes(named),
                rows=named,
            )
        elif scans and (statements.error or hidden):
            yield Finding(
                "index_candidates",
                f"What is slow is not known; an index may be missing on {_columns(scans)}.",
                offers=_indexes(scans),
                rows=scans,
            )
        yield from _dead(case["dead_rows"].rows)
        yield from _old(case["old_rows"].rows)


def _slow(statements: Rows) -> Finding:
    slowest, calls = statements[0], statements[0]["calls"]
    which = "1 statement takes" if len(statements) == 1 else f"{len(statements)} statements take"
    return Finding(
        "slow_statements",
        f"{which} longer than a second on average; the slowest {slowest['mean_ms'] / 1000:.1f} s, "
        f"in {'1 call' if calls == 1 else f'{calls} calls'}.",
        rows=statements,
    )


def _unseen(statistics: Rows, statements: Answer) -> Iterable[Finding]:
    """Why we cannot say which statements are slow, and what would let us."""
    error = statements.error
    if error and error.kind in (ErrorKind.STATEMENT, ErrorKind.DENIED) and statistics:
        place = statistics[0]
        offers: tuple[str, ...] = ("enable_statements", "let_responder_see")
        if place["schema"] is None:
            why = (
                "pg_stat_statements is not enabled: load it with shared_preload_libraries, create "
                "the extension, and let the responder see it"
            )
        elif not place["found"]:
            offers = ("let_responder_see",)
            why = (
                f"pg_stat_statements lies in schema {place['schema']}, where {place['login']} does "
                "not look or may not: put it on the role's search_path"
            )
        else:
            why = error.message
        yield Finding(
            "statements_unknown",
            f"Which statements are slow cannot be said: {why}.",
            offers=offers,
            rows=statistics,
        )
    elif any(row["query"] == _HIDDEN for row in statements.rows):
        yield Finding(
            "statements_hidden",
            "The text of slow statements is hidden from the responder: grant its reading role "
            "pg_read_all_stats.",
            offers=("let_responder_see",),
            rows=statistics,
        )


def _names(statement: Mapping[str, Any], column: Mapping[str, Any]) -> bool:
    """Whether the statement names the column and its table, as whole words."""
    table = column["table_name"].rpartition(".")[2].strip('"')
    words = (rf"\b{re.escape(word)}\b" for word in (table, column["column_name"]))
    return all(re.search(word, statement["query"], re.IGNORECASE) for word in words)


def _columns(scans: Rows) -> str:
    return ", ".join(f"{row['table_name']} ({row['column_name']})" for row in scans[:5])


def _indexes(scans: Rows) -> tuple[str, ...]:
    places = [(row["table_name"], row["column_name"]) for row in scans]
    return tuple(_INDEX[place] for place in places if place in _INDEX)


def _dead(tables: Rows) -> Iterable[Finding]:
    if tables:
        names = [row["table_name"] for row in tables]
        yield Finding(
            "dead_rows",
            f"Autovacuum does not keep up with {', '.join(names[:5])}: a fifth of the rows or more "
            "is dead.",
            offers=() if _VACUUMED.isdisjoint(names) else ("vacuum_tables",),
            rows=tables,
        )


def _old(counts: Rows) -> Iterable[Finding]:
    many = [row for row in counts if row["rows"] >= _MANY[row["table_name"]]]
    if many:
        told = (
            f"{'at least ' if row['capped'] else ''}{row['rows']:,} rows of {row['table_name']} "
            f"{row['which']}"
            for row in many
        )
        yield Finding(
            "old_rows",
            f"Old data could be put away: {', '.join(told)}.",
            offers=tuple(_ARCHIVE[row["table_name"]] for row in many),
            rows=many,
            parameters={name: value for row in many for name, value in _batch(row)},
        )


def _batch(row: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Where the first batch ends, as the options' statements bind it."""
    which = _BATCH[row["table_name"]]
    yield f"{which}_until", row["until"]
    yield f"{which}_until_id", row["until_id"]

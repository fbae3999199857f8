"""The shop's database does not answer, or answers and does not serve.

Symptoms:   every page and every function fails; logins time out; writes are refused.
Prevention: alerts on free disk space and on used connections before they run out; a pooler in
            front of the database; failover that is tried out; a snapshot before maintenance.
Mended:     the runbook lists this as its only P0 and has no chapter for it. What stands here
            follows its quick reference (page at once) and its escalation path (level 4: the
            database admin).
"""

from collections.abc import Iterable

from responder.runbook import Answer, Case, ErrorKind, Finding, Option, Rule, Sql, Tcp

#: From this share of the connections that ordinary logins can have, new ones are about to fail.
_NEARLY_ALL = 0.95

_BY_ERROR = {
    ErrorKind.UNREACHABLE: Finding(
        "host_silent",
        "The database's host does not answer: it is off, or the network to it is.",
        offers=("look_at_provider", "restart_server"),
    ),
    ErrorKind.TIMEOUT: Finding(
        "host_silent",
        "The database does not answer in time: its host, its disk or the network hangs.",
        offers=("look_at_provider", "restart_server"),
    ),
    ErrorKind.REFUSED: Finding(
        "port_closed",
        "The host answers and nothing listens at the database's port: PostgreSQL does not run.",
        offers=("look_at_provider", "restart_server"),
    ),
    ErrorKind.LOGIN: Finding(
        "refusing_logins",
        "The server runs and refuses the login: a changed password, a dropped role or database, "
        "or a rule in pg_hba.conf.",
        offers=("try_login",),
    ),
    ErrorKind.TOO_MANY: Finding(
        "out_of_connections",
        "The server runs and has no connection left.",
        offers=("end_idle_sessions", "restart_server"),
    ),
    ErrorKind.STARTING: Finding(
        "starting",
        "The server is starting up, shutting down or recovering after a crash.",
        offers=("look_at_provider",),
        look_again="30s",
    ),
}


class DatabaseDown(Rule):
    answers = ['alertname=~"DatabaseDown|PostgresDown|PostgreSQLDown"']
    target = "shop"
    key = ()
    diagnostics = [
        Tcp("port", "Does the port answer?"),
        Sql("server", "In which state is the server?", after="port"),
        Sql("activity", "Who blocks whom, and what runs the longest?", after="port"),
        Sql("space", "Can the server still write temporary files?", after="port"),
    ]
    options = [
        Option(
            "look_at_provider",
            "See whether the provider has an outage",
            run="curl --silent https://status.supabase.com/api/v2/summary.json",
        ),
        Option(
            "restart_server",
            "Restart the database",
            run="# Supabase Dashboard → Project Settings → General → Restart project",
            caution="Cuts every session. Not while it recovers (it would start over), and not on a "
            "full disk (it would not come up).",
            role="admin",
            dangerous=True,
        ),
        Option(
            "try_login",
            "Log in with the shop's own credentials",
            run="psql \"$DATABASE_URL\" --command 'SELECT current_user, current_database()'",
            caution="If only the responder is refused, the shop works: see its role's password.",
        ),
        Option(
            "end_idle_sessions",
            "End sessions that have been idle for ten minutes",
            run='psql "$DATABASE_ADMIN_URL" --command "SELECT pg_terminate_backend(pid)'
            " FROM pg_stat_activity WHERE backend_type = 'client backend' AND state = 'idle'"
            " AND state_change < now() - interval '10 minutes'\"",
            caution="A superuser's login still gets in by a reserved slot. Pools open new sessions "
            "at once: find the one that leaks, too.",
        ),
        Option(
            "follow_recovery",
            "See how far the recovery is",
            run='psql "$DATABASE_ADMIN_URL" --command "SELECT pg_last_wal_replay_lsn(),'
            ' now() - pg_last_xact_replay_timestamp() AS behind"',
            caution="Promote it only when it is certain that no other primary runs.",
        ),
        Option(
            "allow_writes",
            "Let the server write again",
            run='psql "$DATABASE_ADMIN_URL"'
            " --command 'ALTER SYSTEM RESET default_transaction_read_only'"
            " --command 'SELECT pg_reload_conf()'",
            caution="Providers switch writes off when the disk is nearly full: make room first. "
            "If only one database is set so, ALTER DATABASE ... RESET is the way.",
            role="admin",
        ),
        Option(
            "find_space",
            "See what fills the disk",
            run='psql "$DATABASE_ADMIN_URL" --command "SELECT oid::regclass,'
            " pg_size_pretty(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r'"
            ' ORDER BY pg_total_relation_size(oid) DESC LIMIT 20"',
            caution="Make the disk larger first. DELETE needs space before it frees any, and "
            "nothing in pg_wal is ever deleted by hand.",
        ),
    ]

    def conclude(self, case: Case) -> Iterable[Finding]:
        error = case["port"].error or case["server"].error
        if error and error.kind in _BY_ERROR:
            yield _BY_ERROR[error.kind]
        if case["server"].rows:
            yield from _of_state(case["server"])
        full = [answer.error for answer in case.answers.values() if answer.error]
        if any(error.kind is ErrorKind.DISK_FULL for error in full):
            yield Finding(
                "disk_full",
                "The server cannot write: its disk is full.",
                offers=("find_space",),
            )


def _of_state(server: Answer) -> Iterable[Finding]:
    """What is wrong with a server that lets us in."""
    state = server.rows[0]
    if state["in_recovery"]:
        yield Finding(
            "in_recovery",
            "The server is in recovery: it reads and cannot write. It is a standby, or a restore "
            "that has not ended.",
            offers=("follow_recovery", "look_at_provider"),
            rows=server.rows,
        )
    if state["read_only"]:
        yield Finding(
            "read_only",
            "The server is set to read-only, so every write fails.",
            offers=("allow_writes", "find_space"),
            rows=server.rows,
        )
    if state["used"] >= _NEARLY_ALL * state["available"]:
        yield Finding(
            "out_of_connections",
            f"{state['used']} of {state['available']} connections are taken.",
            offers=("end_idle_sessions", "restart_server"),
            rows=server.rows,
        )

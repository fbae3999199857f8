"""Each way a database can be down is told by its own name; where a test can make it, it is real."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from responder.domain.alert import AlertStatus
from responder.domain.matcher import first_failed
from responder.embedded import LocalPostgres
from responder.runbook import Alert, Answer, AnswerStatus, Case, Error, ErrorKind, Finding
from responder.runbook.loader import LoadedRule

if TYPE_CHECKING:
    from tests.shop import Shop

NOW = datetime.now(UTC)
OPEN = Answer(AnswerStatus.OK, asked_at=NOW)
BEHIND = Answer(
    AnswerStatus.SKIPPED, asked_at=NOW, error=Error(ErrorKind.BEHIND, "", "port failed")
)


@pytest.fixture
def rule(rules: Mapping[str, LoadedRule]) -> LoadedRule:
    return rules["database_down"]


def failed(kind: ErrorKind, code: str = "") -> Answer:
    return Answer(AnswerStatus.FAILED, asked_at=NOW, error=Error(kind, code, "as the server says"))


def conclude(rule: LoadedRule, **answers: Answer) -> list[Finding]:
    """The findings; what is not given stood behind a failure."""
    alert = Alert("am", "0", AlertStatus.FIRING, "any", "any", "shop", {}, starts_at=NOW)
    asked = {part.name: answers.get(part.name, BEHIND) for part in rule.diagnostics}
    return list(rule.rule.conclude(Case(alert, {}, at=NOW, answers=asked)))


def names(findings: list[Finding]) -> list[str]:
    return [finding.name for finding in findings]


@pytest.mark.parametrize(
    ("port", "server", "found"),
    [
        (failed(ErrorKind.UNREACHABLE), BEHIND, ["host_silent"]),
        (failed(ErrorKind.TIMEOUT), BEHIND, ["host_silent"]),
        (OPEN, failed(ErrorKind.TIMEOUT), ["host_silent"]),
        (failed(ErrorKind.REFUSED), BEHIND, ["port_closed"]),
        (OPEN, failed(ErrorKind.LOGIN), ["refusing_logins"]),
        (OPEN, failed(ErrorKind.TOO_MANY), ["out_of_connections"]),
        (OPEN, failed(ErrorKind.STARTING), ["starting"]),
        (OPEN, failed(ErrorKind.DISK_FULL), ["disk_full"]),
        (OPEN, failed(ErrorKind.DENIED), []),  # our own trouble says nothing about the database
        (OPEN, failed(ErrorKind.BUSY), []),
    ],
)
def test_errors_lead_to_findings(
    rule: LoadedRule, port: Answer, server: Answer, found: list[str]
) -> None:
    assert names(conclude(rule, port=port, server=server)) == found


def test_every_offer_is_an_option_for_people(rule: LoadedRule) -> None:
    kinds = [conclude(rule, port=OPEN, server=failed(kind)) for kind in ErrorKind]
    offered = {name for findings in kinds for finding in findings for name in finding.offers}
    assert offered
    assert offered <= set(rule.options)
    assert all(option.run and not option.automatic for option in rule.options.values())


def test_ordinary_day_has_no_finding(rule: LoadedRule, shop: "Shop") -> None:
    assert list(rule.rule.conclude(shop.case(rule, port=OPEN))) == []


def test_server_that_is_set_to_read_only(rule: LoadedRule, shop: "Shop") -> None:
    shop.run(f"ALTER DATABASE {shop.name} SET default_transaction_read_only = on")
    findings = conclude(rule, port=OPEN, server=shop.ask(rule, "server"))
    assert names(findings) == ["read_only"]


def test_blocking_session_is_named(rule: LoadedRule, shop: "Shop") -> None:
    lock = "UPDATE system_settings SET updated_at = now() WHERE key = 'sync.enabled'"
    with (
        psycopg.connect(shop.url("postgres")) as holder,
        psycopg.connect(shop.url("postgres")) as waiter,
    ):
        holder.execute(lock)
        waiter.pgconn.send_query(lock.encode())
        blocked = next(
            row
            for _ in range(1000)
            for row in shop.ask(rule, "activity").rows
            if row["pid"] == waiter.info.backend_pid and row["blocked_by"]
        )
        assert blocked["blocked_by"] == [holder.info.backend_pid]
        assert blocked["query"] == lock
        holder.rollback()
        while waiter.pgconn.get_result():
            pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is full")
def test_full_disk_stops_the_sort(rule: LoadedRule, shop: "Shop") -> None:
    """The files that this session's sort will open lie on a device without space."""
    [data] = shop.rows("SHOW data_directory")
    temporary = Path(data) / "base" / "pgsql_tmp"
    server = shop.ask(rule, "server")
    with shop.reading() as connection:
        temporary.mkdir(exist_ok=True)
        temporary.chmod(0o777)
        files = [temporary / f"pgsql_tmp{connection.info.backend_pid}.{n}" for n in range(9)]
        for file in files:
            file.symlink_to("/dev/full")
        with pytest.raises(psycopg.errors.DiskFull):
            connection.execute(rule.statements["space"].sql)
        connection.rollback()
        for file in files:
            file.unlink(missing_ok=True)
    findings = conclude(rule, port=OPEN, server=server, space=failed(ErrorKind.DISK_FULL, "53100"))
    assert names(findings) == ["disk_full"]


@pytest.fixture
def small_server() -> Iterator[LocalPostgres]:
    """A server with room for 17 sessions of ordinary logins, for a test to spoil."""
    with LocalPostgres(durable=False, settings={"max_connections": "20"}) as server:
        yield server


def ask_server(rule: LoadedRule, server: LocalPostgres) -> Answer:
    with psycopg.connect(server.url()) as connection:
        wrapped = f"SELECT to_jsonb(q) FROM ({rule.statements['server'].sql}) q"
        rows = [row[0] for row in connection.execute(wrapped)]
    return Answer(AnswerStatus.OK, asked_at=NOW, rows=rows, row_count=len(rows))


def test_connections_that_run_out(rule: LoadedRule, small_server: LocalPostgres) -> None:
    quiet = ask_server(rule, small_server)
    assert (quiet.rows[0]["used"], quiet.rows[0]["available"]) == (1, 17)
    with ExitStack() as sessions:
        for _ in range(16):
            sessions.enter_context(psycopg.connect(small_server.url()))
        [finding] = conclude(rule, port=OPEN, server=ask_server(rule, small_server))
    assert finding.name == "out_of_connections"
    assert finding.summary == "17 of 17 connections are taken."
    assert conclude(rule, port=OPEN, server=quiet) == []


def test_server_in_recovery(rule: LoadedRule, small_server: LocalPostgres) -> None:
    with psycopg.connect(small_server.url()) as connection:
        row = connection.execute("SHOW data_directory").fetchone()
    assert row is not None
    signal = Path(row[0]) / "standby.signal"
    small_server.stop(keep=True)
    signal.touch()
    signal.chmod(0o666)
    small_server.start()
    findings = conclude(rule, port=OPEN, server=ask_server(rule, small_server))
    assert names(findings) == ["in_recovery"]


@pytest.mark.parametrize(
    ("name", "answered"),
    [
        ("DatabaseDown", True),
        ("PostgresDown", True),
        ("PostgreSQLDown", True),
        ("DatabaseDownStaging", False),
        ("", False),
    ],
)
def test_it_answers_these_alerts_alone(rule: LoadedRule, name: str, answered: bool) -> None:
    assert (first_failed(rule.matchers, {"alertname": name}) is None) == answered

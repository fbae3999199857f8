"""Questions to real servers: what is answered, what cannot be done, and how failures are told."""

import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from responder.domain.answer import Answer, AnswerStatus, ErrorKind
from responder.domain.secret import Secret
from responder.domain.settings import Target
from responder.embedded import LocalPostgres
from responder.targets.reading import BYTE_CAP, ROW_CAP, Question, ask

ASKED_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PASSWORD = "s3cret-of-the-reader"
#: The reader may write, so that what holds in these tests is never a missing grant.
SHOP = f"""
CREATE TABLE item (id int PRIMARY KEY, status text, note text);
INSERT INTO item SELECT n, 'queued', 'note ' || n FROM generate_series(1, 5) n;
CREATE TABLE filtered (id int);
INSERT INTO filtered VALUES (1);
ALTER TABLE filtered ENABLE ROW LEVEL SECURITY;
CREATE POLICY nothing ON filtered USING (false);
CREATE TABLE forbidden (id int);
CREATE FUNCTION purge() RETURNS int LANGUAGE sql VOLATILE AS 'DELETE FROM item; SELECT 1';
CREATE FUNCTION purge_as_owner() RETURNS int LANGUAGE sql VOLATILE SECURITY DEFINER
    AS 'DELETE FROM item; SELECT 1';
CREATE FUNCTION fail(code text) RETURNS int LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'it failed' USING ERRCODE = code; END $$;
CREATE FUNCTION stubborn() RETURNS int LANGUAGE plpgsql AS $$
    BEGIN
        LOOP
            BEGIN
                PERFORM pg_sleep(20);
            EXCEPTION WHEN query_canceled THEN NULL;
            END;
        END LOOP;
    END $$;
CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}';
CREATE ROLE sleeper NOLOGIN PASSWORD '{PASSWORD}';
CREATE ROLE crowd LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 0;
GRANT ALL ON item, filtered TO reader;
"""
DATABASES = (
    "CREATE DATABASE closed ALLOW_CONNECTIONS false",
    "CREATE DATABASE full_house CONNECTION LIMIT 0",
    "CREATE DATABASE private",
    "REVOKE CONNECT ON DATABASE private FROM public",
)


@pytest.fixture(scope="module")
def shop() -> Iterator[LocalPostgres]:
    with LocalPostgres(durable=False, port=0) as server:
        administer(server, SHOP, *DATABASES)
        yield server


@pytest.fixture
def target_at(tmp_path: Path) -> Callable[..., Target]:
    """A target with these reading URLs, the newest first."""

    def build(*urls: str, http_base: str = "", http_paths: tuple[str, ...] = ()) -> Target:
        files = [tmp_path / f"reading-{number}" for number in range(len(urls))]
        for file, url in zip(files, urls, strict=True):
            file.write_text(url)
        secret = Secret(tuple(f"file:{file}" for file in files))
        return Target("shop_eu", "shop", (), secret, http_base=http_base, http_paths=http_paths)

    return build


@pytest.fixture
def target(shop: LocalPostgres, target_at: Callable[..., Target]) -> Target:
    return target_at(shop.url(user="reader", password=PASSWORD))


def administer(server: LocalPostgres, *commands: str) -> None:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        for command in commands:
            connection.execute(command)


def sql(text: str, timeout: float = 5.0, **parameters: Any) -> Question:
    return Question("it", "Is it so?", "sql", sql=text, parameters=parameters, timeout=timeout)


def kind_of(answer: Answer) -> ErrorKind | None:
    return answer.error.kind if answer.error else None


def test_an_ordinary_answer(target: Target) -> None:
    question = sql(
        "SELECT id, status, note LIKE 'note%%' AS noted FROM item\n"
        "WHERE status = %(status)s AND id > %(above)s ORDER BY id -- the end",
        status="queued",
        above="3",
    )
    answer = ask(target, question, ASKED_AT)
    assert answer.error is None
    assert answer.status == AnswerStatus.OK
    assert answer.rows == [
        {"id": 4, "status": "queued", "noted": True},
        {"id": 5, "status": "queued", "noted": True},
    ]
    assert (answer.row_count, answer.truncated, answer.asked_at) == (2, False, ASKED_AT)
    assert answer.ms > 0


def test_what_is_asked_not_how_it_is_called_makes_the_digest() -> None:
    assert sql("SELECT 1", a="1", b="2").digest == sql("SELECT 1", b="2", a="1").digest
    assert sql("SELECT 1", a="1").digest != sql("SELECT 1", a="2").digest
    assert len(Question("port", "Does it answer?", "tcp").digest) == 32
    renamed = Question("other", "Else?", "sql", sql="SELECT 1", timeout=1)
    assert renamed.digest == sql("SELECT 1").digest


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("UPDATE item SET status = 'gone'", ErrorKind.STATEMENT),
        ("UPDATE item SET status = 'gone' RETURNING *", ErrorKind.STATEMENT),
        ("WITH x AS (DELETE FROM item RETURNING *) SELECT * FROM x", ErrorKind.STATEMENT),
        ("SELECT 1; DELETE FROM item", ErrorKind.STATEMENT),
        ("COMMIT; DELETE FROM item", ErrorKind.STATEMENT),
        ("SELECT 1) q; COMMIT; DELETE FROM item; SELECT (SELECT 1", ErrorKind.STATEMENT),
        ("SELECT 1) q; DELETE FROM item; --", ErrorKind.STATEMENT),
        ("SELECT 1) q; DELETE FROM item; /*", ErrorKind.STATEMENT),
        ("SELECT purge()", ErrorKind.READ_ONLY),
        ("SELECT purge_as_owner()", ErrorKind.READ_ONLY),
        ("SELECT set_config('transaction_read_only', 'off', true)", ErrorKind.STATEMENT),
        ("SELECT 1 INTO copied", ErrorKind.STATEMENT),
        ("SELECT * FROM item FOR UPDATE", ErrorKind.READ_ONLY),
        ("SELECT * FROM filtered", ErrorKind.DENIED),
        ("SELECT * FROM forbidden", ErrorKind.DENIED),
        ("SELECT * FROM no_such_table", ErrorKind.STATEMENT),
        ("SELECT 'half a placeholder: %'", ErrorKind.STATEMENT),
        ("SELECT %(missing)s", ErrorKind.STATEMENT),
    ],
)
def test_no_statement_writes_or_leaves_its_place(
    shop: LocalPostgres, target: Target, statement: str, kind: ErrorKind
) -> None:
    answer = ask(target, sql(statement), ASKED_AT)
    assert (answer.status, kind_of(answer)) == (AnswerStatus.FAILED, kind)
    assert answer.error is not None and "\n" not in answer.error.message
    assert answer.rows == []
    with psycopg.connect(shop.url()) as connection:
        untouched = connection.execute("SELECT count(*) FROM item WHERE status = 'queued'")
        assert untouched.fetchone() == (5,)


@pytest.mark.parametrize("value", ["\ud800", "a\0b"])
def test_a_parameter_that_cannot_be_sent(target: Target, value: str) -> None:
    answer = ask(target, sql("SELECT %(value)s::text AS value", value=value), ASKED_AT)
    assert kind_of(answer) in (ErrorKind.PARAMETER, ErrorKind.STATEMENT)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT pg_sleep(60)",
        "SELECT set_config('statement_timeout', '0', true), pg_sleep(60)",
        "SELECT count(*) FROM generate_series(1, 1000000000)",
        "SELECT stubborn()",  # ignores the server's timeout, and our cancelling too
    ],
)
def test_nothing_lasts(shop: LocalPostgres, target: Target, statement: str) -> None:
    started = time.monotonic()
    answer = ask(target, sql(statement, timeout=0.3), ASKED_AT)
    assert time.monotonic() - started < 5
    assert (answer.status, kind_of(answer)) == (AnswerStatus.TIMED_OUT, ErrorKind.TIMEOUT)
    if "stubborn" not in statement:
        assert answer.error is not None and answer.error.code == "57014"
        assert sessions_of_ours(shop) == 0


def sessions_of_ours(server: LocalPostgres) -> int:
    """How many there are after at most 5 s in which they may end."""
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'responder'"
    deadline = time.monotonic() + 5
    with psycopg.connect(server.url(), autocommit=True) as connection:
        while True:
            row = connection.execute(count).fetchone()
            assert row is not None
            if not row[0] or time.monotonic() > deadline:
                return int(row[0])
            time.sleep(0.05)


def test_a_locked_table_is_not_waited_for(shop: LocalPostgres, target: Target) -> None:
    with psycopg.connect(shop.url()) as connection:
        connection.execute("LOCK TABLE item")
        answer = ask(target, sql("SELECT * FROM item", timeout=0.3), ASKED_AT)
    assert kind_of(answer) == ErrorKind.TIMEOUT


WIDE = "SELECT n, repeat('x', 9000) AS x FROM generate_series(1, 50) n"


@pytest.mark.parametrize(
    ("statement", "kept", "count"),
    [
        ("SELECT n FROM generate_series(1, 10000000) n", ROW_CAP, ROW_CAP),
        (f"SELECT n FROM generate_series(1, {ROW_CAP + 1}) n", ROW_CAP, ROW_CAP),
        ("SELECT repeat('x', 50000000) AS x", 0, 1),
        ("SELECT repeat('€', 30000) AS x", 0, 1),
        (WIDE, BYTE_CAP // 9020, 50),
        (f"{WIDE} UNION ALL SELECT 51, 'short'", BYTE_CAP // 9020 + 1, 51),
    ],
)
def test_too_much_is_cut_and_said(target: Target, statement: str, kept: int, count: int) -> None:
    answer = ask(target, sql(statement), ASKED_AT)
    assert answer.status == AnswerStatus.OK, answer.error
    assert (len(answer.rows), answer.row_count, answer.truncated) == (kept, count, True)


def test_exactly_the_cap_is_not_truncated(target: Target) -> None:
    answer = ask(target, sql(f"SELECT n FROM generate_series(1, {ROW_CAP}) n"), ASKED_AT)
    assert (len(answer.rows), answer.truncated) == (ROW_CAP, False)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("53300", ErrorKind.TOO_MANY),
        ("57P01", ErrorKind.STARTING),
        ("57P02", ErrorKind.STARTING),
        ("57P03", ErrorKind.STARTING),
        ("28P01", ErrorKind.LOGIN),
        ("3D000", ErrorKind.LOGIN),
        ("57014", ErrorKind.TIMEOUT),
        ("55P03", ErrorKind.TIMEOUT),
        ("53100", ErrorKind.DISK_FULL),
        ("42501", ErrorKind.DENIED),
        ("25006", ErrorKind.READ_ONLY),
        ("08006", ErrorKind.LOST),
        ("22012", ErrorKind.STATEMENT),
        ("53200", ErrorKind.STATEMENT),
    ],
)
def test_the_servers_codes(target: Target, code: str, kind: ErrorKind) -> None:
    answer = ask(target, sql("SELECT fail(%(code)s)", code=code), ASKED_AT)
    assert answer.error is not None
    assert (answer.error.kind, answer.error.code) == (kind, code)
    assert answer.error.message == "it failed"


@pytest.mark.parametrize(
    ("changed", "kind", "code"),
    [
        ({"password": "wrong"}, ErrorKind.LOGIN, "28P01"),
        ({"user": "stranger"}, ErrorKind.LOGIN, "28P01"),
        ({"user": "sleeper"}, ErrorKind.LOGIN, "28000"),
        ({"database": "closed"}, ErrorKind.LOGIN, "55000"),
        ({"database": "private"}, ErrorKind.LOGIN, "42501"),
        ({"database": "no_such"}, ErrorKind.LOGIN, "3D000"),
        ({"database": "full_house"}, ErrorKind.TOO_MANY, "53300"),
        ({"user": "crowd"}, ErrorKind.TOO_MANY, "53300"),
    ],
)
def test_refused_by_the_server(
    shop: LocalPostgres,
    target_at: Callable[..., Target],
    changed: dict[str, str],
    kind: ErrorKind,
    code: str,
) -> None:
    url = shop.url(**{"user": "reader", "password": PASSWORD, **changed})
    answer = ask(target_at(url), sql("SELECT 1"), ASKED_AT)
    assert answer.error is not None
    assert (answer.status, answer.error.kind) == (AnswerStatus.FAILED, kind), answer.error
    assert answer.error.code == code
    assert PASSWORD not in answer.error.message


def test_the_older_login_serves_while_the_newer_is_not_known_yet(
    shop: LocalPostgres, target_at: Callable[..., Target]
) -> None:
    good = shop.url(user="reader", password=PASSWORD)
    newer = shop.url(user="reader", password="not yet set")
    answer = ask(target_at(newer, good), sql("SELECT 1 AS one"), ASKED_AT)
    assert answer.rows == [{"one": 1}]


def test_a_url_that_is_none_is_not_repeated(target_at: Callable[..., Target]) -> None:
    answer = ask(target_at(f"postgresq://reader:{PASSWORD}@host"), sql("SELECT 1"), ASKED_AT)
    assert answer.error is not None and PASSWORD not in answer.error.message
    assert answer.error.kind == ErrorKind.DENIED


def test_a_secret_that_is_not_there_is_told_by_its_place(
    target_at: Callable[..., Target], tmp_path: Path
) -> None:
    target = target_at("postgresql://host")
    tmp_path.joinpath("reading-0").unlink()
    answer = ask(target, sql("SELECT 1"), ASKED_AT)
    assert answer.error is not None
    assert "reading-0" in answer.error.message


@pytest.fixture
def places() -> Iterator[dict[str, str]]:
    """host:port of a closed port, of one that accepts and is silent, of one that never accepts."""
    with ExitStack() as stack:
        closed, silent, deaf = (stack.enter_context(closing(socket.socket())) for _ in range(3))
        for listener in (closed, silent, deaf):
            listener.bind(("127.0.0.1", 0))
        silent.listen()
        deaf.listen(0)
        for _ in range(2):  # its queue is full now: no further handshake is answered
            caller = stack.enter_context(closing(socket.socket()))
            caller.setblocking(False)
            caller.connect_ex(deaf.getsockname())
        names = {"closed": closed, "silent": silent, "deaf": deaf}
        yield {name: f"127.0.0.1:{each.getsockname()[1]}" for name, each in names.items()} | {
            "nameless": "no-such-host.invalid:5432"
        }


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("closed", ErrorKind.REFUSED),
        ("silent", ErrorKind.TIMEOUT),
        ("deaf", ErrorKind.UNREACHABLE),
        ("nameless", ErrorKind.UNREACHABLE),
    ],
)
def test_no_server_there(
    target_at: Callable[..., Target], places: dict[str, str], place: str, kind: ErrorKind
) -> None:
    started = time.monotonic()
    target = target_at(f"postgresql://reader:{PASSWORD}@{places[place]}/postgres")
    answer = ask(target, sql("SELECT 1"), ASKED_AT)
    assert kind_of(answer) == kind, answer.error
    timed_out = answer.status == AnswerStatus.TIMED_OUT
    assert timed_out == (kind == ErrorKind.TIMEOUT)
    assert time.monotonic() - started < 5

    port = ask(target, Question("port", "Does it answer?", "tcp", timeout=0.5), ASKED_AT)
    assert kind_of(port) == (None if place == "silent" else kind)


def test_the_port_answers(shop: LocalPostgres, target: Target) -> None:
    answer = ask(target, Question("port", "Does it answer?", "tcp", timeout=2), ASKED_AT)
    (row,) = answer.rows
    assert row["host"] == "127.0.0.1"
    assert row["port"] == urlsplit(shop.url()).port
    assert row["ms"] >= 0


def test_the_first_host_that_answers_is_told(
    shop: LocalPostgres, places: dict[str, str], target_at: Callable[..., Target]
) -> None:
    port = urlsplit(shop.url()).port
    target = target_at(f"postgresql://{places['closed']},127.0.0.1:{port}/postgres")
    answer = ask(target, Question("port", "Does it answer?", "tcp", timeout=2), ASKED_AT)
    assert [row["port"] for row in answer.rows] == [port]


def test_the_sad_end_of_a_server(target_at: Callable[..., Target]) -> None:
    """Full, then shutting down, then gone; over a socket, as well as its port."""
    reserved = {"max_connections": "6", "superuser_reserved_connections": "3"}
    port = Question("port", "Does it answer?", "tcp", timeout=2)
    with LocalPostgres(durable=False, settings=reserved) as server:
        administer(server, "CREATE ROLE reader LOGIN")
        target = target_at(server.url(user="reader"))
        assert ask(target, port, ASKED_AT).status == AnswerStatus.OK
        with ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(psycopg.connect(server.url()))
            full = ask(target, sql("SELECT 1"), ASKED_AT)
            assert kind_of(full) == ErrorKind.TOO_MANY, full.error

            os.kill(server.pid, signal.SIGTERM)  # waits for the sessions that are open
            deadline = time.monotonic() + 5
            while kind_of(full) == ErrorKind.TOO_MANY and time.monotonic() < deadline:
                full = ask(target, sql("SELECT 1"), ASKED_AT)
            assert kind_of(full) == ErrorKind.STARTING, full.error
        server.stop(keep=True)
        for question in (sql("SELECT 1"), port):
            assert kind_of(ask(target, question, ASKED_AT)) == ErrorKind.REFUSED


def test_a_session_that_is_ended_from_the_other_side(shop: LocalPostgres, target: Target) -> None:
    ender = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(9)%'"
    )
    ended = threading.Event()

    def end_it() -> None:
        with psycopg.connect(shop.url(), autocommit=True) as connection:
            while not ended.wait(0.1):
                connection.execute(ender + " AND pid <> pg_backend_pid()")

    other = threading.Thread(target=end_it)
    other.start()
    answer = ask(target, sql("SELECT pg_sleep(9)", timeout=10), ASKED_AT)
    ended.set()
    other.join()
    assert kind_of(answer) == ErrorKind.STARTING, answer.error


@pytest.fixture
def tiny_disk(shop: LocalPostgres) -> Iterator[Path]:
    """A file system of 1 MB that the server owns; only root may mount one."""
    folder = Path(tempfile.mkdtemp(prefix="pg-tiny-"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        folder.rmdir()
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    owner = shop.socket_folder.stat()
    os.chown(folder, owner.st_uid, owner.st_gid)
    administer(
        shop,
        f"CREATE TABLESPACE tiny LOCATION '{folder}'",
        "GRANT CREATE ON TABLESPACE tiny TO reader",
        "ALTER ROLE reader SET temp_tablespaces = 'tiny'",
    )
    yield folder
    administer(shop, "ALTER ROLE reader RESET temp_tablespaces", "DROP TABLESPACE tiny")
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()


def test_a_full_disk(tiny_disk: Path, target: Target) -> None:
    sort = "SELECT repeat('x', n % 9) || n AS x FROM generate_series(1, 500000) n ORDER BY 1"
    answer = ask(target, sql(sort.replace("%", "%%")), ASKED_AT)
    assert kind_of(answer) == ErrorKind.DISK_FULL, answer.error


class Endpoint(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status = {"/moved": 302, "/broken": 503, "/strange": 599}.get(self.path, 200)
        self.send_response(status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        if self.path == "/silent":
            self.server.silence.wait(20)  # type: ignore[attr-defined]
        if self.command == "GET":
            self.wfile.write(b"x" * (100_000 if self.path == "/long" else 2))

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        server.silence = threading.Event()  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.silence.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()


PATHS = ("/health", "/moved", "/broken", "/strange", "/long", "/silent")


@pytest.mark.parametrize(
    ("method", "path", "row", "kind", "code"),
    [
        ("HEAD", "/health", {"status": 200}, None, ""),
        ("GET", "/health", {"status": 200, "body": "xx"}, None, ""),
        ("GET", "/long", {"status": 200, "body": "x" * 4000}, None, ""),
        ("HEAD", "/moved", {"status": 302}, None, ""),
        ("HEAD", "/broken", {"status": 503}, ErrorKind.HTTP, "503"),
        ("GET", "/strange", {"status": 599, "body": "xx"}, ErrorKind.HTTP, "599"),
        ("HEAD", "/sync", None, ErrorKind.DENIED, ""),
        ("POST", "/health", None, ErrorKind.DENIED, ""),
        ("GET", "/silent", None, ErrorKind.TIMEOUT, ""),
    ],
)
def test_web_endpoints(
    endpoint: str,
    target_at: Callable[..., Target],
    method: str,
    path: str,
    row: dict[str, Any] | None,
    kind: ErrorKind | None,
    code: str,
) -> None:
    target = target_at("postgresql://host", http_base=endpoint, http_paths=PATHS)
    question = Question("web", "Does it?", "http", path=path, method=method, timeout=0.5)
    answer = ask(target, question, ASKED_AT)
    assert kind_of(answer) == kind, answer.error
    assert (answer.error.code if answer.error else "") == code
    assert [{**each, "ms": 0} for each in answer.rows] == ([{**row, "ms": 0}] if row else [])


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("closed", ErrorKind.REFUSED),
        ("silent", ErrorKind.TIMEOUT),
        ("deaf", ErrorKind.UNREACHABLE),
        ("nameless", ErrorKind.UNREACHABLE),
    ],
)
def test_no_web_server_there(
    target_at: Callable[..., Target], places: dict[str, str], place: str, kind: ErrorKind
) -> None:
    base = f"http://user:{PASSWORD}@{places[place]}"
    target = target_at("postgresql://host", http_base=base, http_paths=PATHS)
    question = Question("web", "Does it?", "http", path="/health", timeout=0.5)
    answer = ask(target, question, ASKED_AT)
    assert kind_of(answer) == kind, answer.error
    assert answer.error is not None and PASSWORD not in answer.error.message

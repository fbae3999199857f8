"""The script that `roles` prints, run on real servers, and what `check` says of other roles."""

import json
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from responder.cli import processes
from responder.cli.common import read_settings
from responder.domain.shipped import shipped
from responder.runbook import Option, Sql
from responder.runbook.loader import LoadedRule, load
from responder.runbook.needs import Role, needs_of
from responder.targets.script import script
from tests.cli.conftest import Run
from tests.shop import any_parameters
from tests.small_rules import small_rule

if TYPE_CHECKING:
    from tests.house import House
    from tests.shop import Shop

RULES = load(shipped("rules").parent)
NEEDS = {role: needs_of(role, RULES) for role in Role}
_numbers = count(1)
#: What is asked of options, too.
ASKED = ("_verify", "_check")
Refused = psycopg.errors.InsufficientPrivilege


def questions() -> Iterator[tuple[LoadedRule, str]]:
    for rule in RULES:
        yield from ((rule, part.name) for part in rule.diagnostics if isinstance(part, Sql))
        asked = (f"{option.name}{end}" for option in rule.options.values() for end in ASKED)
        yield from ((rule, name) for name in asked if name in rule.statements)


def changes(rule: LoadedRule) -> list[Option]:
    return [each for each in rule.options.values() if not each.run and each.transactional]


def all_of(rule: LoadedRule, option: Option) -> list[str]:
    endings = ("", "_before", "_verify", "_after", "_undo")
    return [option.name + end for end in endings if option.name + end in rule.statements]


class Roles:
    """Two new roles on a shop, made by the script; `run` is its administrator."""

    def __init__(self, shop: "Shop") -> None:
        number = next(_numbers)
        self.shop = shop
        self.names = {role: f"new_{role}_{number}" for role in Role}
        self.text = script("shop", [(self.names[role], NEEDS[role]) for role in Role], ["public"])

    def run(self, text: str) -> None:
        with psycopg.connect(self.shop.url("postgres"), autocommit=True) as connection:
            connection.execute(text.encode())

    def log_in(self, role: Role) -> psycopg.Connection:
        connection = psycopg.connect(self.shop.url(self.names[role]))
        connection.execute("SET row_security = off")
        return connection

    def ask_everything(self) -> list[Any]:
        """Each question of the runbook, as the reading role."""
        rows = []
        with self.log_in(Role.READING) as connection:
            for rule, name in questions():
                statement = rule.statements[name].sql
                rows += connection.execute(statement, any_parameters(name, rule)).fetchall()
        return rows

    def try_options(self) -> None:
        """Each statement of each option is run and taken back, as the fixing role."""
        with self.log_in(Role.FIXING) as connection:
            for rule in RULES:
                for option in changes(rule):
                    for name in all_of(rule, option):
                        text = f"EXPLAIN ANALYZE {rule.statements[name].sql}"
                        self._try(connection, text, any_parameters(name, rule))

    def _try(self, connection: psycopg.Connection, text: str, bound: Mapping[str, str]) -> None:
        try:
            with connection.transaction(force_rollback=True):
                connection.execute(text, bound)
        except Refused as refused:
            if "admin role required" not in str(refused):  # the function's own word: it was called
                raise


@pytest.fixture
def roles(shop: "Shop") -> Iterator[Roles]:
    # Nothing that PUBLIC has stands in for a grant that is missing.
    shop.run(f"REVOKE ALL ON DATABASE {shop.name} FROM PUBLIC")
    shop.run("REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    made = Roles(shop)
    made.run(made.text)
    yield made
    for name in made.names.values():
        made.run(f'DROP OWNED BY "{name}"; DROP ROLE IF EXISTS "{name}"')


def test_roles_that_the_script_makes_can_carry_out_the_runbook(roles: Roles) -> None:
    assert roles.ask_everything()
    roles.try_options()
    with (
        roles.log_in(Role.READING) as connection,
        pytest.raises(Refused),
    ):
        connection.execute("DELETE FROM system_logs")


_ACL = """
    SELECT 'role', rolname, rolconnlimit, rolbypassrls, rolcanlogin, rolconfig::text FROM pg_roles
    UNION ALL
    SELECT kind, id, NULL, NULL, NULL, (SELECT string_agg(a::text, ' ' ORDER BY a::text)
        FROM unnest(acl) a)
    FROM (
        SELECT 'class' AS kind, oid::regclass::text AS id,
            coalesce(relacl, acldefault('r', relowner)) AS acl FROM pg_class WHERE relkind <> 'S'
        UNION ALL SELECT 'column', attrelid::regclass || '.' || attname,
            nullif(attacl, '{}') FROM pg_attribute
            WHERE NOT attisdropped
        UNION ALL SELECT 'schema', nspname,
            coalesce(nspacl, acldefault('n', nspowner)) FROM pg_namespace
        UNION ALL SELECT 'function', oid::regprocedure::text,
            coalesce(proacl, acldefault('f', proowner)) FROM pg_proc
        UNION ALL SELECT 'database', datname, datacl FROM pg_database
            WHERE datname = current_database()
    ) acls
    UNION ALL
    SELECT 'member', roleid::regrole::text, member::oid::int, admin_option, NULL, NULL
    FROM pg_auth_members
    ORDER BY 1, 2, 3
"""


def everything(shop: "Shop") -> list[Any]:
    with psycopg.connect(shop.url("postgres")) as connection:
        return connection.execute(_ACL).fetchall()


def test_the_script_run_again_changes_nothing(roles: Roles) -> None:
    before = everything(roles.shop)
    roles.run(roles.text)
    assert everything(roles.shop) == before
    assert before


def test_the_script_takes_back_what_is_too_much(roles: Roles) -> None:
    before = everything(roles.shop)
    reading, fixing = roles.names.values()
    roles.run(
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {reading};"
        f"GRANT UPDATE (email) ON auth.users TO {fixing};"
        f"GRANT pg_signal_backend TO {reading};"
        f"GRANT CREATE ON SCHEMA public TO {fixing};"
        f"GRANT CREATE ON DATABASE {roles.shop.name} TO {fixing};"
        f"GRANT EXECUTE ON FUNCTION admin_delete_batch TO {reading};"
        f"ALTER ROLE {reading} CREATEDB CONNECTION LIMIT -1;"
    )
    assert everything(roles.shop) != before
    roles.run(roles.text)
    assert everything(roles.shop) == before


GRANTS = [
    *(
        pytest.param(role, what, id=f"{role}-{what}")
        for role in Role
        for what in (f"{grant.privilege} ON {grant.on}" for grant in NEEDS[role].tables)
    ),
    *(
        pytest.param(role, what, id=f"{role}-{what}")
        for role in Role
        for what in ("USAGE ON SCHEMA public", "USAGE ON SCHEMA auth")
    ),
    pytest.param(Role.READING, "USAGE ON SCHEMA extensions", id="reading-extensions"),
    *(
        pytest.param(Role.FIXING, f"EXECUTE ON FUNCTION {name}", id=f"fixing-{name}")
        for name in ("admin_delete_batch", "admin_clear_shopify_sync_queue")
    ),
]


@pytest.mark.parametrize(("role", "grant"), GRANTS)
def test_one_grant_less_and_something_fails(roles: Roles, role: Role, grant: str) -> None:
    roles.run(f"REVOKE {grant} FROM {roles.names[role]}")
    with pytest.raises((Refused, psycopg.errors.UndefinedTable, psycopg.errors.UndefinedFunction)):
        roles.ask_everything() if role == Role.READING else roles.try_options()


@pytest.mark.parametrize("role", Role)
def test_without_connect_nobody_comes_in(roles: Roles, role: Role) -> None:
    roles.run(f"REVOKE CONNECT ON DATABASE {roles.shop.name} FROM {roles.names[role]}")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        roles.log_in(role)


@pytest.mark.parametrize("role", Role)
def test_without_bypassrls_no_table_is_read(roles: Roles, role: Role) -> None:
    roles.run(f"ALTER ROLE {roles.names[role]} NOBYPASSRLS")
    with pytest.raises(Refused, match="row-level security"):
        roles.ask_everything() if role == Role.READING else roles.try_options()


def test_without_the_statistics_role_statements_of_others_are_hidden(roles: Roles) -> None:
    (rule,) = [rule for rule in RULES if rule.name == "slow_queries"]
    statement = rule.statements["statistics"].sql
    with roles.log_in(Role.READING) as connection:
        assert connection.execute(statement).fetchall()[0][3] is True
    roles.run(f"REVOKE pg_read_all_stats FROM {roles.names[Role.READING]}")
    with roles.log_in(Role.READING) as connection:
        assert connection.execute(statement).fetchall()[0][3] is False


def test_hostile_names_of_roles_schemas_and_tables(shop: "Shop", tmp_path: Path) -> None:
    table, schema = '"The ""Order"" \'s"', '"Mixed $$ Case"'
    shop.run(
        f'CREATE SCHEMA {schema}; CREATE TABLE {schema}.{table} (id serial, "group" text);'
        f"INSERT INTO {schema}.{table} (\"group\") VALUES ('bad')"
    )
    bad = f'SELECT id, "group" FROM {schema}.{table} WHERE "group" = \'bad\''
    rule = small_rule(
        tmp_path,
        statements={
            "wrong": bad,
            "mend_before": f"{bad} FOR UPDATE",
            "mend": f"INSERT INTO {schema}.{table} (\"group\") VALUES ('good') RETURNING id",
            "mend_verify": f"SELECT NOT EXISTS ({bad}) AS gone",
        },
    )
    evil = """Ann's "role" $$; DROP TABLE system_logs --\\"""
    fixer = f"{evil} fixes"
    wanted = [
        (name, needs_of(role, [rule])) for name, role in zip((evil, fixer), Role, strict=True)
    ]
    text = script("a\nDROP TABLE system_logs;", wanted, ["public", "Mixed $$ Case"])
    with psycopg.connect(shop.url("postgres"), autocommit=True) as connection:
        for _ in range(2):
            connection.execute(text.encode())
    with psycopg.connect(shop.url(evil)) as connection:
        assert connection.execute(bad).fetchall() == [(1, "bad")]
    with psycopg.connect(shop.url(fixer)) as connection:
        assert connection.execute(rule.statements["mend_before"].sql).fetchall() == [(1, "bad")]
        assert connection.execute(rule.statements["mend"].sql).fetchall() == [(2,)]
    assert shop.rows("SELECT count(*) FROM system_logs")
    for name in (evil, fixer):
        quoted = '"' + name.replace('"', '""') + '"'
        shop.run(f"DROP OWNED BY {quoted}; DROP ROLE {quoted}")


def test_the_command_prints_the_script_without_asking_anybody(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_READING", "postgresql://ann:hunter2@127.0.0.1:1/shop")
    monkeypatch.setenv("TEST_WRITING", "postgresql://bob:hunter3@127.0.0.1:1/shop")
    printed = run("roles", "--target", "shop_eu")
    assert printed.exit_code == 0
    assert printed.output == script(
        "shop_eu", [("ann", NEEDS[Role.READING]), ("bob", NEEDS[Role.FIXING])], ["public"]
    )
    assert "hunter" not in printed.output
    assert re.search(r"-- user_cannot_log_in: account, .*\n.*ON auth.users TO ann;", printed.output)
    described = json.loads(run("roles", "--target", "shop_eu", "--json").stdout)
    assert [each["name"] for each in described["roles"]] == ["ann", "bob"]
    (users,) = [each for each in described["roles"][1]["tables"] if each["on"] == "auth.users"]
    assert (users["privilege"], users["columns"]) == ("SELECT", ["email", "id"])
    named = run("roles", "--target", "shop_eu", "--reading-role", "R", "--fixing-role", "F")
    assert 'GRANT SELECT (email, id) ON auth.users TO "F";' in named.output


@pytest.mark.parametrize(
    ("arguments", "reading", "said"),
    [
        (
            ["--target", "nobody"],
            "postgresql://a@h/d",
            "there is no target nobody; there are",
        ),
        (["--target", "shop_eu"], "postgresql://h/d", "reading names no role: say --reading-role"),
        (["--target", "shop_eu", "--fixing-role", "a"], "postgresql://a@h/d", "must be two roles"),
    ],
)
def test_what_the_command_refuses(
    run: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str], reading: str, said: str
) -> None:
    monkeypatch.setenv("TEST_READING", reading)
    result = run("roles", *arguments)
    assert (result.exit_code, said in result.output) == (1, True), result.output


def of_roles(result: Any) -> list[str]:
    return [each for each in json.loads(result.stdout)["mistakes"] if ": role " in each]


def test_the_roles_of_the_demo_can_do_no_more_than_they_need(run: Run) -> None:
    result = run("check", "--json")
    assert of_roles(result) == []
    assert json.loads(result.stdout)["not_asked"] == []


READS, FIXES = "responder_reading", "responder_writing"
#: What an administrator did, and what is said of it.
EXCESSES: Mapping[str, tuple[str, str, str]] = {
    "superuser": (READS, "ALTER ROLE {} SUPERUSER", "SUPERUSER"),
    "createrole": (READS, "ALTER ROLE {} CREATEROLE", "CREATEROLE"),
    "createdb": (FIXES, "ALTER ROLE {} CREATEDB", "CREATEDB"),
    "replication": (FIXES, "ALTER ROLE {} REPLICATION", "REPLICATION"),
    "ends sessions": (READS, "GRANT pg_signal_backend TO {}", "member of pg_signal_backend"),
    "writes all": (FIXES, "GRANT pg_write_all_data TO {}", "member of pg_write_all_data"),
    "statistics": (FIXES, "GRANT pg_read_all_stats TO {}", "member of pg_read_all_stats"),
    "member": (READS, "GRANT authenticated TO {}", "member of authenticated"),
    "owner": (
        FIXES,
        "ALTER TABLE system_settings OWNER TO {}",
        "owner of table public.system_settings",
    ),
    "a table": (READS, "GRANT DELETE ON user_roles TO {}", "DELETE on user_roles"),
    "a column": (READS, "GRANT UPDATE (email) ON auth.users TO {}", "UPDATE (email) on auth.users"),
    "trigger": (FIXES, "GRANT TRIGGER ON user_roles TO {}", "TRIGGER on user_roles"),
    "more columns": (
        FIXES,
        "GRANT UPDATE (lot_number) ON intake_lots TO {}",
        "UPDATE (lot_number) on intake_lots",
    ),
    "all columns": (FIXES, "GRANT UPDATE ON intake_lots TO {}", "UPDATE on intake_lots"),
    "everybody": (READS, "GRANT INSERT ON system_logs TO PUBLIC", "INSERT on system_logs"),
    "a sequence": (
        FIXES,
        "CREATE SEQUENCE numbers; GRANT USAGE ON SEQUENCE numbers TO {}",
        "USAGE on numbers",
    ),
    "schema": (READS, "GRANT CREATE ON SCHEMA auth TO {}", "CREATE on schema auth"),
    "database": (FIXES, "GRANT CREATE ON DATABASE {database} TO {}", "CREATE on database"),
    "function": (
        READS,
        "GRANT EXECUTE ON FUNCTION admin_delete_batch TO {}",
        "EXECUTE on admin_delete_batch(uuid,text), SECURITY DEFINER",
    ),
    "everybody's function": (
        FIXES,
        "CREATE FUNCTION reset_all() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
        "EXECUTE on reset_all(), SECURITY DEFINER",
    ),
}


@pytest.fixture
def undone(house: "House") -> Iterator[Callable[[str], None]]:
    """Does something to roles, which belong to the whole server, and mends them afterwards."""
    yield house.shop.run
    house.shop.run(
        "".join(
            f"ALTER ROLE {role} NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION BYPASSRLS;"
            f"REVOKE pg_signal_backend, pg_write_all_data, authenticated FROM {role};"
            for role in (READS, FIXES)
        )
        + f"REVOKE pg_read_all_stats FROM {FIXES}; GRANT pg_read_all_stats TO {READS}"
    )


@pytest.mark.parametrize(("role", "done", "said"), EXCESSES.values(), ids=EXCESSES.keys())
def test_each_excess_is_named_with_what_to_do(
    run: Run, house: "House", undone: Callable[[str], None], role: str, done: str, said: str
) -> None:
    undone(done.format(role, database=house.shop.name))
    key = "reading" if role == READS else "writing"
    mistakes = of_roles(run("check", "--json"))
    told = [each for each in mistakes if f"targets.shop_eu.{key}: role {role} has {said}" in each]
    assert len(told) == 1, mistakes
    assert ", which no rule needs: " in told[0]
    assert "responder roles --target shop_eu" in told[0]
    if said == "SUPERUSER":
        assert len(mistakes) == 1, "of a superuser nothing else is said"


def test_what_cannot_write_or_be_called_is_no_excess(run: Run, house: "House") -> None:
    house.shop.run(
        "CREATE FUNCTION looks() RETURNS int STABLE SECURITY DEFINER LANGUAGE sql AS 'SELECT 1';"
        "CREATE FUNCTION caller() RETURNS int LANGUAGE sql AS 'SELECT 1';"
        "CREATE FUNCTION fires() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NEW; END';"
        "CREATE SCHEMA hidden; CREATE FUNCTION hidden.f() RETURNS int SECURITY DEFINER"
        " LANGUAGE sql AS 'SELECT 1'"
    )
    assert of_roles(run("check", "--json")) == []


@pytest.mark.parametrize(
    ("done", "said"),
    [
        ("REVOKE SELECT ON system_logs FROM responder_reading", "SELECT (context, created_at, id,"),
        (
            "ALTER TABLE system_settings RENAME TO settings",
            "SELECT (key, updated_at) on system_set",
        ),
        (
            "REVOKE UPDATE (status) ON intake_lots FROM responder_writing",
            "UPDATE (status) on intake",
        ),
        ("REVOKE DELETE ON system_logs FROM responder_writing", "DELETE on system_logs"),
        ("ALTER ROLE responder_reading NOBYPASSRLS", "BYPASSRLS, for row level security of"),
        ("REVOKE pg_read_all_stats FROM responder_reading", "membership in pg_read_all_stats"),
        (
            "REVOKE EXECUTE ON FUNCTION admin_delete_batch FROM responder_writing",
            "EXECUTE on admin_delete_batch(uuid,text)",
        ),
    ],
)
def test_what_is_missing_is_named(
    run: Run, undone: Callable[[str], None], done: str, said: str
) -> None:
    undone(done)
    mistakes = of_roles(run("check", "--json"))
    assert len(mistakes) == 1, mistakes
    assert f" lacks {said}" in mistakes[0]
    assert "run what responder roles --target shop_eu prints" in mistakes[0]


def test_an_excess_can_be_accepted_with_a_reason(run: Run, tmp_path: Path, house: "House") -> None:
    house.shop.run("GRANT INSERT ON system_logs TO PUBLIC")
    assert len(of_roles(run("check", "--json"))) == 2
    config = tmp_path / "responder.toml"
    accepts = '\n[targets.shop_eu.accepts]\n"INSERT on system_logs" = "the shop logs by it"\n'
    config.write_text(config.read_text() + accepts)
    assert of_roles(run("check", "--json")) == []


def test_a_target_that_is_down_is_said_and_is_no_mistake_of_its_roles(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_READING", "postgresql://ann:hunter2@127.0.0.1:1/shop")
    monkeypatch.setenv("TEST_WRITING", "postgresql://bob:hunter2@127.0.0.1:1/shop")
    result = run("check", "--json")
    assert of_roles(result) == []
    told = json.loads(result.stdout)["not_asked"]
    assert [each.partition(" could")[0] for each in told] == [
        "targets.shop_eu: the reading role",
        "targets.shop_eu: the fixing role",
    ]
    assert "hunter2" not in result.output


@pytest.mark.parametrize("command", ["serve", "work"])
def test_a_role_that_can_do_too_much_keeps_the_responder_from_starting(
    run: Run, house: "House", monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    house.shop.run("GRANT INSERT ON system_logs TO responder_reading")
    refused = run(command)
    assert refused.exit_code == 1
    assert "roles of targets can do too much:" in refused.output
    assert "role responder_reading has INSERT on system_logs" in refused.output


def test_a_target_that_is_down_or_lacks_grants_keeps_nobody_from_starting(
    run: Run, house: "House", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.shop.run("REVOKE SELECT ON system_logs FROM responder_reading")
    monkeypatch.setenv("TEST_WRITING", "postgresql://bob@127.0.0.1:1/shop")
    processes._ready(read_settings(tmp_path / "responder.toml"))


def test_a_target_that_takes_the_connection_and_says_nothing_keeps_nobody_from_starting(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://ann@127.0.0.1:{silent.getsockname()[1]}/shop"
        monkeypatch.setenv("TEST_READING", url)
        monkeypatch.setenv("TEST_WRITING", url)
        processes._ready(read_settings(tmp_path / "responder.toml"))
        assert len(json.loads(run("check", "--json").stdout)["not_asked"]) == 2

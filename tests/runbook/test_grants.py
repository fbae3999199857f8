"""Which grants a statement needs: a role that has just these runs it, one that lacks one cannot."""

from collections.abc import Iterator
from itertools import count

import psycopg
import pytest
from psycopg import sql

from responder.embedded import LocalPostgres
from responder.runbook.grants import RESERVED, Grant, Name, NotRead, grants_of, quote_identifier

SCHEMA = """
CREATE SCHEMA app;
CREATE SCHEMA "Odd "" Schema";
CREATE TABLE orders (id serial PRIMARY KEY, state text, note text, secret text);
CREATE TABLE lines (id int PRIMARY KEY, order_id int, amount int, state text);
CREATE TABLE app.users (id int PRIMARY KEY, email text, password text);
CREATE TABLE "Odd "" Schema"."Order" (id int PRIMARY KEY, "Status's" text, plain text);
CREATE FUNCTION app.count_orders() RETURNS bigint LANGUAGE sql SECURITY DEFINER
    AS 'SELECT count(*) FROM public.orders';
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT 2 * n';
REVOKE USAGE ON SCHEMA public FROM PUBLIC;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA app, public FROM PUBLIC;
"""
#: A statement, and the grants that it needs, in the words of GRANT.
STATEMENTS = {
    "columns of one table": (
        "SELECT id, lower(state) FROM orders WHERE note IS NULL ORDER BY id",
        ["SELECT (id, note, state) ON orders"],
    ),
    "all columns": ("SELECT * FROM orders", ["SELECT ON orders"]),
    "no column": ("SELECT EXISTS (SELECT FROM orders)", ["SELECT ON orders"]),
    "count(*) and a condition": (
        "SELECT count(*) FROM orders WHERE state = 'x'",
        ["SELECT (state) ON orders"],
    ),
    "an alias of the result orders": (
        "SELECT state, count(*) AS n, max(id) AS note FROM orders GROUP BY state ORDER BY n, note",
        ["SELECT (id, state) ON orders"],
    ),
    "two tables, every column named": (
        "SELECT o.id, l.amount FROM orders o JOIN lines l ON l.order_id = o.id",
        ["SELECT (id) ON orders", "SELECT (amount, order_id) ON lines"],
    ),
    "two tables, a column of one": (
        "SELECT amount FROM orders o JOIN lines l ON l.order_id = o.id",
        ["SELECT ON orders", "SELECT ON lines"],
    ),
    "a table inside another's condition": (
        "SELECT o.id FROM orders o WHERE NOT EXISTS"
        " (SELECT FROM lines l WHERE l.order_id = o.id AND l.state = 'x')",
        ["SELECT (id) ON orders", "SELECT (order_id, state) ON lines"],
    ),
    "the same alias twice": (
        "SELECT x.id, (SELECT max(x.amount) FROM lines x) FROM orders x",
        ["SELECT (id) ON orders", "SELECT (amount) ON lines"],
    ),
    "joined by USING": (
        "SELECT o.note FROM orders o JOIN lines l USING (id)",
        ["SELECT ON orders", "SELECT ON lines"],
    ),
    "a whole row": ("SELECT to_jsonb(o) FROM orders o", ["SELECT ON orders"]),
    "a CTE that has the name of its table": (
        "WITH orders AS (SELECT id FROM orders) SELECT count(id) FROM orders",
        ["SELECT (id) ON orders"],
    ),
    "a CTE in a CTE": (
        "WITH RECURSIVE a AS (SELECT id FROM lines UNION SELECT id + 1 FROM a WHERE id < 3)"
        " SELECT max(id) FROM a",
        ["SELECT (id) ON lines"],
    ),
    "LATERAL": (
        "SELECT o.id, m.top FROM orders o CROSS JOIN LATERAL"
        " (SELECT max(l.amount) AS top FROM lines l WHERE l.order_id = o.id) m",
        ["SELECT (id) ON orders", "SELECT (amount, order_id) ON lines"],
    ),
    "another schema": (
        "SELECT email FROM app.users WHERE id = %(id)s::int",
        ["SELECT (email, id) ON app.users"],
    ),
    "odd names": (
        'SELECT "Status\'s" FROM "Odd "" Schema"."Order" WHERE "Status\'s" <> \'100%%\'',
        ['SELECT ("Status\'s") ON "Odd "" Schema"."Order"'],
    ),
    "insert into columns": (
        "INSERT INTO lines (id, amount) VALUES (1, 2)",
        ["INSERT (id, amount) ON lines"],
    ),
    "insert and say": (
        "INSERT INTO lines (id, amount) SELECT u.id, 2 FROM app.users u RETURNING id",
        ["INSERT (id, amount) ON lines", "SELECT (id) ON lines", "SELECT (id) ON app.users"],
    ),
    "insert or change": (
        "INSERT INTO lines (id, amount) VALUES (1, 2)"
        " ON CONFLICT (id) DO UPDATE SET amount = excluded.amount",
        [
            "INSERT (id, amount) ON lines",
            "SELECT (amount, id) ON lines",
            "UPDATE (amount) ON lines",
        ],
    ),
    "insert a whole row": ("INSERT INTO lines VALUES (1, 2, 3, 'x')", ["INSERT ON lines"]),
    "update": (
        "UPDATE orders SET state = 'x', note = NULL WHERE id = 1 RETURNING id",
        ["SELECT (id) ON orders", "UPDATE (state, note) ON orders"],
    ),
    "update blindly": ("UPDATE orders SET state = 'x'", ["UPDATE (state) ON orders"]),
    "update by its own value": (
        "UPDATE lines SET amount = amount + 1",
        ["SELECT (amount) ON lines", "UPDATE (amount) ON lines"],
    ),
    "update several at once": (
        "UPDATE lines SET (amount, state) = (1, 'x') WHERE id = 1",
        ["SELECT (id) ON lines", "UPDATE (amount, state) ON lines"],
    ),
    "update from another": (
        "UPDATE lines l SET amount = 1 FROM orders o WHERE o.id = l.order_id AND o.state = 'x'",
        ["SELECT (id, state) ON orders", "SELECT (order_id) ON lines", "UPDATE (amount) ON lines"],
    ),
    "delete": (
        "DELETE FROM lines WHERE id = 1",
        ["DELETE ON lines", "SELECT (id) ON lines"],
    ),
    "delete blindly": ("DELETE FROM lines", ["DELETE ON lines"]),
    "delete using another": (
        "DELETE FROM lines l USING orders o WHERE o.id = l.order_id",
        ["DELETE ON lines", "SELECT (id) ON orders", "SELECT (order_id) ON lines"],
    ),
    "a change within a question": (
        "WITH gone AS (DELETE FROM lines WHERE id = 1 RETURNING id) SELECT count(*) FROM gone",
        ["DELETE ON lines", "SELECT (id) ON lines"],
    ),
    "merge": (
        "MERGE INTO lines l USING orders o ON l.id = o.id"
        " WHEN MATCHED THEN UPDATE SET amount = 1 WHEN NOT MATCHED THEN INSERT (id) VALUES (o.id)",
        [
            "INSERT ON lines",
            "SELECT ON lines",
            "SELECT ON orders",
            "UPDATE ON lines",
        ],
    ),
    "lock": (
        "SELECT id FROM orders WHERE state = 'x' FOR UPDATE",
        ["SELECT (id, state) ON orders", "UPDATE (state) ON orders"],
    ),
    "lock one of two": (
        "SELECT o.id FROM orders o JOIN lines l ON l.order_id = o.id"
        " WHERE o.state = 'x' FOR UPDATE OF o",
        [
            "SELECT (id, state) ON orders",
            "SELECT (order_id) ON lines",
            "UPDATE (state) ON orders",
        ],
    ),
    "call": (
        "SELECT app.count_orders(), twice(id) FROM orders",
        ["EXECUTE ON app.count_orders", "EXECUTE ON twice", "SELECT (id) ON orders"],
    ),
}
_numbers = count(1)


@pytest.fixture(scope="module")
def admin(cluster: LocalPostgres) -> Iterator[psycopg.Connection]:
    with psycopg.connect(cluster.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE grants")
    with psycopg.connect(cluster.url("grants"), autocommit=True) as connection:
        connection.execute(SCHEMA)
        yield connection
    with psycopg.connect(cluster.url(), autocommit=True) as connection:
        connection.execute("DROP DATABASE grants WITH (FORCE)")


def said(grant: Grant) -> str:
    columns = f" ({', '.join(map(quote_identifier, grant.columns))})" if grant.columns else ""
    return f"{grant.privilege}{columns} ON {grant.on}"


def needed(statement: str) -> list[str]:
    found = grants_of(statement)
    functions = [Grant("EXECUTE", each) for each in found.functions]
    own = [each for each in functions if each.on.name in ("twice", "count_orders")]
    return [said(each) for each in (*found.tables, *found.locks, *own)]


@pytest.mark.parametrize(("statement", "grants"), STATEMENTS.values(), ids=STATEMENTS.keys())
def test_the_grants_of_a_statement(
    admin: psycopg.Connection, statement: str, grants: list[str]
) -> None:
    assert sorted(needed(statement)) == sorted(grants)
    role = f"granted_{next(_numbers)}"
    admin.execute(f"CREATE ROLE {role}")
    admin.execute(f'GRANT USAGE ON SCHEMA public, app, "Odd "" Schema" TO {role}')

    def run() -> None:
        with admin.transaction(force_rollback=True):
            admin.execute(f"SET LOCAL ROLE {role}")
            admin.execute(statement, {"id": 1})

    for grant in grants:
        admin.execute(_words("GRANT", grant) + f" TO {role}")
    run()
    for grant in grants:
        admin.execute(_words("REVOKE", grant) + f" FROM {role}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            run()
        admin.execute(_words("GRANT", grant) + f" TO {role}")
    admin.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def _words(verb: str, grant: str) -> str:
    return f"{verb} {grant.replace('EXECUTE ON', 'EXECUTE ON FUNCTION')}"


@pytest.mark.parametrize("statement", ["VACUUM orders", "SELECT (", "CALL tidy()", "DROP TABLE a"])
def test_what_cannot_be_worked_out_is_said(statement: str) -> None:
    with pytest.raises(NotRead):
        grants_of(statement)


def test_names_are_quoted_where_postgresql_wants_it(admin: psycopg.Connection) -> None:
    words = "SELECT array_agg(word) FROM pg_get_keywords() WHERE catcode IN ('R', 'T')"
    row = admin.execute(words).fetchone()
    assert row is not None
    assert set(row[0]) <= RESERVED
    for name in ("user", "Order", 'a"b', "1a", "order_lines", "straße"):
        text = str(Name("", name))
        assert (text == name) == (name == "order_lines")
        admin.execute(sql.SQL("SELECT 1 AS {}").format(sql.SQL(text)))  # type: ignore[arg-type]
        row = admin.execute(f"SELECT 1 AS {text}").description  # type: ignore[assignment]
        assert row[0].name == name  # type: ignore[attr-defined, index]

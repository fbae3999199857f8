"""A runbook is loaded whole or refused with every mistake; the first wall of promise 2 is here."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from responder.domain.matcher import parse_matcher
from responder.domain.severity import Severity
from responder.runbook.loader import LoadedRule, RunbookWrong, load
from responder.runbook.schedule import plain_value

GOOD = {
    "doc": "The thing is stuck.",
    "answers": ['alertname="Stuck"'],
    "target": "shop",
    "key": "()",
    "parameters": "{}",
    "diagnostics": '[Sql("rows", "Which rows?")]',
    "options": "[]",
    "schedule": "",
}
MODULE = '''"""{doc}"""

from responder.runbook import Http, Label, Option, Rule, Sql, Tcp, Within

class Stuck(Rule):
    answers = {answers}
    target = {target!r}
    key = {key}
    parameters = {parameters}
    diagnostics = {diagnostics}
    options = {options}
    schedule = {schedule!r}

    def conclude(self, case):
        return []
'''
ROWS = {"rows": "SELECT 1"}
RETRY = {"retry": "UPDATE t SET a = 1", "retry_before": "SELECT 1", "retry_verify": "SELECT true"}
DIRECT = {"retry": "VACUUM t", "retry_check": "SELECT 'done' AS state", "retry_cleanup": "SELECT 1"}

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes one rule into a runbook and returns its folder; what is not said is in order."""

    def write(
        name: str = "p2/stuck",
        module: str | None = None,
        sql: dict[str, str] | str | None = ROWS,
        **changes: Any,
    ) -> Path:
        text = module if module is not None else MODULE.format(**{**GOOD, **changes})
        place = tmp_path / "rules" / f"{name}.py"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
        statements = tmp_path / "sql" / "rules" / f"{place.stem}.sql"
        statements.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(sql, dict):
            sql = "".join(f"-- name: {name}\n-- Why.\n{text};\n" for name, text in sql.items())
        if sql is not None:
            statements.write_text(sql, encoding="utf-8")
        return tmp_path

    return write


def mistakes(root: Path) -> list[str]:
    with pytest.raises(RunbookWrong) as refused:
        load(root)
    assert str(refused.value) == "\n".join(refused.value.mistakes)
    return refused.value.mistakes


def option(**settings: Any) -> str:
    """The source of one option named retry, in order but for these settings."""
    known = {"automatic": True, "changes": ("t",), **settings}
    return f'[Option("retry", "Retry", {", ".join(f"{k}={v!r}" for k, v in known.items())})]'


def test_a_rule_as_the_engine_uses_it(write: Write) -> None:
    root = write(
        doc="The thing is stuck.\n\n    Symptoms: it hangs.\n    ",
        answers=['b="2"', 'a="1"'],
        options=option(),
        sql={**ROWS, **RETRY},
    )
    (rule,) = load(root)
    assert (rule.name, rule.severity) == ("stuck", Severity.P2)
    assert rule.summary == "The thing is stuck."
    assert rule.text.endswith("\nSymptoms: it hangs.")
    assert [str(matcher) for matcher in rule.matchers] == ['a="1"', 'b="2"']
    assert set(rule.statements) == {"rows", "retry", "retry_before", "retry_verify"}
    assert rule.options["retry"].automatic
    assert [diagnostic.name for diagnostic in rule.diagnostics] == ["rows"]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ('a="b|c"', "b|c"),
        ('a=~"b"', "b"),
        ('a=~"Batch-Stuck|c"', "Batch-Stuck"),
        ('a=~"b.|c"', None),
        ('a=~""', None),
        ('a!="b"', None),
        ('a!~"b"', None),
    ],
)
def test_what_our_own_alert_says(written: str, value: str | None) -> None:
    matcher = parse_matcher(written)
    assert plain_value(matcher) == value
    assert value is None or matcher.holds({"a": value})


def test_a_rule_may_ask_without_sql(write: Write) -> None:
    (rule,) = load(write(sql=None, diagnostics='[Tcp("port", "Does it answer?")]'))
    assert rule.statements == {}


@pytest.mark.parametrize("folder", ["p0", "p1"])
def test_nothing_at_p0_and_p1_is_automatic(write: Write, folder: str) -> None:
    """The first wall of promise 2, with nothing else that speaks against this rule."""
    rule = {"options": option(), "sql": {**ROWS, **RETRY}}
    severity = folder.upper()
    (mistake,) = mistakes(write(f"{folder}/stuck", **rule))
    expected = f"{folder}/stuck.py: option retry is automatic; nothing at {severity} ever is"
    assert mistake == expected


@pytest.mark.parametrize("folder", ["p2", "p3"])
def test_at_p2_and_p3_it_may_be(write: Write, folder: str) -> None:
    (rule,) = load(write(f"{folder}/stuck", options=option(), sql={**ROWS, **RETRY}))
    assert rule.options["retry"].automatic


@pytest.mark.parametrize("folder", ["p0", "p1"])
def test_at_p0_and_p1_an_option_is_for_people(write: Write, folder: str) -> None:
    options = option(automatic=False)
    (rule,) = load(write(f"{folder}/stuck", options=options, sql={**ROWS, **RETRY}))
    assert not rule.options["retry"].automatic


MODULE_MISTAKES = {
    "no docstring": ({"doc": ""}, "needs a docstring"),
    "answers nothing": ({"answers": []}, "answers nothing"),
    "a bad matcher": ({"answers": ["alertname"]}, "not a matcher: 'alertname'"),
    "a bad pattern": ({"answers": ['a=~"("']}, "not a regular expression"),
    "answers is no list": ({"answers": '"alertname"'}, "answers must be a list, not 'alertname'"),
    "no target": ({"target": ""}, "names no kind of target"),
    "severity in the key": ({"key": '("env", "severity")'}, "its key has severity"),
    "severity behind a parameter": (
        {"key": '("how_bad",)', "parameters": '{"how_bad": Label("priority")}'},
        "its key has how_bad, a severity",
    ),
    "a name twice": (
        {"diagnostics": '[Sql("rows", "Which?"), Tcp("rows", "Does it answer?")]'},
        "uses the name rows twice",
    ),
    "an option named as a diagnostic": (
        {
            "options": '[Option("rows", "Rows", run="true")]',
        },
        "uses the name rows twice",
    ),
    "after what does not exist": (
        {"diagnostics": '[Sql("rows", "Which?", after="port")]'},
        "`rows` comes after `port`, which is not before it",
    ),
    "after what comes later": (
        {"diagnostics": '[Sql("rows", "Which?", after="port"), Tcp("port", "Does it answer?")]'},
        "`rows` comes after `port`, which is not before it",
    ),
    "a timeout that is no duration": (
        {"diagnostics": '[Sql("rows", "Which?", timeout="5 seconds")]'},
        "`rows`: not a duration: '5 seconds'",
    ),
    "an index that cannot be read": (
        {"diagnostics": '[Sql("rows", "Which?", index="orders.created_at")]'},
        "`rows`: its index must be written like `orders (created_at)`",
    ),
    "a schedule that is none": ({"schedule": "daily"}, "its schedule 'daily' is no cron: write"),
    "a schedule with seconds": ({"schedule": "0 0 9 * * *"}, "'0 0 9 * * *' is no cron: write"),
    "an hour that is none": ({"schedule": "0 25 * * *"}, "its schedule '0 25 * * *' is no cron: ["),
    "a day that never comes": ({"schedule": "0 9 31 2 *"}, "'0 9 31 2 *' is no cron: failed to"),
    "a time by chance": ({"schedule": "R 9 * * *"}, "'R 9 * * *' is drawn by chance"),
    "a time by hash": ({"schedule": "0 H(0-7) * * *"}, "'0 H(0-7) * * *' is drawn by chance"),
    "a schedule, and answers that name no value": (
        {"schedule": "0 9 * * fri", "answers": ['a=~"b.*|c"']},
        'has a schedule, so it answers plain words such as =~"a|b", not a=~"b.*|c"',
    ),
    "a schedule without a key": (
        {"schedule": "0 9 * mar *", "key": "None"},
        "has a schedule, so it needs a key",
    ),
    "no statement": (
        {"diagnostics": '[Sql("rows", "Which?"), Sql("more", "Which more?")]'},
        "the statement `more` is missing in sql/rules/stuck.sql",
    ),
    "no file of statements": ({"sql": None}, "the statement `rows` is missing"),
    "a parameter that nobody binds": (
        {"sql": {"rows": "SELECT %(email)s"}},
        "`rows` needs %(email)s, which is no parameter of the rule",
    ),
    "statements that cannot be read": (
        {"sql": "-- name: rows\nSELECT 1;"},
        "sql/rules/stuck.sql: rows needs one sentence",
    ),
}


@pytest.mark.parametrize(
    ("changes", "complaint"), MODULE_MISTAKES.values(), ids=MODULE_MISTAKES.keys()
)
def test_a_mistake_of_a_rule(write: Write, changes: dict[str, Any], complaint: str) -> None:
    (mistake,) = mistakes(write(**changes))
    assert mistake.startswith("p2/stuck.py: ")
    assert complaint in mistake


def test_a_rule_without_a_conclusion(write: Write) -> None:
    module = MODULE.format(**GOOD).partition("    def conclude")[0]
    assert mistakes(write(module=module)) == [
        "p2/stuck.py: concludes nothing; write conclude(self, case)"
    ]


OPTION_MISTAKES = {
    "dangerous": ({"dangerous": True}, "must be harmless"),
    "reaches outside": ({"outside": True}, "must be harmless, inside"),
    "not transactional": ({"transactional": False}, "transactional"),
    "waits for a window": ({"in_window": True}, "what waits for a window or a batch is for people"),
    "a batch of many": ({"batch": True}, "what waits for a window or a batch is for people"),
    "asks somebody": ({"asks": {"store": "Which?"}}, "nobody is there to be asked"),
    "a command to run": ({"run": "systemctl restart it"}, "a statement, not a command"),
    "a cool-down that is none": ({"cooldown": "a while"}, "not a duration: 'a while'"),
    "a role that is none": ({"role": "boss"}, "its role must be one of viewer, operator, admin"),
    "in somebody's name": ({"claims": True}, "must not act in a person's name"),
    "names no tables": ({"changes": ()}, "must name the tables that it changes"),
}


@pytest.mark.parametrize(
    ("settings", "complaint"), OPTION_MISTAKES.values(), ids=OPTION_MISTAKES.keys()
)
def test_a_mistake_of_an_option(write: Write, settings: dict[str, Any], complaint: str) -> None:
    sql = {**ROWS, **RETRY, **DIRECT}
    (mistake,) = mistakes(write(options=option(**settings), sql=sql))
    assert mistake.startswith("p2/stuck.py: option retry")
    assert complaint in mistake


@pytest.mark.parametrize("verify", ['"soon"', '"10m", every="often"'])
def test_a_verification_that_is_no_duration(write: Write, verify: str) -> None:
    options = f'[Option("retry", "Retry", changes=("t",), verify=Within({verify}))]'
    (mistake,) = mistakes(write(options=options, sql={**ROWS, **RETRY}))
    assert "option retry: not a duration" in mistake


@pytest.mark.parametrize("automatic", [True, False])
@pytest.mark.parametrize("missing", RETRY)
def test_an_option_needs_its_statements(write: Write, missing: str, automatic: bool) -> None:
    sql = {name: text for name, text in {**ROWS, **RETRY}.items() if name != missing}
    (mistake,) = mistakes(write(options=option(automatic=automatic), sql=sql))
    assert mistake.endswith(f"option retry needs the statement `{missing}` in sql/rules/stuck.sql")


@pytest.mark.parametrize(
    "settings",
    [
        {"automatic": False, "run": "systemctl restart it", "changes": ()},
        {"automatic": False, "dangerous": True, "outside": True, "asks": {"store": "Which?"}},
    ],
    ids=["a command", "what only a person may do"],
)
def test_an_option_for_people(write: Write, settings: dict[str, Any]) -> None:
    (rule,) = load(write(options=option(**settings), sql={**ROWS, **RETRY}))
    assert not rule.options["retry"].automatic


def test_what_cannot_be_rolled_back_needs_no_before(write: Write) -> None:
    options = option(automatic=False, transactional=False, changes=())
    load(write(options=options, sql={**ROWS, **DIRECT}))


@pytest.mark.parametrize("missing", DIRECT)
def test_what_cannot_be_rolled_back_needs_its_statements(write: Write, missing: str) -> None:
    options = option(automatic=False, transactional=False, changes=())
    sql = {name: text for name, text in {**ROWS, **DIRECT}.items() if name != missing}
    (mistake,) = mistakes(write(options=options, sql=sql))
    assert mistake.endswith(f"option retry needs the statement `{missing}` in sql/rules/stuck.sql")


@pytest.mark.parametrize(
    "more", [{"run": "psql"}, {"batch": True}, {"claims": True}, {"undo": True}]
)
def test_what_cannot_be_rolled_back_is_nothing_else(write: Write, more: dict[str, Any]) -> None:
    options = option(automatic=False, transactional=False, changes=(), **more)
    (mistake,) = mistakes(write(options=options, sql={**ROWS, **DIRECT}))
    assert "option retry runs in no transaction: no run, batch, claims or undo with it" in mistake


BROKEN = {
    "syntax": ("def conclude(:", "SyntaxError"),
    "import": ("import a_module_that_nobody_has", "ModuleNotFoundError"),
    "raises": ("raise RuntimeError('not today')", "RuntimeError: not today"),
    "null": ("x = '\0'", "null bytes"),
    "no rule": ('"""Text."""', "must define exactly one Rule, found 0"),
    "an imported rule": (
        "from responder.runbook import Rule",
        "must define exactly one Rule, found 0",
    ),
    "two rules": (
        "from responder.runbook import Rule\nclass A(Rule): ...\nclass B(Rule): ...",
        "must define exactly one Rule, found 2",
    ),
    "an option that is none": (
        "from responder.runbook import Rule, Option\nclass A(Rule):\n    options = [Option('x')]",
        "TypeError",
    ),
}


@pytest.mark.parametrize(("module", "complaint"), BROKEN.values(), ids=BROKEN.keys())
def test_a_module_that_is_no_rule(write: Write, module: str, complaint: str) -> None:
    (mistake,) = mistakes(write(module=module))
    assert mistake.startswith("p2/stuck.py: ")
    assert complaint in mistake


def test_every_mistake_of_every_rule_at_once(write: Write) -> None:
    write("p0/first", answers=['a="1"'], target="", sql={**ROWS, **RETRY}, options=option())
    write("p1/second", module="def")
    write("p2/third", answers=['a="3"'])
    root = write("p3/fourth", answers=[], sql={"rows": "SELECT %(x)s"}, doc="")
    found = mistakes(root)
    places = [mistake.partition(":")[0] for mistake in found]
    assert places == ["p0/first.py"] * 2 + ["p1/second.py"] + ["p3/fourth.py"] * 3


def test_two_rules_of_one_name(write: Write) -> None:
    write("p1/stuck", answers=['a="1"'])
    assert mistakes(write("p3/stuck", answers=['a="2"'])) == [
        "two rules are named stuck: P1 and P3"
    ]


def test_two_rules_for_the_same_alerts(write: Write) -> None:
    write("p1/one", answers=['a="1"', "b=2"])
    root = write("p3/other", answers=['b="2"', ' a = "1"'])
    assert mistakes(root) == ["one and other answer exactly the same alerts"]


def test_a_runbook_without_a_rule_is_a_mistake(write: Write) -> None:
    (mistake,) = mistakes(write("p2/_helpers", sql=None))
    assert "no rules found in" in mistake


@pytest.mark.parametrize(
    ("name", "sql", "complaint"),
    [
        ("p4/stuck", None, "rules/p4/stuck.py: a rule lies in rules/p0, p1, p2 or p3"),
        ("stuck", None, "rules/stuck.py: a rule lies in rules/p0, p1, p2 or p3"),
        ("p2/deep/stuck", None, "rules/p2/deep/stuck.py: a rule lies in rules/p0, p1, p2 or p3"),
        ("P2x/stuck", None, "rules/P2x/stuck.py: a rule lies in rules/p0, p1, p2 or p3"),
        ("p2/_helpers", ROWS, "sql/rules/_helpers.sql: there is no rule _helpers"),
    ],
)
def test_files_that_belong_to_no_rule(
    write: Write, name: str, sql: dict[str, str] | None, complaint: str
) -> None:
    write("p2/other", answers=['a="1"'])
    assert complaint in mistakes(write(name, sql=sql))


def test_the_most_severe_folder_first_then_by_name(write: Write) -> None:
    for number, name in enumerate(("p3/a", "p2/z", "p2/b", "p0/y", "p1/x", "p2/b_more", "p0/c")):
        root = write(name, answers=[f'a="{number}"'])
    assert [rule.name for rule in load(root)] == ["c", "y", "x", "b", "b_more", "z", "a"]


def test_the_checksum_is_of_the_module_and_its_sql(write: Write) -> None:
    def checksum(**changes: Any) -> str:
        (rule,) = load(write(**changes))
        return rule.checksum

    first = checksum()
    assert checksum() == first
    others = {
        checksum(doc="The thing is stuck!"),
        checksum(sql={"rows": "SELECT 2"}),
        checksum(sql={**ROWS, "more": "SELECT 1"}),
    }
    assert len(others | {first}) == 4
    assert checksum() == first


def test_the_checksum_is_of_the_code_that_runs(write: Write) -> None:
    """Also when the file has the size and the time of the code before, as images often have."""

    def loaded(answer: int) -> LoadedRule:
        module = MODULE.format(**GOOD).replace("return []", f"return [{answer}]")
        root = write(module=module)
        os.utime(root / "rules" / "p2" / "stuck.py", (1_000_000_000, 1_000_000_000))
        return load(root)[0]

    nothing: Any = None
    first, second = loaded(1), loaded(2)
    assert first.checksum != second.checksum
    ran: list[Any] = [list(rule.rule.conclude(nothing)) for rule in (first, second)]
    assert ran == [[1], [2]]


def test_loading_leaves_nothing_beside_the_rules(write: Write) -> None:
    root = write()
    load(root)
    assert sorted(path.name for path in (root / "rules").rglob("*")) == ["p2", "stuck.py"]


UNDO = {"retry_undo": "UPDATE queue SET a = 1 WHERE %(before)s <> %(after)s RETURNING *"}
BARE = {"retry": "SELECT retry_all()"}
UNDO_MISTAKES = {
    "no statement": ({"undo": True}, {}, "has undo=True, so it needs the statement `retry_undo`"),
    "not said": ({}, UNDO, "so option retry must say undo=True"),
    "no after": (
        {"undo": True},
        {"retry_undo": "UPDATE queue SET a = 1 WHERE %(before)s <> '' RETURNING *"},
        "`retry_undo` must bind %(after)s",
    ),
    "returns nothing": (
        {"undo": True},
        {"retry_undo": "UPDATE queue SET a = 1 WHERE %(after)s <> ''"},
        "`retry_undo` must return the rows that it restores",
    ),
    "no after-image": ({"undo": True}, {**UNDO, **BARE}, "its undo needs `retry_after` too"),
    "acts outside": ({"undo": True, "automatic": False, "outside": True}, UNDO, "cannot be undone"),
    "a batch": ({"undo": True, "automatic": False, "batch": True}, UNDO, "cannot be undone"),
}


@pytest.mark.parametrize(
    ("settings", "sql", "complaint"), UNDO_MISTAKES.values(), ids=UNDO_MISTAKES.keys()
)
def test_a_mistake_of_an_undo(
    write: Write, settings: dict[str, Any], sql: dict[str, str], complaint: str
) -> None:
    root = write(options=option(**settings), sql={**ROWS, **RETRY, **RETURNS, **sql})
    (mistake,) = mistakes(root)
    assert complaint in mistake


RETURNS = {"retry": "UPDATE queue SET a = 1 RETURNING *"}


@pytest.mark.parametrize("more", [RETURNS, {**BARE, "retry_after": "SELECT %(before)s"}])
def test_an_option_that_can_be_undone(write: Write, more: dict[str, str]) -> None:
    sql = {**ROWS, **RETRY, **more, **UNDO}
    (rule,) = load(write(options=option(undo=True), sql=sql))
    assert rule.options["retry"].undo

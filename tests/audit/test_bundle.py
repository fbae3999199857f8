"""A bundle proves itself without our database, and every edit of it is named."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from responder import __version__
from responder.cli import main
from responder.domain.ids import new_id
from responder.domain.secret import Secret
from responder.domain.witnessed import jsonb_text, read_exact
from responder.pipeline.audit.bundle import bundle_text, make_bundle, manifest_of, manifest_text
from responder.pipeline.audit.keys import SigningKeys
from responder.pipeline.audit.report import Report
from responder.pipeline.audit.unbundle import NotABundle, check_bundle
from responder.store import Store
from responder.web.tokens import new_keys
from tests.audit.conftest import Scene

Edit = Callable[[Any], None]


@pytest.fixture
def exported(scene: Scene) -> str:
    """The bundle of the only incident, as a file's text."""
    with closing(Store(scene.url, 1, __version__)) as store, store.snapshot() as tx:
        (incident,) = tx.all("incidents_after", after="0" * 32, since=None, limit=2)
        return bundle_text(make_bundle(tx, SigningKeys(scene.settings.key), incident["id"]))


def event_of(bundle: Any, what: str) -> Any:
    return next(event for event in bundle["events"] if event["what"] == what)


def row_of(bundle: Any, table: str) -> Any:
    return next(row for row in bundle["rows"] if row["subject"].startswith(f"{table} "))["content"]


#: What somebody edits -> what is named.
EDITS: dict[str, tuple[Edit, str]] = {
    "who did it": (lambda b: event_of(b, "fix").update(actor="bob"), "event "),
    "when": (lambda b: event_of(b, "fix").update(at="2026-01-01T00:00:00+00:00"), "event "),
    "details": (lambda b: event_of(b, "decision")["details"].update(reason="x"), "event "),
    "an answer": (lambda b: row_of(b, "answer")["answer"].update(rows=[]), "answer "),
    "the SQL of an answer": (lambda b: row_of(b, "answer").update(sql="SELECT 1"), "answer "),
    "a decision": (lambda b: row_of(b, "decision").update(sentence="Yes."), "decision "),
    "rows before a fix": (lambda b: row_of(b, "fix").update(before_rows=[]), "fix "),
    "the counts of a fix": (lambda b: row_of(b, "fix")["counts"].update(thing=1), "fix "),
    "a column of a fix": (lambda b: row_of(b, "fix").pop("xid"), "fix "),
    "a note": (lambda b: row_of(b, "note").update(body="It was Bob."), "note "),
    "a row is left out": (lambda b: b["rows"].pop(), "note "),
    "an event is left out": (lambda b: b["events"].pop(2), "events/count"),
    "a seal": (lambda b: b["seals"][0].update(at="2026-01-01T00:00:00+00:00"), "seal 1"),
    "the code of the rule": (lambda b: b["rules"][0].update(sql="SELECT 2"), "rule thing"),
    "a notice": (lambda b: b["alerts"][0]["notice"]["labels"].update(env="x"), "alerts/0"),
    "a digest of a body": (lambda b: b["deliveries"][0].update(body_sha256="00"), "deliveries/0"),
    "what was told": (lambda b: b["notifications"][0].update(receiver="x"), "notifications/0"),
    "the incident": (lambda b: b["incident"].update(severity="P3"), "incident"),
    "when it was made": (lambda b: b.update(made_at="2026-01-01"), "made_at"),
    "something more": (lambda b: b.update(remark="fine"), "remark"),
    "the manifest": (lambda b: b["manifest"].update(made_at="00"), "manifest"),
}


def check(text: str, scene: Scene) -> Report:
    return check_bundle(read_exact(text), SigningKeys(scene.settings.key).public())


def test_what_was_exported_is_all_there(exported: str, scene: Scene) -> None:
    report = check(exported, scene)
    assert report.ok, [trouble.sentence for trouble in report.troubles]
    assert (report.unsealed, report.unproven_rows) == (0, 0)
    assert report.seals == 4 and report.rows >= 5
    bundle = json.loads(exported)
    assert "UPDATE thing" in row_of(bundle, "fix")["statements"]["apply"]
    assert {notice["status"] for notice in bundle["notifications"]} == {"sent"}
    assert "class Small(Rule)" in bundle["rules"][0]["module"]
    key = Path(scene.settings.key.references[0].removeprefix("file:")).read_text()
    assert json.loads(key)["keys"][0]["d"] not in exported, "a bundle holds no private key"


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_is_named(exported: str, scene: Scene, name: str) -> None:
    edit, subject = EDITS[name]
    bundle = read_exact(exported)
    edit(bundle)
    report = check(bundle_text(bundle), scene)
    assert any(trouble.subject.startswith(subject) for trouble in report.troubles), [
        trouble.sentence for trouble in report.troubles
    ]


def test_who_edits_and_signs_anew_is_not_us(exported: str, scene: Scene, tmp_path: Path) -> None:
    """With the keys that such a bundle brings along, only what was sealed speaks against it."""
    (tmp_path / "other.json").write_text(new_keys(new_id()), encoding="utf-8")
    other = SigningKeys(Secret((f"file:{tmp_path / 'other.json'}",)))
    bundle = read_exact(exported)
    bundle["alerts"][0]["name"] = "Other"
    bundle["keys"] = other.public().to_json()
    bundle["manifest"] = dict(manifest_of(bundle))
    signature = other.sign(manifest_text(bundle["manifest"])).hex()
    bundle["signature"] = {"kid": other.kid, "signature": signature}
    said = [each.sentence for each in check(bundle_text(bundle), scene).troubles]
    assert any("no key of ours" in each for each in said)
    said = [each.sentence for each in check_bundle(read_exact(bundle_text(bundle)), None).troubles]
    assert "altered: seal 1: it is not signed by us" in said


@pytest.mark.parametrize("text", ["[]", "{}", '{"incident": {"id": "x"}}', "7", "null"])
def test_what_is_no_bundle_is_said_to_be_none(text: str) -> None:
    with pytest.raises(NotABundle):
        check_bundle(read_exact(text), None)


def test_a_member_that_stands_there_twice_hides_nothing(exported: str) -> None:
    """People would read the first one."""
    with pytest.raises(ValueError, match="twice"):
        read_exact(exported.replace('"title": "', '"title": "Nothing", "title": "', 1))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """The command on a machine without settings and without our database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RESPONDER_CONFIG", raising=False)
    yield lambda *arguments: CliRunner().invoke(main, ["audit", "verify", *map(str, arguments)])


def test_on_a_machine_without_the_database(
    exported: str, scene: Scene, run: Callable[..., Any], tmp_path: Path
) -> None:
    file, keys = tmp_path / "bundle.json", tmp_path / "public.json"
    file.write_text(exported, encoding="utf-8")
    public = SigningKeys(scene.settings.key).public()
    keys.write_text(json.dumps(public.to_json()), encoding="utf-8")
    told = run(file, "--keys", keys)
    assert told.exit_code == 0, told.output
    assert "nothing was changed" in told.output
    told = run(file)
    assert told.exit_code == 0 and "are they ours?" in told.output
    file.write_text(exported.replace("It was the cache.", "It was no cache."), encoding="utf-8")
    told = run(file, "--keys", keys, "--json")
    assert told.exit_code == 1
    assert "altered" in told.output and "note " in told.output
    file.write_text("[1]", encoding="utf-8")
    assert run(file).exit_code == 1
    assert run(tmp_path / "nothing").exit_code == 2


@pytest.mark.parametrize(
    "value",
    [
        {"b": 1, "aa": [None, True, {"é": '\u2028 \x7f \x01 " \\ \n'}], "a": {}},
        {"n": "1.10 2e5 -0.000 123456789012345678901234567890.5"},
    ],
)
def test_our_text_of_a_jsonb_is_that_of_postgresql(scene: Scene, value: Any) -> None:
    ((theirs,),) = scene.superuser(f"SELECT $t${json.dumps(value)}$t$::jsonb::text")
    assert jsonb_text(read_exact(theirs)) == theirs == jsonb_text(read_exact(json.dumps(value)))


def test_numbers_keep_their_digits(scene: Scene) -> None:
    ((theirs,),) = scene.superuser(
        "SELECT '[1.10, 2e5, -0.000, 12345678901234567890.5]'::jsonb::text"
    )
    assert jsonb_text(read_exact(theirs)) == theirs

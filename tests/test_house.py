"""The house rules that no other tool looks at."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from responder import settings

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RULES = sorted(ROOT.glob("rules/p?/*.py"))
LOCKS = sorted(ROOT.glob("requirements/*.lock"))
#: targets/ puts a wrap around a rule's statement, embedded.py makes databases.
SQL_ALLOWED = ("responder/targets/", "responder/embedded.py")
SQL = re.compile(
    r"\b(SELECT\s|INSERT\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|CREATE\s+TABLE\s)"
)
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules that a file imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def strings(tree: ast.AST) -> Iterator[str]:
    """All string literals but the docstrings."""
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, DOCUMENTED)]
    docstrings = {id(body[0].value) for body in bodies if body and isinstance(body[0], ast.Expr)}
    constants = (node for node in ast.walk(tree) if isinstance(node, ast.Constant))
    for node in constants:
        if isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


@pytest.mark.parametrize("path", RULES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_rule_imports_only_its_public_api_and_the_standard_library(path: Path) -> None:
    modules = set(imported(ast.parse(path.read_text())))
    strangers = {name for name in modules if name.partition(".")[0] not in sys.stdlib_module_names}
    assert strangers <= {"responder.runbook"}


def test_no_sql_stands_in_python_strings() -> None:
    found = [
        f"{relative}: {text[:60]!r}"
        for path in sorted(ROOT.glob("responder/**/*.py"))
        if not (relative := path.relative_to(ROOT).as_posix()).startswith(SQL_ALLOWED)
        for text in strings(ast.parse(path.read_text()))
        if SQL.search(text)
    ]
    assert found == []


#: What makes code of a text, a shell's line of words, or a secret of what can be guessed.
DANGEROUS = re.compile(
    r"eval|exec|compile|__import__|os\.(system|popen)|(pickle|marshal|shelve)\.\w+"
    r"|subprocess\.(getoutput|getstatusoutput)|yaml\.\w*load\w*|xml\.\w.*|random\.\w+|uuid\.uuid\d"
    r"|hashlib\.(md5|sha1|new)|tempfile\.mktemp|ssl\._create_unverified_context|render_template_string"
)
#: Code of rules, which the operator chose, is read and run in a child: runbook/process.py.
RUNS_RULES = {("responder/runbook/module.py", "compile"), ("responder/runbook/module.py", "exec")}


def called(tree: ast.AST) -> Iterator[str]:
    """What a file calls, as it is written, and keywords that switch a guard off."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)
            yield from (
                f"{word.arg}={ast.unparse(word.value)}" for word in node.keywords if word.arg
            )


def test_nothing_dangerous_is_called() -> None:
    off = {"shell=True", "verify=False", "allow_redirects=True", "autoescape=False"}
    found = {
        (path.relative_to(ROOT).as_posix(), what)
        for path in [*ROOT.glob("responder/**/*.py"), *RULES]
        for what in called(ast.parse(path.read_text()))
        if DANGEROUS.fullmatch(what) or what in off
    }
    assert found == RUNS_RULES


def test_no_template_leaves_a_text_as_it_came() -> None:
    """All that a page shows is escaped; its script makes no HTML of texts."""
    folder = ROOT / "responder/web"
    for path in [*folder.glob("templates/**/*.html"), *folder.glob("static/console/*.js")]:
        left = (
            r"\|\s*safe\b|autoescape|innerHTML|outerHTML|insertAdjacent|document\.write|Storage\b"
        )
        assert re.search(left, path.read_text()) is None, path.name
    assert not re.search(r"\bMarkup\(", "".join(p.read_text() for p in folder.rglob("*.py")))


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_a_lock_names_no_address(path: Path) -> None:
    text = path.read_text()
    assert "://" not in text
    assert "--index" not in text and "--extra-index" not in text and "--find-links" not in text


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("run.lock", PROJECT["project"]["dependencies"]),
        ("dev.lock", PROJECT["project"]["dependencies"]),
        ("dev.lock", PROJECT["project"]["optional-dependencies"]["demo"]),
        ("dev.lock", [each for each in PROJECT["dependency-groups"]["dev"] if str(each) == each]),
        ("build.lock", PROJECT["dependency-groups"]["build"]),
    ],
    ids=["run", "dev", "demo", "tools", "build"],
)
def test_a_lock_has_all_that_the_project_names(lock: str, wanted: list[str]) -> None:
    pinned = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / lock).read_text(), re.M))
    assert {re.split(r"[^a-z0-9-]", each)[0] for each in wanted} <= pinned


def test_git_keeps_no_lock_that_names_a_registry() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout, so nothing is tracked")
    assert not [path for path in listed.stdout.splitlines() if Path(path).name == "uv.lock"]


def test_the_image_copies_only_what_exists_and_is_not_ignored() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copies = [line.split()[1:-1] for line in lines if re.match(r"COPY (?!--from)", line)]
    sources = {source for copy in copies for source in copy}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert {source for source in sources if not (ROOT / source).exists()} == set()
    assert {source.partition("/")[0] for source in sources} == let_in


def test_the_wheel_carries_rules_and_sql_as_data(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        files = set(wheel.namelist())
    data = {
        f"responder/shipped/{path.relative_to(ROOT).as_posix()}"
        for path in [*RULES, *ROOT.glob("sql/**/*.sql"), ROOT / "runbook.toml"]
    }
    assert data <= files
    assert {name.partition("/")[0].partition("-")[0] for name in files} == {"responder"}


def test_the_example_settings_can_be_read() -> None:
    example = settings.load(ROOT / "docs/examples/responder.toml")
    assert example.sources and example.targets and example.receivers


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs/decisions"
    index = (folder / "README.md").read_text()
    files = {path.name for path in folder.glob("[0-9]*.md")}
    assert files == set(re.findall(r"\]\((\d{4}-[a-z0-9-]+\.md)\)", index))

"""The page of the API: from our own files alone, under a policy that lets nothing else in."""

import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from flask.testing import FlaskClient
from werkzeug.serving import make_server

import responder.web
from responder.web import create_app
from tests.house import House

STATIC = Path(responder.web.__file__).parent / "static"
CHROMIUM = shutil.which("chromium") or ""
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def test_it_loads_its_own_files_only(client: FlaskClient) -> None:
    with client.get("/docs") as page:
        text = page.get_data(as_text=True)
        assert page.mimetype == "text/html"
    assert "://" not in text
    places = re.findall(r'(?:src|href)="([^":]+)"', text)
    assert len(places) == 4
    for place in places:
        with client.get(f"/{place}") as found:
            assert found.status_code == 200, place


def test_its_policy(client: FlaskClient) -> None:
    with client.get("/docs") as page:
        policy = dict(
            part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; ")
        )
    assert policy.pop("img-src") == "'self' data:"
    own = {"script-src", "style-src", "connect-src", "font-src"}
    assert {name: policy.pop(name) for name in own} == dict.fromkeys(own, "'self'")
    assert policy == dict.fromkeys(
        ("default-src", "frame-ancestors", "base-uri", "form-action"), "'none'"
    )


def test_what_is_vendored_is_what_was_published() -> None:
    """Each file is in THIRD_PARTY.md with its digest, and its licence is beside it."""
    page = (Path(__file__).parents[2] / "THIRD_PARTY.md").read_text()
    vendored = [path for path in (STATIC / "vendor").rglob("*") if path.is_file()]
    assert {path.name for path in vendored} >= {"LICENSE", "swagger-ui-bundle.js"}
    for path in vendored:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert f"| `{path.name}` | `{digest}` |" in page


@pytest.fixture
def url(house: House) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, create_app(house.services), threaded=True)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.skipif(not CHROMIUM, reason="there is no chromium to look at the page with")
def test_a_browser_shows_it_and_complains_of_nothing(url: str, tmp_path: Path) -> None:
    shown = subprocess.run(
        [
            *(CHROMIUM, *QUIET, f"--user-data-dir={tmp_path}", "--enable-logging=stderr"),
            *("--virtual-time-budget=10000", "--dump-dom", f"{url}/docs#/incidents/incident"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert [line for line in shown.stderr.splitlines() if "CONSOLE" in line] == []
    words = re.sub(r"<[^>]*>", "", shown.stdout)
    assert "The incident document." in words
    assert "Needs a token of the role viewer or a higher one." in words
    assert "Hand in what a monitor tells." in words

"""`quart-tasks migrate`: what it prints, writes and exits with."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from quart_tasks.cli import cli

BEFORE = "from flask import Flask, request\n\napp = Flask(__name__)\n"
AFTER = "from quart import Quart, request\n\napp = Quart(__name__)\n"
LEFT = "print(lambda: request.form)\n"
COMMENT = "# TODO[quart-tasks]: This must be awaited, and a lambda cannot await.\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "app.py"
    path.write_text(BEFORE)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["migrate", *map(str, arguments)])


def test_a_dry_run_shows_and_writes_nothing(file: Path) -> None:
    result = run(file.parent)
    assert result.exit_code == 0
    assert "--- a/app.py\n+++ b/app.py\n" in result.output
    assert "-app = Flask(__name__)\n+app = Quart(__name__)\n" in result.output
    assert "run it again with --write" in result.output
    assert file.read_text() == BEFORE


def test_write_writes_and_a_second_run_has_nothing_to_do(file: Path) -> None:
    assert run(file.parent, "--write").exit_code == 0
    assert file.read_text() == AFTER
    assert "Nothing to change." in run(file.parent).output


def test_what_is_left_is_told_and_exits_1(file: Path) -> None:
    file.write_text(BEFORE + LEFT)
    result = run(file, "--write")
    assert result.exit_code == 1
    assert "app.py:4: QT301 This must be awaited, and a lambda cannot await." in result.output
    assert file.read_text() == AFTER + COMMENT + LEFT
    assert run(file, "--write").exit_code == 1
    assert file.read_text() == AFTER + COMMENT + LEFT


def test_a_comment_that_stands_is_still_left(file: Path) -> None:
    comment = "# TODO[quart-tasks]: Decide this.\n"
    file.write_text(f"def load():\n    {comment}    return 1\n\n\n{comment}x = 1\n")
    result = run(file)
    assert result.exit_code == 1
    assert "app.py:2: QT002 Decide this.\n  app.py:6: QT002 Decide this.\n" in result.output
    assert "0 changes in 0 files would change; 2 left to you." in result.output


def test_a_comment_at_the_top_is_told_once(file: Path) -> None:
    file.write_text(f"{COMMENT}import flask; {LEFT.replace('request', 'flask.request')}")
    first = run(file, "--write")
    second = run(file)
    for result in (first, second):
        assert result.output.count(": QT301 This must be awaited") == 1
        assert "QT002" not in result.output
    file.write_text("# TODO[quart-tasks]: Decide this.\n" + file.read_text())
    assert "app.py:1: QT002 Decide this." in run(file).output


def test_lines_are_those_of_the_files_as_they_are_then(file: Path) -> None:
    file.write_text(f"from flask import Flask, request\n{LEFT}\n\n{LEFT}{LEFT}")
    assert lines(run(file, "--json")) == [2, 5, 6]
    assert lines(run(file, "--json", "--write")) == [2, 6, 8]
    text = file.read_text().splitlines(keepends=True)
    assert [text[line - 1] for line in (2, 6, 8)] == [COMMENT] * 3


def lines(result: Result) -> list[int]:
    findings = json.loads(result.output)["findings"]
    return [finding["line"] for finding in findings if finding["kind"] == "left"]


def test_json(file: Path) -> None:
    file.write_text(BEFORE + LEFT)
    result = run(file, "--json")
    assert result.exit_code == 1
    document = json.loads(result.output)
    assert document["written"] is False
    assert [entry["path"] for entry in document["files"]] == ["app.py"]
    assert {
        "code": "QT301",
        "path": "app.py",
        "line": 4,
        "kind": "left",
        "message": "This must be awaited, and a lambda cannot await.",
    } in document["findings"]


def test_a_path_that_is_not_there_exits_2(tmp_path: Path) -> None:
    result = run(tmp_path / "nothing")
    assert result.exit_code == 2
    assert "does not exist" in result.output


def test_without_libcst(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("quart_tasks.migrate")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "libcst", None)
    result = run(file)
    assert result.exit_code == 2
    assert "pip install 'quart-tasks-server[migrate]'" in result.output

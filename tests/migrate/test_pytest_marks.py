"""The rule in `rules/test_marks.py`: tests and fixtures of pytest."""

import os
import subprocess
import sys
from pathlib import Path

from quart_tasks.migrate.run import migrate
from tests.waiting import HANG

from .cases import check
from .running import ALONE, PYTEST

APP = """\
from flask import Flask, request

app = Flask(__name__)


@app.post("/login")
def login():
    return {"token": request.form["name"]}
"""
TESTS = """\
import pytest
from app import app


@pytest.fixture
def client():
    return app.test_client()


@pytest.fixture(scope="function")
def token(client):
    yield client.post("/login", data={"name": "tea"}).get_json()["token"]


@pytest.mark.parametrize("status", [404])
def test_nothing(client, status):
    assert client.get("/").status_code == status


class TestLogin:
    def test_token(self, token):
        assert token == "tea"

    def test_text(self, client):
        answer = client.post("/login", data={"name": "tea"})
        assert "tea" in answer.text


def test_plain():
    assert app.name == "app"
"""


def run_tests(folder: Path, *options: str) -> str:
    command = [sys.executable, *PYTEST, *options, "."]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | ALONE, capture_output=True, text=True, timeout=HANG
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_tests_and_fixtures_are_marked() -> None:
    check(
        """\
        import pytest

        from quart import Quart


        @pytest.fixture(scope="module")
        def token():
            return Quart(__name__).test_client().get("/").status_code


        @pytest.mark.skip
        def test_token(token):
            assert Quart(__name__).test_client().get("/").status_code == token
        """,
        """\
        import pytest
        import pytest_asyncio

        from quart import Quart


        @pytest_asyncio.fixture(scope="module")
        async def token():
            return (await Quart(__name__).test_client().get("/")).status_code


        @pytest.mark.asyncio
        @pytest.mark.skip
        async def test_token(token):
            assert (await Quart(__name__).test_client().get("/")).status_code == token
        """,
    )


def test_they_run_before_and_after(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "test_app.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
    )
    assert "...." in run_tests(tmp_path)
    migration = migrate(tmp_path)
    assert migration.is_complete
    migration.write()
    assert "...." in run_tests(tmp_path)


def test_in_auto_mode_nothing_is_marked(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "test_app.py").write_text(TESTS)
    settings = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
    (tmp_path / "pytest.ini").write_text(settings)
    migrate(tmp_path).write()
    assert "asyncio" not in (tmp_path / "test_app.py").read_text()
    assert "...." in run_tests(tmp_path)

"""The rule in `rules/test_cases.py`: test cases of unittest."""

import subprocess
import sys
from pathlib import Path

from quart_tasks.migrate.run import migrate

from ..waiting import HANG
from .cases import check


def test_the_case_and_its_beginning() -> None:
    check(
        """\
        from unittest import TestCase

        from quart import Quart


        class Base(TestCase):
            def setUp(self):
                self.app = Quart(__name__)
                self.context = self.app.app_context()
                self.context.push()
                self.client = self.app.test_client()

            def tearDown(self):
                self.context.pop()


        class Index(Base):
            def test_index(self):
                self.assertEqual(self.client.get("/").status_code, 404)


        class Other(TestCase):
            def test_other(self):
                self.assertTrue(Quart)
        """,
        """\
        from unittest import TestCase, IsolatedAsyncioTestCase

        from quart import Quart


        class Base(IsolatedAsyncioTestCase):
            async def asyncSetUp(self):
                self.app = Quart(__name__)
                self.context = self.app.app_context()
                await self.context.push()
                self.client = self.app.test_client()

            async def asyncTearDown(self):
                await self.context.pop()


        class Index(Base):
            async def test_index(self):
                self.assertEqual((await self.client.get("/")).status_code, 404)


        class Other(TestCase):
            def test_other(self):
                self.assertTrue(Quart)
        """,
    )


def test_they_run_before_and_after(tmp_path: Path) -> None:
    (tmp_path / "test_app.py").write_text(
        """\
import unittest

from flask import Flask, current_app, request

app = Flask("shop")


@app.post("/")
def index():
    return [current_app.name, request.get_json()]


class Index(unittest.TestCase):
    def setUp(self):
        self.client = app.test_client()

    def test_index(self):
        response = self.client.post("/", json=1)
        self.assertEqual(response.json, ["shop", 1])


if __name__ == "__main__":
    unittest.main()
"""
    )
    command = [sys.executable, "test_app.py"]
    before = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=HANG)
    assert before.returncode == 0, before.stderr
    migration = migrate(tmp_path)
    assert migration.is_complete
    migration.write()
    after = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=HANG)
    assert after.returncode == 0, after.stderr
    assert "Ran 1 test" in after.stderr

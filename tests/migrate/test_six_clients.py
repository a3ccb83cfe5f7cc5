"""Test clients of migrated apps are those of started apps."""

from __future__ import annotations

import pytest

from tests.migrate.cases import migrated

APP = """\
    from threading import Thread

    from flask import Flask

    app = Flask(__name__)


    def work():
        pass


    @app.get("/")
    def index():
        Thread(target=work).start()
        return "ok"
    """
PLAIN = APP.replace("Thread(target=work).start()", "work()")

SHAPES = {
    "a fixture that returns": (
        """\
        import pytest
        from app import app


        @pytest.fixture
        def client():
            # one each
            return app.test_client(use_cookies=False)


        def test_index(client):
            assert client.get("/").status_code == 200
        """,
        """\
        @pytest_asyncio.fixture
        async def client():
            # one each
            async with app.test_app() as test_app:
                yield test_app.test_client(use_cookies=False)


        @pytest.mark.asyncio
        async def test_index(client):
            assert (await client.get("/")).status_code == 200
        """,
    ),
    "a fixture with a name for it": (
        """\
        import pytest
        from app import app


        @pytest.fixture
        def client():
            app.config["TESTING"] = True
            client = app.test_client()
            with app.app_context():
                yield client


        @pytest.fixture
        def other():
            client = app.test_client()
            client.name = "other"
            return client
        """,
        """\
        @pytest_asyncio.fixture
        async def client():
            app.config["TESTING"] = True
            async with app.test_app() as test_app:
                client = test_app.test_client()
                async with app.app_context():
                    yield client


        @pytest_asyncio.fixture
        async def other():
            async with app.test_app() as test_app:
                client = test_app.test_client()
                client.name = "other"
                yield client
        """,
    ),
    "a fixture with a with": (
        """\
        import pytest
        from app import app


        @pytest.fixture
        def client():
            with app.test_client() as client:
                yield client
        """,
        """\
        @pytest_asyncio.fixture
        async def client():
            async with app.test_app() as test_app, test_app.test_client() as client:
                yield client
        """,
    ),
    "a test": (
        """\
        import pytest
        from app import app


        def test_index():
            client = app.test_client()

            response = client.get("/")
            assert response.status_code == 200
        """,
        """\
        @pytest.mark.asyncio
        async def test_index():
            async with app.test_app() as test_app:
                client = test_app.test_client()

                response = await client.get("/")
                assert response.status_code == 200
        """,
    ),
    "a test case": (
        """\
        import unittest
        from app import app


        class Index(unittest.TestCase):
            def setUp(self):
                self.client = app.test_client()

            def test_index(self):
                self.assertEqual(self.client.get("/").status_code, 200)
        """,
        """\
        class Index(unittest.IsolatedAsyncioTestCase):
            async def asyncSetUp(self):
                await self.enterAsyncContext(app.test_app())
                self.client = app.test_client()

            async def test_index(self):
                self.assertEqual((await self.client.get("/")).status_code, 200)
        """,
    ),
}


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_app_is_started(shape: str) -> None:
    before, after = SHAPES[shape]
    sources, found = migrated({"app.py": APP, "test_app.py": before})
    assert [each.message for each in found if each.kind == "left"] == []
    wanted = lines(after)
    assert lines(sources["test_app.py"])[-len(wanted) :] == wanted


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_started_once_where_more_is_left_to_do(shape: str) -> None:
    """The tests are migrated already, and the app gets its tasks only now."""
    before, _ = SHAPES[shape]
    first, _ = migrated({"app.py": APP, "test_app.py": before})
    sources, found = migrated({"app.py": APP, "test_app.py": first["test_app.py"]})
    assert [each.message for each in found if each.kind == "left"] == []
    assert sources["test_app.py"] == first["test_app.py"]


@pytest.mark.parametrize("shape", SHAPES)
def test_an_app_without_tasks_need_not_be_started(shape: str) -> None:
    sources, _ = migrated({"app.py": PLAIN, "test_app.py": SHAPES[shape][0]})
    assert "test_app()" not in sources["test_app.py"]


LEFT = {
    "a scope": """\
    import pytest
    from app import app


    @pytest.fixture(scope="module")
    def client():
        return app.test_client()
    """,
    "one for all": """\
    from app import app

    client = app.test_client()
    """,
    "a helper": """\
    from app import app


    def make_client():
        return app.test_client()
    """,
}


@pytest.mark.parametrize("shape", LEFT)
def test_what_is_left(shape: str) -> None:
    sources, found = migrated({"app.py": APP, "test_app.py": LEFT[shape]})
    assert [each.code for each in found if each.kind == "left"] == ["QT110"]
    assert "app.test_client()" in sources["test_app.py"]

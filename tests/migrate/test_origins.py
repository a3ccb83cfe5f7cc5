"""Where values come from: what must be awaited is found wherever it was put in between."""

import pytest

from .cases import migrated

HEAD = """\
import pytest
from quart import Blueprint, Quart, current_app, g, make_response, request
from werkzeug.datastructures import FileStorage


def create_app() -> Quart:
    return Quart(__name__)


app = create_app()

"""


def became(source: str, *expected: str) -> None:
    sources, findings = migrated({"test_app.py": HEAD + source})
    assert [finding for finding in findings if finding.kind == "left"] == []
    for line in expected:
        assert line in sources["test_app.py"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f():\n    r = request\n    return r.json", "await r.json"),
        ("def f():\n    r = request if app else None\n    return r.form", "await r.form"),
        ("def f():\n    if (body := request.json): return body", "(body := await request.json)"),
        ("def f(r=request):\n    return request.files", "await request.files"),
        ("def f():\n    return app.test_client().get('/')", "await app.test_client().get('/')"),
        (
            "def f():\n    with app.test_client() as c:\n        return c.get('/').data",
            "await (await c.get('/')).data",
        ),
        (
            "def f():\n    answer = make_response('a')\n    return answer.data",
            "return await answer.data",
        ),
        (
            "def f():\n    for file in request.files.getlist('a'):\n        file.save('b')",
            "await file.save('b')",
        ),
        (
            "def f():\n    for name, file in request.files.items():\n        file.save(name)",
            "await file.save(name)",
        ),
        (
            "def f():\n    store(request.files['a'])\n\n\n"
            "def store(file: FileStorage):\n    file.save('b')",
            "await file.save('b')",
        ),
        ("def f(web: Quart):\n    return web.make_response('a')", "await web.make_response('a')"),
        (
            "class Views:\n    web = app\n\n    def f(self):\n"
            "        return self.web.make_response('a')",
            "await self.web.make_response('a')",
        ),
        (
            "class Page:\n    def __init__(self, client):\n        self.client = client\n\n"
            "    def open(self):\n        return self.client.get('/')\n\n\n"
            "def make():\n    return Page(app.test_client())",
            "await self.client.get('/')",
        ),
        (
            "@pytest.fixture\ndef client():\n    yield app.test_client()\n\n\n"
            "def test_it(client):\n    assert client.get('/').data",
            "assert await (await client.get('/')).data",
        ),
        (
            "@app.after_request\ndef after(r):\n    print(r.get_data())\n    return r",
            "print(await r.get_data())",
        ),
    ],
)
def test_it_is_found(source: str, expected: str) -> None:
    became(f"{source}\n", expected)


@pytest.mark.parametrize(
    "source",
    [
        "def f(request):\n    return request.json",
        "def f():\n    r = other()\n    return r.json, r.data",
        "class Client:\n    def get(self, path):\n        return path\n\n\n"
        "client = Client()\n\n\ndef f():\n    return client.get('/')",
        "def f():\n    file = FileStorage()\n    file.save('a')",
        "def f():\n    return g.form, app.json, current_app.config['data']",
    ],
)
def test_what_only_looks_like_it(source: str) -> None:
    sources, _ = migrated({"test_app.py": f"{HEAD}{source}\n"})
    assert sources["test_app.py"] == f"{HEAD}{source}\n"

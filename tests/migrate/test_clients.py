"""The rules about what a test client is given and gives."""

import pytest

from .cases import check

HEAD = """\
import io
import json

from quart import Quart, g

app = Quart(__name__)
client = app.test_client()
"""


def sent(before: str, after: str, *codes: str, imports: str = "") -> None:
    made = HEAD + "\n\nasync def send(rows, stream):\n    "
    expected = made.replace("import Quart, g\n", f"import Quart, g\n{imports}")
    check(f"{made}{before}\n", f"{expected}{after}\n", *codes)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('client.post("/", data={"a": "b"})', 'await client.post("/", form={"a": "b"})'),
        ('client.post("/", data=dict(a="b"))', 'await client.post("/", form=dict(a="b"))'),
        ('client.post("/", data=b"raw")', 'await client.post("/", data=b"raw")'),
        (
            'client.post("/", data=json.dumps({}), content_type="application/json")',
            'await client.post("/", data=json.dumps({}), '
            'headers={"Content-Type": "application/json"})',
        ),
        (
            'client.put("/", data="x", headers={"A": "b"}, content_type="text/plain")',
            'await client.put("/", data="x", headers={"A": "b", "Content-Type": "text/plain"})',
        ),
        (
            'client.post("/", json={}, content_type="application/json")',
            'await client.post("/", json={})',
        ),
        ("client.get()", 'await client.get("/")'),
        ("client.get(query_string={})", 'await client.get("/", query_string={})'),
    ],
)
def test_what_is_sent(before: str, after: str) -> None:
    sent(before, after)


def test_files() -> None:
    sent(
        'client.post("/", data={"a": "b", "c": (io.BytesIO(b""), "c.png", "image/png")})',
        'await client.post("/", form={"a": "b"}, '
        'files={"c": FileStorage(io.BytesIO(b""), "c.png", content_type="image/png")})',
        imports="from quart.datastructures import FileStorage\n",
    )


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (
            'await client.post("/", data=stream)',
            "Quart's test client takes a form as `form`, files as `files` and a raw body as "
            "`data`.",
        ),
        (
            'await client.post("/", data={"a": ["b", "c"]})',
            "Quart's test client takes one value for each name of a form: send this body as "
            "`data`.",
        ),
        (
            'await client.get("/", base_url="http://shop")',
            "Quart's test client has no `base_url`.",
        ),
    ],
)
def test_what_is_left(line: str, why: str) -> None:
    sent(line, f"# TODO[quart-tasks]: {why}\n    {line}", "QT505")


def test_the_text_of_an_answer() -> None:
    sent(
        'assert "a" in client.get("/").text',
        'assert "a" in await (await client.get("/")).get_data(as_text=True)',
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('set_cookie("a", "b")', 'set_cookie("localhost", "a", "b")'),
        ('set_cookie("a", "b", domain="shop")', 'set_cookie("shop", "a", "b")'),
        ('set_cookie("localhost", "a", "b")', 'set_cookie("localhost", "a", "b")'),
        ('delete_cookie("a")', 'delete_cookie("localhost", "a")'),
    ],
)
def test_cookies(before: str, after: str) -> None:
    sent(f"client.{before}", f"client.{after}")


def test_what_the_client_does_not_keep() -> None:
    check(
        HEAD
        + """

async def test_user():
    with client:
        client.get("/")
        assert g.user
""",
        HEAD
        + """

async def test_user():
    async with client:
        await client.get("/")
        # TODO[quart-tasks]: Quart's client keeps the request and the session, not `g`.
        assert g.user
""",
        "QT506",
    )

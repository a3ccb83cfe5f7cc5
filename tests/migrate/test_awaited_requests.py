"""The rule in `rules/awaited_requests.py`, and that its output runs."""

import pytest

from quart_tasks.migrate.quart_api import is_coroutine, is_property

from .asking import Ask, same_answers
from .cases import check, unchanged


def view(*lines: str) -> str:
    text = "".join(f"    {line}\n" for line in lines)
    return f"from quart import flash, make_response, request\n\n\ndef view():\n{text}"


def awaited(before: str, after: str) -> None:
    check(view(before), view(after).replace("def view", "async def view"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("return request.json", "return await request.json"),
        ("return request.get_json(silent=True)", "return await request.get_json(silent=True)"),
        ("return request.json['a']", "return (await request.json)['a']"),
        ("return request.form.get('a')", "return (await request.form).get('a')"),
        ("return (request.form)['a']", "return (await request.form)['a']"),
        ("return f\"{request.form['a']!r}\"", "return f\"{(await request.form)['a']!r}\""),
        ("return f'{request.form}'", "return f'{await request.form}'"),
        ("return request.json or {}", "return await request.json or {}"),
        ("return not request.data", "return not await request.data"),
        ("return -request.json ** 2", "return -await request.json ** 2"),
        ("return len(request.get_data())", "return len(await request.get_data())"),
        ("return {**request.form}", "return {**await request.form}"),
        ("return [*request.files]", "return [*await request.files]"),
        ("return request.values['a'].b", "return (await request.values)['a'].b"),
        ("return (yes := request.json)", "return (yes := await request.json)"),
        ("return {k: 1 for k in request.form}", "return {k: 1 for k in await request.form}"),
        ("for k in request.form: print(k)", "for k in await request.form: print(k)"),
        ("del request.json['a']", "del (await request.json)['a']"),
        ("request.json['a'] = 1", "(await request.json)['a'] = 1"),
        ("flash('saved')", "await flash('saved')"),
        (
            "request.files['a'].save('b')",
            "await (await request.files)['a'].save('b')",
        ),
        (
            "return make_response('a').get_data()",
            "return await (await make_response('a')).get_data()",
        ),
    ],
)
def test_parentheses_only_where_needed(before: str, after: str) -> None:
    awaited(before, after)


@pytest.mark.parametrize(
    "line",
    [
        "return request.args['a']",
        "return request.headers, request.cookies, request.is_json, request.method",
        "return request.path.json, request.args.get_json()",
        "return other.json, other.get_json()",
        "request.extra = 1",
    ],
)
def test_what_is_no_coroutine_stays(line: str) -> None:
    unchanged(view(line))


def test_a_value_that_was_stored_first() -> None:
    check(
        view("r = request", "file = r.files.get('a')", "return file.save('b')"),
        view(
            "r = request", "file = (await r.files).get('a')", "return await file.save('b')"
        ).replace("def view", "async def view"),
    )


def test_quart_itself_says_what_is_a_coroutine() -> None:
    assert is_coroutine("flask.Request.form")
    assert is_property("flask.Request.form")
    assert is_coroutine("flask.render_template")
    assert not is_coroutine("flask.url_for")
    assert not is_coroutine("flask.Request.nothing")


async def test_it_runs() -> None:
    await same_answers(
        """
from flask import Flask, jsonify, make_response, render_template_string, request

app = Flask(__name__)


@app.post("/json")
def from_json():
    return jsonify(request.get_json()["name"], [n for n in request.json["list"]])


@app.post("/form")
def from_form():
    response = make_response(f"{request.form['name']!r} {sorted(request.values)}", 201)
    response.headers["X-Length"] = str(len(response.get_data()))
    return response


@app.post("/data")
def from_data():
    return request.get_data() + request.data


@app.get("/page")
def page():
    return render_template_string("<b>{{ name }}</b>", name=request.args["name"])
""",
        [
            Ask("/json", "POST", json={"name": "tea", "list": [1, 2]}),
            Ask("/form", "POST", form={"name": "tea"}),
            Ask("/form?more=1", "POST", form={"other": "tea"}),
            Ask("/data", "POST", data=b"abc"),
            Ask("/page?name=<tea>"),
            Ask("/nothing"),
        ],
    )

"""Decorators of the project, and the wrappers in them."""

from .asking import Ask, same_answers
from .cases import check, migrated

HEAD = """\
from functools import wraps

from quart import Quart, abort, current_app, request, session

app = Quart(__name__)

"""


def rewritten(before: str, after: str, *codes: str) -> None:
    check(HEAD + before, HEAD + after, *codes)


def test_the_wrapper_of_an_async_view_awaits_it() -> None:
    rewritten(
        """
def logged(view):
    @wraps(view)
    def wrapper(*args, **kwargs):
        current_app.logger.info(view.__name__)
        return view(*args, **kwargs)

    return wrapper


@app.post("/")
@logged
def index():
    return request.form
""",
        """
def logged(view):
    @wraps(view)
    async def wrapper(*args, **kwargs):
        current_app.logger.info(view.__name__)
        return await view(*args, **kwargs)

    return wrapper


@app.post("/")
@logged
async def index():
    return await request.form
""",
    )


def test_sync_views_under_the_same_decorator_stay_sync() -> None:
    rewritten(
        """
def allowed(role):
    def decorate(view):
        @wraps(view)
        def wrapper(**kwargs):
            if role != request.args["role"]:
                abort(403)
            answer = view(**kwargs)
            return answer

        return wrapper

    return decorate


@app.post("/")
@allowed("cook")
def index():
    return request.form


@app.get("/other")
@allowed("guest")
def other():
    return "other"
""",
        """
def allowed(role):
    def decorate(view):
        @wraps(view)
        async def wrapper(**kwargs):
            if role != request.args["role"]:
                abort(403)
            answer = await current_app.ensure_async(view)(**kwargs)
            return answer

        return wrapper

    return decorate


@app.post("/")
@allowed("cook")
async def index():
    return await request.form


@app.get("/other")
@allowed("guest")
def other():
    return "other"
""",
    )


def test_a_wrapper_that_awaits_makes_calls_of_what_it_wraps_awaited() -> None:
    rewritten(
        """
def checked(f):
    @wraps(f)
    def wrapper():
        return f() if request.get_json() else None

    return wrapper


@checked
def helper():
    return "help"


@app.post("/")
def index():
    return helper().title()
""",
        """
def checked(f):
    @wraps(f)
    async def wrapper():
        return await current_app.ensure_async(f)() if await request.get_json() else None

    return wrapper


@checked
def helper():
    return "help"


@app.post("/")
async def index():
    return (await helper()).title()
""",
    )


def test_a_decorator_that_keeps_the_function_elsewhere_bars_it() -> None:
    source = (
        HEAD
        + """
VIEWS = {}


def kept(view):
    VIEWS[view.__name__] = view
    return view


@kept
def index():
    return request.form
"""
    )
    sources, findings = migrated({"app.py": source})
    assert "    return request.form\n" in sources["app.py"]
    assert "async def" not in sources["app.py"]
    assert [finding.message for finding in findings] == [
        "This must be awaited, and `index` cannot become async: "
        "`kept` does more with it than to call it."
    ]


def test_decorators_of_a_view_class_always_get_a_coroutine_function() -> None:
    rewritten(
        """
from quart.views import MethodView


def logged(view):
    @wraps(view)
    def wrapper(*args, **kwargs):
        return view(*args, **kwargs)

    return wrapper


class Index(MethodView):
    decorators = [logged]

    def get(self):
        return "index"
""",
        """
from quart.views import MethodView


def logged(view):
    @wraps(view)
    async def wrapper(*args, **kwargs):
        return await current_app.ensure_async(view)(*args, **kwargs)

    return wrapper


class Index(MethodView):
    decorators = [logged]

    def get(self):
        return "index"
""",
    )


async def test_it_runs() -> None:
    await same_answers(
        """
from functools import wraps

from flask import Flask, abort, jsonify, request
from flask.views import MethodView

app = Flask(__name__)


def needs(name):
    def decorate(view):
        @wraps(view)
        def wrapper(*args, **kwargs):
            if name not in request.get_json(silent=True, force=True):
                abort(400)
            return view(*args, **kwargs)

        return wrapper

    return decorate


def doubled(view):
    @wraps(view)
    def wrapper(*args, **kwargs):
        return jsonify([view(*args, **kwargs)] * 2)

    return wrapper


@app.post("/sync/<int:number>")
@doubled
@needs("a")
def sync_view(number):
    return number


@app.post("/async")
@doubled
@needs("b")
def async_view():
    return request.json["b"]


class Class(MethodView):
    decorators = [doubled]

    def get(self, name):
        return name

    def post(self, name):
        return [name, request.get_json()]


app.add_url_rule("/class/<name>", view_func=Class.as_view("class"))
""",
        [
            Ask("/sync/1", "POST", json={"a": 1}),
            Ask("/sync/1", "POST", json={}),
            Ask("/async", "POST", json={"b": [1]}),
            Ask("/async", "POST", json={"a": [1]}),
            Ask("/class/tea"),
            Ask("/class/tea", "POST", json=1),
            Ask("/class/tea", "PUT"),
        ],
    )


def test_a_decorator_that_is_called_by_hand() -> None:
    rewritten(
        """
def logged(view):
    @wraps(view)
    def wrapper(*args, **kwargs):
        return view(*args, **kwargs)

    return wrapper


def index():
    return request.form


index = logged(index)
app.add_url_rule("/", view_func=index, methods=["POST"])
app.add_url_rule("/other", view_func=logged(lambda: "other"))
""",
        """
def logged(view):
    @wraps(view)
    async def wrapper(*args, **kwargs):
        return await current_app.ensure_async(view)(*args, **kwargs)

    return wrapper


async def index():
    return await request.form


index = logged(index)
app.add_url_rule("/", view_func=index, methods=["POST"])
app.add_url_rule("/other", view_func=logged(lambda: "other"))
""",
    )

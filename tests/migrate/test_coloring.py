"""Which functions become async, and which cannot."""

from .cases import check, migrated, unchanged


def body(text: str) -> str:
    return "from quart import Quart, current_app, request\n\napp = Quart(__name__)\n" + text


def test_callers_become_async_as_far_up_as_it_goes() -> None:
    check(
        body("""
def data():
    return request.get_json()


def name():
    return data()["name"].title()


@app.post("/")
def index():
    return name()


@app.get("/other")
def other():
    return "untouched"
"""),
        body("""
async def data():
    return await request.get_json()


async def name():
    return (await data())["name"].title()


@app.post("/")
async def index():
    return await name()


@app.get("/other")
def other():
    return "untouched"
"""),
    )


def test_callers_in_other_modules_however_they_import_it() -> None:
    sources, findings = migrated(
        {
            "shop/__init__.py": "from .data import load\n",
            "shop/data.py": "from flask import request\n\n\ndef load():\n    return request.json\n",
            "shop/a.py": "from . import load as fetch\n\n\ndef a():\n    return fetch()\n",
            "shop/b.py": "import shop.data\n\n\ndef b():\n    return shop.data.load()\n",
            "shop/c.py": "from shop import data as d\n\n\ndef c():\n    return d.load()\n",
        }
    )
    assert "async def load():\n    return await request.json" in sources["shop/data.py"]
    assert "async def a():\n    return await fetch()" in sources["shop/a.py"]
    assert "async def b():\n    return await shop.data.load()" in sources["shop/b.py"]
    assert "async def c():\n    return await d.load()" in sources["shop/c.py"]
    assert all(finding.kind != "left" for finding in findings)


def test_methods_are_found_through_instances_and_bases() -> None:
    check(
        body("""
class Orders:
    def given(self):
        return request.form

    def first(self):
        return self.given()["first"]


class LateOrders(Orders):
    def first(self):
        return super().first().lower()


orders = LateOrders()


@app.post("/")
def index():
    return orders.first()
"""),
        body("""
class Orders:
    async def given(self):
        return await request.form

    async def first(self):
        return (await self.given())["first"]


class LateOrders(Orders):
    async def first(self):
        return (await super().first()).lower()


orders = LateOrders()


@app.post("/")
async def index():
    return await orders.first()
"""),
    )


def test_what_a_comprehension_can_await() -> None:
    check(
        body("""
def lengths():
    return [len(request.form[name]) for name in request.form]


def first():
    return next(name for name in request.form)
"""),
        body("""
async def lengths():
    return [len((await request.form)[name]) for name in await request.form]


async def first():
    return next(name for name in await request.form)
"""),
    )


def left(source: str, comment: str, above: str) -> None:
    """Nothing changes but that `comment` is put above the line that begins with `above`."""
    lines = body(source).splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if line.strip().startswith(above))
    indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
    expected = [*lines[:at], f"{indent}# TODO[quart-tasks]: {comment}\n", *lines[at:]]
    check(body(source), "".join(expected), "QT301")


def test_a_lambda() -> None:
    left(
        """
order = sorted([2, 1], key=lambda number: load())


def load():
    return request.form
""",
        "This must be awaited, and `load` cannot become async: it is called in `app`, "
        "and a lambda cannot await.",
        "return request.form",
    )


def test_a_function_that_is_passed_on() -> None:
    left(
        """
def double(number):
    return number * int(request.form["by"])


@app.post("/")
def index():
    return list(map(double, [1, 2]))
""",
        "This must be awaited, and `double` cannot become async: it is passed on in `app.index`.",
        "return number",
    )


def test_a_table_of_functions() -> None:
    left(
        """
def load():
    return request.form


HANDLERS = {"load": load}
""",
        "This must be awaited, and `load` cannot become async: it is passed on in `app`.",
        "return request.form",
    )


def test_the_start_of_an_instance() -> None:
    left(
        """
class Order:
    def __init__(self):
        self.form = request.form
""",
        "This must be awaited, and `Order.__init__` cannot become async: "
        "Python calls it and does not await it.",
        "self.form",
    )


def test_what_a_start_calls_stays_as_it_is_too() -> None:
    left(
        """
def load():
    return request.form


class Order:
    def __init__(self):
        self.form = load()


@app.post("/")
def index():
    return load()
""",
        "This must be awaited, and `load` cannot become async: it is called in "
        "`app.Order.__init__`, and `Order.__init__` cannot become async: "
        "Python calls it and does not await it.",
        "return request.form",
    )


def test_a_property() -> None:
    left(
        """
class Order:
    @property
    def item(self):
        return request.form["item"]
""",
        "This must be awaited, and `Order.item` cannot become async: it is a property.",
        "return request",
    )


def test_a_cached_function() -> None:
    left(
        """
from functools import lru_cache


@lru_cache
def load():
    return request.form
""",
        "This must be awaited, and `load` cannot become async: "
        "its decorator `lru_cache` may not await it.",
        "return request",
    )


def test_a_generator() -> None:
    left(
        """
def names():
    for name in request.form:
        yield name
""",
        "This must be awaited, and `names` cannot become async: it is a generator.",
        "for name",
    )


def test_a_generator_expression() -> None:
    left(
        """
@app.post("/")
def index():
    return str(sum(int(request.form[name]) for name in "ab"))
""",
        "This must be awaited, and a generator expression cannot await.",
        "return str",
    )


def test_the_module_itself() -> None:
    left("form = request.form\n", "This must be awaited, and a module itself cannot await.", "form")


def test_a_command() -> None:
    left(
        """
@app.cli.command("show", with_appcontext=True)
def show():
    print(request.form)
""",
        "This must be awaited, and `show` cannot become async: "
        "its decorator `app.cli.command` may not await it.",
        "print",
    )


def test_a_method_of_a_class_from_elsewhere() -> None:
    left(
        """
from wtforms import Form


class Order(Form):
    def validate(self):
        return "item" in request.form
""",
        "This must be awaited, and `Order.validate` cannot become async: "
        "it may be called by wtforms.Form.",
        "return",
    )


def test_a_method_that_something_unknown_may_call() -> None:
    left(
        """
class Order:
    def load(self):
        return request.form


@app.post("/")
def index(order=None):
    return make(order).load()
""",
        "This must be awaited, and `Order.load` cannot become async: it may be what is called "
        "in `app.index`.",
        "return request.form",
    )


def test_a_function_without_coroutines_stays_sync() -> None:
    unchanged(
        body("""
def helper(args):
    return args.get("x", "")


@app.get("/")
def index():
    current_app.logger.info("%s", request.headers)
    return helper(request.args)
""")
    )


def test_comments_and_formatting_survive() -> None:
    check(
        body("""
@app.post( "/" )  # here
def index( ):
    # first
    data = request.get_json( force = True )   # why
    return ( data
        ["x"] )
"""),
        body("""
@app.post( "/" )  # here
async def index( ):
    # first
    data = await request.get_json( force = True )   # why
    return ( data
        ["x"] )
"""),
    )

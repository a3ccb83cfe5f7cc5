"""Made Flask apps: strategies for sources whose routes answer something different to everyone."""

import textwrap

from hypothesis import strategies as st

HEAD = """\
from functools import wraps

from flask import (
    Blueprint, Flask, abort, current_app, g, jsonify, make_response, render_template_string,
    request, session,
)
import flask.views

app = Flask(__name__)
app.secret_key = "made"
bp = Blueprint("made", __name__)


def plain(view):
    @wraps(view)
    def wrapper(*args, **kwargs):
        g.wrapped = g.get("wrapped", 0) + 1
        return view(*args, **kwargs)

    return wrapper


def reading(view):
    @wraps(view)
    def wrapper(*args, **kwargs):
        if request.get_json(silent=True, force=True) == "stop":
            abort(409)
        answer = view(*args, **kwargs)
        return answer

    return wrapper


class Box:
    def __init__(self, extra):
        self.extra = extra

    def body(self):
        return [self.extra, request.get_json(silent=True, force=True)]

    def size(self):
        return len(str(self.body()))


box = Box("extra")


@app.before_request
def count():
    g.size = len(request.get_data())


@app.after_request
def sign(response):
    response.headers["X-Size"] = str(len(response.get_data()))
    return response


@app.errorhandler(409)
def refused(error):
    return jsonify(refused=request.get_json(silent=True, force=True)), 409
"""

ATOMS = [
    "request.get_json(silent=True, force=True)",
    "request.args.get('a', 'none')",
    "request.method",
    "request.get_data(as_text=True)",
    "len(request.data)",
    "sorted(request.form)",
    "sorted(request.values)",
    "request.form.get('a')",
    "render_template_string('<{{ n }}>', n=request.path)",
    "make_response('made').get_data(as_text=True)",
    "session.get('seen')",
    "g.size",
    "g.get('wrapped')",
    "current_app.name",
    "box.body()",
    "box.size()",
    "Box(1).body()",
    "'text'",
    "[1, 2]",
]

SHAPES = [
    "[{0} for n in range(2)]",
    "[n for n in str({0})]",
    "{{'a': {0}, 'b': {1}}}",
    "({0}, {1})",
    "({0} if {1} else {2})",
    "({0} or {1})",
    "(not {0})",
    "str({0})[:9]",
    "f'{{{0}!r:>9}}'",
    "({0} == {1})",
    "dict(a={0})['a']",
    "(lambda n: n)({0})",
    "[*map(str, [{0}])]",
    "(n := {0})",
    "len(repr({0}))",
    "sum([len(str({0})), 1])",
    "max([str({0}), str({1})], key=lambda n: len(n))",
]

STATEMENTS = [
    "x = {0}",
    "x = [x, {0}]",
    "if {0}:\n    x = {1}\nelse:\n    x = {2}",
    "for n in str({0})[:2]:\n    x = [n, {1}]",
    "try:\n    x = {0}\nexcept ValueError:\n    x = {1}\nfinally:\n    session['seen'] = 1",
    "def inner(value):\n    return [value, {0}]\nx = inner({1})",
    "while not x:\n    x = [{0}]",
    "with open('/dev/null') as file:\n    x = file.read() or {0}",
    "assert {0} != 'made up'",
    "x = {0}; x = (x, {1})  # both",
]

ANSWERS = ["return jsonify(x)", "return jsonify(x), 201", "return make_response(jsonify(x), 202)"]
DECORATORS = ["", "@plain\n", "@reading\n", "@plain\n@reading\n"]


def expressions(helpers: int) -> st.SearchStrategy[str]:
    atoms = [*ATOMS, *(f"helper{number}()" for number in range(helpers))]
    return st.recursive(
        st.sampled_from(atoms),
        lambda inner: st.tuples(st.sampled_from(SHAPES), inner, inner, inner).map(_filled),
        max_leaves=4,
    )


def _filled(parts: tuple[str, str, str, str]) -> str:
    shape, *inner = parts
    if "f'" in shape:  # an expression with quotes of its own does not fit before Python 3.12
        inner = ["request.path", *inner[1:]]
    # A second `n` within a comprehension over `n` may not be assigned.
    if "for n in" in shape or "lambda n" in shape:
        inner = [text.replace("n :=", "m :=") if "[" not in text else "0" for text in inner]
    return shape.format(*inner)


@st.composite
def bodies(draw: st.DrawFn, helpers: int) -> str:
    lines = ["x = None"]
    for template in draw(st.lists(st.sampled_from(STATEMENTS), min_size=1, max_size=3)):
        lines.append(template.format(*(draw(expressions(helpers)) for _ in range(3))))
    return textwrap.indent("\n".join(lines), "    ")


@st.composite
def apps(draw: st.DrawFn) -> tuple[str, list[str]]:
    """The source of an app, and the paths that it answers."""
    source, paths = HEAD, []
    helpers = draw(st.integers(0, 3))
    for number in range(helpers):
        decorator = draw(st.sampled_from(["", "@plain\n"]))
        body = draw(bodies(number))
        source += f"\n\n{decorator}def helper{number}():\n{body}\n    return str(x)[:50]\n"
    for number in range(draw(st.integers(1, 3))):
        path = f"/made{number}"
        decorator, body = draw(st.sampled_from(DECORATORS)), draw(bodies(helpers))
        answer = draw(st.sampled_from(ANSWERS))
        kind = draw(st.sampled_from(["app", "bp", "class"]))
        function = f"{body}\n    {answer}\n"
        if kind == "class":
            method = textwrap.indent(f"{decorator}def post(self):\n{function}", "    ")
            source += f"\n\nclass View{number}(flask.views.MethodView):\n{method}\n"
            source += f"\napp.add_url_rule('{path}', view_func=View{number}.as_view('v{number}'))\n"
        else:
            source += f"\n\n@{kind}.post('{path}')\n{decorator}def view{number}():\n{function}"
        paths.append(path)
    return f"{source}\n\napp.register_blueprint(bp)\n", paths

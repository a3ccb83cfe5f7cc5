"""How long do 10,000 lines of Flask take to migrate?"""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider, ScopeProvider

from quart_tasks.migrate.run import migrate

from .common import Result, figure, in_child, ratio

LINES, AIM = 10_000, 20.0
REPEATS, QUICK = 3, 1
APP = '''\
"""The shop's app."""

from flask import Flask


def create_app() -> Flask:
    app = Flask(__name__)
'''
# One part of the shop; each is a module with helpers, a decorator, views and a class of views.
PART = '''\
"""Orders of the department {number}."""

from functools import wraps

from flask import Blueprint, abort, current_app, flash, jsonify, render_template, request, session
from flask.views import MethodView

{earlier}

bp = Blueprint("part{number}", __name__)


def logged(view):
    @wraps(view)
    def wrapper(*args, **kwargs):
        current_app.logger.info("%s is called", view.__name__)
        return view(*args, **kwargs)

    return wrapper


def given{number}(name, default=None):
    """The value of this name in the body, wherever it stands."""
    body = request.get_json(silent=True) or {{}}
    return body.get(name, request.form.get(name, default))


def total(prices):
    return sum(price for price in prices if price > 0)


@bp.route("/part{number}/orders", methods=["POST"])
@logged
def create():
    # What was ordered, and how often.
    item = {used}("item")
    count = int({used}("count", 1))
    if not item:
        flash("Choose something.")
        return render_template("orders.html", count=count), 400
    session["last"] = item
    return jsonify(item=item, count=count, total=total([count, {number}])), 201


@bp.get("/part{number}/orders/<int:order>")
def show(order):
    if order > 1000:
        abort(404)
    return jsonify(order=order, part={number})


class Stock(MethodView):
    decorators = [logged]

    def get(self, item):
        return jsonify(item=item, count=0)

    def put(self, item):
        count = request.json["count"]
        with current_app.app_context():
            current_app.logger.info("%s of %s", count, item)
        return jsonify(item=item, count=count)


bp.add_url_rule("/part{number}/stock/<item>", view_func=Stock.as_view("stock"))
'''


def make_project(root: Path, lines: int) -> int:
    """A shop in as many modules as give so many lines; how many there are."""
    package = root / "shop"
    package.mkdir()
    app, written, number = APP, 0, 0
    while written < lines:
        number += 1
        earlier = f"from .part{number - 1} import given{number - 1}" if number > 1 else ""
        used = f"given{max(number - 1, 1)}"
        text = PART.format(number=number, earlier=earlier, used=used)
        (package / f"part{number}.py").write_text(text)
        written += text.count("\n")
        app += f"    from .part{number} import bp as bp{number}\n"
        app += f"    app.register_blueprint(bp{number})\n"
    (package / "__init__.py").write_text(f"{app}    return app\n")
    return written + app.count("\n")


def read_only(root: Path) -> None:
    """What libcst needs to parse the files and to know their names and lines."""
    for path in root.rglob("*.py"):
        wrapper = MetadataWrapper(cst.parse_module(path.read_text()), unsafe_skip_copy=True)
        wrapper.resolve_many([ScopeProvider, PositionProvider])


def seconds(lines: int) -> list[float]:
    """Of a migration, and of reading alone; and the lines that there were."""
    with TemporaryDirectory() as directory:
        root = Path(directory)
        written = make_project(root, lines)
        start = time.perf_counter()
        migration = migrate(root)
        migrated = time.perf_counter()
        if not migration.is_complete:
            raise RuntimeError(f"Something was left: {migration.findings[0]}")
        read_only(root)
        return [migrated - start, time.perf_counter() - migrated, written]


def run(quick: bool) -> list[Result]:
    times = [in_child(__name__, LINES) for _ in range(QUICK if quick else REPEATS)]
    ours = figure([each[0] for each in times])
    baseline = figure([each[1] for each in times])
    return [
        Result(
            name="migrate",
            question=f"a dry run over {int(times[0][2]):,} lines of Flask",
            ours=ours,
            baseline=baseline,
            ratio=ratio(ours, baseline),
            unit="s",
            aim=f"less than {AIM:g} s",
            baseline_name="reading them",
            met=ours.median < AIM,
            notes="reading: libcst parses them and finds names and positions",
        )
    ]


if __name__ == "__main__":
    print(seconds(int(sys.argv[1])))

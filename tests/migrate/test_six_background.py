"""The "flask_async" recipe becomes `@tasks.background`."""

from __future__ import annotations

import pytest

from tests.migrate.cases import check, migrated

RECIPE = """\
    def flask_async(f):
        @wraps(f)
        def wrapped(*args, **kwargs):
            def task(app, environ):
                with app.request_context(environ):
                    try:
                        responses[task_id]["value"] = f(*args, **kwargs)
                    except HTTPException as error:
                        responses[task_id]["value"] = current_app.handle_http_exception(error)

            task_id = uuid.uuid4().hex
            responses[task_id] = {
                "task": threading.Thread(
                    target=task, args=(current_app._get_current_object(), request.environ)
                )
            }
            responses[task_id]["task"].start()
            return {"task_id": task_id}, 202

        return wrapped
"""
IMPORTS = """\
    import threading
    import uuid
    from functools import wraps

    from flask import Flask, abort, current_app, request, url_for
    from werkzeug.exceptions import HTTPException
"""
START = f"{IMPORTS}\n    app = Flask(__name__)\n    responses = {{}}\n\n\n"
ROUTE = '''\
    @app.route("/status/<task_id>")
    def status(task_id):
        """Tell."""
        task = responses.get(task_id)
        if task is None:
            abort(404)
        if "value" not in task:
            return {"task_id": task_id}, 202
        return task["value"]
'''
VIEWS = """\
    @app.post("/slow")
    @flask_async
    def slow():
        return request.get_json()


    @app.get("/slower")
    @flask_async
    def slower():
        return url_for("status", task_id="1")
    """


def test_the_recipe() -> None:
    check(
        f"{START}{RECIPE}\n\n{ROUTE}\n\n{VIEWS}",
        '''\
        from quart import Quart, request, url_for, redirect
        from quart_tasks import QuartTasks

        app = Quart(__name__)
        tasks = QuartTasks(app)


        @app.route("/status/<task_id>")
        def status(task_id):
            """Tell."""
            return redirect(f"/tasks/{task_id}/result")


        @app.post("/slow")
        @tasks.background
        async def slow():
            return await request.get_json()


        @app.get("/slower")
        @tasks.background
        def slower():
            return url_for("status", task_id="1")
        ''',
    )


CLEANERS = {
    "before the first request": """\
    @app.before_first_request
    def clean():
        def forget():
            while True:
                responses.clear()

        threading.Thread(target=forget, daemon=True).start()
""",
    "at once": """\
    def clean():
        while True:
            for key in list(responses):
                del responses[key]


    threading.Thread(target=clean, daemon=True).start()
""",
}


@pytest.mark.parametrize("shape", CLEANERS)
def test_what_clears_the_dict_goes_too(shape: str) -> None:
    source = f"{START}{CLEANERS[shape]}\n\n{RECIPE}\n\n{ROUTE}\n\n{VIEWS}"
    sources, found = migrated({"app.py": source})
    assert [each.message for each in found if each.kind == "left"] == []
    for gone in ("clean", "thread", "flask_async", "responses", "while"):
        assert gone not in sources["app.py"]


def test_a_recipe_in_a_module_of_its_own() -> None:
    start = IMPORTS.replace("Flask, ", "Blueprint, ")
    recipe = f'{start}\n    tasks = Blueprint("tasks", __name__)\n    responses = {{}}\n\n\n'
    recipe += f"{RECIPE}\n\n{ROUTE.replace('@app', '@tasks')}"
    views = """\
    from flask import Blueprint, request
    from flask.views import MethodView

    from .recipe import flask_async

    views = Blueprint("views", __name__)


    class Slow(MethodView):
        decorators = [flask_async]

        def get(self):
            return request.path


    views.add_url_rule("/slow", view_func=Slow.as_view("slow"))
    """
    init = """\
    from flask import Flask

    from .recipe import tasks
    from .views import views


    def create_app():
        app = Flask(__name__)
        app.register_blueprint(tasks)
        app.register_blueprint(views)
        return app
    """
    sources, found = migrated(
        {"shop/__init__.py": init, "shop/recipe.py": recipe, "shop/views.py": views}
    )
    assert [each.message for each in found if each.kind == "left"] == []
    assert "decorators = [background_tasks.background]" in sources["shop/views.py"]
    assert "from .recipe" not in sources["shop/views.py"]
    assert "from .extensions import background_tasks\n" in sources["shop/views.py"]
    assert "background_tasks.init_app(app)" in sources["shop/__init__.py"]
    assert "def flask_async" not in sources["shop/recipe.py"]
    assert "def status(task_id)" in sources["shop/recipe.py"]


def test_a_dict_that_is_used_for_more_is_left() -> None:
    more = """\
    @app.get("/count")
    def count():
        return str(len(responses))


"""
    sources, found = migrated({"app.py": f"{START}{more}{RECIPE}\n\n{ROUTE}\n\n{VIEWS}"})
    assert "QT101" in [each.code for each in found if each.kind == "left"]
    assert "@flask_async\n" in sources["app.py"]
    assert "def flask_async(f):" in sources["app.py"]


def test_a_decorator_that_decides_more_is_left() -> None:
    refusal = "            if not request.is_json:\n                abort(400)\n"
    made = "            task_id = uuid"
    more = RECIPE.replace(made, refusal + made)
    sources, found = migrated({"app.py": f"{START}{more}\n\n{ROUTE}\n\n{VIEWS}"})
    assert "`flask_async` does more than to run the view in a thread, which is left to you." in [
        each.message for each in found if each.kind == "left"
    ]
    assert "@flask_async\n" in sources["app.py"]


@pytest.mark.parametrize("line", ['current_app.logger.info("started")', "count(task_id)"])
def test_a_decorator_that_does_more_is_left(line: str) -> None:
    end = "            return {"
    more = RECIPE.replace(end, f"            {line}\n{end}")
    sources, found = migrated({"app.py": f"{START}{more}\n\n{ROUTE}\n\n{VIEWS}"})
    assert "QT101" in [each.code for each in found if each.kind == "left"]
    assert f"        {line}\n" in sources["app.py"]
    assert "@flask_async\n" in sources["app.py"]


def test_names_that_are_taken() -> None:
    more = VIEWS.replace("def slower", "def slow")
    threads = """
    def slow():
        pass


    @bp.get("/")
    def start():
        threading.Thread(target=slow).start()
        return "ok"
    """
    start = """\
    import threading
    from flask import Blueprint

    bp = Blueprint("b", __name__)

"""
    sources, found = migrated(
        {"app.py": f"{START}{RECIPE}\n\n{ROUTE}\n\n{more}", "other.py": start + threads}
    )
    assert [each.message for each in found if each.kind == "left"] == []
    assert sources["app.py"].count("@tasks.background\n") == 1
    assert '@tasks.background(name="app.slow")\n' in sources["app.py"]
    assert 'name="other.slow"' in sources["other.py"]

"""Futures in a dict become tasks that are found by their ids."""

from __future__ import annotations

import pytest

from tests.migrate.cases import check, migrated

STORE = '''\
    from concurrent.futures import ThreadPoolExecutor
    import uuid

    from quart import Quart, abort, jsonify

    app = Quart(__name__)
    pool = ThreadPoolExecutor()
    jobs = {}


    def work():
        """Work."""


    @app.post("/jobs")
    def create():
        job_id = uuid.uuid4().hex
        jobs[job_id] = pool.submit(work)
        return job_id


'''
STORED = '''\
    from quart import Quart, abort, jsonify
    from quart_tasks import QuartTasks{}

    app = Quart(__name__)
    tasks = QuartTasks(app)


    @tasks.task(executor="thread", public=False)
    def work():
        """Work."""


    @app.post("/jobs")
    async def create():
        task = await work.submit()
        job_id = task.id
        return job_id


'''

LOOKUPS = {
    "get, and none": (
        '''\
    @app.get("/jobs/<job_id>")
    def job(job_id):
        """Tell."""
        # is it there?
        future = jobs.get(job_id, None)
        if not future:
            return "unknown", 404  # gone
        if future.done() and not future.cancelled():
            del jobs[job_id]
            return jsonify(future.result(timeout=1))
        return ""
    ''',
        '''\
    @app.get("/jobs/<job_id>")
    async def job(job_id):
        """Tell."""
        try:
            future = tasks.get(job_id)
        except TaskNotFound:
            return "unknown", 404  # gone
        if future.done() and not (future.state == "cancelled"):
            return jsonify(await future.result(timeout=1))
        return ""
    ''',
    ),
    "not in, and an index": (
        """\
    @app.get("/jobs/<job_id>")
    def job(job_id):
        if job_id not in jobs:
            abort(404)
        future = jobs[job_id]
        if future.done():
            error = future.exception()
            if error:
                return f"{error}", 500
            jobs.pop(job_id)
        return jsonify(running=future.running())
    """,
        """\
    @app.get("/jobs/<job_id>")
    def job(job_id):
        try:
            future = tasks.get(job_id)
        except TaskNotFound:
            abort(404)
        if future.done():
            error = future.record.error
            if error:
                return f"{error.message}", 500
        return jsonify(running=future.state == "running")
    """,
    ),
    "an index": (
        """\
    @app.get("/jobs/<job_id>")
    def job(job_id):
        return jsonify(done=jobs[job_id].done())


    @app.delete("/jobs/<job_id>")
    def cancel(job_id):
        jobs[job_id].cancel()
        return ""
    """,
        """\
    @app.get("/jobs/<job_id>")
    def job(job_id):
        return jsonify(done=tasks.get(job_id).done())


    @app.delete("/jobs/<job_id>")
    async def cancel(job_id):
        await tasks.get(job_id).cancel()
        return ""
    """,
    ),
    "an error that is caught": (
        """\
    @app.get("/jobs/<job_id>")
    def job(job_id):
        future = jobs[job_id]
        try:
            return jsonify(future.result())
        except Exception as error:
            return jsonify(error=str(error), type=type(error).__name__), 500
    """,
        """\
    @app.get("/jobs/<job_id>")
    async def job(job_id):
        future = tasks.get(job_id)
        try:
            return jsonify(await future.result())
        except TaskFailed as error:
            return jsonify(error=error.message, type=error.type), 500
    """,
    ),
}


@pytest.mark.parametrize("shape", LOOKUPS)
def test_the_shapes_of_a_status_route(shape: str) -> None:
    before, after = LOOKUPS[shape]
    names = ""
    for name in ("TaskNotFound", "TaskFailed"):
        names += f", {name}" if name in after else ""
    check(STORE + before, STORED.format(names) + after)


def test_a_future_that_has_a_name() -> None:
    before = STORE.replace(
        "jobs[job_id] = pool.submit(work)",
        "future = pool.submit(work)\n        jobs[job_id] = future",
    )
    after = (
        STORED.format("").replace("task = await", "future = await").replace("task.id", "future.id")
    )
    status = """\
    @app.get("/jobs/<job_id>")
    def job(job_id):
        return jsonify(done={}[job_id].done())
    """
    check(
        before + status.format("jobs"),
        after + status.format("jobs").replace("jobs[job_id]", "tasks.get(job_id)"),
    )


LEFT = {
    "the dict is counted": """\
        return str(len(jobs))
    """,
    "the dict is gone through": """\
        return [key for key, future in jobs.items() if future.done()]
    """,
    "an exception of its own is caught": """\
        try:
            return jobs[job_id].result()
        except ValueError:
            return "bad"
    """,
    "a default": """\
        return str(jobs.get(job_id, 1))
    """,
    "the future is handed on": """\
        return print(jobs[job_id])
    """,
    "a callback": """\
        jobs[job_id].add_done_callback(print)
        return ""
    """,
    "its exception is raised": """\
        raise jobs[job_id].exception()
    """,
}


@pytest.mark.parametrize("shape", LEFT)
def test_what_is_left(shape: str) -> None:
    source = STORE + '    @app.get("/jobs/<job_id>")\n    def job(job_id):\n' + LEFT[shape]
    sources, found = migrated({"app.py": source})
    assert [each.code for each in found if each.kind == "left"] == ["QT104"]
    assert "jobs[job_id] = pool.submit(work)\n" in sources["app.py"]
    for line in LEFT[shape].strip().splitlines():
        assert line.strip() in sources["app.py"]


KEYS = {
    "noted elsewhere": "job_id = note(str(uuid.uuid4()))\n        jobs[job_id] = pool.submit(work)",
    "not made for it": 'job_id = "only one"\n        jobs[job_id] = pool.submit(work)',
    "passed on": "job_id = str(uuid.uuid4())\n        jobs[job_id] = pool.submit(work, job_id)",
    "needed before": """\
job_id = str(uuid.uuid4())
        print(job_id)
        jobs[job_id] = pool.submit(work)""",
}


@pytest.mark.parametrize("shape", KEYS)
def test_an_id_of_ones_own_is_left(shape: str) -> None:
    made = "job_id = uuid.uuid4().hex\n        jobs[job_id] = pool.submit(work)"
    sources, found = migrated({"app.py": STORE.replace(made, KEYS[shape])})
    assert [each.code for each in found if each.kind == "left"] == ["QT104"]
    assert "jobs[job_id] = pool.submit(work" in sources["app.py"]


def test_a_dict_that_another_module_looks_into() -> None:
    routes = """\
    from quart import Blueprint, abort

    from .work import jobs

    bp = Blueprint("jobs", __name__)


    @bp.get("/jobs/<job_id>")
    def job(job_id):
        future = jobs.get(job_id)
        if future is None:
            abort(404)
        return str(future.done())
    """
    init = """\
    from quart import Quart


    def create_app():
        from .work import work_bp
        from .routes import bp

        app = Quart(__name__)
        app.register_blueprint(bp)
        app.register_blueprint(work_bp)
        return app
    """
    work = STORE.replace("import Quart, ", "import Blueprint, ")
    work = work.replace("app = Quart(__name__)", 'work_bp = Blueprint("work", __name__)')
    work = work.replace("@app.", "@work_bp.")
    sources, found = migrated(
        {"shop/__init__.py": init, "shop/routes.py": routes, "shop/work.py": work}
    )
    assert [each.message for each in found if each.kind == "left"] == []
    assert "from .extensions import tasks\n" in sources["shop/routes.py"]
    assert "from .work" not in sources["shop/routes.py"]
    assert "future = tasks.get(job_id)\n" in sources["shop/routes.py"]
    assert "jobs" not in sources["shop/work.py"].replace('"/jobs"', "")

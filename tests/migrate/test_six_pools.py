"""Pools in routes become tasks; what cannot is left with its reason."""

from __future__ import annotations

import pytest

from tests.migrate.cases import check, migrated, unchanged

AFTER = '''\
from quart import Quart
from quart_tasks import QuartTasks

app = Quart(__name__)
tasks = QuartTasks(app)


@tasks.task(executor="thread", public=False)
def work(name, times=1):
    """Work."""
'''


def test_a_pool_that_is_made_in_the_route() -> None:
    check(
        '''\
        from concurrent.futures import ThreadPoolExecutor

        from flask import Flask

        app = Flask(__name__)


        def work(name, times=1):
            """Work."""


        @app.route("/")
        def index():
            # nobody waits for it
            ThreadPoolExecutor().submit(work, "a", times=2)  # so far
            return "ok"
        ''',
        AFTER
        + """

@app.route("/")
async def index():
    # nobody waits for it
    await work.submit("a", times=2)  # so far
    return "ok"
""",
    )


def test_a_pool_beside_the_app_limits_how_many_run_and_goes() -> None:
    check(
        '''\
        import concurrent.futures as cf

        from flask import Flask

        pool = cf.ThreadPoolExecutor(max_workers=3)
        app = Flask(__name__)


        def work():
            """Work."""


        @app.route("/")
        def index():
            future = pool.submit(work)
            return "ok"


        @app.route("/again")
        def again():
            return pool.submit(work) and "ok"
        ''',
        f'''\
        import concurrent.futures as cf

        from quart import Quart
        from quart_tasks import QuartTasks

        pool = cf.ThreadPoolExecutor(max_workers=3)
        app = Quart(__name__)
        tasks = QuartTasks(app)


        @tasks.task(executor="thread", concurrency=3, public=False)
        def work():
            """Work."""


        @app.route("/")
        async def index():
            future = await work.submit()
            return "ok"


        @app.route("/again")
        def again():
            # TODO[quart-tasks]: {HANDED_ON}
            return pool.submit(work) and "ok"
        ''',
        "QT102",
    )


def test_a_with_around_the_pool_goes_with_it() -> None:
    check(
        '''\
        from concurrent.futures import ProcessPoolExecutor

        from flask import Flask, request

        app = Flask(__name__)


        def work(name):
            """Work."""


        @app.post("/")
        def index():
            with ProcessPoolExecutor(4) as pool:  # as many as there are
                # each on its own
                for name in request.form:
                    pool.submit(work, name)
            return "ok"
        ''',
        '''\
        from quart import Quart, request
        from quart_tasks import QuartTasks

        app = Quart(__name__)
        tasks = QuartTasks(app)


        @tasks.task(executor="process", public=False)
        def work(name):
            """Work."""


        @app.post("/")
        async def index():
            # as many as there are
            # each on its own
            for name in await request.form:
                await work.submit(name)
            return "ok"
        ''',
    )


def test_functions_above_the_app_need_the_extension_earlier() -> None:
    check(
        '''\
        from concurrent.futures import ThreadPoolExecutor
        from flask import Flask


        def work():
            """Work."""


        def create_app():
            app = Flask(__name__)

            @app.get("/")
            def index():
                ThreadPoolExecutor().submit(work)
                return "ok"

            return app


        app = create_app()
        ''',
        '''\
        from quart import Quart
        from quart_tasks import QuartTasks

        tasks = QuartTasks()


        @tasks.task(executor="thread", public=False)
        def work():
            """Work."""


        def create_app():
            app = Quart(__name__)
            tasks.init_app(app)

            @app.get("/")
            async def index():
                await work.submit()
                return "ok"

            return app


        app = create_app()
        ''',
    )


WAITS = "The request waits for this: `await` the task if it must, else answer with its id."
UNFIT = "A task cannot be given a lock, a file or the request: pass what is read from it."
HANDED_ON = "This future is kept or handed on: submit a `@tasks.task`, and keep its handle or id."
# Why, and the lines; the TODO comes above the one that has `submit` or `map`.
LEFT = {
    "it is waited for": (
        WAITS,
        """\
        future = pool.submit(work)
        return future.result()
""",
    ),
    "its result is returned": (
        WAITS,
        """\
        return pool.submit(work).result()
""",
    ),
    "it has a callback": (
        "A task has no callbacks: do it at the end of the function that is submitted.",
        """\
        pool.submit(work).add_done_callback(print)
        return "ok"
""",
    ),
    "it is handed on": (
        HANDED_ON,
        """\
        futures = [pool.submit(work) for _ in range(3)]
        return str(len(futures))
""",
    ),
    "a lambda": (
        "A lambda cannot be a task: make it a function at the top of a module.",
        """\
        pool.submit(lambda: work())
        return "ok"
""",
    ),
    "a closure": (
        "`inner` is made inside a function: make it one at the top of the module.",
        """\
        def inner():
            work()

        pool.submit(inner)
        return "ok"
""",
    ),
    "a function of a library": (
        "`time.sleep` is no function at the top of a module here, so it cannot be a task.",
        """\
        pool.submit(time.sleep, 1)
        return "ok"
""",
    ),
    "a generator": (
        "`produce` is a generator, which nothing would run.",
        """\
        pool.submit(produce)
        return "ok"
""",
    ),
    "an endless loop": (
        "`watch` runs for ever: start it in `@app.before_serving`, not in a request.",
        """\
        pool.submit(watch)
        return "ok"
""",
    ),
    "a method": (
        "`save` is a method: make it a function at the top of a module.",
        """\
        pool.submit(Store().save)
        return "ok"
""",
    ),
    "a lock": (
        UNFIT,
        """\
        pool.submit(work, lock)
        return "ok"
""",
    ),
    "the request": (
        UNFIT,
        """\
        pool.submit(work, request)
        return "ok"
""",
    ),
    "map": (
        "The request waits for all of these: `async for` over `map` of a "
        "`@tasks.task` does too, or submit one task that does it all.",
        """\
        return list(pool.map(work, [1, 2]))
""",
    ),
    "what follows a with": (
        "What follows waits for the pool: await the tasks, or leave them to run on.",
        """\
        with ThreadPoolExecutor() as own:
            own.submit(work)
        print("done")
        return "ok"
""",
    ),
}

FRAME = """\
    import threading
    import time
    from concurrent.futures import ThreadPoolExecutor

    from quart import Quart, request

    app = Quart(__name__)
    pool = ThreadPoolExecutor()
    lock = threading.Lock()


    class Store:
        def save(self):
            pass


    def work(*args):
        pass


    def produce():
        yield 1


    def watch():
        while True:
            time.sleep(1)


    @app.get("/")
    def index():
"""


@pytest.mark.parametrize("shape", LEFT)
def test_what_is_left(shape: str) -> None:
    why, code = LEFT[shape]
    lines = code.splitlines(keepends=True)
    at = next(index for index, line in enumerate(lines) if ".submit(" in line or ".map(" in line)
    indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
    lines.insert(at, f"{indent}# TODO[quart-tasks]: {why}\n")
    check(FRAME + code, FRAME + "".join(lines), "QT102")


def test_a_pool_that_serves_no_request_is_nobodys_business() -> None:
    unchanged(
        """\
        from concurrent.futures import ThreadPoolExecutor

        from quart import Quart

        app = Quart(__name__)


        def work(name):
            pass


        def main():
            with ThreadPoolExecutor() as pool:
                return [pool.submit(work, name).result() for name in "ab"]


        if __name__ == "__main__":
            main()
        """
    )


def test_one_at_a_time_is_kept_for_one_function_and_left_for_two() -> None:
    source = """\
        from concurrent.futures import ThreadPoolExecutor

        from quart import Quart

        app = Quart(__name__)
        one = ThreadPoolExecutor(max_workers=1)


        def first():
            pass


        def second():
            pass


        @app.get("/")
        def index():
            one.submit(first)
            one.submit({})
            return "ok"
        """
    sources, found = migrated({"app.py": source.format("first")})
    assert "concurrency=1" in sources["app.py"]
    assert not [each for each in found if each.kind == "left"]
    sources, found = migrated({"app.py": source.format("second")})
    assert [each.code for each in found if each.kind == "left"] == ["QT102", "QT102"]
    assert "@tasks.task" not in sources["app.py"]


def test_without_an_app_there_is_no_place_for_tasks() -> None:
    _, found = migrated(
        {
            "views.py": """\
            from concurrent.futures import ThreadPoolExecutor

            from flask import Blueprint

            views = Blueprint("views", __name__)


            def work():
                pass


            @views.get("/")
            def index():
                ThreadPoolExecutor().submit(work)
                return "ok"
            """
        }
    )
    assert [each.message for each in found if each.kind == "left"] == [
        "There is no `app = Flask(…)` here that its tasks could belong to."
    ]


NO_JSON = {
    "datetime.now()": "datetime",
    "{'since': [date.today()]}": "dict",
    "Decimal(1)": "Decimal",
    "uuid4()": "UUID",
    "b'raw'": "bytes",
    "{1, 2}": "set",
}
PROCESS = """\
from concurrent.futures import ProcessPoolExecutor
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID, uuid4

from flask import Flask

app = Flask(__name__)
pool = ProcessPoolExecutor()


def build(number, when{hint}):
    return number, when


@app.get("/")
def index():
    pool.submit(build, 3, {value})
    return "ok"


@app.get("/other")
def other():
    pool.submit(build, 4, when="today")
    return "ok"
"""


@pytest.mark.parametrize("value", NO_JSON)
def test_a_process_gets_what_is_no_json_only_by_its_type(value: str) -> None:
    # Both are left: what a pool of processes is given must not be a task.
    for given in (value, f"when={value}"):
        sources, found = migrated({"app.py": PROCESS.format(hint="", value=given)})
        assert [each.code for each in found if each.kind == "left"] == ["QT102", "QT102"]
        assert f"    pool.submit(build, 3, {given})\n" in sources["app.py"]
        assert "tasks.task" not in sources["app.py"]
        hinted = PROCESS.format(hint=f": {NO_JSON[value]}", value=given)
        sources, found = migrated({"app.py": hinted})
        assert [each.code for each in found if each.kind == "left"] == []
        assert f"    await build.submit(3, {given})\n" in sources["app.py"]


def test_what_becomes_text_before_a_process_gets_it() -> None:
    given = "datetime.now().isoformat()"
    _, found = migrated({"app.py": PROCESS.format(hint="", value=given)})
    assert [each.code for each in found if each.kind == "left"] == []

"""Threads in routes become tasks; the app is no argument any more."""

from __future__ import annotations

import pytest

from tests.migrate.cases import check, migrated

UNFIT = "A task cannot be given a lock, a file or the request: pass what is read from it."
HEAD = """\
    from quart import Quart, current_app, request
    from quart_tasks import QuartTasks
    import threading

    app = Quart(__name__)
    tasks = QuartTasks(app)


"""


def test_the_app_is_not_passed_any_more() -> None:
    check(
        '''\
        from threading import Thread

        from flask import Flask, current_app

        app = Flask(__name__)


        def send(app, to):
            """Send a mail."""
            # in the thread
            with app.app_context():  # for the configuration
                print(app.config["FROM"], to)
            print(app)


        @app.post("/")
        def index():
            app = current_app._get_current_object()
            thread = Thread(target=send, args=(app, "Ada"))
            thread.daemon = True
            thread.start()
            return "ok"
        ''',
        '''\
        from quart import Quart, current_app
        from quart_tasks import QuartTasks

        app = Quart(__name__)
        tasks = QuartTasks(app)


        @tasks.task(executor="thread", public=False)
        def send(to):
            """Send a mail."""
            # in the thread
            # for the configuration
            print(current_app.config["FROM"], to)
            print(current_app)


        @app.post("/")
        async def index():
            await send.submit("Ada")
            return "ok"
        ''',
    )


SHAPES = {
    "threading.Thread(target=work).start()": "await work.submit()",
    'threading.Thread(None, work, "worker", (1,), {"b": 2}).start()': "await work.submit(1, b=2)",
    "threading.Thread(target=work, args=[1, *rest], kwargs=dict(b=2), daemon=True).start()": (
        "await work.submit(1, *rest, **dict(b=2))"
    ),
    'threading.Thread(target=work, kwargs={"a": 1, **more}).start()': (
        "await work.submit(a=1, **more)"
    ),
    "threading.Thread(target=work, args=rest).start()": "await work.submit(*rest)",
    "threading.Timer(1.5, work, [1]).start()": "await work.with_options(delay=1.5).submit(1)",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_shapes_of_a_thread(shape: str) -> None:
    body = '''
    def work(*args, **options):
        """Work."""


    @app.get("/")
    {}def index(rest=(), more={{}}):
        {}
        return "ok"
    '''
    sources, found = migrated({"app.py": HEAD + body.format("", shape)})
    assert [each.message for each in found if each.kind == "left"] == []
    assert f"    {SHAPES[shape]}\n" in sources["app.py"]
    assert '@tasks.task(executor="thread", public=False)\ndef work(' in sources["app.py"]


def test_a_process_is_a_task_in_a_process() -> None:
    body = '''
    from multiprocessing import Process

    def work(a):
        """Work."""


    @app.get("/")
    def index():
        process = Process(target=work, args=(1,))
        process.start()
        return "ok"
    '''
    sources, _ = migrated({"app.py": HEAD + body})
    assert '@tasks.task(executor="process", public=False)\ndef work(a)' in sources["app.py"]
    assert "    await work.submit(1)\n" in sources["app.py"]
    assert "multiprocessing" not in sources["app.py"]


def test_a_task_submits_another_from_its_thread() -> None:
    body = '''
    def first(app, name):
        with app.app_context():
            threading.Thread(target=second, args=(name,)).start()
            threading.Timer(2, second, (name,)).start()


    def second(name):
        """Work."""


    @app.get("/")
    def index():
        threading.Thread(target=first, args=(current_app._get_current_object(), "a")).start()
        return "ok"
    '''
    sources, found = migrated({"app.py": HEAD + body})
    assert "def first(name):\n    tasks.submit_sync(second, name)\n" in sources["app.py"]
    assert "tasks.submit_sync(second.with_options(delay=2), name)\n" in sources["app.py"]
    assert [each.message for each in found if each.kind == "left"] == []


LEFT = {
    "it is joined": (
        """
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        """,
        "The request waits for this thread: `await` the task, or leave it to run on.",
    ),
    "it is kept": (
        """
        thread = threading.Thread(target=work)
        thread.start()
        app.extensions["thread"] = thread
        """,
        "This thread is kept or handed on: submit a `@tasks.task`, and keep its handle or id.",
    ),
    "it is never started": (
        """
        thread = threading.Thread(target=work)
        """,
        "This thread is kept or handed on: submit a `@tasks.task`, and keep its handle or id.",
    ),
    "it is of a class of its own": (
        """
        Worker().start()
        """,
        "A subclass of Thread cannot be a task: make its `run` a function, and submit that.",
    ),
    "it has no target": (
        """
        threading.Thread().start()
        """,
        "There is no `target=` here that could become a task.",
    ),
    "an event is passed": (
        """
        threading.Thread(target=work, args=(threading.Event(),)).start()
        """,
        UNFIT,
    ),
    "an upload is passed": (
        """
        threading.Thread(target=work, args=(request.files["file"],)).start()
        """,
        UNFIT,
    ),
    "it is decorated": (
        """
        threading.Thread(target=decorated).start()
        """,
        "`decorated` has decorators: decorate it with `@tasks.task` yourself if they allow it.",
    ),
    "it makes a request of its own": (
        """
        threading.Thread(target=pretend).start()
        """,
        "`pretend` makes a request's context: let `@tasks.background` run the view.",
    ),
    "a process needs the app": (
        """
        multiprocessing.Process(target=in_context).start()
        """,
        "`in_context` needs the app, which a task in a process does not have.",
    ),
    "the app is passed here and not there": (
        """
        threading.Thread(target=needy, args=(app, 1)).start()
        threading.Thread(target=needy, args=(None, 1)).start()
        """,
        "`needy` is given the app in one place and not in another.",
    ),
    "the app is passed by a call as well": (
        """
        threading.Thread(target=needy, args=(app, 1)).start()
        needy(app, 2)
        """,
        "`needy` is also called with the app: let it use `current_app`.",
    ),
}

FRAME = """
    import functools
    import multiprocessing

    class Worker(threading.Thread):
        def run(self):
            pass


    def work(*args):
        pass


    def needy(app, number):
        print(app.name, number)


    def in_context():
        with app.app_context():
            pass


    @functools.lru_cache
    def decorated():
        pass


    def pretend():
        with app.test_request_context():
            pass


    @app.get("/")
    async def index():
"""


@pytest.mark.parametrize("shape", LEFT)
def test_what_is_left(shape: str) -> None:
    body, why = LEFT[shape]
    sources, found = migrated({"app.py": HEAD + FRAME + body.strip("\n")})
    left = [each.message for each in found if each.kind == "left" and each.code == "QT103"]
    assert left
    assert set(left) == {why}
    assert f"# TODO[quart-tasks]: {why}\n" in sources["app.py"]
    for line in body.strip().splitlines():
        if "files" not in line:  # which is awaited all the same
            assert line.strip() in sources["app.py"]


def test_a_thread_that_runs_beside_the_app_is_left_in_peace() -> None:
    body = """
    def tick():
        while True:
            pass


    threading.Thread(target=tick, daemon=True).start()


    @app.get("/")
    def index():
        return "ok"
    """
    _, found = migrated({"app.py": HEAD + body})
    assert [each for each in found if each.kind == "left"] == []


def test_two_tasks_of_one_name_get_names_that_differ() -> None:
    part = '''\
    import threading

    from flask import Blueprint

    {0} = Blueprint("{0}", __name__)


    def send(to):
        """Send something."""


    @{0}.post("/{0}/<to>")
    def create_{0}(to):
        threading.Thread(target=send, args=(to,)).start()
        return to
    '''
    sources, found = migrated(
        {
            "shop/__init__.py": """\
            from flask import Flask
            from .mails import mails
            from .calls import calls

            def create_app():
                app = Flask(__name__)
                app.register_blueprint(mails)
                app.register_blueprint(calls)
                return app
            """,
            "shop/mails.py": part.format("mails"),
            "shop/calls.py": part.format("calls"),
        }
    )
    assert [each for each in found if each.kind == "left"] == []
    both = sources["shop/calls.py"] + sources["shop/mails.py"]
    assert both.count('@tasks.task(executor="thread", public=False)') == 1
    assert both.count('name="shop.') == 1
    assert "from .extensions import tasks\n" in sources["shop/calls.py"]
    assert "    tasks.init_app(app)\n" in sources["shop/__init__.py"]


def test_a_coroutine_in_a_thread_is_a_task_on_the_loop() -> None:
    body = '''
    import asyncio

    async def fetch(url, times=1):
        """Fetch."""


    @app.get("/")
    def index():
        threading.Thread(target=asyncio.run, args=(fetch("a", times=2),)).start()
        return "ok"
    '''
    sources, found = migrated({"app.py": HEAD + body})
    assert [each.message for each in found if each.kind == "left"] == []
    assert "@tasks.task(public=False)\nasync def fetch(" in sources["app.py"]
    assert '    await fetch.submit("a", times=2)\n' in sources["app.py"]


def test_an_app_that_has_tasks_of_its_own_keeps_their_urls() -> None:
    sources, found = migrated(
        {
            "app.py": '''\
            from threading import Thread

            from flask import Flask

            app = Flask(__name__)


            def work():
                """Work."""


            @app.post("/tasks/<id>")
            def create_task(id):
                Thread(target=work).start()
                return id
            '''
        }
    )
    assert [each.message for each in found if each.kind == "left"] == []
    assert (
        'app.config["TASKS_URL_PREFIX"] = "/background-tasks"\ntasks = QuartTasks(app)\n'
        in sources["app.py"]
    )


def test_what_cannot_be_awaited_is_told_at_each_place() -> None:
    body = '''
    class Order:
        def __init__(self):
            threading.Thread(target=work, args=(app, 1)).start()


    def work(app, number):
        """Work."""


    @app.get("/")
    def index():
        Order()
        threading.Thread(target=work, args=(app, 2)).start()
        return "ok"
    '''
    sources, found = migrated({"app.py": HEAD + body})
    assert [each.code for each in found if each.kind == "left"] == ["QT103", "QT103"]
    assert sources["app.py"].count("# TODO[quart-tasks]") == 2
    assert "def work(app, number):" in sources["app.py"]


def test_the_app_may_be_passed_by_name() -> None:
    body = '''
    def send(to, app=None, *, copies=1):
        """Send a mail."""
        with app.app_context():
            print(to)


    @app.get("/")
    def index():
        threading.Thread(target=send, args=("a",), kwargs={"app": app, "copies": 2}).start()
        threading.Thread(target=send, args=("b", app)).start()
        return "ok"
    '''
    sources, found = migrated({"app.py": HEAD + body})
    assert [each.message for each in found if each.kind == "left"] == []
    assert "def send(to, *, copies=1):" in sources["app.py"]
    assert '    await send.submit("a", copies=2)\n    await send.submit("b")\n' in sources["app.py"]


def test_what_else_is_on_the_line_stays() -> None:
    body = '''
    def work(a):
        """Work."""


    @app.get("/")
    def index():
        a = 1; thread = threading.Thread(target=work, args=(a,)); thread.start()
        return "ok"
    '''
    sources, found = migrated({"app.py": HEAD + body})
    assert [each.message for each in found if each.kind == "left"] == []
    assert "    a = 1; await work.submit(a)\n" in sources["app.py"]


def test_who_may_see_the_tasks_is_asked() -> None:
    source = HEAD.replace("tasks = QuartTasks(app)\n", "").replace(
        "    from quart_tasks import QuartTasks\n", ""
    )
    body = '''
    def work():
        """Work."""


    @app.get("/")
    def index():
        {}
        return "ok"
    '''
    _, found = migrated({"app.py": source + body.format("threading.Thread(target=work).start()")})
    assert "`TASKS_TOKEN`" in "".join(each.message for each in found if each.kind == "note")
    _, found = migrated({"app.py": source + body.format("work()")})
    assert [each for each in found if each.kind == "note"] == []


EFFECTS = {
    "a log": 'app.logger.info("started %s", thread.name)',
    "a call beside it": 'print("thread", thread.name, next_number())',
    "a name that is worked out": 'thread.name = f"mail {next_number()}"',
    "two at once": "thread.daemon = app.config['DAEMON'] = True",
    "a test": "assert thread.daemon",
}


@pytest.mark.parametrize("shape", EFFECTS)
def test_no_statement_with_an_effect_goes_with_a_thread(shape: str) -> None:
    body = '''
    def work():
        """Work."""


    @app.get("/")
    def index():
        thread = threading.Thread(target=work)
        thread.start()
        {}
        return "ok"
    '''
    sources, found = migrated({"app.py": HEAD + body.format(EFFECTS[shape])})
    assert f"    {EFFECTS[shape]}\n" in sources["app.py"]
    assert "thread = threading.Thread(target=work)\n" in sources["app.py"]
    assert [each.code for each in found if each.kind == "left"] == ["QT103"]
    assert sources["app.py"].count("# TODO[quart-tasks]") == 1


def test_a_name_that_is_counted_is_kept() -> None:
    body = '''
    def work():
        """Work."""


    @app.get("/")
    def index():
        threading.Thread(target=work, name=f"worker {next(numbers)}").start()
        return "ok"
    '''
    sources, found = migrated({"app.py": HEAD + body})
    assert "next(numbers)" in sources["app.py"]
    assert [each.code for each in found if each.kind == "left"] == ["QT103"]


SHARED = '''
    def send(number):
        """Send a mail."""
        with app.app_context():
            print(number)


    @app.get("/a")
    def first():
        {}
        return "ok"


    @app.get("/b")
    def second():
        threading.Thread(target=send, args=(2,)).start()
        return "ok"
'''
OTHERS = {
    "a thread that is kept": "app.extensions['t'] = threading.Thread(target=send, args=(1,))",
    "a thread that is joined": "t = threading.Thread(target=send); t.start(); t.join()",
    "a scheduler": "scheduler.add_job(send, args=(1,))",
}


@pytest.mark.parametrize("shape", OTHERS)
def test_a_function_that_another_thread_needs_keeps_the_app_context(shape: str) -> None:
    sources, found = migrated({"app.py": HEAD + SHARED.format(OTHERS[shape])})
    assert "\n    with app.app_context():\n" in sources["app.py"]
    assert "tasks.task(" not in sources["app.py"]
    line = "    threading.Thread(target=send, args=(2,)).start()\n"
    assert line in sources["app.py"]
    above = sources["app.py"].partition(line)[0].splitlines()[-1]
    assert above.strip().startswith("# TODO[quart-tasks]: `send` ")
    assert "QT103" in [each.code for each in found if each.kind == "left"]


def test_what_starts_a_function_together_is_told_at_each_place() -> None:
    other = "threading.Thread(target=send, args=(1,)).start(); send(3)"
    sources, found = migrated({"app.py": HEAD + SHARED.format(other)})
    assert [each.message for each in found if each.kind == "left"] == []
    assert "app_context" not in sources["app.py"]
    changed = [each.line for each in found if each.kind == "changed" and each.code == "QT103"]
    assert len(set(changed)) == 2


def test_a_function_that_also_runs_beside_the_app_keeps_the_app_context() -> None:
    body = SHARED.format("pass") + "\n    send(0)\n"
    sources, found = migrated({"app.py": HEAD + body})
    assert "\n    with app.app_context():\n" in sources["app.py"]
    assert "QT103" in [each.code for each in found if each.kind == "left"]


def test_a_command_has_the_app_context_that_its_function_loses() -> None:
    command = """

    @app.cli.command("send", with_appcontext=True)
    def send_now():
        send(0)
"""
    sources, found = migrated({"app.py": HEAD + SHARED.format("pass") + command})
    assert [each.message for each in found if each.kind == "left"] == []
    assert "app_context():" not in sources["app.py"]
    assert "    await send.submit(2)\n" in sources["app.py"]


def test_a_class_of_threads_is_told_once() -> None:
    body = """
    class Worker(threading.Thread):
        def run(self):
            pass


    class Slow(Worker):
        pass


    class Ticker(threading.Thread):
        def run(self):
            pass


    jobs = {}
    Ticker(daemon=True).start()


    @app.get("/")
    def index():
        jobs[1] = Slow()
        jobs[1].start()
        jobs[2] = Slow()
        return "ok"
    """
    sources, found = migrated({"app.py": HEAD + body})
    assert [each.code for each in found if each.kind == "left"] == ["QT103"]
    lines = sources["app.py"].splitlines()
    assert "subclass of Thread" in lines[lines.index("class Slow(Worker):") - 1]

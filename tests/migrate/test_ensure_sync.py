from .asking import Ask, same_answers
from .cases import check


def test_its_call_is_awaited() -> None:
    check(
        """\
        from functools import wraps

        from quart import current_app


        def plain(view):
            @wraps(view)
            def wrapper(*args, **kwargs):
                return current_app.ensure_sync(view)(*args, **kwargs)

            return wrapper
        """,
        """\
        from functools import wraps

        from quart import current_app


        def plain(view):
            @wraps(view)
            async def wrapper(*args, **kwargs):
                return await current_app.ensure_async(view)(*args, **kwargs)

            return wrapper
        """,
    )


def test_one_that_is_stored_is_left() -> None:
    check(
        """\
        from quart import current_app


        def plain(view):
            ensured = current_app.ensure_sync(view)
            return ensured
        """,
        """\
        from quart import current_app


        def plain(view):
            # TODO[quart-tasks]: Quart has `ensure_async`, which gives a coroutine function; \
await its call.
            ensured = current_app.ensure_sync(view)
            return ensured
        """,
        "QT202",
    )


async def test_it_runs() -> None:
    await same_answers(
        """
from functools import wraps

from flask import Flask, current_app

app = Flask(__name__)


def plain(view):
    @wraps(view)
    def wrapper(*args, **kwargs):
        return "<" + current_app.ensure_sync(view)(*args, **kwargs) + ">"

    return wrapper


@app.get("/<name>")
@plain
def index(name):
    return name
""",
        [Ask("/tea"), Ask("/")],
    )

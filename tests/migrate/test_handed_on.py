from .cases import check


def test_who_gets_the_function_must_await_it() -> None:
    check(
        """\
        from functools import partial

        from quart import render_template

        about = partial(render_template, "about.html")
        """,
        """\
        from functools import partial

        from quart import render_template

        # TODO[quart-tasks]: Who calls `render_template` must await it.
        about = partial(render_template, "about.html")
        """,
        "QT308",
    )

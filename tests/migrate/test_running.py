from .cases import check


def test_options_of_run_become_quarts() -> None:
    check(
        """\
        from quart import Quart

        app = Quart(__name__)

        if __name__ == "__main__":
            app.run("0.0.0.0", 8080, threaded=True, ssl_context=("a.pem", "b.pem"), debug=True)
        """,
        """\
        from quart import Quart

        app = Quart(__name__)

        if __name__ == "__main__":
            app.run("0.0.0.0", 8080, certfile="a.pem", keyfile="b.pem", debug=True)
        """,
    )


def test_an_option_that_only_werkzeug_has() -> None:
    check(
        """\
        from quart import Quart

        app = Quart(__name__)
        app.run(reloader_type="stat")
        """,
        """\
        from quart import Quart

        app = Quart(__name__)
        # TODO[quart-tasks]: Quart's `run` has no `reloader_type`: Hypercorn may have it.
        app.run(reloader_type="stat")
        """,
        "QT402",
    )

from .cases import check


def test_a_class_that_is_named_in_a_string() -> None:
    check(
        """\
        from flask import Flask


        def register(app: "Flask", name: "str") -> 'Flask':
            return app
        """,
        """\
        from quart import Quart


        def register(app: "Quart", name: "str") -> 'Quart':
            return app
        """,
    )

from .cases import check


def test_contexts_and_what_stands_beside_them() -> None:
    check(
        """\
        from quart import Quart

        app = Quart(__name__)


        def count():
            # all of it
            with app.app_context():
                return len(app.config)


        def log():
            with open("a") as one, app.test_request_context("/") as context, open("b") as two:
                print(one, context, two)
            with open("a") as one, open("b") as two:
                print(one, two)
        """,
        """\
        from quart import Quart

        app = Quart(__name__)


        async def count():
            # all of it
            async with app.app_context():
                return len(app.config)


        async def log():
            with open("a") as one:
                async with app.test_request_context("/") as context:
                    with open("b") as two:
                        print(one, context, two)
            with open("a") as one, open("b") as two:
                print(one, two)
        """,
    )


def test_the_module_itself_cannot() -> None:
    check(
        """\
        from quart import Quart

        app = Quart(__name__)

        with app.app_context():
            print(app.name)
        """,
        """\
        from quart import Quart

        app = Quart(__name__)

        # TODO[quart-tasks]: This must be awaited, and a module itself cannot await. What the app \
needs when it starts can be a function under `@app.before_serving`.
        with app.app_context():
            print(app.name)
        """,
        "QT302",
    )


def test_contexts_that_are_pushed() -> None:
    check(
        """\
        from quart import Quart

        app = Quart(__name__)


        def begin():
            context = app.app_context()
            context.push()
            return context
        """,
        """\
        from quart import Quart

        app = Quart(__name__)


        async def begin():
            context = app.app_context()
            await context.push()
            return context
        """,
    )

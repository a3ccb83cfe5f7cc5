from .cases import check, unchanged


def test_what_quart_has_not_is_left_with_what_there_is() -> None:
    check(
        """\
        from quart import Quart, request

        app = Quart(__name__)
        app.wsgi_app = Proxy(app.wsgi_app)


        @app.get("/")
        def index():
            return request.environ["REMOTE_ADDR"]
        """,
        """\
        from quart import Quart, request

        app = Quart(__name__)
        # TODO[quart-tasks]: Quart has no `Flask.wsgi_app`: wrap `asgi_app` in an ASGI middleware \
instead.
        app.wsgi_app = Proxy(app.wsgi_app)


        @app.get("/")
        def index():
            # TODO[quart-tasks]: Quart has no `Request.environ`: there is `request.scope`, of ASGI.
            return request.environ["REMOTE_ADDR"]
        """,
        "QT203",
        "QT203",
    )


def test_what_the_user_put_there_and_what_both_have() -> None:
    unchanged(
        """\
        from quart import Quart, request

        app = Quart(__name__)
        app.shop = app.config["SHOP"]


        @app.before_request
        def begin():
            request.started = app.shop
            app.logger.info(request.remote_addr)
        """
    )

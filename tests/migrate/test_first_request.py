from .cases import check


def test_it_runs_before_the_server_answers() -> None:
    check(
        """\
        from quart import Blueprint, Quart

        app = Quart(__name__)
        bp = Blueprint("bp", __name__)


        @app.before_first_request
        def connect():
            app.logger.info("connected")


        bp.before_app_first_request(connect)
        """,
        """\
        from quart import Blueprint, Quart

        app = Quart(__name__)
        bp = Blueprint("bp", __name__)


        @app.before_serving
        def connect():
            app.logger.info("connected")


        bp.before_app_serving(connect)
        """,
    )

from .cases import check


def test_an_augmented_assignment() -> None:
    check(
        """\
        from quart import Quart

        app = Quart(__name__)


        @app.after_request
        def sign(response):
            response.data += b"!" if response.is_json else b"?"  # sign it
            return response
        """,
        """\
        from quart import Quart

        app = Quart(__name__)


        @app.after_request
        async def sign(response):
            response.data = await response.data + (b"!" if response.is_json else b"?")  # sign it
            return response
        """,
    )

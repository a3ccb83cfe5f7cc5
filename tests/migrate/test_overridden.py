from .cases import check


def test_methods_of_a_session_interface() -> None:
    check(
        """\
        from quart.sessions import SecureCookieSessionInterface


        class Sessions(SecureCookieSessionInterface):
            def open_session(self, app, request):
                return super().open_session(app, request)

            def get_cookie_name(self, app):
                return "session"
        """,
        """\
        from quart.sessions import SecureCookieSessionInterface


        class Sessions(SecureCookieSessionInterface):
            async def open_session(self, app, request):
                return await super().open_session(app, request)

            def get_cookie_name(self, app):
                return "session"
        """,
    )


def test_methods_of_the_app() -> None:
    check(
        """\
        from flask import Flask


        class Shop(Flask):
            def process_response(self, response):
                response.headers["X-Shop"] = self.name
                return super().process_response(response)
        """,
        """\
        from quart import Quart


        class Shop(Quart):
            async def process_response(self, response):
                response.headers["X-Shop"] = self.name
                return await super().process_response(response)
        """,
    )

from .cases import check, migrated, unchanged


def test_names_and_the_class() -> None:
    check(
        """\
        from flask import Flask, request  # the web


        def create_app() -> Flask:
            return Flask(__name__)
        """,
        """\
        from quart import Quart, request  # the web


        def create_app() -> Quart:
            return Quart(__name__)
        """,
    )


def test_a_list_in_parentheses_keeps_its_comments() -> None:
    check(
        """\
        from flask import (
            Blueprint,  # pages
            Flask,
        )

        app = Flask(__name__)
        """,
        """\
        from quart import (
            Blueprint,  # pages
            Quart,
        )

        app = Quart(__name__)
        """,
    )


def test_the_module_and_its_submodules() -> None:
    check(
        """\
        import flask
        import flask.views as views
        from flask.json.provider import DefaultJSONProvider

        app = flask.Flask(__name__)


        class Index(flask.views.View):
            def dispatch_request(self):
                return flask.url_for("index")
        """,
        """\
        import quart
        import quart.views as views
        from quart.json.provider import DefaultJSONProvider

        app = quart.Quart(__name__)


        class Index(quart.views.View):
            def dispatch_request(self):
                return quart.url_for("index")
        """,
    )


def test_names_of_its_own_stay() -> None:
    check(
        """\
        import flask as web
        from flask import Flask as App

        app = App(__name__)
        other = web.Flask("other")
        """,
        """\
        import quart as web
        from quart import Quart as App

        app = App(__name__)
        other = web.Quart("other")
        """,
    )


def test_a_name_that_is_taken() -> None:
    check(
        """\
        from flask import Flask

        app = Flask(__name__)
        Quart = 0.946  # litres
        """,
        """\
        from quart import Quart as Flask

        app = Flask(__name__)
        Quart = 0.946  # litres
        """,
    )


def test_imports_in_functions_and_conditions() -> None:
    check(
        """\
        from typing import TYPE_CHECKING

        if TYPE_CHECKING:
            from flask import Flask


        def create(name: "Flask"):
            from flask import Flask

            return Flask(name)
        """,
        """\
        from typing import TYPE_CHECKING

        if TYPE_CHECKING:
            from quart import Quart


        def create(name: "Quart"):
            from quart import Quart

            return Quart(name)
        """,
    )


def test_what_another_module_of_the_project_hands_on() -> None:
    sources, _ = migrated(
        {
            "web.py": "from flask import Flask, request\n",
            "app.py": "from web import Flask\n\napp = Flask(__name__)\n",
        }
    )
    assert sources["web.py"] == "from quart import Quart, request\n"
    assert sources["app.py"] == "from web import Quart\n\napp = Quart(__name__)\n"


def test_what_quart_does_not_have_stays() -> None:
    check(
        """\
        # the web
        from flask.sessions import SecureCookieSession, TaggedJSONSerializer
        """,
        """\
        # the web
        # TODO[quart-tasks]: Quart has no `flask.sessions.TaggedJSONSerializer`.
        from flask.sessions import TaggedJSONSerializer
        from quart.sessions import SecureCookieSession
        """,
        "QT201",
    )


def test_a_member_that_quart_does_not_have() -> None:
    check(
        """\
        import flask

        print(flask.debughelpers, flask.request)
        """,
        """\
        import quart
        import flask

        # TODO[quart-tasks]: Quart has no `flask.debughelpers`.
        print(flask.debughelpers, quart.request)
        """,
        "QT205",
    )


def test_a_star_is_left() -> None:
    check(
        """\
        from flask import *
        """,
        """\
        # TODO[quart-tasks]: Name what is imported from flask, then migrate again.
        from flask import *
        """,
        "QT201",
    )


def test_what_is_only_called_flask_stays() -> None:
    unchanged(
        """\
        from bottles import Flask

        flask = Flask("flask")
        flask.request = "flask.request"
        """
    )

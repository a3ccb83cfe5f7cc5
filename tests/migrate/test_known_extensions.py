"""The rule in `rules/extensions.py`."""

from .cases import check, migrated


def test_a_twin_is_named_once_and_its_decorators_await() -> None:
    check(
        """\
        from flask_login import login_required
        from flask_login import current_user

        from quart import Quart, request

        app = Quart(__name__)


        @app.post("/")
        @login_required
        def index():
            return request.form
        """,
        """\
        # TODO[quart-tasks]: `flask_login` runs if quart_flask_patch is imported first; or replace \
`flask_login` with quart_auth.
        from flask_login import login_required
        from flask_login import current_user

        from quart import Quart, request

        app = Quart(__name__)


        @app.post("/")
        @login_required
        async def index():
            return await request.form
        """,
        "QT601",
    )


def test_what_does_not_work_and_what_is_not_known() -> None:
    _, findings = migrated(
        {"app.py": "import flask_admin\nimport flask_cors\nfrom flask_moment import Moment\n"}
    )
    assert [finding.message for finding in findings] == [
        "`flask_admin` does not work with Quart: mount it beside the app, as a Flask app of its "
        "own.",
        "Replace `flask_cors` with quart_cors: it is made for Quart.",
        "It is not known whether `flask_moment` works with Quart: try it with quart_flask_patch.",
    ]


def test_a_module_of_the_project_is_no_extension() -> None:
    _, findings = migrated({"flask_shop.py": "x = 1\n", "app.py": "import flask_shop\n"})
    assert not findings

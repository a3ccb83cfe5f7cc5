from quart_tasks.migrate.run import migrate  # noqa: F401 — the rules are those of the run

from .asking import loaded
from .cases import check, migrated


def test_a_command_asks_for_its_context() -> None:
    check(
        """\
        from quart import Blueprint, Quart

        app = Quart(__name__)
        bp = Blueprint("bp", __name__)


        @app.cli.command("init")
        def init():
            print(app.name)


        @bp.cli.command()
        def other():
            print(bp.name)


        @app.cli.command("bare", with_appcontext=False)
        def bare():
            print("bare")
        """,
        """\
        from quart import Blueprint, Quart

        app = Quart(__name__)
        bp = Blueprint("bp", __name__)


        @app.cli.command("init", with_appcontext=True)
        def init():
            print(app.name)


        @bp.cli.command(with_appcontext=True)
        def other():
            print(bp.name)


        @app.cli.command("bare", with_appcontext=False)
        def bare():
            print("bare")
        """,
    )


def test_it_runs() -> None:
    sources, _ = migrated(
        {
            "app.py": """\
                import click
                from flask import Flask, current_app

                app = Flask("shop")


                @app.cli.command("greet")
                @click.argument("name")
                def greet(name):
                    click.echo(f"{name} of {current_app.name}")
                """
        }
    )
    app = loaded(sources["app.py"], "made").app
    result = app.test_cli_runner().invoke(args=["greet", "tea"])
    assert result.output == "tea of shop\n"

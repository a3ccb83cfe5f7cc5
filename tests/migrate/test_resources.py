from .cases import check


def test_files_of_the_app_are_opened_by_their_path() -> None:
    check(
        """\
        from quart import Quart, current_app

        app = Quart(__name__)

        with app.open_resource("schema.sql") as file:
            SCHEMA = file.read()


        def load():
            with current_app.open_instance_resource("a.txt", "r", encoding="utf-8") as file:
                return file.read()
        """,
        """\
        import os
        from quart import Quart, current_app

        app = Quart(__name__)

        with open(os.path.join(app.root_path, "schema.sql"), "rb") as file:
            SCHEMA = file.read()


        def load():
            with open(os.path.join(current_app.instance_path, "a.txt"), "r", encoding="utf-8") as file:
                return file.read()
        """,  # noqa: E501
    )

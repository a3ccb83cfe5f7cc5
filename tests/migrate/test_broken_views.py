from .cases import migrated


def test_views_that_call_what_is_left_are_told() -> None:
    _, findings = migrated(
        {
            "app.py": """\
                from flask import Flask, request

                app = Flask(__name__)


                def word():
                    return request.form["word"]


                def words():
                    return [word(), word()]


                WORD = [word]


                @app.post("/")
                def index():
                    return words()


                @app.post("/form")
                def form():
                    return request.form
                """
        }
    )
    assert [(f.line, f.message) for f in findings if f.kind == "note"] == [
        (18, "`index` fails where it calls `word`, which is left.")
    ]

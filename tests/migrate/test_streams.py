from .asking import Ask, same_answers
from .cases import check

WHY = (
    "Quart's `stream_with_context` wants an asynchronous generator function: make it one, "
    "see that it does not block, and write `stream_with_context(generate)()`."
)


def test_a_generator_with_context_is_left() -> None:
    source = """\
        from quart import Response, request, stream_with_context


        def view():
            def generate():
                yield request.path

            return Response(stream_with_context(generate()))
        """
    line = "            return Response"
    check(source, source.replace(line, f"            # TODO[quart-tasks]: {WHY}\n{line}"), "QT406")


async def test_a_plain_generator_runs() -> None:
    await same_answers(
        """
from flask import Flask, Response, request

app = Flask(__name__)


@app.post("/")
def index():
    words = request.get_json()

    def generate():
        for word in words:
            yield f"{word}\\n"

    return Response(generate(), mimetype="text/plain")
""",
        [Ask("/", "POST", json=["a", "b"])],
    )

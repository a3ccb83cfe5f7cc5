"""Articles: forms, files, templates, class views; threads that are started and forgotten."""

import threading

from flask import (
    Blueprint,
    current_app,
    flash,
    g,
    jsonify,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.views import MethodView

from ..auth import editor_required
from ..extensions import executor
from ..store import add, lines

bp = Blueprint("articles", __name__)


def index_words(app, title, text):
    """Note every word of an article; runs beside the request, so it needs the app."""
    with app.app_context():
        for word in sorted(set(text.split())):
            add("words", f"{title} {word}")


def count_letters(title, text):
    return {"title": title, "letters": len(text)}


def clean(text):
    return " ".join(text.split())


def read_upload():
    upload = request.files["file"]
    return upload.filename, clean(upload.read().decode())


class Articles(MethodView):
    decorators = [editor_required]

    def get(self):
        return render_template("articles.html", articles=lines("articles"))

    def post(self):
        title = request.form["title"]
        text = clean(request.form.get("text", ""))
        if not text:
            return jsonify(error="text is missing"), 400
        add("articles", f"{title} by {g.editor}")
        thread = threading.Thread(
            target=index_words, args=(current_app._get_current_object(), title, text)
        )
        thread.start()
        flash(f"{title} is in")
        return redirect(url_for("articles.articles"))


bp.add_url_rule("/", view_func=Articles.as_view("articles"))


@bp.post("/files")
@editor_required
def upload_article():
    name, text = read_upload()
    add("articles", f"{name} by {g.editor}")
    executor.submit(add_words, current_app._get_current_object(), name, text)
    return jsonify(name=name, **count_letters(name, text)), 201


def add_words(app, name, text):
    with app.app_context():
        add("words", f"{name} {len(text.split())}")


@bp.get("/words")
def words():
    return jsonify(lines("words"))

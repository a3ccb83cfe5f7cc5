"""Way four: a decorator that runs the whole view in a thread and answers 202."""

import io
import threading
import time
import uuid
from functools import wraps

from flask import Flask, abort, current_app, jsonify, request, url_for
from werkzeug.exceptions import HTTPException, InternalServerError

app = Flask(__name__)
tasks = {}


@app.before_request
def start_cleaner():
    """Forget what ended more than an hour ago."""
    if "cleaner" in app.extensions:
        return

    def clean():
        while True:
            long_ago = time.time() - 3600
            for key in [k for k, t in tasks.items() if t.get("at", time.time()) < long_ago]:
                del tasks[key]
            time.sleep(60)

    app.extensions["cleaner"] = threading.Thread(target=clean, daemon=True)
    app.extensions["cleaner"].start()


def flask_async(f):
    """Run a view in a thread; its response is had from another route."""

    @wraps(f)
    def wrapped(*args, **kwargs):
        def run(app, environ):
            with app.request_context(environ):
                try:
                    tasks[key]["response"] = app.make_response(f(*args, **kwargs))
                except HTTPException as error:
                    tasks[key]["response"] = app.handle_http_exception(error)
                except Exception:
                    tasks[key]["response"] = InternalServerError().get_response()
                finally:
                    tasks[key]["at"] = time.time()

        key = uuid.uuid4().hex
        request.environ["wsgi.input"] = io.BytesIO(request.get_data())
        tasks[key] = {
            "thread": threading.Thread(
                target=run, args=(current_app._get_current_object(), request.environ)
            )
        }
        tasks[key]["thread"].start()
        return jsonify(id=key), 202, {"Location": url_for("task_status", key=key)}

    return wrapped


@app.get("/status/<key>")
def task_status(key):
    task = tasks.get(key)
    if task is None:
        abort(404)
    if "response" not in task:
        return "", 202, {"Location": url_for("task_status", key=key)}
    return task["response"]


@app.post("/reports")
@flask_async
def create_report():
    """Add up what was sent."""
    time.sleep(0.2)
    rows = request.get_json()
    if not rows:
        abort(422)
    return jsonify(rows=len(rows), total=sum(rows)), 201, {"X-Report": "yes"}


@app.get("/reports/<int:number>/<kind>")
@flask_async
def report(number, kind):
    if kind == "broken":
        raise RuntimeError("broken")
    return f"{request.args.get('prefix', '')}{kind} {number}"


@app.get("/")
def index():
    return "reports"

"""Whole views in threads, and loops in requests."""

import asyncio
import io
import threading
import uuid
from functools import wraps

import aiohttp
from flask import Blueprint, abort, current_app, jsonify, request, url_for
from werkzeug.exceptions import HTTPException, InternalServerError

bp = Blueprint("background", __name__)
running = {}


def flask_async(f):
    @wraps(f)
    def wrapped(*args, **kwargs):
        def work(app, environ):
            with app.request_context(environ):
                try:
                    running[task_id]["result"] = f(*args, **kwargs)
                except HTTPException as error:
                    running[task_id]["result"] = app.handle_http_exception(error)
                except Exception:
                    running[task_id]["result"] = InternalServerError()

        task_id = uuid.uuid4().hex
        request.environ["wsgi.input"] = io.BytesIO(request.get_data())
        running[task_id] = {
            "task": threading.Thread(
                target=work, args=(current_app._get_current_object(), request.environ)
            )
        }
        running[task_id]["task"].start()
        return {"id": task_id}, 202, {"Location": url_for("background.result", task_id=task_id)}

    return wrapped


@bp.get("/results/<task_id>")
def result(task_id):
    task = running.get(task_id)
    if task is None:
        abort(404)
    if "result" not in task:
        return {"id": task_id}, 202
    return task["result"]


@bp.post("/summaries/<int:length>")
@flask_async
def summary(length):
    text = request.get_json()["text"]
    if not text:
        abort(400)
    return jsonify(summary=text[:length], editor=request.headers.get("X-Editor"))


async def fetch(session, url):
    async with session.get(url) as response:
        return response.status


async def check(urls):
    async with aiohttp.ClientSession() as session:
        return await asyncio.gather(*(fetch(session, url) for url in urls))


@bp.post("/links")
def check_links():
    urls = request.get_json()["urls"]
    loop = asyncio.new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        statuses = loop.run_until_complete(check(urls))
    finally:
        loop.close()
    return jsonify(dict(zip(urls, statuses)))

"""A pool, and its futures in a dict."""

import uuid

from flask import Blueprint, abort, jsonify, request

from ..auth import json_required
from ..extensions import executor

bp = Blueprint("jobs", __name__)
futures = {}


def frequency(text, letter):
    if len(letter) != 1:
        raise ValueError("one letter, please")
    return {"letter": letter, "count": text.count(letter)}


@bp.post("/")
@json_required("text", "letter")
def create():
    data = request.get_json()
    job_id = uuid.uuid4().hex
    futures[job_id] = executor.submit(frequency, data["text"], letter=data["letter"])
    return {"id": job_id}, 202


@bp.get("/<job_id>")
def status(job_id):
    future = futures.get(job_id)
    if future is None:
        abort(404)
    if not future.done():
        return {"done": False}, 202
    if future.exception():
        return jsonify(done=True, error=str(future.exception()))
    return {"done": True, "result": future.result()}

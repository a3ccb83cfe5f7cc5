"""Celery's tasks, and the route that a page polls."""

from celery.result import AsyncResult
from flask import Blueprint, jsonify, request, url_for

from ..store import lines
from ..tasks import archive, publish

bp = Blueprint("longtasks", __name__)


@bp.route("/publications", methods=["POST"])
def create_publication():
    task = publish.delay(request.get_json()["titles"], pause=0.01)
    return jsonify(id=task.id), 202, {"Location": url_for(".publication", task_id=task.id)}


@bp.route("/publications/<task_id>")
def publication(task_id):
    task = AsyncResult(task_id)
    response = {"state": task.state, "status": "Waiting"}
    if task.state == "FAILURE":
        response["status"] = str(task.info)
    elif task.state != "PENDING":
        response["status"] = task.info.get("status", "")
        if task.successful():
            response["result"] = task.result["result"]
    return jsonify(response)


@bp.route("/archive/<title>", methods=["PUT"])
def archive_article(title):
    result = archive.apply_async((title,), countdown=0, expires=600)
    return {"archived": result.get(timeout=90)}


@bp.get("/mails")
def mails():
    return jsonify(lines("mails"))

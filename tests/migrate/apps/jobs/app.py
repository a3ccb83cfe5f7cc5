"""Way three: one pool for all, and a dict of the futures that a status route looks into."""

import uuid
from concurrent.futures import ThreadPoolExecutor

from flask import Flask, abort, jsonify, request, url_for

app = Flask(__name__)
executor = ThreadPoolExecutor(4)
jobs = {}


def count_words(text, least=1):
    if not text:
        raise ValueError("there is no text")
    words = [word for word in text.split() if len(word) >= least]
    return {"words": len(words), "longest": max(words, key=len)}


@app.post("/jobs")
def create_job():
    job_id = str(uuid.uuid4())
    jobs[job_id] = executor.submit(
        count_words,
        request.form["text"],  # may be long
        least=request.form.get("least", 1, type=int),
    )
    return jsonify(id=job_id), 202, {"Location": url_for("job", job_id=job_id)}


@app.get("/jobs/<job_id>")
def job(job_id):
    future = jobs.get(job_id)
    if future is None:
        abort(404)
    if not future.done():
        return jsonify(status="running" if future.running() else "waiting"), 202
    error = future.exception()
    if error is not None:
        return jsonify(status="failed", error=str(error)), 500
    return jsonify(status="done", result=future.result())


@app.get("/jobs/<job_id>/result")
def job_result(job_id):
    if job_id not in jobs:
        return jsonify(error="unknown job"), 404
    if jobs[job_id].done():
        return jobs[job_id].result()
    return "", 204


if __name__ == "__main__":
    app.run(threaded=True)

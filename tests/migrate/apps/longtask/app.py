"""Way five: Celery, with a page that polls how far a task has come."""

import os
import random
import time

from celery import Celery
from flask import Flask, jsonify, render_template, request, session, url_for

app = Flask(__name__)
app.config["SECRET_KEY"] = "longtask"
app.config["CELERY_BROKER_URL"] = os.environ.get("BROKER", "redis://localhost:6379/0")
app.config["RESULT_BACKEND"] = os.environ.get("BACKEND", "redis://localhost:6379/0")

celery = Celery(
    app.name, broker=app.config["CELERY_BROKER_URL"], backend=app.config["RESULT_BACKEND"]
)


@celery.task(name="send_mail")
def send_mail(to, subject):
    """Send a mail."""
    with app.app_context():
        with open("outbox.txt", "a") as file:
            file.write(f"{to}: {subject} ({app.name})\n")


@celery.task(bind=True)
def long_task(self, steps=20, fail=False):
    """Take long, and tell how far it is."""
    verbs = ["Starting up", "Checking", "Repairing"]
    message = ""
    for step in range(steps):
        if not message or random.random() < 0.25:
            message = f"{random.choice(verbs)}..."
        self.update_state(
            state="PROGRESS", meta={"current": step, "total": steps, "status": message}
        )
        if fail:
            raise ValueError("cannot be repaired")
        time.sleep(0.02)
    return {"current": 100, "total": 100, "status": "Task completed!", "result": 42}


@app.route("/", methods=["GET", "POST"])
def index():
    if request.method == "GET":
        return render_template("index.html", email=session.get("email", ""))
    email = request.form["email"]
    session["email"] = email
    if request.form["submit"] == "Send":
        send_mail.delay(email, "Hello from Flask")
    else:
        send_mail.apply_async(args=[email, "Hello, a little later"], countdown=0.5)
    return f"Sending to {email}"


@app.route("/longtask", methods=["POST"])
def longtask():
    task = long_task.apply_async(
        kwargs={"steps": request.args.get("steps", 20, int), "fail": "fail" in request.args}
    )
    return jsonify({}), 202, {"Location": url_for("taskstatus", task_id=task.id)}


@app.route("/status/<task_id>")
def taskstatus(task_id):
    task = long_task.AsyncResult(task_id)
    if task.state == "PENDING":
        # It waits, or nobody knows it.
        response = {"state": task.state, "current": 0, "total": 1, "status": "Pending..."}
    elif task.state != "FAILURE":
        response = {
            "state": task.state,
            "current": task.info.get("current", 0),
            "total": task.info.get("total", 1),
            "status": task.info.get("status", ""),
        }
        if "result" in task.info:
            response["result"] = task.info["result"]
    else:
        response = {"state": task.state, "current": 1, "total": 1, "status": str(task.info)}
    return jsonify(response)


@app.route("/outbox")
def outbox():
    with open("outbox.txt") as file:
        return jsonify(file.read().splitlines())


if __name__ == "__main__":
    app.run(debug=True)

import threading
from functools import wraps

from flask import Blueprint, abort, current_app, request

from .outbox import write

mails = Blueprint("mails", __name__)


def token_required(view):
    @wraps(view)
    def wrapper(*args, **kwargs):
        if request.headers.get("X-Token") != "letmein":
            abort(401)
        return view(*args, **kwargs)

    return wrapper


def deliver(app, to, text):
    with app.app_context():
        write(f"mail to {to}: {text}")


def send(to, text):
    app = current_app._get_current_object()
    threading.Thread(target=deliver, args=(app, to, text)).start()


@mails.post("/mails/<to>")
@token_required
def create_mail(to):
    send(to, request.form["text"])
    return "queued", 202


@mails.post("/reminders/<to>")
@token_required
def create_reminder(to):
    app = current_app._get_current_object()
    threading.Timer(0.2, deliver, args=(app, to, "remember")).start()
    return "", 204


@mails.get("/outbox")
def outbox():
    with open(current_app.config["OUTBOX"]) as file:
        return {"lines": sorted(file.read().splitlines())}

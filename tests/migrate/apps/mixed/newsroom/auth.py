from functools import wraps

from flask import abort, g, request


def editor_required(view):
    """Only for those who name themselves."""

    @wraps(view)
    def wrapper(*args, **kwargs):
        name = request.headers.get("X-Editor")
        if not name:
            abort(401)
        g.editor = name
        return view(*args, **kwargs)

    return wrapper


def json_required(*names):
    def decorate(view):
        @wraps(view)
        def wrapper(*args, **kwargs):
            data = request.get_json(silent=True) or {}
            missing = [name for name in names if name not in data]
            if missing:
                return {"missing": missing}, 400
            return view(*args, **kwargs)

        return wrapper

    return decorate

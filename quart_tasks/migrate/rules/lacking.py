"""What the objects of Flask have and those of Quart have not."""

import libcst as cst

from ..module import Module
from ..quart_api import has, is_in_flask
from ..rule import Rule

_CLIENT = "flask.testing.FlaskClient()"
_OWNERS = ("flask.Flask()", "flask.Request()", "flask.Response()", "flask.Blueprint()", _CLIENT)
_ADVICE = {
    "flask.Flask().wsgi_app": "wrap `asgi_app` in an ASGI middleware instead",
    "flask.Request().stream": "iterate `request.body` with `async for`, or await `get_data()`",
    "flask.Request().environ": "there is `request.scope`, of ASGI",
    "flask.Response().call_on_close": "use `after_this_request`",
}
# Rules of their own know these.
_KNOWN = {
    "flask.Flask().ensure_sync",
    "flask.Flask().before_first_request",
    "flask.Blueprint().before_app_first_request",
    "flask.Response().text",
}


class Lacking(Rule):
    """Attributes that Quart does not have are left, with what there is instead.

    Before:

        app.wsgi_app = ProxyFix(app.wsgi_app)

    After:

        # TODO[quart-tasks]: Quart has no `Flask.wsgi_app`: wrap `asgi_app` in …
        app.wsgi_app = ProxyFix(app.wsgi_app)
    """

    code = "QT203"

    def look(self, module: Module) -> None:
        for attribute in module.all(cst.Attribute):
            owner = self.origin(module, attribute.value)
            name = attribute.attr.value
            if owner not in _OWNERS or f"{owner}.{name}" in _KNOWN:
                continue
            origin = f"{owner}.{name}"
            static = origin.replace("()", "")
            # What neither has is the user's own.
            if origin in _ADVICE or (is_in_flask(static) and not has(static)):
                advice = _ADVICE.get(origin)
                text = f"Quart has no `{owner[6:-2]}.{name}`" + (f": {advice}." if advice else ".")
                self.leave(module, attribute, text)
        for item in module.all(cst.WithItem):
            if self.origin(module, item.item) == "flask.Response()":
                self.leave(module, item, "Quart's `Response` is no context manager: it needs none.")

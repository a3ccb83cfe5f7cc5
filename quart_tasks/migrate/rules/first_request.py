"""`before_first_request`, which neither has any more."""

import libcst as cst

from ..edits import renamed
from ..module import Module
from ..rule import Rule

_NEW = {
    "flask.Flask().before_first_request": "before_serving",
    "flask.Blueprint().before_app_first_request": "before_app_serving",
}


class FirstRequest(Rule):
    """What ran before the first request runs before the server answers any.

    Before:

        @app.before_first_request
        def connect():
            ...

    After:

        @app.before_serving
        def connect():
            ...
    """

    code = "QT401"

    def look(self, module: Module) -> None:
        for attribute in module.all(cst.Attribute):
            new = _NEW.get(self.origin(module, attribute))
            if new is not None:
                change = self.change(
                    module, attribute, f"`{attribute.attr.value}` became `{new}`: no request yet."
                )
                change.edit(attribute.attr, renamed(new))

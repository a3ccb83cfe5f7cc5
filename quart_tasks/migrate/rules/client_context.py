"""What a test reads of the request that its client has sent."""

import libcst as cst

from ..flask_imports import is_import
from ..module import Module
from ..rule import Rule

_CLIENT = "flask.testing.FlaskClient()"


class ClientContext(Rule):
    """`g` after a request is left: Quart's client keeps the request and the session only.

    Before:

        with client:
            client.get("/")
            assert g.user is None

    After:

        async with client:
            await client.get("/")
            # TODO[quart-tasks]: Quart's client keeps the request and the session, not `g`.
            assert g.user is None
    """

    code = "QT506"

    def look(self, module: Module) -> None:
        blocks = {
            node.body
            for node in module.all(cst.With)
            if any(self.origin(module, item.item) == _CLIENT for item in node.items)
        }
        for name in module.all(cst.Name) if blocks else ():
            if is_import(module, name) or self.origin(module, name) != "flask.g":
                continue
            if blocks.intersection(module.parents(name)):
                why = "Quart's client keeps the request and the session, not `g`."
                self.leave(module, name, why)

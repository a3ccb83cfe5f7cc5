"""`open_resource`, which is a coroutine and gives an asynchronous file in Quart."""

from functools import partial

import libcst as cst

from ..edits import keyword
from ..module import Module
from ..rule import Rule

_METHODS = {"open_resource": "root_path", "open_instance_resource": "instance_path"}


class Resources(Rule):
    """A file of the app is opened by its path, which stays as sync as it was.

    Before:

        with app.open_resource("schema.sql") as file:

    After:

        with open(os.path.join(app.root_path, "schema.sql"), "rb") as file:
    """

    code = "QT404"

    def look(self, module: Module) -> None:
        for call in module.all(cst.Call):
            owner, _, method = self.origin(module, call.func).rpartition(".")
            if owner not in ("flask.Flask()", "flask.Blueprint()") or method not in _METHODS:
                continue
            if not isinstance(call.func, cst.Attribute) or not call.args or call.args[0].keyword:
                continue
            if isinstance(module.parent(call), cst.Await):
                continue
            change = self.change(module, call, f"`{method}` became `open`.")
            change.claim(call)
            change.add_import("os")
            change.edit(call, partial(_opened, _METHODS[method]))


def _opened(folder: str, call: cst.Call) -> cst.Call:
    owner = cst.ensure_type(call.func, cst.Attribute).value
    join = cst.parse_expression("os.path.join")
    path = cst.Call(
        join,
        [cst.Arg(cst.Attribute(owner, cst.Name(folder))), cst.Arg(call.args[0].value)],
    )
    given = keyword(call, "mode") or (call.args[1] if len(call.args) > 1 else None)
    mode = given.value if given is not None else cst.SimpleString('"rb"')
    rest = [arg for arg in call.args[1:] if arg is not given]
    return call.with_changes(func=cst.Name("open"), args=[cst.Arg(path), cst.Arg(mode), *rest])

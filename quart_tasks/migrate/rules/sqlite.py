"""SQLite connections that a request keeps."""

import libcst as cst

from ..edits import argument, keyword, with_arguments
from ..module import Module
from ..rule import Rule


class Sqlite(Rule):
    """A connection in `g` is used by several threads, one after the other.

    Async views run on the event loop, sync views and hooks in threads of their own.

    Before:

        g.db = sqlite3.connect(path)

    After:

        g.db = sqlite3.connect(path, check_same_thread=False)
    """

    code = "QT407"

    def look(self, module: Module) -> None:
        for call in module.all(cst.Call):
            if self.origin(module, call.func) != "sqlite3.connect":
                continue
            if keyword(call, "check_same_thread") is None and self._is_kept(module, call):
                text = "The connection may be used by several threads, one after the other."
                change = self.change(module, call, text)
                change.edit(call, _shared)

    def _is_kept(self, module: Module, call: cst.Call) -> bool:
        """Whether the function that connects names `g`."""
        function = module.function(call)
        return function is not None and any(
            self.origin(module, name) == "flask.g" and function in list(module.parents(name))
            for name in [*module.all(cst.Name), *module.all(cst.Attribute)]
        )


def _shared(call: cst.Call) -> cst.Call:
    return with_arguments(call, [*call.args, argument("check_same_thread", cst.Name("False"))])

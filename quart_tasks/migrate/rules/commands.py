"""Commands of the app's command line."""

import libcst as cst

from ..edits import argument, keyword, with_arguments
from ..job_groups import COMMANDS
from ..module import Module
from ..rule import Rule


class Commands(Rule):
    """A command has the app's context only if it asks for it.

    Before:

        @app.cli.command("init-db")
        def init_db():
            current_app.logger.info("…")

    After:

        @app.cli.command("init-db", with_appcontext=True)
        def init_db():
            current_app.logger.info("…")
    """

    code = "QT405"

    def look(self, module: Module) -> None:
        for decorator in module.all(cst.Decorator):
            call = decorator.decorator
            if not isinstance(call, cst.Call) or self.origin(module, call.func) not in COMMANDS:
                continue
            if keyword(call, "with_appcontext") is None:
                change = self.change(module, call, "The command asks for the app's context.")
                change.edit(call, _asking)


def _asking(call: cst.Call) -> cst.Call:
    return with_arguments(call, [*call.args, argument("with_appcontext", cst.Name("True"))])

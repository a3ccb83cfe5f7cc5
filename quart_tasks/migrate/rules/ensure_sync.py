"""`ensure_sync`, which Quart has the other way round."""

import libcst as cst

from ..edits import renamed
from ..module import Module
from ..rule import Rule


class EnsureSync(Rule):
    """What makes every function sync in Flask makes it async in Quart.

    Before:

        return current_app.ensure_sync(view)(*args, **kwargs)

    After:

        return await current_app.ensure_async(view)(*args, **kwargs)
    """

    code = "QT202"

    def look(self, module: Module) -> None:
        for attribute in module.all(cst.Attribute):
            if self.origin(module, attribute) != "flask.Flask().ensure_sync":
                continue
            if attribute.attr.value != "ensure_sync":
                continue
            ensured = module.parent(attribute)
            call = module.parent(ensured) if ensured is not None else None
            if isinstance(call, cst.Call) and call.func is ensured:
                change = self.change(module, call, "`ensure_sync` became `ensure_async`.")
                change.edit(attribute.attr, renamed("ensure_async"))
                change.wait(call)
            else:
                why = "Quart has `ensure_async`, which gives a coroutine function; await its call."
                self.leave(module, attribute, why)

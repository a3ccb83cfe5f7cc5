"""Templates that are rendered by Jinja's own methods."""

import libcst as cst

from ..edits import renamed
from ..module import Module
from ..rule import Rule

_MADE_BY = ("get_template", "select_template", "get_or_select_template", "from_string")
_RENDER = {f"flask.Flask().jinja_env.{name}().render" for name in _MADE_BY}


class Templates(Rule):
    """Quart's Jinja is asynchronous: a template is rendered by `render_async`.

    Before:

        return current_app.jinja_env.get_template("mail.txt").render(name=name)

    After:

        return await current_app.jinja_env.get_template("mail.txt").render_async(name=name)
    """

    code = "QT305"

    def look(self, module: Module) -> None:
        for call in module.all(cst.Call):
            func = call.func
            if isinstance(func, cst.Attribute) and self.origin(module, func) in _RENDER:
                change = self.change(module, call, "`render` became `render_async`.")
                change.edit(func.attr, renamed("render_async"))
                change.wait(call)

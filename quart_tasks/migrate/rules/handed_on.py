"""Coroutine functions of Quart that are handed on."""

import libcst as cst

from ..module import Module
from ..quart_api import is_coroutine, is_property
from ..rule import Rule


class HandedOn(Rule):
    """A function that is a coroutine in Quart, given to somebody who will not await it, is left.

    Before:

        about = partial(render_template, "about.html")

    After:

        # TODO[quart-tasks]: Who calls `render_template` must await it.
        about = partial(render_template, "about.html")
    """

    code = "QT308"

    def look(self, module: Module) -> None:
        for node in [*module.all(cst.Name), *module.all(cst.Attribute)]:
            if self._is_handed_on(module, node) and not self.is_claimed(node):
                self.leave(module, node, f"Who calls `{module.text(node)}` must await it.")

    def _is_handed_on(self, module: Module, node: cst.CSTNode) -> bool:
        if not isinstance(module.parent(node), cst.Arg | cst.Element | cst.DictElement):
            return False
        origin = self.origin(module, node)
        if not origin.startswith("flask.") or origin.endswith("()"):
            return False
        name = origin.replace("()", "")
        return is_coroutine(name) and not is_property(name)

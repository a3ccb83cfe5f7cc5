"""What a request, a response or the app does only in a coroutine is awaited."""

import libcst as cst

from ..module import Module
from ..quart_api import is_coroutine, is_property
from ..rule import Rule

# Rules of their own know what to do about these.
_ELSEWHERE = {
    "flask.Request.stream",
    "flask.Flask.open_resource",
    "flask.Flask.open_instance_resource",
    "flask.Blueprint.open_resource",
}
_ASKED = {"flask.Request()", "flask.Response()", "flask.testing.FlaskClient()"}


class AwaitedRequests(Rule):
    """What is a coroutine in Quart is awaited.

    Before:

        name = request.get_json()["name"]
        return render_template("hello.html", name=name)

    After:

        name = (await request.get_json())["name"]
        return await render_template("hello.html", name=name)
    """

    code = "QT301"

    def look(self, module: Module) -> None:
        for call in module.all(cst.Call):
            self._wait(module, call, call.func, called=True)
            if self.origin(module, call.func) == "builtins.getattr" and len(call.args) > 1:
                self._ask(module, call)
        for attribute in module.all(cst.Attribute):
            self._wait(module, attribute, attribute, called=False)

    def _ask(self, module: Module, call: cst.Call) -> None:
        """`getattr(request, name)` may give anything."""
        owner, name = (arg.value for arg in call.args[:2])
        if self.origin(module, owner) in _ASKED and not isinstance(name, cst.SimpleString):
            self.leave(module, call, "What this gives may have to be awaited.")

    def _wait(
        self, module: Module, node: cst.BaseExpression, named: cst.BaseExpression, called: bool
    ) -> None:
        origin = self.origin(module, named)
        if not origin.startswith("flask.") or origin.endswith("()") or self.is_claimed(node):
            return
        name = origin.replace("()", "")
        if name in _ELSEWHERE or not is_coroutine(name) or is_property(name) == called:
            return
        parent = module.parent(node)
        if isinstance(parent, cst.Await | cst.AssignTarget | cst.Del):
            return
        if isinstance(parent, cst.AugAssign) and parent.target is node:
            return  # a rule of its own
        self.change(module, node, f"`{module.text(node)}` is awaited.").wait(node)

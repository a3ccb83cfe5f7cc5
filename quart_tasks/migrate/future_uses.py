"""What is done with a future, said of a task's handle."""

import libcst as cst
import libcst.matchers as m

from .local_names import names_in
from .module import Module
from .parts import Parts
from .plan import Plan

_TESTS = (cst.If, cst.IfExp, cst.While, cst.BooleanOperation, cst.UnaryOperation, cst.Assert)
_PLAIN = (cst.If, cst.IfExp, cst.While, cst.BooleanOperation, cst.Arg, cst.Assign, cst.Return)
_STATES = {"running": "running", "cancelled": "cancelled"}
_TIMEOUTS = ("builtins.TimeoutError", "concurrent.futures.TimeoutError")
_ANY = ("builtins.Exception", "builtins.BaseException")
EXCEPTIONS = "What the function raised arrives as `TaskFailed` here: catch that instead."


class FutureUses:
    """Notes the edits in `parts`; each method says why there are none, or ""."""

    def __init__(self, plan: Plan, parts: Parts) -> None:
        self._origins = plan.origins
        self._parts = parts

    def of_name(self, module: Module, name: cst.Name, without: list[cst.Name] | None = None) -> str:
        """All uses of the future that a local name stands for."""
        whys = [
            self.of(module, node)
            for node in names_in(module, name)
            if node not in (without or ()) and not isinstance(module.parent(node), cst.AssignTarget)
        ]
        return next(filter(None, whys), "")

    def of(self, module: Module, node: cst.BaseExpression) -> str:
        """One use: `node` is the future."""
        attribute = module.parent(node)
        if not isinstance(attribute, cst.Attribute):
            return "A future is handed on here: hand on the task's id or handle."
        call = module.parent(attribute)
        method = attribute.attr.value
        if isinstance(call, cst.Call) and call.func is attribute:
            if method == "done":
                return ""
            if method == "result":
                self._parts.waits.append((module, call))
                return self._caught(module, call)
            if method in _STATES:
                self._state(module, call, _STATES[method])
                return ""
            if method == "cancel" and isinstance(module.parent(call), cst.Expr):
                self._parts.waits.append((module, call))
                return ""
            if method == "exception" and not call.args:
                self._parts.edit(module, call, lambda new: _error_of(new.func.value))
                return self._error(module, call)
        return f"`{method}` of a future is left to you: a task's handle has `state` and `record`."

    def _state(self, module: Module, call: cst.Call, state: str) -> None:
        is_plain = isinstance(module.parent(call), _PLAIN)

        def rewrite(new: cst.Call) -> cst.Comparison:
            value = cst.ensure_type(new.func, cst.Attribute).value
            target = cst.ComparisonTarget(cst.Equal(), cst.SimpleString(f'"{state}"'))
            test = cst.Comparison(cst.Attribute(value, cst.Name("state")), [target])
            if is_plain:
                return test
            return test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])

        self._parts.edit(module, call, rewrite)

    # -- errors --------------------------------------------------------------------------------

    def _error(self, module: Module, node: cst.BaseExpression) -> str:
        """What is done with an exception; `node` is one, and the record's error in the end."""
        parent = module.parent(node)
        if isinstance(parent, _TESTS) or m.matches(parent, _COMPARED) if parent else False:
            return ""
        match parent:
            case cst.Assign(targets=[cst.AssignTarget(target=cst.Name() as name)]):
                whys = [self._error(module, use) for use in names_in(module, name)]
                return next(filter(None, whys), "")
            case cst.FormattedStringExpression(conversion=None):
                self._parts.edit(module, node, _message_of)
                return ""
            case cst.Arg():
                return self._in_call(module, parent)
        return "This exception is the record's `error` now, which has `type` and `message`."

    def _in_call(self, module: Module, arg: cst.Arg) -> str:
        call = module.parent(arg)
        origin = self._origins.of(module, call.func) if isinstance(call, cst.Call) else ""
        if call is not None and origin == "builtins.str":
            self._parts.edit(module, call, lambda new: _message_of(new.args[0].value))
            return ""
        name = module.parent(call) if call is not None else None
        is_name = name is not None and m.matches(name, m.Attribute(attr=m.Name("__name__")))
        if name is not None and is_name and origin == "builtins.type":
            self._parts.edit(module, name, _type_of)
            return ""
        return "This exception is the record's `error` now, which has `type` and `message`."

    def _caught(self, module: Module, call: cst.Call) -> str:
        """Whether what `result()` raises is caught as it is now."""
        block = _tried(module, call)
        for handler in block.handlers if block is not None else ():
            kind = self._origins.of(module, handler.type) if handler.type is not None else _ANY[0]
            if kind in _TIMEOUTS:
                continue
            if kind not in _ANY:
                return EXCEPTIONS
            if handler.name is None or not isinstance(handler.name.name, cst.Name):
                continue
            if block is None or len(block.body.body) > 1 or handler.type is None:
                return EXCEPTIONS
            for use in names_in(module, handler.name.name):
                if handler in module.parents(use) and (why := self._error(module, use)):
                    return why
            self._parts.edit(module, handler.type, lambda new: cst.Name("TaskFailed"))
            self._parts.imports.append((module, "quart_tasks.TaskFailed"))
        return ""


def _error_of(future: cst.BaseExpression) -> cst.Attribute:
    return cst.Attribute(cst.Attribute(future, cst.Name("record")), cst.Name("error"))


def _message_of(error: cst.BaseExpression) -> cst.Attribute:
    return cst.Attribute(error, cst.Name("message"))


def _type_of(name: cst.Attribute) -> cst.Attribute:
    """`error.type`, of `type(error).__name__`."""
    return cst.Attribute(cst.ensure_type(name.value, cst.Call).args[0].value, cst.Name("type"))


def _tried(module: Module, node: cst.CSTNode) -> cst.Try | None:
    """The `try` of the same function in whose body `node` is."""
    child = node
    for parent in module.parents(node):
        if isinstance(parent, cst.FunctionDef):
            return None
        if isinstance(parent, cst.Try) and parent.body is child:
            return parent
        child = parent
    return None


_COMPARED = m.Comparison(
    comparisons=[m.ComparisonTarget(m.OneOf(m.Is(), m.IsNot()), m.Name("None"))]
)

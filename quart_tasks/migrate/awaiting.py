"""Makes the coloured functions async, and awaits their calls."""

from collections.abc import Mapping

import libcst as cst

from .change import Change
from .decorating import Decorating
from .decorators import Decorator, Decorators
from .edits import made_async
from .module import Module
from .plan import Plan
from .references import References

CODE = "QT300"
Functions = Mapping[cst.FunctionDef, Module]


class Awaiting:
    def __init__(
        self, plan: Plan, references: References, decorators: Decorators, decorating: Decorating
    ) -> None:
        self._plan = plan
        self._references = references
        self._decorators = decorators
        self._decorating = decorating

    def make(self, needed: Functions, wrapped: Functions) -> None:
        for function, module in needed.items():
            name = function.name.value
            change = self._plan.add(Change(CODE, module, function, f"`{name}` became async."))
            change.edit(function, made_async)
            self._await_calls(change, function)
            if decorator := self._decorators.wrapping(module, function):
                self._await_wrapped(change, decorator, needed)
        for function, module in wrapped.items():
            if function not in needed:
                text = f"Calls of `{function.name.value}` are awaited: its decorator became async."
                self._await_calls(Change(CODE, module, function, text), function)

    def _await_calls(self, change: Change, function: cst.FunctionDef) -> None:
        for reference in self._references.of(function):
            module = reference.module
            call = module.parent(reference.node)
            if reference.use != "called" or self._plan.is_claimed(reference.node):
                continue
            place = module.place(reference.node)
            if not isinstance(place, cst.FunctionDef) or not self._plan.is_async(place):
                continue  # a test that cannot await
            if isinstance(call, cst.Call) and not isinstance(module.parent(call), cst.Await):
                change.wait(call, module)
        if change.waits and change not in self._plan.changes:
            self._plan.add(change)

    def _await_wrapped(self, change: Change, decorator: Decorator, needed: Functions) -> None:
        """Await the call in a wrapper; through `ensure_async` where it is not always async."""
        decorated = [function for _, function in self._decorating.decorated(decorator)]
        is_always_async = self._decorating.is_always_above(decorator) and all(
            function in needed or function.asynchronous is not None for function in decorated
        )
        for call in decorator.calls:
            if isinstance(decorator.module.parent(call), cst.Await):
                continue
            change.wait(call, decorator.module)
            if not is_always_async:
                change.add_import("quart.current_app", decorator.module)
                change.edit(call.func, _ensured, decorator.module)


def _ensured(new: cst.BaseExpression) -> cst.Call:
    ensure = cst.Attribute(cst.Name("current_app"), cst.Name("ensure_async"))
    return cst.Call(ensure, [cst.Arg(new)])

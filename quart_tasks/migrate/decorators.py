"""The decorators that a project defines itself, and what they do with a function.

    def login_required(view):                 # the decorator
        @wraps(view)
        def wrapper(*args, **kwargs):         # its wrapper
            if "user" not in session:
                abort(401)
            return view(*args, **kwargs)      # the call
        return wrapper

If a decorated function becomes async, so must the wrapper, and the call in it is awaited; if the
wrapper becomes async, whoever calls a decorated function must await it.
"""

from dataclasses import dataclass
from functools import cache

import libcst as cst

from .definitions import parameters
from .module import Module
from .origin import Origins

# These take a function to describe it, not to call it.
_DESCRIBE = {
    "functools.wraps",
    "functools.update_wrapper",
    "inspect.iscoroutinefunction",
    "asyncio.iscoroutinefunction",
    *(f"inspect.{name}" for name in ("signature", "getdoc", "getfullargspec", "unwrap")),
    *(f"builtins.{name}" for name in ("getattr", "setattr", "hasattr", "callable", "repr", "id")),
}
_ENSURE = "flask.Flask().ensure_sync"


@dataclass(frozen=True)
class Decorator:
    """`wrapper` is None if it hands the function back; `why_not`: why nothing is known of it."""

    module: Module
    function: cst.FunctionDef
    wrapper: cst.FunctionDef | None = None
    calls: tuple[cst.Call, ...] = ()
    why_not: str = ""


class Decorators:
    def __init__(self, origins: Origins) -> None:
        self._origins = origins
        self.named = cache(self._named)

    def _named(self, origin: str) -> Decorator | None:
        """The decorator of the project that has this origin: that of `@login_required`."""
        found = self._origins.known.function(origin)
        if found is None:
            return None
        module, function = found
        name = function.name.value
        if not parameters(function):
            return Decorator(module, function, why_not=f"`{name}` takes no function")
        calls: list[cst.Call] = []
        ensured: list[cst.Call] = []
        for use in self._uses(module, function):
            parent = module.parent(use)
            if isinstance(parent, cst.Call) and parent.func is use:
                calls.append(parent)
            elif call := self._ensured(module, use):
                ensured.append(call)
            elif not self._is_described(module, use):
                text = f"`{name}` does more with it than to call it"
                return Decorator(module, function, why_not=text)
        return self._of_calls(module, function, calls, ensured)

    def wrapping(self, module: Module, wrapper: cst.FunctionDef) -> Decorator | None:
        """The decorator that `wrapper` is the wrapper of."""
        outer = module.place(wrapper)
        found = (
            self.named(self._origins.names[outer]) if isinstance(outer, cst.FunctionDef) else None
        )
        return found if found is not None and found.wrapper is wrapper else None

    def _of_calls(
        self,
        module: Module,
        function: cst.FunctionDef,
        calls: list[cst.Call],
        ensured: list[cst.Call],
    ) -> Decorator:
        name = function.name.value
        places = {module.place(call) for call in [*calls, *ensured]}
        returned = [
            node.value
            for node in module.all(cst.Return)
            if module.function(node) is function and node.value is not None
        ]
        origins = {self._origins.of(module, value) for value in returned}
        if not places:
            first = parameters(function)[0].name.value
            if all(isinstance(value, cst.Name) and value.value == first for value in returned):
                return Decorator(module, function)
        elif len(places) == 1 and len(origins) == 1:
            place = places.pop()
            if isinstance(place, cst.FunctionDef) and self._origins.names[place] in origins:
                return Decorator(module, function, place, tuple(calls))
        return Decorator(module, function, why_not=f"`{name}` is no plain decorator")

    def _uses(self, module: Module, function: cst.FunctionDef) -> list[cst.Name]:
        """Where the decorator's parameter, the decorated function, is named."""
        param = parameters(function)[0]
        found = []
        for name in module.all(cst.Name):
            if name.value != param.name.value or name is param.name:
                continue
            scope = module.scope(name)
            bound = [getattr(one, "node", None) for one in scope[name.value]] if scope else []
            if param in bound and function in module.parents(name):
                found.append(name)
        return found

    def _ensured(self, module: Module, use: cst.Name) -> cst.Call | None:
        """The call in `app.ensure_sync(view)(…)`, which a rule of its own awaits."""
        ensure = module.parent(module.parent(use) or use)
        if isinstance(ensure, cst.Call) and self._origins.of(module, ensure.func) == _ENSURE:
            call = module.parent(ensure)
            return call if isinstance(call, cst.Call) and call.func is ensure else None
        return None

    def _is_described(self, module: Module, use: cst.Name) -> bool:
        parent = module.parent(use)
        if isinstance(parent, cst.Attribute | cst.Return | cst.ImportAlias):
            return True
        if isinstance(parent, cst.Arg):
            call = module.parent(parent)
            if parent.keyword is use:
                return True
            return isinstance(call, cst.Call) and self._origins.of(module, call.func) in _DESCRIBE
        return False

"""Which functions become async: those that must await, and all that call them.

A function that cannot become async keeps also those that it calls from it, and then the changes
that asked for it are not made: what is left is left as it was.
"""

import libcst as cst

from .awaiting import Awaiting
from .barriers import Barriers
from .change import Change
from .decorating import Decorating
from .decorators import Decorators
from .definitions import is_tests
from .module import Module
from .plan import Plan
from .reasons import Reasons
from .references import Reference, References

_PLACES: dict[type[cst.CSTNode], str] = {
    cst.Lambda: "a lambda",
    cst.GeneratorExp: "a generator expression",
    cst.ClassDef: "the body of a class",
    cst.Module: "a module itself",
}


class Coloring:
    """`needed`: the functions that become async, with their modules.

    `wrapped`: those that stay as they are, but are called through an async wrapper.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._references = References(plan.origins)
        self._decorators = Decorators(plan.origins)
        self._decorating = Decorating(plan.origins, self._decorators, self._references)
        self._barriers = Barriers(plan, self._decorators)
        self._reasons = Reasons(plan.origins)
        self._cause: cst.FunctionDef | None = None
        self.needed: dict[cst.FunctionDef, Module] = {}
        self.wrapped: dict[cst.FunctionDef, Module] = {}
        self._waiting: list[tuple[Module, cst.FunctionDef]] = []

    def run(self) -> None:
        """Decide; then make the functions async and await their calls."""
        while not self._settle():
            pass
        self._plan.async_functions = set(self.needed)
        Awaiting(self._plan, self._references, self._decorators, self._decorating).make(
            self.needed, self.wrapped
        )

    def _settle(self) -> bool:
        """Colour anew from the changes that are left; False once one more thing is barred."""
        for change in self._plan.changes:
            self._block(change)
        self.needed, self.wrapped, self._waiting = {}, {}, []
        for change in self._plan.changes:
            for module, node in [] if change.blocked else change.async_spots:
                place = module.place(node)
                if isinstance(place, cst.FunctionDef):
                    self._need(module, place)
        while self._waiting:
            module, function = self._waiting.pop()
            self._cause = None
            if why := self._why_not(module, function):
                self._reasons.add(function, why, self._cause)
                return False
        return True

    def _block(self, change: Change) -> None:
        """Give up a change if one of its spots is where nothing can be awaited."""
        for module, node in [] if change.blocked else change.async_spots:
            place = module.place(node)
            why = ""
            if not isinstance(place, cst.FunctionDef):
                why = f"{_PLACES[type(place)]} cannot await"
            elif place in self._reasons:
                why = self._reasons.of(place)
            if why:
                change.blocked = f"This must be awaited, and {why}."
                change.barred = module, node
                return

    def _need(self, module: Module, function: cst.FunctionDef) -> bool:
        """Ask that a function be async; False if it cannot."""
        if function in self._reasons:
            self._cause = function
            return False
        if function.asynchronous is None and function not in self.needed:
            self.needed[function] = module
            self._waiting.append((module, function))
        return True

    def _why_not(self, module: Module, function: cst.FunctionDef) -> str:
        return (
            self._barriers.of(module, function)
            or self._why_not_decorated(module, function)
            or self._why_not_decorating(module, function)
            or self._why_not_overridden(module, function)
            or self._why_not_called(module, function)
        )

    def _why_not_decorated(self, module: Module, function: cst.FunctionDef) -> str:
        """The wrappers around it must be able to await it."""
        for node in function.decorators:
            decorator = self._decorators.named(self._plan.origins.of(module, node.decorator))
            if decorator is None or self._plan.is_claimed(node.decorator):
                continue
            if decorator.why_not:
                return decorator.why_not
            wrapper = decorator.wrapper
            if wrapper is not None and not self._need(decorator.module, wrapper):
                return f"its decorator `{decorator.function.name.value}` cannot await it"
        return ""

    def _why_not_decorating(self, module: Module, wrapper: cst.FunctionDef) -> str:
        """Whoever calls what it wraps must await that."""
        decorator = self._decorators.wrapping(module, wrapper)
        if decorator is None:
            return ""
        for other, function in self._decorating.decorated(decorator):
            if function in self._reasons:
                self._cause = function
                return f"it wraps `{self._reasons.label(function)}`"
            if function not in self.needed and function not in self.wrapped:
                self.wrapped[function] = other
                self._waiting.append((other, function))
        return self._decorating.misused(decorator)

    def _why_not_overridden(self, module: Module, function: cst.FunctionDef) -> str:
        if function not in self.needed:
            return ""
        name = self._plan.origins.names[function]
        for other, namesake in self._plan.origins.classes.namesakes(name):
            if not self._need(other, namesake):
                return "a class and one that derives from it have it"
        return ""

    def _why_not_called(self, module: Module, function: cst.FunctionDef) -> str:
        references = [
            reference
            for reference in self._references.of(function)
            if not self._plan.is_claimed(reference.node)
        ]
        caller = self._barriers.caller(module, function)
        if caller and not any(reference.use == "called" for reference in references):
            return f"it may be called by {caller}"
        words = function.name.value, module.name.rpartition(".")[2]
        if unread := self._plan.project.unread_with(*words):
            return f"it may be called in {unread.name}, which was not read"
        is_wrapper = self._decorators.wrapping(module, function) is not None
        for reference in references:
            if is_wrapper and isinstance(reference.module.parent(reference.node), cst.Return):
                continue
            why = self._through(reference)
            # A test that cannot await holds nothing up: `rules/not_awaited.py` tells of it.
            if why and not is_tests(reference.module):
                return why
        return ""

    def _through(self, reference: Reference) -> str:
        match reference.use:
            case "called":
                return self._why_not_calling(reference)
            case "escapes":
                return self._why_not_given(reference)
            case "decorates":
                return f"it is a decorator {reference.where}"
            case "maybe":
                return f"it may be what is called {reference.where}"
        return ""

    def _why_not_calling(self, reference: Reference) -> str:
        place = reference.module.place(reference.node)
        if not isinstance(place, cst.FunctionDef):
            return f"it is called {reference.where}, and {_PLACES[type(place)]} cannot await"
        return "" if self._need(reference.module, place) else f"it is called {reference.where}"

    def _why_not_given(self, reference: Reference) -> str:
        """It may be given to a decorator of the project by hand: `view = decorator(view)`."""
        decorator = self._decorating.applied(reference.module, reference.node)
        if decorator is None or decorator.why_not:
            return f"it is passed on {reference.where}"
        wrapper = decorator.wrapper
        if wrapper is not None and not self._need(decorator.module, wrapper):
            return f"its decorator `{decorator.function.name.value}` cannot await it"
        return ""

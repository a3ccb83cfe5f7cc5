"""Views that call what is left."""

import libcst as cst

from ..flask_names import registers
from ..module import Module
from ..plan import Plan
from ..references import References
from ..rule import Rule


class BrokenViews(Rule):
    """A view that calls a function which is left does not work; it is told, and not changed.

    Before and after, where `load` is left because something else hands it on:

        @app.get("/")
        def index():
            return load()
    """

    code = "QT310"

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._broken: dict[cst.FunctionDef, str] | None = None

    def coloured(self, module: Module) -> None:
        if self._broken is None:
            self._broken = self._find()
        for function, left in self._broken.items():
            if function in module.all(cst.FunctionDef) and self._is_view(module, function):
                text = f"`{function.name.value}` fails where it calls `{left}`, which is left."
                self.note(module, function, text)

    def _find(self) -> dict[cst.FunctionDef, str]:
        """The functions that call what is left, directly or not, with the name of that."""
        references = References(self.plan.origins)
        broken: dict[cst.FunctionDef, str] = {}
        waiting: list[tuple[cst.FunctionDef, str]] = [
            (place, place.name.value)
            for change in self.plan.changes
            if change.blocked
            for module, node in change.async_spots
            if isinstance(place := module.place(node), cst.FunctionDef)
        ]
        left = {function for function, _ in waiting}
        while waiting:
            function, name = waiting.pop()
            for reference in references.of(function):
                place = reference.module.place(reference.node)
                if reference.use != "called" or not isinstance(place, cst.FunctionDef):
                    continue
                if place not in broken and place not in left:
                    broken[place] = name
                    waiting.append((place, name))
        return broken

    def _is_view(self, module: Module, function: cst.FunctionDef) -> bool:
        return any(registers(self.origin(module, one.decorator)) for one in function.decorators)

"""The decorators of a class-based view, which Quart gives a coroutine function."""

import libcst as cst

from ..decorators import Decorators
from ..module import Module
from ..plan import Plan
from ..rule import Rule


class ViewDecorators(Rule):
    """A decorator in `decorators` of a view class must await the view.

    Before:

        class Orders(MethodView):
            decorators = [logged]          # def wrapper(…): return view(…)

    After:

        class Orders(MethodView):
            decorators = [logged]          # async def wrapper(…): return await view(…)
    """

    code = "QT303"

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._decorators = Decorators(plan.origins)

    def look(self, module: Module) -> None:
        for owner in module.all(cst.ClassDef):
            bases = self.plan.origins.classes.bases(module, owner)
            if any(base.startswith("flask.views.") for base in bases):
                for element in self._listed(module, owner):
                    self._decorator(module, element)

    def _listed(self, module: Module, owner: cst.ClassDef) -> list[cst.BaseExpression]:
        found = []
        for assign in module.all(cst.Assign):
            if module.place(assign) is owner and isinstance(assign.value, cst.List | cst.Tuple):
                match assign.targets[0].target:
                    case cst.Name("decorators"):
                        found += [element.value for element in assign.value.elements]
        return found

    def _decorator(self, module: Module, node: cst.BaseExpression) -> None:
        text = module.text(node)
        decorator = self._decorators.named(self.origin(module, node))
        if decorator is None or decorator.why_not:
            self.note(module, node, f"Quart gives `{text}` a coroutine function: it must await it.")
        elif decorator.wrapper is not None and decorator.wrapper.asynchronous is None:
            change = self.change(module, node, f"`{text}` awaits the views that it decorates.")
            change.needs_async(decorator.wrapper.body, decorator.module)

"""The "flask_async" recipe: a decorator that runs whole views in threads, the dict of their
responses, the route that answers with one, and what clears the dict."""

from dataclasses import dataclass, field

import libcst as cst
import libcst.matchers as m

from .change import Spot
from .flask_names import registers
from .local_names import own_statement
from .module import Module
from .plan import Plan
from .serving import Serving
from .shared import shared
from .variables import Variable, Variables, is_empty_dict

_STARTS = ("threading.Thread", "concurrent.futures.ThreadPoolExecutor().submit")
_PARTS = ("start", "submit", "setDaemon", "push", "pop", "clear", "sleep")
_CONTEXTS = ("request_context", "copy_current_request_context")
_UNKNOWN = "`{}` is used for more than the responses of background views, which is left to you."

_MORE = "`{}` does more than to run the view in a thread, which is left to you."


@dataclass
class Recipe:
    """`gone` are the statements that nothing needs any more, `why` says why that is not so."""

    module: Module
    decorator: cst.FunctionDef
    variable: Variable
    routes: list[tuple[Module, cst.FunctionDef]] = field(default_factory=list)
    gone: list[Spot] = field(default_factory=list)
    why: str = ""

    @property
    def name(self) -> str:
        return self.decorator.name.value


class Recipes:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._variables = shared(plan, Variables)
        self.all = [
            recipe
            for module in plan.project.modules.values()
            for function in module.all(cst.FunctionDef)
            if (recipe := self._recipe(module, function)) is not None
        ]

    def has(self, module: Module, node: cst.CSTNode) -> bool:
        """Whether `node` is a part of one."""
        return any(
            part is node or part in module.parents(node)
            for recipe in self.all
            for _, part in [*recipe.gone, *recipe.routes, (recipe.module, recipe.decorator)]
        )

    def _recipe(self, module: Module, function: cst.FunctionDef) -> Recipe | None:
        inner = [
            node for node in module.all(cst.FunctionDef) if function in module.parents(node)
        ]  # fmt: skip
        if not inner or not isinstance(module.place(function), cst.Module):
            return None
        calls = [node for node in module.all(cst.Call) if function in module.parents(node)]
        starts = any(self._plan.origins.of(module, call.func) in _STARTS for call in calls)
        enters = any(_last_name(call.func) in _CONTEXTS for call in calls)
        answers = m.findall(function, m.Integer("202"))
        if not (starts and enters and answers):
            return None
        for name in module.all(cst.Name):
            if function in module.parents(name):
                variable = self._variables.of(module, name)
                if variable is not None and is_empty_dict(variable.value()):
                    return self._with_uses(Recipe(module, function, variable))
        return None

    def _with_uses(self, recipe: Recipe) -> Recipe:
        """Find the parts around the dict of responses."""
        if not _only_starts(recipe.module, recipe.decorator):
            recipe.why = _MORE.format(recipe.name)
        variable = recipe.variable
        for module, node in self._variables.uses(variable):
            part = _outermost(module, node)
            if part is recipe.decorator or (module, part) in recipe.routes:
                continue
            if (module, part) in recipe.gone or isinstance(part, cst.Global):
                continue
            if part is None:
                recipe.why = recipe.why or _UNKNOWN.format(variable.name)
            elif self._is_route(module, part) and _looks_up(module, node):
                recipe.routes.append((module, part))
            elif not self._clears(recipe, module, part):
                recipe.why = recipe.why or _UNKNOWN.format(variable.name)
        owner = variable.module
        recipe.gone += [(owner, own_statement(owner, node)) for node in variable.bindings()]
        recipe.gone.append((recipe.module, recipe.decorator))
        return recipe

    def _is_route(self, module: Module, function: cst.FunctionDef) -> bool:
        return (
            shared(self._plan, Serving).is_view(module, function)
            and len(function.params.params) == 1
        )

    def _clears(self, recipe: Recipe, module: Module, function: cst.FunctionDef) -> bool:
        """Whether a function only starts, or is, a thread that forgets old responses."""
        if m.findall(function, m.FunctionDef(name=m.DoNotCare())) == [function]:
            if not m.findall(function, m.While()) or _does_more(module, function):
                return False
        elif not all(
            self._plan.origins.of(module, call.func).startswith("threading.")
            or _last_name(call.func) in ("start", "setDaemon")
            for call in module.all(cst.Call)
            if module.function(call) is function
        ):
            return False
        recipe.gone.append((module, function))
        if function.decorators:
            return all(
                registers(self._plan.origins.of(module, one.decorator))
                or _last_name(one.decorator).startswith("before_")
                for one in function.decorators
            )
        for where, node in self._variables.uses(Variable(module, function.name.value)):
            line = where.statement(node)
            if not isinstance(where.place(node), cst.Module) or not m.matches(line, _LINE):
                return False
            recipe.gone.append((where, line))
        return True


def _does_more(module: Module, function: cst.FunctionDef) -> bool:
    """Whether it calls something for its effect that is no part of a recipe."""
    return any(
        isinstance(line.value, cst.Call) and _last_name(line.value.func) not in _PARTS
        for line in module.all(cst.Expr)
        if function in module.parents(line)
    )


def _only_starts(module: Module, decorator: cst.FunctionDef) -> bool:
    """Whether what stands in for the view makes no decisions of its own."""
    return not _does_more(module, decorator) and all(
        isinstance(line, cst.FunctionDef)
        or (isinstance(line, cst.SimpleStatementLine) and not m.findall(line, m.Raise()))
        for wrapper in module.all(cst.FunctionDef)
        if module.place(wrapper) is decorator
        for line in wrapper.body.body
    )


def _outermost(module: Module, node: cst.CSTNode) -> cst.FunctionDef | None:
    found = None
    for parent in module.parents(node):
        if isinstance(parent, cst.FunctionDef):
            found = parent
    return found


def _looks_up(module: Module, node: cst.CSTNode) -> bool:
    """Whether it is `responses[key]`, `responses.get(key)` or `key in responses`."""
    parent = module.parent(node)
    if isinstance(parent, cst.Attribute):
        return parent.attr.value == "get"
    return isinstance(parent, cst.Subscript | cst.ComparisonTarget)


def _last_name(node: cst.CSTNode) -> str:
    match node:
        case cst.Call(func=func):
            return _last_name(func)
        case cst.Attribute(attr=cst.Name(value=name)) | cst.Name(value=name):
            return name
    return ""


_LINE = m.SimpleStatementLine(body=[m.Expr()])

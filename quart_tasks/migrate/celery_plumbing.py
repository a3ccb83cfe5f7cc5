"""Celery's own app, and what only sets it up: it goes when nothing is run by it any more."""

import libcst as cst
import libcst.matchers as m

from .celery_project import CeleryProject
from .change import Spot
from .local_names import own_statement
from .module import Module
from .plan import Plan
from .removals import subtree
from .shared import shared
from .variables import Variable, Variables

APP = "celery.Celery()"
_LOGGER = "celery.utils.log.get_task_logger"


class Plumbing:
    """`gone` are statements that can go, `kept` what still uses a Celery app, and why it may."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._variables = shared(plan, Variables)
        self._project = shared(plan, CeleryProject)
        self.gone: list[Spot] = []
        self.kept: list[Spot] = []
        self.loggers: list[tuple[Module, cst.Call]] = []
        self._makers: set[cst.CSTNode] = set()
        modules = plan.project.modules.values()
        for module in modules:
            for function in module.all(cst.FunctionDef):
                if self._makes_app(module, function):
                    self._makers.add(function)
                    self.gone.append((module, function))
        for module in modules:
            for assign in module.all(cst.Assign):
                if plan.origins.of(module, assign.value) == APP:
                    self._app(module, assign)
            for kept in module.all(cst.Subscript):
                if m.matches(kept, _EXTENSION) and not self._is_gone(module, kept):
                    self._fetched(module, kept)
            for call in module.all(cst.Call):
                if plan.origins.of(module, call.func) == _LOGGER:
                    self.loggers.append((module, call))
                definition = plan.origins.definition(plan.origins.of(module, call.func))
                if definition is not None and definition[1] in self._makers:
                    self._made(module, call)

    def _makes_app(self, module: Module, function: cst.FunctionDef) -> bool:
        """Whether it is `make_celery` or the like: it makes or sets up a Celery app, no Flask."""
        if not isinstance(module.place(function), cst.Module) or function.decorators:
            return False
        inside = [
            node
            for kind in (cst.Call, cst.ClassDef)
            for node in module.all(kind)
            if function in module.parents(node)
        ]
        calls = [self._plan.origins.of(module, n.func) for n in inside if isinstance(n, cst.Call)]
        classes = [node for node in inside if _derives_from_task(node)]
        if "flask.Flask" in calls or not ("celery.Celery" in calls or classes):
            return False
        return all(self._is_about_celery(module, line) for line in function.body.body)

    def _is_about_celery(self, module: Module, line: cst.CSTNode) -> bool:
        """Whether a line of such a function does nothing else."""
        if _derives_from_task(line) or m.matches(line, _DOCSTRING | _RETURN):
            return True
        return isinstance(line, cst.SimpleStatementLine) and any(
            "celery" in name.value.lower() or self._plan.origins.of(module, name).startswith(APP)
            for name in subtree(line)
            if isinstance(name, cst.Name)
        )

    def _made(self, module: Module, call: cst.Call) -> None:
        """A call of such a function: a statement of its own, or what a name is given."""
        if self._is_gone(module, call):
            return
        line = module.statement(call)
        if m.matches(line, _LINE) and _is_all_of(module, line, call):
            self._remove(module, line)
        else:
            self.kept.append((module, call))

    def _app(self, module: Module, assign: cst.Assign) -> None:
        """`celery = Celery(…)`, and all that is done with it."""
        if self._is_gone(module, assign):
            return
        target = assign.targets[0].target
        self._remove(module, own_statement(module, assign))
        if not isinstance(target, cst.Name) or not isinstance(module.place(assign), cst.Module):
            return
        for where, node in self._variables.uses(Variable(module, target.value)):
            if not self._is_gone(where, node) and not self._is_task(where, node):
                line = where.statement(node)
                if _sets_up(where, node, line):
                    self._remove(where, line)
                elif not self._is_made(where, node):
                    self.kept.append((where, node))

    def _fetched(self, module: Module, node: cst.Subscript) -> None:
        """`celery = app.extensions["celery"]`, for Celery's own command to find."""
        match module.parent(node):
            case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))]):
                is_global = isinstance(module.place(node), cst.Module)
                if is_global and not self._variables.uses(Variable(module, name)):
                    self._remove(module, own_statement(module, node))
                    return
        self.kept.append((module, node))

    def _is_task(self, module: Module, node: cst.CSTNode) -> bool:
        """Whether it is in a decorator of a task, or in what asks for a result."""
        parents = [node, *module.parents(node)]
        decorators = {task.decorator for task in self._project.tasks}
        generic = {call for _, call in self._project.generic_nodes}
        return any(parent in decorators or parent in generic for parent in parents)

    def _is_made(self, module: Module, node: cst.CSTNode) -> bool:
        """Whether it is passed to a function that sets it up."""
        arg = module.parent(node)
        call = module.parent(arg) if arg is not None else None
        if not isinstance(call, cst.Call):
            return False
        definition = self._plan.origins.definition(self._plan.origins.of(module, call.func))
        return definition is not None and definition[1] in self._makers

    def _remove(self, module: Module, line: cst.CSTNode) -> None:
        if (module, line) not in self.gone:
            self.gone.append((module, line))

    def _is_gone(self, module: Module, node: cst.CSTNode) -> bool:
        gone = {part for _, part in self.gone}
        return any(parent in gone for parent in module.parents(node))


def _derives_from_task(node: cst.CSTNode) -> bool:
    """Whether it is `class ContextTask(celery.Task)`."""
    return isinstance(node, cst.ClassDef) and any(
        m.matches(base.value, _TASK) for base in node.bases
    )


def _sets_up(module: Module, node: cst.CSTNode, line: cst.CSTNode) -> bool:
    """Whether a line only configures the app, as `celery.conf.update(…)` does, or hands it to
    the extensions of a Flask app."""
    if not isinstance(line, cst.SimpleStatementLine) or len(line.body) != 1:
        return False
    match line.body[0]:
        case cst.Expr(value=cst.Call(func=cst.Attribute() as func)):
            return _begins_with(func, node)
        case cst.Assign(targets=[cst.AssignTarget(target=target)], value=value):
            is_handed = value is node and not isinstance(target, cst.Name)
            return is_handed or _begins_with(target, node)
    return False


def _begins_with(chain: cst.BaseExpression, node: cst.CSTNode) -> bool:
    while isinstance(chain, cst.Attribute | cst.Subscript | cst.Call):
        chain = chain.func if isinstance(chain, cst.Call) else chain.value
    return chain is node


def _is_all_of(module: Module, line: cst.CSTNode, call: cst.Call) -> bool:
    parent = module.parent(call)
    if isinstance(parent, cst.Expr):
        return True
    return isinstance(parent, cst.Assign) and module.parent(parent) is line


_DOCSTRING = m.SimpleStatementLine(body=[m.Expr(m.SimpleString())])
_RETURN = m.SimpleStatementLine(body=[m.Return()])
_CELERY = m.SubscriptElement(m.Index(m.SimpleString('"celery"') | m.SimpleString("'celery'")))
_EXTENSION = m.Subscript(value=m.Attribute(attr=m.Name("extensions")), slice=[_CELERY])
_TASK = m.Name("Task") | m.Name("TaskBase") | m.Attribute(attr=m.Name("Task"))
_LINE = m.SimpleStatementLine(body=[m.Expr() | m.Assign()])

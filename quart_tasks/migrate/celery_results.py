"""What is done with a Celery task's `AsyncResult`, of which `quart_tasks.celery` has one too."""

from collections.abc import Sequence

import libcst as cst

from .change import Rewrite
from .edits import argument
from .local_names import names_in
from .module import Module
from .parts import Parts
from .plan import Plan

OURS = "quart_tasks.celery.AsyncResult"
_OUR_MODULE = cst.Attribute(cst.Name("quart_tasks"), cst.Name("celery"))
_IDS = ("id", "task_id")
_VALUES = (*_IDS, "state", "status", "result", "info", "traceback", "date_done")
_TESTS = ("ready", "successful", "failed")
_AWAITED = {"get": {"timeout", "propagate"}, "revoke": {"terminate"}}
_HANDED_ON = "This result is handed on: hand on its id, and ask `AsyncResult(id)` there."


class ResultUses:
    """Notes in `parts` what becomes of the uses of a result."""

    def __init__(self, plan: Plan, parts: Parts) -> None:
        self._origins = plan.origins
        self._parts = parts

    def of_submission(self, module: Module, call: cst.Call) -> tuple[str, bool]:
        """Why what `delay()` gives cannot be a task's handle, or "", and whether it must be an
        `AsyncResult` around that: for more than its id."""
        nodes: Sequence[cst.BaseExpression] | None = self._names(module, call)
        if nodes is None:
            nodes = [] if isinstance(module.parent(call), cst.Expr) else [call]
        if all(_attribute(module, node) in _IDS for node in nodes):
            for node in nodes:
                self._parts.edit(module, module.parent(node) or node, _with_id)
            return "", False
        self._parts.imports.append((module, OURS))
        return next(filter(None, [self._use(module, node) for node in nodes]), ""), True

    def of_result(self, module: Module, call: cst.Call) -> str:
        """The same for `AsyncResult(id)`: why it cannot be ours, or ""."""
        nodes = self._names(module, call)
        whys = [self._use(module, node) for node in ([call] if nodes is None else nodes)]
        return next(filter(None, whys), "")

    def _names(self, module: Module, call: cst.Call) -> list[cst.Name] | None:
        """The uses of the local name that a result is given, if it is."""
        match module.parent(call):
            case cst.Assign(targets=[cst.AssignTarget(target=cst.Name() as name)]):
                if module.function(call) is not None:
                    return [
                        node
                        for node in names_in(module, name)
                        if not isinstance(module.parent(node), cst.AssignTarget)
                    ]
        return None

    def _use(self, module: Module, node: cst.BaseExpression) -> str:
        parent = module.parent(node)
        if isinstance(parent, cst.Arg):
            call = module.parent(parent)
            known = ("builtins.str", "flask.render_template")
            if isinstance(call, cst.Call) and self._origins.of(module, call.func) in known:
                return ""
        if isinstance(parent, cst.FormattedStringExpression):
            return ""
        if not isinstance(parent, cst.Attribute):
            return _HANDED_ON
        name = parent.attr.value
        above = module.parent(parent)
        is_called = isinstance(above, cst.Call) and above.func is parent
        if (name in _VALUES and not is_called) or (name in _TESTS and is_called):
            return ""
        if isinstance(above, cst.Call) and is_called and name in _AWAITED:
            given = {arg.keyword.value for arg in above.args if arg.keyword is not None}
            if given <= _AWAITED[name] and len(above.args) - len(given) <= (name == "get"):
                self._parts.waits.append((module, above))
                return ""
        return f"`{name}` of Celery's results is left to you."


def wrapped(submission: cst.BaseExpression) -> cst.Call:
    """`AsyncResult(await f.submit())`."""
    return cst.Call(cst.Name("AsyncResult"), [cst.Arg(submission)])


def _attribute(module: Module, node: cst.CSTNode) -> str:
    parent = module.parent(node)
    return parent.attr.value if isinstance(parent, cst.Attribute) else ""


def _with_id(new: cst.Attribute) -> cst.Attribute:
    return new.with_changes(attr=cst.Name("id"))


def as_ours(tracks_started: bool) -> Rewrite:
    """`AsyncResult(id)` instead of `celery.AsyncResult(id)`."""

    def rewrite(new: cst.Call) -> cst.Call:
        args = [new.args[0].with_changes(comma=cst.MaybeSentinel.DEFAULT, keyword=None)]
        if tracks_started:
            args.append(argument("track_started", cst.Name("True")))
        return new.with_changes(func=cst.Name("AsyncResult"), args=args)

    return rewrite


def revoked(new: cst.Call) -> cst.Call:
    """`AsyncResult(id).revoke(terminate=True)` instead of `celery.control.revoke(id, …)`."""
    result = wrapped(new.args[0].value)
    kept = [
        arg.with_changes(comma=cst.MaybeSentinel.DEFAULT)
        for arg in new.args[1:]
        if arg.keyword is not None and arg.keyword.value == "terminate"
    ]
    return new.with_changes(func=cst.Attribute(result, cst.Name("revoke")), args=kept)


def import_ours(module: Module, parts: Parts) -> None:
    """Import our `AsyncResult`, where Celery's is imported now."""
    for statement in module.all(cst.ImportFrom):
        if statement.module is None or module.text(statement.module) != "celery.result":
            continue
        if isinstance(statement.names, cst.ImportStar) or len(statement.names) != 1:
            continue
        parts.edit(module, statement, lambda new: new.with_changes(module=_OUR_MODULE))
        return
    parts.imports.append((module, OURS))
    parts.drops.append((module, "celery.result.AsyncResult"))
